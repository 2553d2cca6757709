"""How a deletion begins, whoever orders it: what runs is ended, the record is marked, an operation takes over."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from broker.domain import descriptions
from broker.domain.bindings import BindingState, ServiceBinding
from broker.domain.instances import InstanceState, ServiceInstance
from broker.domain.operations import ABANDON, Operation, OperationKind, Stage
from broker.errors import shown
from broker.store import bindings, instances, operations
from broker.store.database import Transaction


async def begin_deprovision(
    tx: Transaction,
    instance: ServiceInstance,
    running: Operation | None,
    *,
    deadline_at: datetime,
    request_identity: str | None = None,
    trace: str | None = None,
    abandon: str | None = None,
) -> Operation:
    """
    Order the deletion of an instance that is locked; *running* is the operation in progress on it.

    Its bindings are removed first, and so are its children, if their deletion was ordered before. *abandon* says who
    wants the record to go even if the deletion fails, and why.
    """
    due_at = tx.now
    if running is not None:
        due_at = await end(
            tx,
            running,
            f"It was ended since the service instance {shown(instance.instance_id)} was asked to be deleted. "
            "Order it again if it is still wanted.",
        )
    await instances.save(tx, replace(instance, state=InstanceState.DELETING))
    made = instance.configuration
    operation = Operation(
        id=uuid4(),
        kind=OperationKind.DEPROVISION,
        platform=instance.platform,
        instance_id=instance.instance_id,
        instance_key=instance.key,
        created_at=tx.now,
        due_at=due_at,
        deadline_at=deadline_at,
        provisioner=instance.provisioner,
        stage=Stage.WAITING,
        inputs=_inputs(made.service_plan_id if made else None, abandon),
        subscription=instance.subscription,
        request_identity=request_identity,
        trace=trace,
    )
    await operations.add(tx, operation)
    return operation


async def begin_unbind(
    tx: Transaction,
    instance: ServiceInstance,
    binding: ServiceBinding,
    running: Operation | None,
    *,
    deadline_at: datetime,
    request_identity: str | None = None,
    trace: str | None = None,
    abandon: str | None = None,
) -> Operation:
    """Order the deletion of a binding that is locked, with its instance; the rest as `begin_deprovision`."""
    due_at = tx.now
    if running is not None:
        due_at = await end(
            tx,
            running,
            f"It was ended since the service binding {shown(binding.binding_id)} was asked to be deleted. "
            "Bind again if it is still wanted.",
        )
    await bindings.save(tx, replace(binding, state=BindingState.UNBINDING))
    operation = Operation(
        id=uuid4(),
        kind=OperationKind.UNBIND,
        platform=instance.platform,
        instance_id=instance.instance_id,
        instance_key=instance.key,
        created_at=tx.now,
        due_at=due_at,
        deadline_at=deadline_at,
        provisioner=instance.provisioner,
        binding_id=binding.binding_id,
        binding_key=binding.key,
        stage=Stage.WORKING,
        inputs=_inputs(binding.service_plan_id, abandon),
        subscription=instance.subscription,
        request_identity=request_identity,
        trace=trace,
    )
    await operations.add(tx, operation)
    return operation


async def end(tx: Transaction, running: Operation, description: str) -> datetime:
    """End *running* for a deletion, and return when that may start: not before a step in flight has ended."""
    old = await operations.supersede(tx, running, descriptions.failure(description, running.id))
    return max(tx.now, old.due_at) if old.owner else tx.now


def _inputs(service_plan_id: str | None, abandon: str | None) -> dict[str, Any]:
    # Deletions get no recipe: they go by what was recorded, and nothing else.
    return {"plan_id": service_plan_id} | ({ABANDON: abandon} if abandon is not None else {})
