"""How an instance's operation is getting on (spec, "Polling Last Operation for Service Instances")."""

import time

import pytest

from tests.osb.offerings import HURRIED, HURRY, LARGE, SERVICE, SMALL, STEPWISE
from tests.osb.platform import BETWEEN_LOOKS, an_id, change, order

STATES = {"in progress", "succeeded", "failed"}


@pytest.mark.requirement("LOP-01", "LOP-02", "LOP-05", "LOP-06", "LOP-07")
def test_polling_shows_the_state_of_a_provision_with_and_without_hints(platform, external):
    instance_id = an_id()
    with external.holding(instance_id, "create"):
        operation = platform.provision(instance_id).json()["operation"]

        for hints in [{}, {"operation": operation}, {"service_id": SERVICE, "plan_id": SMALL}]:
            answer = platform.poll(instance_id, **hints)
            assert answer.status_code == 200
            assert answer.json()["state"] == "in progress"
            assert answer.json()["description"]
            assert int(answer.headers["Retry-After"]) > 0
    done = platform.settle(instance_id)

    assert done.json()["state"] == "succeeded"
    assert done.json().get("description", "-") != ""
    assert "Retry-After" not in done.headers


@pytest.mark.requirement("LOP-06")
def test_who_waits_is_told_how_long_it_usually_takes(platform, external):
    instance_id = an_id()
    with external.holding(instance_id, "create"):
        platform.provision(instance_id, order(STEPWISE))

        waiting = platform.poll(instance_id).json()["description"]
    done = platform.settle(instance_id)

    assert waiting.endswith("Usually takes about 10 minutes.")
    assert "Usually" not in done.json().get("description", "")


@pytest.mark.requirement("LOP-03")
def test_polling_an_unknown_instance_is_404(platform):
    assert platform.poll(an_id()).status_code == 404
    assert platform.poll(an_id(), operation=an_id()).status_code == 404


@pytest.mark.requirement("LOP-04", "LOP-13", "LOP-09")
def test_a_finished_operation_stays_finished(platform, external):
    instance_id = an_id()
    operation = platform.provision(instance_id).json()["operation"]
    platform.settle(instance_id)

    states = [platform.poll(instance_id, operation=operation).json()["state"] for _ in range(3)]
    with external.holding(instance_id, "update"):
        platform.update(instance_id, change(parameters={"size": 9}))
        states.append(platform.poll(instance_id, operation=operation).json()["state"])
    platform.settle(instance_id)
    states.append(platform.poll(instance_id, operation=operation).json()["state"])

    assert states == ["succeeded"] * 5


@pytest.mark.requirement("LOP-08")
def test_polling_a_finished_deletion_tells_the_platform_to_stop(platform):
    instance_id = platform.ready()
    operation = platform.deprovision(instance_id).json()["operation"]
    settled = platform.settle(instance_id, operation=operation)

    again = platform.poll(instance_id, operation=operation)
    without = platform.poll(instance_id)

    for answer in (settled, again, without):
        assert answer.status_code == 410 or answer.json()["state"] == "succeeded"
        assert isinstance(answer.json(), dict)


@pytest.mark.requirement("LOP-09")
def test_polling_a_creation_or_an_update_is_never_410(platform, external):
    instance_id, failing = an_id(), an_id()
    external.fail(failing, "create")

    answers = [platform.provision(instance_id) and platform.settle(instance_id)]
    answers.append(
        platform.update(instance_id, change(parameters={"size": 3})) and platform.settle(instance_id)
    )
    answers.append(platform.provision(failing) and platform.settle(failing))

    assert [answer.status_code for answer in answers] == [200] * 3


@pytest.mark.requirement("LOP-10", "LOP-18", "UPD-25", "UPD-12")
@pytest.mark.parametrize("flags", [(True, True), (True, False), (False, False)])
def test_a_failed_update_is_told_with_flags_and_is_not_applied(platform, external, flags):
    instance_id = platform.ready(order(parameters={"size": 1}))
    external.fail(instance_id, "update", "The new size is not available in this region.", flags=flags)

    assert platform.update(instance_id, change(parameters={"size": 2}, plan_id=LARGE)).status_code == 202
    answer = platform.settle(instance_id)

    assert answer.status_code == 200
    assert answer.json()["state"] == "failed"
    assert "not available" in answer.json()["description"]
    assert (answer.json()["instance_usable"], answer.json()["update_repeatable"]) == flags
    fetched = platform.fetch(instance_id).json()
    assert (fetched["plan_id"], fetched["parameters"]) == (SMALL, {"size": 1})
    external.mend(instance_id)
    assert platform.update(instance_id, change(parameters={"size": 2})).status_code == 202
    assert platform.settle(instance_id).json()["state"] == "succeeded"


