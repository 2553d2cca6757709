"""What was deleted: kept, without anything sealed, for as long as the operator wants."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import case, delete, func, select, union_all
from sqlalchemy.dialects import postgresql, sqlite

from broker.domain.bindings import ServiceBinding
from broker.domain.instances import ServiceInstance
from broker.store.database import Transaction
from broker.store.tables import history, used_generations

INSTANCE = "instance"
BINDING = "binding"


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
            },
            reason=reason,
            created_at=binding.created_at,
            removed_at=tx.now,
        )
    )


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
