"""What was deleted: kept, without anything sealed, for as long as the operator wants."""

from __future__ import annotations

from broker.domain.bindings import ServiceBinding
from broker.domain.instances import ServiceInstance
from broker.store.database import Transaction
from broker.store.tables import history

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
