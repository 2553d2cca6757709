"""
What is to be done about a request for a service instance.

    state          same PUT       other PUT  PATCH             DELETE
    (nothing)      Create         Create     404               410
    creating       Join           409        422 Concurrency   Remove (ends the provision)
    - clean-up     CreateAgain    409        422 Concurrency   Remove (ends the provision)
    create failed  CreateAfresh   409        422               Remove
    ready          AlreadyDone    409        Change, Join, AlreadyDone or 422   Remove (ends an update)
    deleting       422 Concurrency           422 Concurrency   Join
    delete failed  409            409        422               Remove

The table is total: a DELETE is legal in every state (a parent with children says so, in the lifecycle).
"""

from __future__ import annotations

from broker.domain.adoption import adopted_as
from broker.domain.catalog import Catalog, ServicePlan
from broker.domain.decisions import (
    AlreadyDone,
    Change,
    Create,
    CreateAfresh,
    CreateAgain,
    DeprovisionDecision,
    Join,
    ProvisionDecision,
    Remove,
    UpdateDecision,
)
from broker.domain.instances import Configuration, InstanceState, ServiceInstance
from broker.domain.json_values import same_json
from broker.domain.operations import Operation, OperationKind, OperationStatus, Stage
from broker.domain.parameters import changed, check_growth, check_update, merged
from broker.domain.requests import DeprovisionRequest, ProvisionRequest, UpdateRequest
from broker.errors import (
    AlreadyExists,
    ChangeNotSupported,
    ConcurrencyError,
    Gone,
    InstanceMissing,
    MaintenanceInfoConflict,
    MalformedRequest,
    NotFound,
    shown,
)


def decide_provision(
    instance: ServiceInstance | None, running: Operation | None, request: ProvisionRequest
) -> ProvisionDecision:
    """
    Decide what a provision comes to, before the catalog was asked whether it could be made.

    Identical means the same offering, plan, parameters (and so parent) and place; the version of the
    maintenance info is not compared.

    Raises:
        AlreadyExists: The id is in use with other attributes.
        ConcurrencyError: The instance of this id is being deleted.
    """
    if instance is None:
        return Create()
    name = _named(instance)
    if instance.state is InstanceState.DELETING:
        raise ConcurrencyError(name, str(OperationKind.DEPROVISION))
    if instance.state is InstanceState.DELETE_FAILED:
        raise AlreadyExists(f"{name} could not be deleted completely; deprovision it again first.")
    if not _is_same(instance, request):
        raise AlreadyExists(f"{name} exists already, with other attributes.")
    if instance.state is InstanceState.READY:
        return AlreadyDone()
    if instance.state is InstanceState.CREATING and running is not None:
        # Stage CLEARING is a fresh try already; only UNDOING ends in failure unless it is asked to go on.
        if running.stage is Stage.UNDOING and not running.again:
            return CreateAgain(running)
        return Join(running)
    return CreateAfresh()


def check_order(plan: ServicePlan, request: ProvisionRequest) -> None:
    """
    Check that *plan* can be made as *request* wants it.

    Raises:
        MaintenanceInfoConflict: The platform has another version of the plan in mind.
        InvalidParameters: The parameters do not fit the plan's schema.
    """
    _check_maintenance(plan, request.maintenance_version)
    plan.create_parameters.check(request.parameters)


def decide_update(
    instance: ServiceInstance | None,
    running: Operation | None,
    request: UpdateRequest,
    catalog: Catalog,
    *,
    last: Operation | None = None,
) -> UpdateDecision:
    """
    Decide what an update comes to. `previous_values` never count: what is applied is known better here.

    *last* is the latest operation on the instance. An update that failed may have changed a part in Azure:
    asking for what is applied is then no idle request, it takes that part back.

    Raises:
        NotFound: There is no such instance.
        ConcurrencyError: Another operation holds the instance.
        ChangeNotSupported: Plan or parameter cannot be changed (so), or the instance's state forbids it.
        InstanceMissing: It was deleted in Azure, past the broker.
        MalformedRequest, UnknownServicePlan, InvalidParameters: What is asked for does not exist or fit.
        MaintenanceInfoConflict: The platform has another version of the plan in mind.
    """
    if instance is None:
        raise NotFound(f"There is no service instance {shown(request.instance_id)}.")
    name = _named(instance)
    if request.service_offering_id != instance.service_offering_id:
        raise MalformedRequest(
            f"service_id must be the one of {name}; an update cannot move it to another service offering."
        )
    if instance.state in {InstanceState.CREATING, InstanceState.DELETING}:
        kind = (
            OperationKind.PROVISION if instance.state is InstanceState.CREATING else OperationKind.DEPROVISION
        )
        raise ConcurrencyError(name, str(kind))
    applied = instance.applied
    if instance.state is not InstanceState.READY or applied is None:
        raise ChangeNotSupported(
            f"{name} cannot be updated: its state is '{instance.state}'. Deprovision it."
        )
    asked = _asked(instance, applied, request, catalog)
    if running is None:
        idle = asked is applied and not (_changed_something(last) and _names_something(request))
        if not idle and instance.missing_since is not None:
            # It would be made again, empty, and look like what was lost.
            raise InstanceMissing(instance.instance_id, instance.missing_since)
        return AlreadyDone() if idle else Change(asked)
    if running.kind is OperationKind.UPDATE:
        wanted = instance.asked
        if wanted is not None and _same_configuration(wanted, asked, request.maintenance_version):
            return Join(running)
        if asked is applied and request.context is not None and _only_context(request):
            return AlreadyDone()
    raise ConcurrencyError(name, str(running.kind))


