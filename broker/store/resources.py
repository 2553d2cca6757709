"""What instances and bindings have made in Azure: the rows that deletion goes by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from broker.domain.inventory import ORPHANS
from broker.domain.operations import ExternalResource, OperationStatus
from broker.store.database import Transaction
from broker.store.errors import ClaimLost
from broker.store.tables import external_resources as table
from broker.store.tables import operations, service_instances

# Any number that all releases share.
_WRITING = 2_017_021_701


async def of_instance(tx: Transaction, instance_key: UUID) -> list[ExternalResource]:
    """Return all resources of the instance and of its bindings, gone ones too, in the order of creation."""
    return await _found(tx, table.c.instance_key == instance_key)


async def of_binding(tx: Transaction, binding_key: UUID) -> list[ExternalResource]:
    """Return the resources of one binding, gone ones too."""
    return await _found(tx, table.c.binding_key == binding_key)


async def of_instances(tx: Transaction, instance_keys: Sequence[UUID]) -> list[ExternalResource]:
    """Return the resources of several instances and their bindings."""
    return await _found(tx, table.c.instance_key.in_(instance_keys)) if instance_keys else []


async def note(tx: Transaction, resources: Sequence[ExternalResource]) -> None:
    """
    Write down what is about to be created; again is harmless, and what was gone lives again.

    What was on record as an orphan and is taken up by its service instance is taken out of the orphan's record, so that
    no deletion of the orphan, be it repeated, touches it any more.

    Raises:
        ClaimLost: A step of such a deletion is under way; the caller's own step is repeated when its lease is over.
    """
    if not resources:
        return
    if taken_up := [one for one in resources if one.binding_key is None]:
        await _no_orphans(tx, taken_up)
    rows = {
        (resource.instance_key, resource.resource_id): {
            "instance_key": resource.instance_key,
            "binding_key": resource.binding_key,
            "resource_id": resource.resource_id,
            "api_version": resource.api_version,
            "position": resource.position,
            "made_by_us": resource.made_by_us,
            "created_at": resource.created_at or tx.now,
            "gone_at": resource.gone_at,
        }
        for resource in resources
    }
    insert = (
        (postgresql if tx.database.kind == "postgresql" else sqlite).insert(table).values(list(rows.values()))
    )
    new = insert.excluded
    await tx.execute(
        insert.on_conflict_do_update(
            index_elements=[table.c.instance_key, table.c.resource_id],
            set_={
                "binding_key": new.binding_key,
                "api_version": new.api_version,
                "position": new.position,
                "made_by_us": new.made_by_us,
                "gone_at": new.gone_at,
            },
        )
    )


async def hold_still(tx: Transaction) -> None:
    """
    Let no instance write down resources of its own until the transaction ends.

    For whoever looks what is on record and begins a deletion of what is not. SQLite has one writing transaction at a
    time anyway.
    """
    if tx.database.kind == "postgresql":
        await tx.execute(select(func.pg_advisory_xact_lock(_WRITING)))


async def _no_orphans(tx: Transaction, taken_up: Sequence[ExternalResource]) -> None:
    keys = {one.instance_key for one in taken_up}
    if tx.database.kind == "postgresql":
        await tx.execute(select(func.pg_advisory_xact_lock_shared(_WRITING)))
    taken = func.lower(table.c.resource_id).in_([one.resource_id.lower() for one in taken_up])
    # Locked, so that no deletion of theirs begins with these rows still in it, and none that has begun is claimed.
    found = await tx.execute(
        select(service_instances.c.key)
        .where(
            service_instances.c.platform == ORPHANS,
            service_instances.c.key.not_in(keys),
            service_instances.c.key.in_(select(table.c.instance_key).where(taken)),
        )
        .order_by(service_instances.c.key)
        .with_for_update()
    )
    orphans = list(found.scalars())
    if not orphans:
        return
    deleting = await tx.execute(
        select(operations.c.owner)
        .where(
            operations.c.instance_key.in_(orphans),
            operations.c.status == OperationStatus.IN_PROGRESS.value,
        )
        .with_for_update()
    )
    if any(owner is not None for owner in deleting.scalars()):
        # A DELETE may be on its way to Azure at this moment. What it finds is only known when that step has ended.
        raise ClaimLost
    await tx.execute(delete(table).where(table.c.instance_key.in_(orphans), taken))


async def forget_abandoned(tx: Transaction, resource_ids: Sequence[str]) -> None:
    """Drop the rows of these that belong to no living instance: they are about to be written down as another's."""
    lives = select(service_instances.c.key).where(service_instances.c.key == table.c.instance_key)
    await tx.execute(delete(table).where(table.c.resource_id.in_(resource_ids), ~lives.exists()))


async def gone(tx: Transaction, instance_key: UUID, resource_ids: Sequence[str]) -> None:
    """Note that these were seen to be gone."""
    await tx.execute(
        update(table)
        .where(
            table.c.instance_key == instance_key,
            table.c.resource_id.in_(resource_ids),
            table.c.gone_at.is_(None),
        )
        .values(gone_at=tx.now)
    )


async def all_gone(tx: Transaction, instance_key: UUID, binding_key: UUID | None) -> None:
    """Note that nothing is left of an instance with its bindings, or of one binding."""
    whose = table.c.binding_key == binding_key if binding_key else table.c.instance_key == instance_key
    await tx.execute(update(table).where(whose, table.c.gone_at.is_(None)).values(gone_at=tx.now))


async def _found(tx: Transaction, condition: Any) -> list[ExternalResource]:
    rows = await tx.execute(select(table).where(condition).order_by(table.c.position, table.c.number))
    return [_resource(row) for row in rows]


def _resource(row: Row[Any]) -> ExternalResource:
    return ExternalResource(
        instance_key=row.instance_key,
        resource_id=row.resource_id,
        api_version=row.api_version,
        position=row.position,
        made_by_us=row.made_by_us,
        binding_key=row.binding_key,
        created_at=row.created_at,
        gone_at=row.gone_at,
    )
