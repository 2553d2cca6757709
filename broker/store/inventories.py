"""Rounds, each made by one process at a time: taking stock, and comparing keys. Who, when, and what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, exists, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from broker.domain.instances import InstanceState
from broker.domain.inventory import ORPHANS, Holding, Inventory, MissingInstance, Stray, StrayKind
from broker.domain.json_values import JsonObject
from broker.domain.operations import OperationStatus
from broker.store.columns import loaded, stored
from broker.store.database import Database, Transaction
from broker.store.errors import ClaimLost
from broker.store.tables import external_resources, inventories, operations, service_instances

AZURE = "azure"
"""The rounds that compare Azure with the records."""
KEYS = "keys"
"""The rounds that compare the keys of credentials with Azure's."""


@dataclass(frozen=True)
class Taking:
    """The right to take stock, until the lease is over; every write names its fence."""

    owner: str
    fence: int
    lease: timedelta
    name: str = AZURE

    @property
    def mine(self) -> ColumnElement[bool]:
        return inventories.c.name == self.name


async def plan(database: Database, *, first_in: timedelta | None, name: str = AZURE) -> None:
    """
    See that stock is taken from time to time: first after *first_in*, or, with None, only when somebody asks.

    What is planned already stays as it is.
    """
    async with database.transaction() as tx:
        await _make(tx, name)
        idle = (inventories.c.name == name, inventories.c.owner.is_(None))
        if first_in is None:
            await tx.execute(update(inventories).where(*idle).values(due_at=None))
        else:
            unplanned = inventories.c.due_at.is_(None)
            await tx.execute(update(inventories).where(*idle, unplanned).values(due_at=tx.now + first_in))


async def ask_for(tx: Transaction, name: str = AZURE) -> None:
    """Let a round be made at once; one that is under way is not begun again."""
    await _make(tx, name)
    mine = inventories.c.name == name
    await tx.execute(update(inventories).where(mine, inventories.c.owner.is_(None)).values(due_at=tx.now))


async def claim(
    database: Database,
    *,
    owner: str,
    lease: timedelta,
    every: timedelta | None = None,
    name: str = AZURE,
) -> Taking | None:
    """
    Take it up if it is due, and if nobody else did; None otherwise.

    One whose taker died is due again when its lease is over. What seems due much later than *every* from now was
    written before the database's clock was set back, or when it was to be done less often: it is due, too.
    """
    mine = inventories.c.name == name
    longest = 1.5 * (lease if every is None else max(every, lease))

    def due(now: datetime) -> ColumnElement[bool]:
        return or_(inventories.c.due_at <= now, inventories.c.due_at > now + longest)

    async with database.transaction(read_only=True) as tx:
        found = await tx.execute(select(inventories.c.fence).where(mine, due(tx.now)))
        fence = found.scalar()
    if fence is None:
        return None
    async with database.transaction() as tx:
        taken = await tx.execute(
            update(inventories)
            .where(mine, inventories.c.fence == fence, due(tx.now))
            .values(owner=owner, fence=fence + 1, due_at=tx.now + lease, started_at=tx.now)
        )
        return Taking(owner, fence + 1, lease, name) if taken.rowcount else None


async def hold(tx: Transaction, taking: Taking) -> None:
    """
    Renew the lease, and lock it for what this transaction writes.

    Raises:
        ClaimLost: Another process takes stock by now; write nothing.
    """
    held = await tx.execute(
        update(inventories)
        .where(taking.mine, inventories.c.fence == taking.fence)
        .values(due_at=tx.now + taking.lease)
    )
    if held.rowcount != 1:
        raise ClaimLost


async def finish(
    tx: Transaction,
    taking: Taking,
    *,
    next_in: timedelta | None,
    found: Inventory | JsonObject | None,
    trouble: str | None = None,
) -> None:
    """
    Write down the end: what was found, or why nothing could be, which leaves what was found before.

    Raises:
        ClaimLost: Another process takes stock by now.
    """
    await hold(tx, taking)
    values: dict[str, Any] = {
        "owner": None,
        "due_at": None if next_in is None else tx.now + next_in,
        "trouble": trouble,
        "finished_at": tx.now,
    }
    if isinstance(found, Mapping):
        values["report"] = dict(found)
    elif found is not None:
        values["report"] = {
            "subscriptions": list(found.subscriptions),
            "looked_at": found.looked_at,
            "strays": [_written(stray) for stray in found.strays],
        }
    await tx.execute(update(inventories).where(taking.mine).values(values))