def decide_deprovision(
    instance: ServiceInstance | None, running: Operation | None, request: DeprovisionRequest, catalog: Catalog
) -> DeprovisionDecision:
    """
    Decide what a deprovision comes to; no state refuses it.

    The plan may be any of the offering, since a platform that lost the answer to a plan change still names
    the old one. A plan withdrawn from the catalog is known from the instance itself; once the whole offering
    is, nobody knows which plans it had, and any is good enough.

    Raises:
        Gone: There is no such instance.
        MalformedRequest: Offering or plan are not this instance's.
    """
    if instance is None:
        raise Gone(f"There is no service instance {shown(request.instance_id)} (any more).")
    check_belongs(instance, request.service_offering_id, request.service_plan_id, catalog)
    if running is not None and running.kind is OperationKind.DEPROVISION:
        return Join(running)
    return Remove(running)


def check_belongs(
    instance: ServiceInstance, service_offering_id: str, service_plan_id: str, catalog: Catalog
) -> None:
    """
    Check the offering and plan that a deletion names.

    Raises:
        MalformedRequest: They are not the instance's.
    """
    if service_offering_id != instance.service_offering_id:
        raise MalformedRequest(f"service_id is not the one of {_named(instance)}; nothing was deleted.")
    own_plans = {each.service_plan_id for each in (instance.applied, instance.asked) if each is not None}
    if service_plan_id in own_plans or catalog.has_plan(service_offering_id, service_plan_id):
        return
    if catalog.offering(service_offering_id) is not None:
        raise MalformedRequest(
            f"plan_id is not the one of {_named(instance)}; nothing was deleted. It has the service plan "
            f"{' or '.join(sorted(shown(plan) for plan in own_plans))}."
        )


def _is_same(instance: ServiceInstance, request: ProvisionRequest) -> bool:
    made = instance.configuration
    return (
        made is not None
        and instance.service_offering_id == request.service_offering_id
        and made.service_plan_id == request.service_plan_id
        and same_json(made.parameters, request.parameters)
        and instance.context.same_place(request.context)
    )


def _asked(
    instance: ServiceInstance, applied: Configuration, request: UpdateRequest, catalog: Catalog
) -> Configuration:
    """What the instance shall become; the very `applied` object when that is what it is."""
    plan_id = request.service_plan_id or applied.service_plan_id
    other_plan = plan_id != applied.service_plan_id
    change = changed(applied.parameters, request.parameters)
    if not other_plan and not change and request.maintenance_version is None:
        return applied
    find = catalog.orderable if other_plan else catalog.plan
    offering, plan = find(instance.service_offering_id, plan_id)
    _check_maintenance(plan, request.maintenance_version)
    if other_plan and adopted_as(instance.record) is not None:
        raise ChangeNotSupported(
            f"{_named(instance)} was adopted and cannot move to another service plan. Delete it, which leaves what was "
            "adopted, and adopt that under the other plan."
        )
    if other_plan:
        current = next((each for each in offering.plans if each.id == applied.service_plan_id), None)
        if not (current.plan_updateable if current else offering.plan_updateable):
            raise ChangeNotSupported(
                f"{_named(instance)} cannot move to another service plan: "
                f"the service offering {shown(offering.name)} does not support that."
            )
        if current is not None and current.updates_to is not None and plan_id not in current.updates_to:
            # The offering has all plans; those that this tenant may not know are not in the catalog.
            able = [
                each.name
                for each in offering.plans
                if each.id in current.updates_to
                and not each.withdrawn
                and catalog.has_plan(offering.id, each.id)
            ]
            raise ChangeNotSupported(
                f"{_named(instance)} cannot move from the service plan {shown(current.name)} to {shown(plan.name)}; "
                f"it can move to {' or '.join(shown(name) for name in sorted(able)) or 'no other'}."
            )
    newer = (
        request.maintenance_version is not None and request.maintenance_version != applied.maintenance_version
    )
    if not other_plan and not change and not newer:
        return applied
    if change:
        check_update(applied.parameters, change, create=plan.create_parameters, update=plan.update_parameters)
    parameters = merged(applied.parameters, request.parameters)
    if change or other_plan:
        plan.kept_parameters.check(parameters)
        check_growth(applied.parameters, parameters, plan.grows_only)
    return Configuration(
        service_plan_id=plan_id,
        parameters=parameters,
        secrets=applied.secrets,
        maintenance_version=plan.maintenance_version,
    )


def _check_maintenance(plan: ServicePlan, sent: str | None) -> None:
    if sent is not None and sent != plan.maintenance_version:
        raise MaintenanceInfoConflict(sent, plan.maintenance_version)


def _same_configuration(one: Configuration, other: Configuration, version: str | None) -> bool:
    return (
        one.service_plan_id == other.service_plan_id
        and same_json(one.parameters, other.parameters)
        and (version is None or one.maintenance_version == version)
    )


def _changed_something(last: Operation | None) -> bool:
    """Whether the latest operation may have left the instance between two configurations."""
    return last is not None and last.kind is OperationKind.UPDATE and last.status is OperationStatus.FAILED


def _names_something(request: UpdateRequest) -> bool:
    return request.service_plan_id is not None or request.parameters is not None


def _only_context(request: UpdateRequest) -> bool:
    return (
        request.service_plan_id is None and request.parameters is None and request.maintenance_version is None
    )


def _named(instance: ServiceInstance) -> str:
    return f"Service instance {shown(instance.instance_id)}"
