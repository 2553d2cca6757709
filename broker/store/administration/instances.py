"""Service instances as operators look through them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, func, or_, select

from broker.domain.instances import InstanceState
from broker.domain.operations import OperationStatus
from broker.domain.pages import Page, PageRequest
from broker.domain.summaries import InstanceFilter, InstanceSummary
from broker.store.administration import cursors
from broker.store.administration.operations import columns_of, is_stuck, summary_of
from broker.store.database import Transaction
from broker.store.tables import operations, service_bindings
from broker.store.tables import service_instances as table

_PLAIN = (
    "platform", "instance_id", "key", "state", "service_offering_id", "created_at", "generation", "cluster",
    "namespace", "organization", "space", "instance_name", "alias", "subscription", "region", "resource_group",
    "missing_since",
)  # fmt: skip
_SEARCHED = ("instance_id", "instance_name", "namespace", "space", "organization", "cluster", "alias")
_FAILED = (InstanceState.CREATE_FAILED.value, InstanceState.DELETE_FAILED.value)
_RUNNING = "running_"

_parents = table.alias("parents")
_plan_id = func.coalesce(table.c.applied_plan_id, table.c.asked_plan_id)
_bindings = (
    select(func.count())
    .select_from(service_bindings)
    .where(service_bindings.c.instance_key == table.c.key)
    .scalar_subquery()
)
_query = (
    select(
        *(table.c[name] for name in _PLAIN),
        _plan_id.label("service_plan_id"),
        _parents.c.instance_id.label("parent"),
        _bindings.label("bindings"),
        *columns_of(operations, _RUNNING),
    )
    .select_from(table)
    .outerjoin(_parents, _parents.c.key == table.c.parent_key)
    .outerjoin(
        operations,
        and_(
            operations.c.instance_key == table.c.key,
            operations.c.binding_key.is_(None),
            operations.c.status == OperationStatus.IN_PROGRESS.value,
        ),
    )
)


async def page(tx: Transaction, wanted: InstanceFilter, at: PageRequest) -> Page[InstanceSummary]:
    """
    Return a page of the living instances, the newest first.

    Raises:
        MalformedRequest: The cursor is none of this list.
    """
    query = _query.where(*_conditions(wanted, tx.now)).order_by(table.c.created_at.desc(), table.c.key)
    if at.cursor is not None:
        created_at, key = _position(at.cursor)
        query = query.where(
            or_(
                table.c.created_at < created_at,
                and_(table.c.created_at == created_at, table.c.key > key),
            )
        )
    rows, last = await cursors.rows_of(tx, query, at)
    following = cursors.encoded(last.created_at.isoformat(), last.key.hex) if last is not None else None
    return Page([_summary(row, tx.now) for row in rows], following)


async def named(tx: Transaction, instance_id: str, platform: str | None) -> list[InstanceSummary]:
    """Return the living instances of that id: one for each platform that has one, or that platform's."""
    query = _query.where(table.c.instance_id == instance_id).order_by(table.c.platform)
    if platform is not None:
        query = query.where(table.c.platform == platform)
    return [_summary(row, tx.now) for row in await tx.execute(query)]


async def children_of(tx: Transaction, key: UUID) -> list[str]:
    """Return the ids of an instance's children, the oldest first."""
    query = select(table.c.instance_id).where(table.c.parent_key == key).order_by(table.c.created_at)
    return list((await tx.execute(query)).scalars())


async def platforms_of(tx: Transaction, instance_id: str) -> list[str]:
    """Return the platforms that have a living instance of that id."""
    query = select(table.c.platform).where(table.c.instance_id == instance_id).order_by(table.c.platform)
    return list((await tx.execute(query)).scalars())


def _conditions(wanted: InstanceFilter, now: datetime) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.platform is not None:
        found.append(table.c.platform == wanted.platform)
    if wanted.states:
        found.append(table.c.state.in_(sorted(wanted.states)))
    if wanted.plans is not None:
        found.append(_plan_id.in_(sorted(wanted.plans)))
    if wanted.missing:
        found.append(table.c.missing_since.is_not(None))
    if wanted.failed:
        found.append(table.c.state.in_(_FAILED))
    if wanted.search is not None:
        found.append(or_(*(table.c[name].icontains(wanted.search, autoescape=True) for name in _SEARCHED)))
    if wanted.older_than is not None:
        found.append(table.c.created_at < now - wanted.older_than)
    if wanted.newer_than is not None:
        found.append(table.c.created_at > now - wanted.newer_than)
    if wanted.stuck:
        any_operation = operations.alias("any_operation")
        found.append(
            select(any_operation.c.number)
            .where(any_operation.c.instance_key == table.c.key, is_stuck(any_operation, now))
            .exists()
        )
    return found


def _position(cursor: str) -> tuple[datetime, UUID]:
    created_at, key = cursors.decoded(cursor, str, str)
    return cursors.time_of(created_at), cursors.key_of(key)


def _summary(row: Row[Any], now: datetime) -> InstanceSummary:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    return InstanceSummary(
        **{name: values[name] for name in (*_PLAIN, "service_plan_id", "parent", "bindings")},
        operation=summary_of(row, now, _RUNNING) if values[_RUNNING + "id"] is not None else None,
    )
