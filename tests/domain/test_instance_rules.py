from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.catalog import Catalog
from broker.domain.decisions import AlreadyDone, Change, CreateAfresh, CreateAgain, Join, Remove
from broker.domain.instance_rules import decide_deprovision, decide_provision, decide_update
from broker.domain.instances import Configuration, Context, InstanceState
from broker.domain.operations import OperationKind, OperationStatus, Stage
from broker.errors import (
    AlreadyExists,
    BrokerError,
    ChangeNotSupported,
    ConcurrencyError,
    Gone,
    InvalidParameters,
    MaintenanceInfoConflict,
    MalformedRequest,
    NotFound,
    UnknownServicePlan,
)
from tests.domain.orders import (
    CATALOG,
    World,
    a_deletion,
    an_instance,
    an_operation,
    an_order,
    an_update,
)

ORDERS = [an_order(), an_order(parameters={"storageGB": 64}), an_order(service_plan_id="large")]
UPDATES = [
    an_update(),
    an_update(parameters={"storageGB": 64}),
    an_update(parameters={"storageGB": 32}),
    an_update(service_plan_id="large"),
    an_update(context=Context(whole={"platform": "cloudfoundry"})),
]
REQUESTS = [*ORDERS, *UPDATES, a_deletion(), a_deletion(service_plan_id="large")]


@given(st.lists(st.sampled_from([*REQUESTS, True, False]), max_size=30))
def test_no_order_of_requests_leaves_two_operations_open_on_one_instance(history):
    world = World()

    for event in history:
        if isinstance(event, bool):
            world.work(well=event)
            continue
        refusal = world.refusal_of(event)
        if refusal is not None:
            assert refusal.status < 500, "a legal request is answered, not crashed upon"
            assert event != a_deletion() or world.instance is None, "a deletion is refused by nothing"

        assert sum(not each.finished for each in world.operations) <= 1


@given(st.lists(st.sampled_from([*REQUESTS, True, False]), max_size=30))
def test_after_any_history_one_deletion_that_succeeds_leaves_nothing(history):
    world = World()
    for event in history:
        try:
            world.work(well=event) if isinstance(event, bool) else world.ask(event)
        except BrokerError:
            continue

    if world.instance is not None:
        world.ask(a_deletion())
    world.work(well=True)

    assert world.instance is None
    assert world.running is None


@given(st.lists(st.sampled_from([*REQUESTS, True, False]), max_size=20), st.sampled_from(REQUESTS))
def test_the_same_request_at_once_again_starts_nothing_more(history, request):
    world = World()
    for event in history:
        try:
            world.work(well=event) if isinstance(event, bool) else world.ask(event)
        except BrokerError:
            continue
    try:
        world.ask(request)
    except BrokerError:
        return
    started = len(world.operations)

    again = world.ask(request)

    assert len(world.operations) == started
    assert isinstance(again, Join | AlreadyDone)


@pytest.mark.parametrize("state", InstanceState)
def test_every_state_can_be_deleted(state):
    instance = an_instance(state)

    assert decide_deprovision(instance, None, a_deletion(), CATALOG) == Remove(None)


def test_a_deletion_joins_the_one_that_runs_and_ends_whatever_else_runs():
    creating, deleting = an_instance(InstanceState.CREATING), an_instance(InstanceState.DELETING)
    provision = an_operation(OperationKind.PROVISION, creating)
    deprovision = an_operation(OperationKind.DEPROVISION, deleting)

    assert decide_deprovision(creating, provision, a_deletion(), CATALOG) == Remove(provision)
    assert decide_deprovision(deleting, deprovision, a_deletion(), CATALOG) == Join(deprovision)


def test_a_deletion_of_nothing_is_gone_and_of_another_offering_malformed():
    with pytest.raises(Gone):
        decide_deprovision(None, None, a_deletion(), CATALOG)
    with pytest.raises(MalformedRequest):
        decide_deprovision(an_instance(), None, a_deletion(service_offering_id="other"), CATALOG)
    with pytest.raises(MalformedRequest):
        decide_deprovision(an_instance(), None, a_deletion(service_plan_id="none"), CATALOG)


def test_an_instance_of_a_withdrawn_plan_can_be_deleted():
    made = Configuration("withdrawn", {})

    decision = decide_deprovision(
        an_instance(applied=made), None, a_deletion(service_plan_id="withdrawn"), CATALOG
    )

    assert decision == Remove(None)


def test_a_failed_creation_is_tried_again_with_the_same_order_only():
    failed = an_instance(InstanceState.CREATE_FAILED)
    creating = an_instance(InstanceState.CREATING)
    undoing = an_operation(OperationKind.PROVISION, creating, stage=Stage.UNDOING)

    assert decide_provision(failed, None, an_order()) == CreateAfresh()
    assert decide_provision(creating, undoing, an_order()) == CreateAgain(undoing)
    for instance, running in ((failed, None), (creating, undoing)):
        with pytest.raises(AlreadyExists):
            decide_provision(instance, running, an_order(parameters={"storageGB": 64}))


@pytest.mark.parametrize(
    "other",
    [
        an_order(service_plan_id="large"),
        an_order(parameters={}),
        an_order(parameters={"storageGB": True}),
        an_order(context=Context(space="another")),
    ],
)
def test_an_order_with_other_attributes_meets_a_conflict(other):
    instance = an_instance(context=Context(space="one"))

    with pytest.raises(AlreadyExists):
        decide_provision(instance, None, other)


def test_a_place_that_one_side_leaves_out_is_no_difference():
    instance = an_instance(context=Context(space="one"))

    assert decide_provision(instance, None, an_order(context=Context(namespace="n"))) == AlreadyDone()


