"""Service bindings as operators look through them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, or_, select

from broker.domain.bindings import BindingState
from broker.domain.operations import OperationStatus
from broker.domain.pages import Page, PageRequest
from broker.domain.summaries import BindingFilter, BindingSummary
from broker.store.administration import cursors
from broker.store.administration.operations import columns_of, is_stuck, summary_of
from broker.store.database import Transaction
from broker.store.tables import operations, service_instances
from broker.store.tables import service_bindings as table

_PLAIN = (
    "binding_id", "key", "state", "service_plan_id", "created_at", "predecessor_id", "expires_at", "renew_before",
    "keys_checked_at", "stale_since",
)  # fmt: skip
_FAILED = (BindingState.BIND_FAILED.value, BindingState.UNBIND_FAILED.value)
_RUNNING = "running_"
_query = (
    select(
        *(table.c[name] for name in _PLAIN),
        service_instances.c.platform,
        service_instances.c.instance_id,
        *columns_of(operations, _RUNNING),
    )
    .select_from(table)
    .join(service_instances, service_instances.c.key == table.c.instance_key)
    .outerjoin(
        operations,
        and_(
            operations.c.binding_key == table.c.key,
            operations.c.status == OperationStatus.IN_PROGRESS.value,
        ),
    )
)


async def page(tx: Transaction, wanted: BindingFilter, at: PageRequest) -> Page[BindingSummary]:
    """
    Return a page of the living bindings, the newest first.

    Raises:
        MalformedRequest: The cursor is none of this list.
    """
    query = _query.where(*_conditions(wanted, tx.now)).order_by(table.c.created_at.desc(), table.c.key)
    if at.cursor is not None:
        time, text = cursors.decoded(at.cursor, str, str)
        created_at, key = cursors.time_of(time), cursors.key_of(text)
        query = query.where(
            or_(table.c.created_at < created_at, and_(table.c.created_at == created_at, table.c.key > key))
        )
    rows, last = await cursors.rows_of(tx, query, at)
    following = cursors.encoded(last.created_at.isoformat(), last.key.hex) if last is not None else None
    return Page([_summary(row, tx.now) for row in rows], following)


async def of_instance(tx: Transaction, instance_key: UUID, *, at_most: int) -> list[BindingSummary]:
    """Return the living bindings of an instance, the newest first."""
    query = _query.where(table.c.instance_key == instance_key).order_by(
        table.c.created_at.desc(), table.c.key
    )
    return [_summary(row, tx.now) for row in await tx.execute(query.limit(at_most))]


async def named(tx: Transaction, instance_key: UUID, binding_id: str) -> BindingSummary | None:
    """Return the living binding of that id."""
    query = _query.where(table.c.instance_key == instance_key, table.c.binding_id == binding_id)
    row = (await tx.execute(query)).first()
    return None if row is None else _summary(row, tx.now)


async def stale(tx: Transaction, platform: str | None, *, at_most: int) -> list[tuple[str, str, str]]:
    """Return platform, instance and binding id of those that are stale, in the order in which they are locked."""
    query = (
        select(service_instances.c.platform, service_instances.c.instance_id, table.c.binding_id)
        .join(service_instances, service_instances.c.key == table.c.instance_key)
        .where(table.c.stale_since.is_not(None), table.c.state == BindingState.BOUND.value)
        .order_by(service_instances.c.key, table.c.key)
    )
    if platform is not None:
        query = query.where(service_instances.c.platform == platform)
    found = await tx.execute(query.limit(at_most))
    return [(row.platform, row.instance_id, row.binding_id) for row in found]


def _conditions(wanted: BindingFilter, now: datetime) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.platform is not None:
        found.append(service_instances.c.platform == wanted.platform)
    if wanted.instance_id is not None:
        found.append(service_instances.c.instance_id == wanted.instance_id)
    if wanted.states:
        found.append(table.c.state.in_(sorted(wanted.states)))
    if wanted.failed:
        found.append(table.c.state.in_(_FAILED))
    if wanted.stale:
        found.append(table.c.stale_since.is_not(None))
    if wanted.stuck:
        found.append(is_stuck(operations, now))
    return found


def _summary(row: Row[Any], now: datetime) -> BindingSummary:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    return BindingSummary(
        **{name: values[name] for name in (*_PLAIN, "platform", "instance_id")},
        operation=summary_of(row, now, _RUNNING) if values[_RUNNING + "id"] is not None else None,
    )
