"""Operations as operators look through them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Row, and_, case, or_, select

from broker.domain.operations import OperationStatus
from broker.domain.pages import Page, PageRequest
from broker.domain.summaries import (
    CLAIMS_OF_THE_STUCK,
    ERRORS_OF_THE_STUCK,
    LATE,
    STILL,
    OperationEvent,
    OperationFilter,
    OperationHistory,
    OperationSummary,
    stuck_because,
)
from broker.store.administration import cursors
from broker.store.database import Transaction
from broker.store.tables import operation_events
from broker.store.tables import operations as table

_SHOWN = tuple(name for name in OperationSummary.__dataclass_fields__ if name != "stuck")


_ENDED_RANK = 2
_SHOWN_EVENTS = 1000


async def page(tx: Transaction, wanted: OperationFilter, at: PageRequest) -> Page[OperationSummary]:
    """
    Return a page of operations: the stuck ones first, then those in progress, then the rest; each the newest first.

    What is stuck is judged by the time of the first page, so that no page repeats another's rows for the time between.

    Raises:
        MalformedRequest: The cursor is none of this list.
    """
    as_of = tx.now
    after: tuple[int, int] | None = None
    if at.cursor is not None:
        time, rank, number = cursors.decoded(at.cursor, str, int, int)
        as_of, after = cursors.time_of(time), (rank, number)
    rank_of = case(
        (is_stuck(table, as_of), 0),
        (table.c.status == OperationStatus.IN_PROGRESS.value, 1),
        else_=_ENDED_RANK,
    )
    query = (
        select(table.c.number, rank_of.label("rank"), *columns_of(table))
        .where(*_conditions(wanted, as_of))
        .order_by(rank_of, table.c.number.desc())
    )
    if after is not None:
        query = query.where(or_(rank_of > after[0], and_(rank_of == after[0], table.c.number < after[1])))
    rows, last = await cursors.rows_of(tx, query, at)
    following = cursors.encoded(as_of.isoformat(), last.rank, last.number) if last is not None else None
    return Page([summary_of(row, tx.now) for row in rows], following)


async def with_events(tx: Transaction, operation_id: UUID) -> OperationHistory | None:
    """Return an operation and what happened to it; of very many events, the latest."""
    row = (await tx.execute(select(*columns_of(table)).where(table.c.id == operation_id))).first()
    return None if row is None else await _history(tx, row)


async def of_key(tx: Transaction, key: UUID, *, of_binding: bool, at_most: int) -> list[OperationHistory]:
    """Return the latest operations on an instance itself, or on a binding, living or gone, with their events."""
    whose = (
        table.c.binding_key == key
        if of_binding
        else and_(table.c.instance_key == key, table.c.binding_key.is_(None))
    )
    query = select(*columns_of(table)).where(whose).order_by(table.c.number.desc()).limit(at_most)
    return [await _history(tx, row) for row in list(await tx.execute(query))]


async def _history(tx: Transaction, row: Row[Any]) -> OperationHistory:
    events = await tx.execute(
        select(operation_events)
        .where(operation_events.c.operation_id == row.id)
        .order_by(operation_events.c.number.desc())
        .limit(_SHOWN_EVENTS)
    )
    return OperationHistory(
        summary_of(row, tx.now),
        [OperationEvent(event.at, event.what, event.detail, event.owner) for event in list(events)[::-1]],
    )


def _conditions(wanted: OperationFilter, now: datetime) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for name in ("platform", "instance_id", "binding_id"):
        value = getattr(wanted, name)
        if value is not None:
            found.append(table.c[name] == value)
    if wanted.kinds:
        found.append(table.c.kind.in_(sorted(wanted.kinds)))
    if wanted.statuses:
        found.append(table.c.status.in_(sorted(wanted.statuses)))
    if wanted.stuck:
        found.append(is_stuck(table, now))
    if wanted.older_than is not None:
        found.append(table.c.created_at < now - wanted.older_than)
    if wanted.newer_than is not None:
        found.append(table.c.created_at > now - wanted.newer_than)
    return found


def is_stuck(operation: FromClause, now: datetime) -> ColumnElement[bool]:
    """Tell whether an operation does not get on; see `stuck_because`."""
    column = operation.c
    return and_(
        column.status == OperationStatus.IN_PROGRESS.value,
        or_(
            column.deadline_at < now,
            column.claims >= CLAIMS_OF_THE_STUCK,
            column.due_at < now - LATE,
            column.errors >= ERRORS_OF_THE_STUCK,
            column.step_since < now - STILL,
        ),
    )


def columns_of(operation: FromClause, prefix: str = "") -> list[ColumnElement[Any]]:
    """Return the columns of an `OperationSummary`, under names with *prefix*."""
    return [operation.c[name].label(prefix + name) for name in _SHOWN]


def summary_of(row: Row[Any], now: datetime, prefix: str = "") -> OperationSummary:
    """Read what `columns_of` has selected."""
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    found = OperationSummary(**{name: values[prefix + name] for name in _SHOWN})
    return replace(found, stuck=stuck_because(found, now))
