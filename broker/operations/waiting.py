"""What an accepted operation has to wait for before its provisioner is asked: other work of the broker's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from broker.domain.bindings import BindingState, ServiceBinding
from broker.domain.instances import InstanceState, ServiceInstance
from broker.domain.operations import Operation, OperationKind, OperationStatus, Stage
from broker.operations import stages
from broker.store import bindings, instances, operations
from broker.store.database import Transaction
from broker.store.operations_queue import Changes, Claim

LOOK_AGAIN = timedelta(seconds=5)
"""A fallback: the end of what is waited for makes the waiting operation due at once."""


async def look(tx: Transaction, claim: Claim) -> Changes:
    """
    Decide whether *claim*, locked with its instance and parent, may start.

    For a deprovision this also stops running binds and orders the unbinding of all that is bound.
    """
    match claim.operation.kind:
        case OperationKind.PROVISION:
            return await _provision(tx, claim)
        case OperationKind.UPDATE:
            running = await operations.running_on_bindings(tx, claim.instance.key)
            if running:
                return stages.waiting(
                    claim, f"Waiting for {_count(len(running), 'binding operation')}", LOOK_AGAIN
                )
            return stages.working(claim)
        case OperationKind.DEPROVISION:
            return await _deprovision(tx, claim)
        case _:
            return stages.working(claim)


async def _provision(tx: Transaction, claim: Claim) -> Changes:
    instance, parent = claim.instance, claim.parent
    if instance.parent_key is not None:
        if parent is None:
            return stages.failed(
                claim,
                f"{stages.subject(claim.operation)}: its parent service instance is gone. Delete it, and order it "
                "again on another parent.",
            )
        name = parent.alias or parent.instance_id
        if parent.state is InstanceState.CREATING:
            begun = f"creating since {parent.created_at:%H:%M:%S} UTC"
            return stages.waiting(claim, f"Waiting for parent '{name}', {begun}", LOOK_AGAIN)
        if parent.state is not InstanceState.READY:
            return stages.failed(
                claim,
                f"The parent '{name}' cannot carry this: its state is '{parent.state.value}'. Delete it, and order "
                "it again on another parent.",
            )
        running = await operations.running_on_instance(tx, parent.key)
        if running is not None and running.kind is OperationKind.DEPROVISION:
            return stages.failed(
                claim,
                f"The parent '{name}' is being deleted. Delete it, and order it again on another parent.",
            )
    if any(resource.gone_at is None and resource.made_by_us for resource in claim.resources):
        return stages.clearing(claim)
    if claim.resources:
        # An earlier attempt was cleaned up. Its names may still be held back by Azure: take others.
        return stages.next_generation(claim, event="started afresh")
    return stages.working(claim)


async def _deprovision(tx: Transaction, claim: Claim) -> Changes:
    if children := await instances.children(tx, claim.instance.key):
        return await _children_first(tx, claim, children)
    return await _bindings_first(tx, claim)


async def _children_first(tx: Transaction, claim: Claim, children: Sequence[ServiceInstance]) -> Changes:
    """Wait for the children, whose deletion was ordered with this one."""
    for child in children:
        last = await operations.last_of_instance(tx, child.platform, child.instance_id)
        if child.state is not InstanceState.DELETING:
            why = f" {last.description}" if last is not None and last.finished else ""
            return stages.failed(
                claim,
                f"Its child '{child.instance_id}' is not being deleted: '{child.state.value}'.{why} Delete the child "
                "first, then this again.",
            )
    return stages.waiting(
        claim, f"Waiting for {_count(len(children), 'child instance')} to be deleted", LOOK_AGAIN
    )


async def _bindings_first(tx: Transaction, claim: Claim) -> Changes:
    running = {op.binding_key: op for op in await operations.running_on_bindings(tx, claim.instance.key)}
    ordered = dict(claim.operation.state.get("unbinds", {}))
    living = await bindings.of_instance(tx, claim.instance.key)
    for binding in living:
        operation = running.get(binding.key)
        if operation is not None:
            if operation.kind in stages.CANCELLABLE and operation.cancel_requested_at is None:
                await operations.save_request(
                    tx, replace(operation, cancel_requested_at=tx.now, due_at=tx.now)
                )
            continue
        former = ordered.get(binding.key.hex)
        ended = await operations.get(tx, UUID(hex=former)) if former else None
        if ended is not None and ended.status is OperationStatus.FAILED:
            return stages.failed(
                claim,
                f"Binding '{binding.binding_id}' could not be removed: {ended.description} Delete the service "
                "instance again to go on.",
            )
        ordered[binding.key.hex] = (await _unbind(tx, claim, binding)).hex
    if not living and not running:
        return stages.working(claim)
    words = f"Waiting for {_count(max(len(living), len(running)), 'service binding')} to be removed"
    changes = stages.waiting(claim, words, LOOK_AGAIN)
    return replace(changes, operation=replace(changes.operation, state={"unbinds": ordered}))


async def _unbind(tx: Transaction, claim: Claim, binding: ServiceBinding) -> UUID:
    deprovision = claim.operation
    unbind = Operation(
        id=uuid4(),
        kind=OperationKind.UNBIND,
        platform=deprovision.platform,
        instance_id=deprovision.instance_id,
        instance_key=deprovision.instance_key,
        created_at=tx.now,
        due_at=tx.now,
        deadline_at=_until(tx, deprovision),
        provisioner=deprovision.provisioner,
        binding_id=binding.binding_id,
        binding_key=binding.key,
        stage=Stage.WORKING,
        inputs=deprovision.inputs,
        subscription=deprovision.subscription,
        request_identity=deprovision.request_identity,
        trace=deprovision.trace,
    )
    await operations.add(tx, unbind)
    await bindings.save(tx, replace(binding, state=BindingState.UNBINDING))
    return unbind.id


def _until(tx: Transaction, deprovision: Operation) -> datetime:
    """Where the record goes in any case, bindings that cannot be removed leave time to delete the rest."""
    left = deprovision.deadline_at - tx.now
    return deprovision.deadline_at if deprovision.abandons is None else tx.now + left / 4


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
