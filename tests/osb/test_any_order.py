"""No order of requests leaves a login of a deleted instance, or anything else outside the broker's books."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.osb.platform import an_id, ask, at_once, change, order, refused

SLOTS = st.integers(0, 2)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["bind", "bind slowly", "unbind", "fail the bind", "fail the unbind"]), SLOTS),
    st.tuples(st.sampled_from(["update", "fail the update", "deprovision", "provision"]), st.just(0)),
)


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batches=st.lists(st.lists(STEPS, min_size=1, max_size=3), min_size=1, max_size=6))
def test_no_order_of_requests_leaves_a_login_of_a_deleted_instance(platform, impatient, external, batches):
    instance_id = platform.ready(order(parameters={"size": 1}))
    bindings = [an_id() for _ in range(3)]
    handed_out: set[str] = set()

    def step(what: str, slot: int, number: int):
        binding_id = bindings[slot]
        if what.startswith("fail the"):
            external.fail(instance_id if what.endswith("update") else binding_id, what.rpartition(" ")[2])
            return None
        if what == "bind slowly":
            return impatient.bind(instance_id, binding_id, asynchronous=True)
        if what == "bind":
            return platform.bind(instance_id, binding_id, ask())
        if what == "unbind":
            return impatient.unbind(instance_id, binding_id, asynchronous=True)
        if what == "update":
            return platform.update(instance_id, change(parameters={"size": 2 + number % 90}))
        if what == "provision":
            return platform.provision(instance_id, order(parameters={"size": 1}))
        return platform.deprovision(instance_id)

    for number, batch in enumerate(batches):
        answers = at_once(len(batch), lambda i: step(*batch[i], number))  # noqa: B023
        for answer in filter(None, answers):
            assert answer.status_code < 500 or "quota" in answer.text, (
                "a legal request is answered, not crashed upon"
            )
            if answer.status_code < 300 and "credentials" in answer.json():
                handed_out.add(answer.json()["credentials"]["password"])
    for id_ in (instance_id, *bindings):
        external.mend(id_)
    deleted = platform.deprovision(instance_id)
    while deleted.status_code == 202:
        platform.settle(instance_id)
        deleted = platform.deprovision(instance_id)

    refused(deleted, 410)
    assert external.living(instance_id) == []
    assert not handed_out & external.passwords()
    assert [login for binding_id in bindings for login in external.logins_of(binding_id)] == []
    for binding_id in bindings:
        refused(platform.unbind(instance_id, binding_id), 410)
