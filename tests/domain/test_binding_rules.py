from uuid import uuid4

import pytest

from broker.domain.binding_rules import check_bind, decide_bind, decide_unbind, parameters_of_rotation
from broker.domain.bindings import BindingState, ServiceBinding
from broker.domain.decisions import AlreadyDone, Create, Join, Remove, WaitFor
from broker.domain.instances import InstanceState
from broker.domain.operations import OperationKind
from broker.domain.requests import BindRequest, UnbindRequest
from broker.errors import (
    AlreadyExists,
    ChangeNotSupported,
    ConcurrencyError,
    Gone,
    InstanceUnusable,
    MalformedRequest,
    NotBindable,
    NotFound,
)
from tests.domain.orders import CALLER, NOON, a_plan, an_instance, an_operation

READY = an_instance()


def a_bind(**changes) -> BindRequest:
    values = {"service_offering_id": "offering", "service_plan_id": "small"}
    return BindRequest(CALLER, "i", "b", **(values | changes))


def a_binding(state: BindingState = BindingState.BOUND, **changes) -> ServiceBinding:
    return ServiceBinding(
        key=uuid4(),
        instance_key=READY.key,
        binding_id="b",
        state=state,
        service_plan_id="small",
        created_at=NOON,
        **changes,
    )


UNBIND = UnbindRequest(CALLER, "i", "b", "offering", "small")


def test_a_bind_of_a_ready_instance_is_made_and_of_nothing_not_found():
    assert decide_bind(READY, None, None, None, a_bind()) == Create()
    with pytest.raises(NotFound):
        decide_bind(None, None, None, None, a_bind())


@pytest.mark.parametrize(
    ("state", "kind"),
    [(InstanceState.CREATING, OperationKind.PROVISION), (InstanceState.READY, OperationKind.UPDATE)],
)
def test_a_bind_waits_for_what_makes_or_changes_its_instance(state, kind):
    instance = an_instance(state)
    running = an_operation(kind, instance)

    assert decide_bind(instance, running, None, None, a_bind()) == WaitFor(running)


def test_a_bind_of_an_instance_that_goes_or_failed_is_refused_at_once():
    with pytest.raises(ConcurrencyError):
        decide_bind(an_instance(InstanceState.DELETING), None, None, None, a_bind())
    for state in (InstanceState.CREATE_FAILED, InstanceState.DELETE_FAILED):
        with pytest.raises(InstanceUnusable):
            decide_bind(an_instance(state), None, None, None, a_bind())


@pytest.mark.parametrize(
    ("binding", "request_"),
    [
        (a_binding(), a_bind()),
        (a_binding(parameters={"role": "r"}), a_bind(parameters={"role": "r"})),
        (a_binding(bind_resource={"app_guid": "a"}), a_bind(bind_resource={"app_guid": "a", "space": "s"})),
        (
            a_binding(predecessor_id="a", parameters={"role": "r"}),
            BindRequest(CALLER, "i", "b", predecessor_binding_id="a"),
        ),
    ],
)
def test_the_same_bind_again_finds_the_binding_or_joins_it(binding, request_):
    making = a_binding(
        BindingState.BINDING,
        parameters=binding.parameters,
        bind_resource=binding.bind_resource,
        predecessor_id=binding.predecessor_id,
    )
    running = an_operation(OperationKind.BIND, READY)

    assert decide_bind(READY, None, binding, None, request_) == AlreadyDone()
    assert decide_bind(READY, None, making, running, request_) == Join(running)


@pytest.mark.parametrize(
    "other",
    [
        a_bind(parameters={"role": "r"}),
        a_bind(service_plan_id="large"),
        a_bind(predecessor_binding_id="a"),
        a_bind(bind_resource={"app_guid": "another"}),
    ],
)
def test_another_bind_under_the_same_id_meets_a_conflict(other):
    with pytest.raises(AlreadyExists):
        decide_bind(READY, None, a_binding(), None, other)


@pytest.mark.parametrize("state", [BindingState.BIND_FAILED, BindingState.UNBIND_FAILED])
def test_what_a_failure_left_is_unbound_before_it_is_bound_again(state):
    with pytest.raises(AlreadyExists, match="unbind it first"):
        decide_bind(READY, None, a_binding(state), None, a_bind())


@pytest.mark.parametrize("state", BindingState)
def test_every_state_can_be_unbound(state):
    binding = a_binding(state)
    bind = an_operation(OperationKind.BIND, READY)
    unbind = an_operation(OperationKind.UNBIND, READY)

    assert decide_unbind(binding, None, UNBIND) == Remove(None)
    assert decide_unbind(binding, bind, UNBIND) == Remove(bind)
    assert decide_unbind(binding, unbind, UNBIND) == Join(unbind)
    with pytest.raises(Gone):
        decide_unbind(None, None, UNBIND)


def test_a_plan_without_bindings_and_a_plan_that_is_not_the_instances_are_refused():
    with pytest.raises(NotBindable):
        check_bind(READY, a_plan(bindable=False), a_bind())
    with pytest.raises(MalformedRequest):
        check_bind(READY, a_plan("large"), a_bind(service_plan_id="large"))


def test_a_rotation_takes_over_the_parameters_of_a_usable_predecessor_and_no_others():
    plan, rotation = a_plan(binding_rotatable=True), a_bind(predecessor_binding_id="a")
    predecessor = a_binding(parameters={"role": "r"})

    assert parameters_of_rotation(plan, predecessor, rotation) == {"role": "r"}
    for broken in (None, a_binding(BindingState.BINDING), a_binding(BindingState.UNBINDING)):
        with pytest.raises(MalformedRequest):
            parameters_of_rotation(plan, broken, rotation)
    with pytest.raises(MalformedRequest):
        parameters_of_rotation(plan, predecessor, a_bind(predecessor_binding_id="a", parameters={}))
    with pytest.raises(ChangeNotSupported):
        parameters_of_rotation(a_plan(), predecessor, rotation)
