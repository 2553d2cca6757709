"""What was deleted: kept, without anything sealed, for as long as the operator wants."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, case, delete, func, select, union_all
from sqlalchemy.dialects import postgresql, sqlite

from broker.domain.bindings import ServiceBinding
from broker.domain.instances import ServiceInstance
from broker.domain.operations import OperationStatus
from broker.store.database import Transaction
from broker.store.tables import history, operation_events, operations, used_generations

INSTANCE = "instance"
BINDING = "binding"
_OPERATIONS, _EVENTS, _DETAIL = 20, 20, 1000
_FAILED = OperationStatus.FAILED.value


@dataclass(frozen=True)
class Departed:
    """
    A service instance, or with `binding_id` a service binding, that is no more.

    `document` holds what it was, without secrets; its `operations` are the last ones, newest first, failed ones with
    their events.
    """

    kind: str
    key: UUID
    platform: str
    instance_id: str
    binding_id: str | None
    generation: int
    reason: str
    created_at: datetime
    removed_at: datetime
    document: dict[str, Any]


async def of_instance(tx: Transaction, instance_id: str, *, platform: str | None = None) -> list[Departed]:
    """Return the past lives of an instance id with those of its bindings, the newest first (None: all platforms)."""
    conditions = [history.c.instance_id == instance_id]
    if platform is not None:
        conditions.append(history.c.platform == platform)
    rows = await tx.execute(select(history).where(*conditions).order_by(history.c.number.desc()))
    return [
        Departed(
            row.kind,
            row.key,
            row.platform,
            row.instance_id,
            row.binding_id,
            row.generation,
            row.reason,
            row.created_at,
            row.removed_at,
            row.document,
        )
        for row in rows
    ]


async def add_instance(tx: Transaction, instance: ServiceInstance, reason: str) -> None:
    """Note the end of an instance."""
    configuration = instance.configuration
    await tx.execute(
        history.insert().values(
            kind=INSTANCE,
            key=instance.key,
            platform=instance.platform,
            instance_id=instance.instance_id,
            binding_id=None,
            generation=instance.generation,
            document={
                "state": instance.state.value,
                "service_offering_id": instance.service_offering_id,
                "service_plan_id": configuration.service_plan_id if configuration else None,
                "alias": instance.alias,
                "parent_key": instance.parent_key.hex if instance.parent_key else None,
                "subscription": instance.subscription,
                "region": instance.region,
                "resource_group": instance.resource_group,
                "record": dict(instance.record),
                "catalog_revision": instance.catalog_revision,
                "operations": await _operations(tx, operations.c.instance_key == instance.key),
            },
            reason=reason,
            created_at=instance.created_at,
            removed_at=tx.now,
        )
    )


async def add_binding(
    tx: Transaction, binding: ServiceBinding, instance: ServiceInstance, reason: str
) -> None:
    """Note the end of a binding."""
    await tx.execute(
        history.insert().values(
            kind=BINDING,
            key=binding.key,
            platform=instance.platform,
            instance_id=instance.instance_id,
            binding_id=binding.binding_id,
            generation=instance.generation,
            document={
                "state": binding.state.value,
                "service_plan_id": binding.service_plan_id,
                "instance_key": instance.key.hex,
                "predecessor_id": binding.predecessor_id,
                "record": dict(binding.record),
                "operations": await _operations(tx, operations.c.binding_key == binding.key),
            },
            reason=reason,
            created_at=binding.created_at,
            removed_at=tx.now,
        )
    )


async def _operations(tx: Transaction, whose: ColumnElement[bool]) -> list[dict[str, Any]]:
    """
    Tell what was done last, newest first, with the reason of each failure and what led to it.

    A platform deletes what has failed to be made: without this the reason would be gone with the operations, which are
    forgotten some time after their own end.
    """
    rows = list(
        await tx.execute(
            select(operations).where(whose).order_by(operations.c.number.desc()).limit(_OPERATIONS)
        )
    )
    events: dict[UUID, list[dict[str, Any]]] = {row.id: [] for row in rows if row.status == _FAILED}
    told = await tx.execute(
        select(operation_events)
        .where(operation_events.c.operation_id.in_(list(events)))
        .order_by(operation_events.c.number)
    )
    for event in told if events else ():
        events[event.operation_id].append(
            {"at": event.at.isoformat(), "what": event.what, "detail": event.detail[:_DETAIL]}
        )
    return [
        {
            "id": str(row.id),
            "kind": row.kind,
            "binding_id": row.binding_id,
            "status": row.status,
            "description": row.description,
            "created_at": row.created_at.isoformat(),
            "finished_at": row.finished_at.isoformat() if row.finished_at else None,
            **({"events": events[row.id][-_EVENTS:]} if row.id in events else {}),
        }
        for row in rows
    ]


async def last_generation(tx: Transaction, platform: str, instance_id: str) -> int | None:
    """Return the last generation that a deleted instance of this id had, however long ago; None: there was none."""
    ours = used_generations.c
    known = union_all(
        select(history.c.generation.label("generation")).where(
            history.c.platform == platform, history.c.instance_id == instance_id, history.c.kind == INSTANCE
        ),
        select(ours.last).where(ours.platform == platform, ours.instance_id == instance_id),
    ).subquery()
    last: int | None = (await tx.execute(select(func.max(known.c.generation)))).scalar_one()
    return last


async def forget(tx: Transaction, *, before: datetime) -> None:
    """
    Delete what was removed before that moment, and go on knowing which generations were used.

    An id that is used again years later must not meet the names of its former life.
    """
    leaving = (
        select(history.c.platform, history.c.instance_id, func.max(history.c.generation))
        .where(history.c.removed_at < before, history.c.kind == INSTANCE)
        .group_by(history.c.platform, history.c.instance_id)
        # Two replicas that prune at once lock the rows in one order.
        .order_by(history.c.platform, history.c.instance_id)
    )
    insert = (postgresql if tx.database.kind == "postgresql" else sqlite).insert(used_generations)
    kept = insert.from_select(["platform", "instance_id", "last"], leaving)
    newer = kept.excluded.last > used_generations.c.last
    await tx.execute(
        kept.on_conflict_do_update(
            index_elements=[used_generations.c.platform, used_generations.c.instance_id],
            set_={"last": case((newer, kept.excluded.last), else_=used_generations.c.last)},
        )
    )
    await tx.execute(delete(history).where(history.c.removed_at < before))
