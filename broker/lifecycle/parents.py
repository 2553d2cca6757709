"""Finding the parent instance that a child names."""

from __future__ import annotations

from broker.domain.catalog import ServicePlan
from broker.domain.instances import InstanceState, ServiceInstance
from broker.domain.operations import OperationKind
from broker.domain.requests import ProvisionRequest
from broker.errors import ConcurrencyError, ParentUnknown, shown
from broker.store import instances
from broker.store.database import Transaction


async def lock(tx: Transaction, request: ProvisionRequest, plan: ServicePlan) -> ServiceInstance:
    """
    Find the parent by alias or else by instance id, within the platform and the child's scope, and lock it.

    The lock holds off a deprovision until the child is written down: a parent never goes from under a child.
    A parent that is still being created is good enough; the child's operation waits for it.

    Raises:
        ParentUnknown: There is no such instance of the right offering in the scope, or it has failed.
        ConcurrencyError: It is being deleted.
    """
    named = request.parameters.get("parentAlias")
    if not isinstance(named, str) or not named:
        raise ParentUnknown("parentAlias is missing: it names the parent by its alias or its instance id.")
    platform, scope = request.caller.platform, request.context.scope
    found = await instances.by_alias(tx, platform, scope, named)
    if found is None:
        by_id = await instances.get(tx, platform, named)
        # Without a context the scope is the whole platform.
        found = by_id if by_id is not None and (not scope or by_id.scope == scope) else None
    parent = await instances.locked_by_key(tx, found.key) if found is not None else None
    if parent is None or parent.service_offering_id not in plan.parents:
        offerings = " or ".join(map(shown, plan.parents))
        raise ParentUnknown(
            f"parentAlias {shown(named)} names no service instance of the service offering {offerings} "
            "in the same namespace or space. Order that first, or name another."
        )
    if parent.state is InstanceState.DELETING:
        raise ConcurrencyError(f"The parent {shown(named)}", str(OperationKind.DEPROVISION))
    if parent.state in {InstanceState.CREATE_FAILED, InstanceState.DELETE_FAILED}:
        raise ParentUnknown(
            f"The parent {shown(named)} cannot have children: its state is '{parent.state}'. Name another."
        )
    return parent
