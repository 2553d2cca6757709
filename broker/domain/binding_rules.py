"""
What is to be done about a request for a service binding.

    state          same PUT           other PUT   DELETE
    (nothing)      Create             Create      410
    binding        Join               409         Remove (ends the bind)
    bound          AlreadyDone        409         Remove
    bind failed    409                409         Remove
    unbinding      422 Concurrency    422         Join
    unbind failed  409                409         Remove

A bind also looks at its instance: while that is created or updated it waits; while that is deleted it is
refused.
"""

from __future__ import annotations

from broker.domain.bindings import BindingState, ServiceBinding
from broker.domain.catalog import ServicePlan
from broker.domain.decisions import AlreadyDone, BindDecision, Create, Join, Remove, UnbindDecision, WaitFor
from broker.domain.instances import InstanceState, ServiceInstance
from broker.domain.json_values import JsonObject, same_json
from broker.domain.operations import Operation, OperationKind
from broker.domain.requests import BindRequest, UnbindRequest
from broker.errors import (
    AlreadyExists,
    ChangeNotSupported,
    ConcurrencyError,
    Gone,
    InstanceMissing,
    InstanceUnusable,
    MalformedRequest,
    NotBindable,
    NotFound,
    shown,
)


def decide_bind(
    instance: ServiceInstance | None,
    instance_operation: Operation | None,
    binding: ServiceBinding | None,
    binding_operation: Operation | None,
    request: BindRequest,
) -> BindDecision:
    """
    Decide what a bind or rotation comes to, before plan and parameters are checked for a new one.

    Raises:
        NotFound: There is no such instance.
        AlreadyExists: The binding id is in use with other parameters, or a failed one holds it.
        ConcurrencyError: Instance or binding are being deleted.
        InstanceUnusable: The instance's creation or deletion has failed.
        InstanceMissing: It was deleted in Azure, past the broker.
    """
    if instance is None:
        raise NotFound(f"There is no service instance {shown(request.instance_id)}.")
    name = f"Service instance {shown(instance.instance_id)}"
    if instance.state is InstanceState.DELETING:
        raise ConcurrencyError(name, str(OperationKind.DEPROVISION))
    if binding is not None:
        return _decide_again(instance, binding, binding_operation, request)
    if instance.state in {InstanceState.CREATE_FAILED, InstanceState.DELETE_FAILED}:
        raise InstanceUnusable(f"{name} gives no bindings: its state is '{instance.state}'. Deprovision it.")
    if instance.missing_since is not None:
        raise InstanceMissing(instance.instance_id, instance.missing_since)
    if instance_operation is not None:
        return WaitFor(instance_operation)
    return Create()


def check_bind(instance: ServiceInstance, plan: ServicePlan, request: BindRequest) -> None:
    """
    Check that *instance*, of *plan*, can be bound as *request* wants it.

    Raises:
        MalformedRequest: Offering or plan are not the instance's.
        NotBindable: The plan gives no credentials.
        InvalidParameters: The parameters do not fit the plan's schema.
    """
    applied = instance.configuration
    if request.service_offering_id not in {None, instance.service_offering_id}:
        raise MalformedRequest("service_id is not the one of the service instance.")
    if applied is not None and request.service_plan_id not in {None, applied.service_plan_id}:
        raise MalformedRequest("plan_id is not the one of the service instance.")
    if not plan.bindable:
        raise NotBindable(
            f"The service plan {shown(plan.name)} gives no bindings: its instances are used without credentials."
        )
    plan.bind_parameters.check(request.parameters or {})


def parameters_of_rotation(
    plan: ServicePlan, predecessor: ServiceBinding | None, request: BindRequest
) -> JsonObject:
    """
    Return the parameters that the successor takes over from its predecessor.

    Raises:
        MalformedRequest: There is no such binding of this instance, or it is not usable itself, or the
            request brings parameters of its own.
        ChangeNotSupported: The plan's bindings cannot be rotated.
    """
    if not plan.binding_rotatable:
        raise ChangeNotSupported(f"Bindings of the service plan {shown(plan.name)} cannot be rotated.")
    if predecessor is None or predecessor.state is not BindingState.BOUND:
        raise MalformedRequest(
            f"predecessor_binding_id {shown(request.predecessor_binding_id)} is no usable binding "
            "of this service instance."
        )
    if request.parameters is not None and not same_json(request.parameters, predecessor.parameters):
        raise MalformedRequest(
            "A rotation takes the predecessor's parameters over; leave out parameters, or make a new binding."
        )
    return predecessor.parameters


def decide_unbind(
    binding: ServiceBinding | None, running: Operation | None, request: UnbindRequest
) -> UnbindDecision:
    """
    Decide what an unbind comes to; no state refuses it.

    Raises:
        Gone: There is no such binding.
    """
    if binding is None:
        raise Gone(f"There is no service binding {shown(request.binding_id)} (any more).")
    if running is not None and running.kind is OperationKind.UNBIND:
        return Join(running)
    return Remove(running)


def _decide_again(
    instance: ServiceInstance, binding: ServiceBinding, running: Operation | None, request: BindRequest
) -> BindDecision:
    name = f"Service binding {shown(binding.binding_id)}"
    if binding.state is BindingState.UNBINDING:
        raise ConcurrencyError(name, str(OperationKind.UNBIND))
    if binding.state in {BindingState.BIND_FAILED, BindingState.UNBIND_FAILED}:
        raise AlreadyExists(f"{name} is left from a failure ('{binding.state}'); unbind it first.")
    if not _is_same(instance, binding, request):
        raise AlreadyExists(f"{name} exists already, with other parameters.")
    if binding.state is BindingState.BOUND:
        return AlreadyDone()
    if running is None:
        raise AlreadyExists(f"{name} was never completed; unbind it first.")
    return Join(running)


def _is_same(instance: ServiceInstance, binding: ServiceBinding, request: BindRequest) -> bool:
    rotation = request.predecessor_binding_id is not None
    given = request.parameters if request.parameters is not None else (binding.parameters if rotation else {})
    return (
        request.service_offering_id in {None, instance.service_offering_id}
        and request.service_plan_id in {None, binding.service_plan_id}
        and binding.predecessor_id == request.predecessor_binding_id
        and same_json(binding.parameters, given)
        and _same_app(binding.bind_resource, request.bind_resource)
    )


def _same_app(one: JsonObject, other: JsonObject) -> bool:
    return one.get("app_guid") == other.get("app_guid")