@pytest.mark.requirement("LOP-11")
def test_polling_an_instance_that_has_nothing_going_on_says_succeeded(platform):
    instance_id = platform.ready()

    assert platform.poll(instance_id).json()["state"] == "succeeded"


@pytest.mark.requirement("LOP-12")
@pytest.mark.parametrize(
    "operation",
    ["", "unknown", "x" * 5000, "\x00", "ä", "' OR 1=1 --", "../..", "00000000-0000-0000-0000-000000000000"],
)
def test_an_operation_that_was_never_given_out_causes_no_failure(platform, operation):
    instance_id = platform.ready()

    answer = platform.poll(instance_id, operation=operation)

    assert answer.status_code in {200, 400, 404}


@pytest.mark.requirement("LOP-12")
def test_an_operation_of_another_instance_says_nothing_about_this_one(platform, external):
    ready, failed = platform.ready(), an_id()
    external.fail(failed, "create")
    operation = platform.provision(failed).json()["operation"]
    platform.settle(failed)

    answer = platform.poll(ready, operation=operation)

    assert answer.status_code in {400, 404} or answer.json()["state"] == "succeeded"


@pytest.mark.requirement("LOP-14")
def test_an_operation_ends_within_the_time_that_its_plan_promises(platform, external):
    instance_id = an_id()
    began = time.monotonic()
    external.hold(instance_id, "create")

    platform.provision(instance_id, order(HURRIED))
    answer = platform.settle(instance_id)

    external.release(instance_id)
    assert answer.json()["state"] == "failed"
    assert time.monotonic() - began < HURRY.total_seconds() + 5, "seconds of grace for a busy machine"


@pytest.mark.requirement("LOP-15")
def test_the_operation_travels_through_the_query_string_unharmed(platform, external):
    from urllib.parse import quote

    instance_id = an_id()
    with external.holding(instance_id, "create"):
        operation = platform.provision(instance_id).json()["operation"]
        path = f"/v2/service_instances/{instance_id}/last_operation?operation="
        plain = platform.raw(f"GET {path}{quote(operation, safe='')} HTTP/1.1")
        encoded = platform.raw(f"GET {path}{''.join(f'%{byte:02x}' for byte in operation.encode())} HTTP/1.1")

        assert plain.json()["state"] == encoded.json()["state"] == "in progress"


@pytest.mark.requirement("LOP-16", "UPD-26")
def test_both_the_old_and_the_new_plan_are_accepted_as_hints_during_a_plan_change(platform, external):
    instance_id = platform.ready()
    with external.holding(instance_id, "update"):
        operation = platform.update(instance_id, change(plan_id=LARGE)).json()["operation"]
        during = [
            platform.poll(instance_id, operation=operation, service_id=SERVICE, plan_id=p)
            for p in (SMALL, LARGE)
        ]
    after = [
        platform.settle(instance_id, operation=operation, service_id=SERVICE, plan_id=p)
        for p in (SMALL, LARGE)
    ]

    assert [answer.json()["state"] for answer in during] == ["in progress"] * 2
    assert [answer.json()["state"] for answer in after] == ["succeeded"] * 2


@pytest.mark.requirement("LOP-17", "ORP-04")
def test_a_failed_provision_is_told_and_can_be_deleted(platform, external):
    instance_id = an_id()
    external.fail(instance_id, "create", "The subscription has no quota left for this size.")

    platform.provision(instance_id)
    failed = platform.settle(instance_id)

    assert failed.status_code == 200
    assert failed.json()["state"] == "failed"
    assert "no quota left" in failed.json()["description"]
    assert platform.deprovision(instance_id).status_code in {200, 202, 410}
    platform.settle(instance_id)
    assert platform.deprovision(instance_id).status_code == 410
    assert external.living(instance_id) == []


def test_every_state_on_the_way_is_one_of_three(platform):
    instance_id = an_id()
    platform.provision(instance_id)

    states = []
    while not states or states[-1] == "in progress":
        states.append(platform.poll(instance_id).json()["state"])
        time.sleep(BETWEEN_LOOKS)

    assert set(states) <= STATES