def test_nothing_is_ordered_under_an_id_that_is_being_deleted():
    with pytest.raises(ConcurrencyError):
        decide_provision(an_instance(InstanceState.DELETING), None, an_order())


@pytest.mark.parametrize("state", [state for state in InstanceState if state is not InstanceState.READY])
def test_only_a_ready_instance_can_be_updated(state):
    with pytest.raises((ConcurrencyError, ChangeNotSupported)):
        decide_update(an_instance(state), None, an_update(parameters={"storageGB": 64}), CATALOG)


def test_an_update_lays_what_is_given_over_what_is_applied():
    applied = Configuration("small", {"storageGB": 32, "tier": "Hot"}, {"password": "kept"}, "1.0.0")
    request = an_update(parameters={"storageGB": 64, "tier": None})

    decision = decide_update(an_instance(applied=applied), None, request, CATALOG)

    assert decision == Change(Configuration("small", {"storageGB": 64}, {"password": "kept"}, "1.0.0"))


@pytest.mark.parametrize(
    "request_", [an_update(parameters={"storageGB": 32}), an_update(service_plan_id="small")]
)
def test_after_a_failed_update_going_back_to_what_is_applied_is_work(request_):
    applied = Configuration("small", {"storageGB": 32})
    instance = an_instance(applied=applied)
    failed = an_operation(OperationKind.UPDATE, instance, status=OperationStatus.FAILED)
    succeeded = replace(failed, status=OperationStatus.SUCCEEDED)

    assert decide_update(instance, None, request_, CATALOG, last=failed) == Change(applied)
    assert decide_update(instance, None, request_, CATALOG, last=succeeded) == AlreadyDone()
    assert decide_update(instance, None, an_update(), CATALOG, last=failed) == AlreadyDone()


def test_an_update_may_repeat_what_can_never_change_as_long_as_it_is_the_same():
    applied = Configuration("small", {"storageGB": 32, "location": "westeurope"})
    instance = an_instance(applied=applied)

    decision = decide_update(
        instance, None, an_update(parameters={"storageGB": 64, "location": "westeurope"}), CATALOG
    )
    with pytest.raises(InvalidParameters, match="'location' cannot be changed"):
        decide_update(instance, None, an_update(parameters={"location": "northeurope"}), CATALOG)

    assert isinstance(decision, Change)


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        (an_update(parameters={"storageGB": 31}), InvalidParameters),
        (an_update(parameters={"storageGB": None}), InvalidParameters),
        (an_update(parameters={"unknown": 1}), InvalidParameters),
        (an_update(service_plan_id="none"), UnknownServicePlan),
        (an_update(maintenance_version="2.0.0"), MaintenanceInfoConflict),
    ],
)
def test_an_update_that_cannot_be_is_refused(request_, refusal):
    with pytest.raises(refusal):
        decide_update(an_instance(), None, request_, CATALOG)


def test_what_only_grows_is_never_shrunk():
    applied = Configuration("small", {"storageGB": 64})

    with pytest.raises(ChangeNotSupported, match="at least 64"):
        decide_update(an_instance(applied=applied), None, an_update(parameters={"storageGB": 32}), CATALOG)


def test_a_plan_that_cannot_be_left_is_not_left():
    fixed = Configuration("fixed", {"storageGB": 32})

    with pytest.raises(ChangeNotSupported):
        decide_update(an_instance(applied=fixed), None, an_update(service_plan_id="small"), CATALOG)


@pytest.mark.parametrize(
    ("plan", "said"), [("large", "can move to 'small'"), ("fixed", "can move to 'small'")]
)
def test_a_plan_becomes_only_those_that_it_names(plan, said):
    stepwise = replace(CATALOG.offerings[0].plans[0], id="stepwise", name="stepwise", updates_to=("small",))
    offering = replace(CATALOG.offerings[0], plans=(*CATALOG.offerings[0].plans, stepwise))
    instance = an_instance(applied=Configuration("stepwise", {"storageGB": 32}))

    with pytest.raises(ChangeNotSupported, match=said):
        decide_update(instance, None, an_update(service_plan_id=plan), Catalog((offering,)))
    allowed = decide_update(instance, None, an_update(service_plan_id="small"), Catalog((offering,)))

    assert allowed.asked.service_plan_id == "small"


def test_a_newer_version_of_the_plan_is_installed_when_asked_for():
    old = Configuration("small", {"storageGB": 32}, maintenance_version="0.9.0")
    instance = an_instance(applied=old)

    assert decide_update(instance, None, an_update(), CATALOG) == AlreadyDone()
    decision = decide_update(instance, None, an_update(maintenance_version="1.0.0"), CATALOG)

    assert isinstance(decision, Change)
    assert decision.asked.maintenance_version == "1.0.0"


def test_an_update_of_nothing_is_not_found():
    with pytest.raises(NotFound):
        decide_update(None, None, an_update(), CATALOG)


def test_a_place_that_a_new_context_leaves_out_stays_and_so_does_the_scope():
    place = {"clusterid": "c", "namespace": "n"}
    context = Context("kubernetes", "c", "n", None, None, "old", {**place, "instance_name": "old"})

    newer = context.updated(Context(instance_name="new", whole={"instance_name": "new"}))
    moved = context.updated(Context(namespace="other", whole={"namespace": "other"}))

    assert (newer.platform_kind, newer.namespace, newer.instance_name) == ("kubernetes", "n", "new")
    assert newer.whole == {**place, "instance_name": "new"}
    assert newer.scope == context.scope
    assert moved.whole == {"clusterid": "c", "namespace": "other"}
