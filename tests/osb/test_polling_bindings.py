"""How a binding's operation is getting on (spec, "Polling Last Operation for Service Bindings")."""

import pytest

from tests.osb.offerings import SERVICE, SMALL
from tests.osb.platform import an_id


@pytest.fixture
def slow_bind(platform, impatient, external):
    """An instance and a binding whose bind is in progress; released at the end."""
    instance_id, binding_id = platform.ready(), an_id()
    external.hold(binding_id, "bind")
    answer = impatient.bind(instance_id, binding_id, asynchronous=True)
    assert answer.status_code == 202, answer.text
    yield instance_id, binding_id, answer.json()["operation"]
    external.release(binding_id)
    platform.settle(instance_id, binding_id)


@pytest.mark.requirement("LOB-01", "LOB-02", "LOB-06")
def test_polling_shows_the_state_of_a_bind_with_and_without_hints(platform, slow_bind):
    instance_id, binding_id, operation = slow_bind

    for hints in [
        {},
        {"operation": operation},
        {"operation": operation, "service_id": SERVICE, "plan_id": SMALL},
    ]:
        answer = platform.poll(instance_id, binding_id, **hints)
        assert answer.status_code == 200
        assert answer.json()["state"] == "in progress"
        assert answer.json().get("description", "-") != ""


@pytest.mark.requirement("LOB-05", "LOB-08", "GBN-07", "BND-19")
def test_a_bind_whose_poll_said_succeeded_can_be_fetched_at_once(platform, external, slow_bind):
    instance_id, binding_id, operation = slow_bind
    external.release(binding_id)

    states = [platform.settle(instance_id, binding_id, operation=operation).json()["state"]]
    fetched = platform.fetch(instance_id, binding_id)
    states.append(platform.poll(instance_id, binding_id, operation=operation).json()["state"])

    assert states == ["succeeded", "succeeded"]
    assert fetched.json()["credentials"]["password"] in external.passwords()


@pytest.mark.requirement("LOB-03", "LOB-04")
def test_polling_an_unknown_binding_or_instance_is_404(platform):
    instance_id = platform.ready()
    binding_id, _ = platform.bound(instance_id)

    assert platform.poll(instance_id, an_id()).status_code == 404
    assert platform.poll(an_id(), binding_id).status_code == 404
    assert platform.poll(platform.ready(), binding_id).status_code == 404


@pytest.mark.requirement("LOB-03", "LOB-04")
def test_an_operation_is_known_of_its_own_binding_and_instance_alone(platform, slow_bind):
    instance_id, binding_id, operation = slow_bind

    assert platform.poll(instance_id, an_id(), operation=operation).status_code == 404
    assert platform.poll(an_id(), binding_id, operation=operation).status_code == 404
    assert platform.poll(platform.ready(), binding_id, operation=operation).status_code == 404
    assert platform.poll(instance_id, operation=operation).status_code == 404


@pytest.mark.requirement("LOB-07", "LOB-01")
def test_polling_an_unbind_until_it_is_finished(platform, impatient, external):
    instance_id = platform.ready()
    binding_id, _ = platform.bound(instance_id)
    external.hold(binding_id, "unbind")

    answer = impatient.unbind(instance_id, binding_id, asynchronous=True)
    operation = answer.json()["operation"]
    during = platform.poll(instance_id, binding_id, operation=operation)
    external.release(binding_id)
    after = platform.settle(instance_id, binding_id, operation=operation)

    assert answer.status_code == 202
    assert during.json()["state"] == "in progress"
    assert after.status_code == 410 or after.json()["state"] == "succeeded"


@pytest.mark.requirement("LOB-09")
def test_polling_a_binding_that_was_made_within_its_request_says_succeeded(platform):
    instance_id = platform.ready()
    binding_id, _ = platform.bound(instance_id)

    assert platform.poll(instance_id, binding_id).json()["state"] == "succeeded"


@pytest.mark.requirement("LOB-10")
@pytest.mark.parametrize(
    "operation", ["", "unknown", "x" * 5000, "\x00", "00000000-0000-0000-0000-000000000000"]
)
def test_an_unknown_operation_on_a_binding_causes_no_failure(platform, operation):
    instance_id = platform.ready()
    binding_id, _ = platform.bound(instance_id)

    assert platform.poll(instance_id, binding_id, operation=operation).status_code in {200, 400, 404}


@pytest.mark.requirement("LOB-11")
def test_a_failed_bind_is_told_and_can_be_unbound(platform, external, slow_bind):
    instance_id, binding_id, operation = slow_bind
    external.fail(binding_id, "bind", "The server refuses more logins.")
    external.release(binding_id)

    answer = platform.settle(instance_id, binding_id, operation=operation)

    assert answer.status_code == 200
    assert answer.json()["state"] == "failed"
    assert "refuses more logins" in answer.json()["description"]
    assert "instance_usable" not in answer.json()
    assert platform.unbind(instance_id, binding_id, asynchronous=True).status_code in {200, 202, 410}
    assert platform.fetch(instance_id, binding_id).status_code == 404
