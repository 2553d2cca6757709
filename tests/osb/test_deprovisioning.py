"""Giving an instance back (spec, "Deprovisioning")."""

import pytest

from tests.osb.offerings import LARGE, PLAIN, PLAIN_SERVICE, SERVICE
from tests.osb.platform import an_id, change, order, refused


@pytest.mark.requirement("DEP-01", "DEP-02", "DEP-06")
def test_a_deprovisioned_instance_is_gone(platform, external):
    instance_id = platform.ready()

    answer = platform.deprovision(instance_id)
    settled = platform.settle(instance_id)

    assert answer.status_code == 202
    assert answer.json()["operation"]
    assert settled.status_code == 410 or settled.json()["state"] == "succeeded"
    assert external.living(instance_id) == []
    refused(platform.deprovision(instance_id), 410)


@pytest.mark.requirement("DEP-03", "DEP-04", "DEP-11")
def test_a_deprovision_without_its_ids_is_400_and_leaves_the_instance(platform, external):
    instance_id = platform.ready()

    refused(platform.deprovision(instance_id, service_id=...), 400)
    refused(platform.deprovision(instance_id, plan_id=...), 400)
    refused(platform.deprovision(instance_id, service_id=""), 400)

    assert platform.fetch(instance_id).status_code == 200
    assert len(external.living(instance_id)) == 1


@pytest.mark.requirement("DEP-05", "ORP-01")
def test_deprovisioning_what_is_not_there_is_410_with_a_json_body(platform):
    answer = platform.deprovision(an_id())

    refused(answer, 410)
    assert isinstance(answer.json(), dict)


@pytest.mark.requirement("DEP-07")
def test_the_same_deprovision_while_it_runs_is_202_with_the_first_operation(platform, external):
    instance_id = platform.ready()
    with external.holding(instance_id, "delete"):
        answers = [platform.deprovision(instance_id) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [202] * 3
    assert len({answer.json()["operation"] for answer in answers}) == 1
    platform.settle(instance_id)
    refused(platform.deprovision(instance_id), 410)


@pytest.mark.requirement("DEP-08", "DEP-09", "DEP-10")
def test_a_deprovision_during_the_making_is_accepted_and_ends_with_nothing_left(platform, external):
    instance_id = an_id()
    with external.holding(instance_id, "create", "delete"):
        made = platform.provision(instance_id).json()["operation"]
        answer = platform.deprovision(instance_id)
        polled = platform.poll(instance_id)
        external.release(instance_id)
    settled = platform.settle(instance_id)

    assert answer.status_code == 202
    assert answer.json()["operation"] != made
    assert polled.json()["state"] == "in progress"
    assert settled.status_code == 410 or settled.json()["state"] == "succeeded"
    assert external.living(instance_id) == []
    refused(platform.deprovision(instance_id), 410)


@pytest.mark.requirement("DEP-12")
@pytest.mark.parametrize(
    ("service_id", "plan_id"), [(SERVICE, LARGE), (PLAIN_SERVICE, PLAIN), ("unknown", "unknown")]
)
def test_ids_that_are_not_the_instances_never_leave_half_an_instance(platform, external, service_id, plan_id):
    instance_id = platform.ready()

    answer = platform.deprovision(instance_id, plan_id, service_id)

    if answer.status_code == 202:
        platform.settle(instance_id)
        assert external.living(instance_id) == []
    else:
        refused(answer, 400)
        assert platform.fetch(instance_id).status_code == 200
        assert len(external.living(instance_id)) == 1


@pytest.mark.requirement("DEP-13")
def test_a_deprovision_takes_the_bindings_with_it(platform, external):
    instance_id = platform.ready()
    bound = [platform.bound(instance_id) for _ in range(3)]

    answer = platform.deprovision(instance_id)
    platform.settle(instance_id)

    assert answer.status_code == 202
    assert external.living(instance_id) == []
    assert not {body["credentials"]["password"] for _, body in bound} & external.passwords()
    for binding_id, _ in bound:
        refused(platform.unbind(instance_id, binding_id), 410)


@pytest.mark.requirement("DEP-14")
def test_a_deprovision_during_an_update_is_accepted_and_ends_with_nothing_left(platform, external):
    instance_id = platform.ready(order(parameters={"size": 1}))
    with external.holding(instance_id, "update"):
        platform.update(instance_id, change(parameters={"size": 2}))
        answer = platform.deprovision(instance_id)

    assert answer.status_code in {200, 202}
    platform.settle(instance_id)
    assert external.living(instance_id) == []
    refused(platform.deprovision(instance_id), 410)


@pytest.mark.requirement("DEP-15")
def test_after_a_deletion_nothing_can_be_bound_or_updated(platform):
    instance_id = platform.ready()
    operation = platform.deprovision(instance_id).json()["operation"]
    platform.settle(instance_id)

    polled = [platform.poll(instance_id), platform.poll(instance_id, operation=operation)]

    for answer in polled:
        assert answer.status_code in {404, 410} or answer.json()["state"] == "succeeded"
    assert 400 <= platform.bind(instance_id, an_id()).status_code < 500
    assert 400 <= platform.update(instance_id, change(parameters={"size": 2})).status_code < 500


def test_while_an_instance_is_going_nothing_new_starts_on_it(platform, external):
    instance_id = platform.ready()
    with external.holding(instance_id, "delete"):
        platform.deprovision(instance_id)

        refused(platform.bind(instance_id, an_id()), 422, "ConcurrencyError")
        refused(platform.update(instance_id, change(parameters={"size": 2})), 422, "ConcurrencyError")
        refused(platform.provision(instance_id), 422, "ConcurrencyError")
    platform.settle(instance_id)


def test_a_deprovision_that_failed_is_told_and_the_next_one_goes_on(platform, external):
    instance_id = platform.ready()
    external.fail(instance_id, "delete", "A lock holds the resource group; ask its owner to remove it.")

    platform.deprovision(instance_id)
    failed = platform.settle(instance_id).json()
    external.mend(instance_id)
    again = platform.deprovision(instance_id)
    platform.settle(instance_id)

    assert failed["state"] == "failed"
    assert "lock holds" in failed["description"]
    assert again.status_code == 202
    assert external.living(instance_id) == []
    refused(platform.deprovision(instance_id), 410)