async def last_round(tx: Transaction, name: str) -> Row[Any] | None:
    """Return the row of the rounds of that name, once one was planned."""
    return (await tx.execute(select(inventories).where(inventories.c.name == name))).first()


async def read(tx: Transaction) -> Inventory:
    """Return what is known; of a broker that never took stock, nothing."""
    row = await last_round(tx, AZURE)
    missing = await _missing(tx)
    if row is None:
        return Inventory(missing=missing)
    report = row.report
    return Inventory(
        due_at=None if row.owner else row.due_at,
        running_since=row.started_at if row.owner else None,
        finished_at=row.finished_at,
        trouble=row.trouble,
        subscriptions=report.get("subscriptions", ()),
        looked_at=report.get("looked_at", 0),
        strays=[_stray(document) for document in report.get("strays", ())],
        missing=missing,
    )


async def subscriptions(tx: Transaction) -> set[str]:
    """Return the subscriptions in which anything was ever made that may still be there."""
    living = await tx.execute(select(service_instances.c.subscription).distinct())
    recorded = await tx.execute(
        select(external_resources.c.resource_id).where(external_resources.c.gone_at.is_(None))
    )
    named = {resource_id.split("/")[2] for resource_id in recorded.scalars() if resource_id.count("/") > 2}
    return {one.lower() for one in named} | {one.lower() for one in living.scalars() if one}


async def recorded(tx: Transaction, *, orphans: bool = True) -> dict[str, bool]:
    """
    Return the ids of all that is on record and not gone, in lower case, with whether their instance lives.

    Without *orphans* what is on record only to be deleted as an orphan is left out.
    """
    whose = [] if orphans else [service_instances.c.platform.is_distinct_from(ORPHANS)]
    rows = await tx.execute(
        select(external_resources.c.resource_id, service_instances.c.key)
        .outerjoin(service_instances, service_instances.c.key == external_resources.c.instance_key)
        .where(external_resources.c.gone_at.is_(None), *whose)
    )
    lives: dict[str, bool] = {}
    for row in rows:
        name = row.resource_id.lower()
        lives[name] = lives.get(name, False) or row.key is not None
    return lives


async def holdings(tx: Transaction) -> list[Holding]:
    """Return the main resources of the instances that are ready and that nobody works on."""
    column = service_instances.c
    rows = await tx.execute(
        select(column.key, column.platform, column.instance_id, column.record, column.missing_since)
        .where(*_at_rest())
        .order_by(column.created_at)
    )
    return [
        Holding(
            row.key,
            row.platform,
            row.instance_id,
            row.record["main"]["id"],
            row.record["main"]["api_version"],
            row.missing_since,
        )
        for row in rows
        if "main" in row.record
    ]


async def mark(tx: Transaction, key: UUID, *, missing: bool) -> bool:
    """
    Mark an instance as missing, or as there again; false when it is so marked already, or is being worked on.
    """
    since = service_instances.c.missing_since
    marked = await tx.execute(
        update(service_instances)
        .where(
            service_instances.c.key == key, since.is_(None) if missing else since.is_not(None), *_at_rest()
        )
        .values(missing_since=tx.now if missing else None)
    )
    return marked.rowcount == 1


async def _make(tx: Transaction, name: str) -> None:
    insert = (postgresql if tx.database.kind == "postgresql" else sqlite).insert(inventories)
    await tx.execute(insert.values(name=name, fence=0, report={}, due_at=None).on_conflict_do_nothing())


def _at_rest() -> tuple[Any, ...]:
    worked_on = exists().where(
        operations.c.instance_key == service_instances.c.key,
        operations.c.status == OperationStatus.IN_PROGRESS.value,
        operations.c.binding_key.is_(None),
    )
    return service_instances.c.state == InstanceState.READY.value, ~worked_on


async def _missing(tx: Transaction) -> list[MissingInstance]:
    column = service_instances.c
    rows = await tx.execute(
        select(column.platform, column.instance_id, column.record, column.missing_since)
        .where(column.missing_since.is_not(None))
        .order_by(column.missing_since)
    )
    return [
        MissingInstance(row.platform, row.instance_id, row.record["main"]["id"], row.missing_since)
        for row in rows
    ]


def _written(stray: Stray) -> dict[str, Any]:
    document = {each.name: getattr(stray, each.name) for each in fields(stray)}
    return {
        **document,
        "kind": stray.kind.value,
        "tags": dict(stray.tags),
        "first_seen_at": stored(stray.first_seen_at),
    }


def _stray(document: dict[str, Any]) -> Stray:
    first: datetime = loaded(document["first_seen_at"])
    return Stray(**{**document, "kind": StrayKind(document["kind"]), "first_seen_at": first})
