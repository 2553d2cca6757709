"""How many service instances there are, counted under a lock: two orders never take the last one both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, exists, func, or_, select

from broker.domain.instances import Context
from broker.domain.json_values import JsonObject
from broker.domain.operations import DRY_RUN, OperationStatus
from broker.store.database import Transaction
from broker.store.tables import operations
from broker.store.tables import service_instances as table

Scope = tuple[str | None, ...]


@dataclass(frozen=True)
class Counted:
    """Service instances that were ordered from one place."""

    platform: str
    context: Context
    view: str
    number: int


async def lock(tx: Transaction, quotas: Collection[tuple[str, Scope]]) -> None:
    """
    Let nobody else count these quotas, each by name and scope, until the transaction ends.

    Taken after all other locks of an order, in one order for all. PostgreSQL keeps no row for it; SQLite has one
    writing transaction at a time anyway.
    """
    if tx.database.kind == "postgresql":
        for number in sorted({_lock_number(name, scope) for name, scope in quotas}):
            await tx.execute(select(func.pg_advisory_xact_lock(number)))


async def living(
    tx: Transaction, plan_ids: Collection[str], within: Mapping[str, str | None], *, besides: tuple[str, str]
) -> int:
    """
    Count the instances on one of these plans in a scope, by the column's name.

    An instance that is changing its plan is on both. Not counted are the one that is ordered, *besides* by platform
    and id, and what a dry run has written down.
    """
    found = await tx.execute(
        select(func.count())
        .select_from(table)
        .where(
            *_counted(plan_ids, besides),
            *(_told(name, value) for name, value in within.items()),
        )
    )
    number: int = found.scalar_one()
    return number


async def places(
    tx: Transaction, plan_ids: Collection[str], *, besides: tuple[str, str], whole: bool
) -> list[Counted]:
    """Count as `living` does, by the place that was ordered from; its *whole* context is much more to read."""
    column = table.c
    by = (column.platform, column.cluster, column.namespace, column.organization, column.space)
    if not whole:
        rows = await tx.execute(
            select(*by, func.count().label("number")).where(*_counted(plan_ids, besides)).group_by(*by)
        )
        return [_at(row, {}, "", row.number) for row in rows]
    rows = await tx.execute(select(*by, column.context, column.terms).where(*_counted(plan_ids, besides)))
    return [_at(row, row.context, (row.terms or {}).get("view", ""), 1) for row in rows]


def _told(name: str, value: str | None) -> ColumnElement[bool]:
    """As `Tenant.of` reads it: who tells a cluster or a namespace has no organization and no space."""
    kubernetes = or_(table.c.cluster.is_not(None), table.c.namespace.is_not(None))
    if name not in {"organization", "space"}:
        return table.c[name].is_not_distinct_from(value)
    if value is None:
        return or_(table.c[name].is_(None), kubernetes)
    return and_(table.c[name] == value, ~kubernetes)


def _counted(plan_ids: Collection[str], besides: tuple[str, str]) -> Iterator[ColumnElement[bool]]:
    plans, (platform, instance_id) = sorted(plan_ids), besides
    yield or_(table.c.applied_plan_id.in_(plans), table.c.asked_plan_id.in_(plans))
    yield or_(table.c.platform != platform, table.c.instance_id != instance_id)
    yield ~exists().where(
        operations.c.instance_key == table.c.key,
        operations.c.status == OperationStatus.IN_PROGRESS.value,
        operations.c.state[DRY_RUN].as_boolean().is_(True),
    )


def _at(row: Row[Any], whole: JsonObject, view: str, number: int) -> Counted:
    context = Context(
        cluster=row.cluster,
        namespace=row.namespace,
        organization=row.organization,
        space=row.space,
        whole=whole,
    )
    return Counted(row.platform, context, view, number)


def _lock_number(name: str, scope: Scope) -> int:
    digest = hashlib.sha256(json.dumps(["quota", name, *scope]).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
