"""Looking at an instance (spec, "Fetching a Service Instance")."""

import re

import pytest

from tests.osb.offerings import FIXED, LARGE, PLAIN, PLAIN_SERVICE, SERVICE, SMALL, VERSION
from tests.osb.platform import an_id, change, order, refused


@pytest.mark.requirement("GIN-01", "GIN-02", "GIN-03", "GIN-07", "GIN-11", "GIN-12", "ASY-12")
@pytest.mark.parametrize("plan_id", [SMALL, LARGE, FIXED])
def test_a_finished_instance_shows_what_was_ordered(platform, plan_id):
    parameters = {} if plan_id == FIXED else {"size": 5, "note": "für später"}
    instance_id = platform.ready(order(plan_id, **({"parameters": parameters} if parameters else {})))

    answer = platform.fetch(instance_id)

    assert answer.status_code == 200
    body = answer.json()
    assert (body["service_id"], body["plan_id"]) == (SERVICE, plan_id)
    assert body.get("parameters", {}) == parameters
    assert isinstance(body.get("dashboard_url", ""), str)
    assert all(isinstance(value, dict) for value in body.get("metadata", {}).values())
    assert set(body.get("metadata", {})) <= {"labels", "attributes"}
    if "maintenance_info" in body:
        assert re.fullmatch(r"\d+\.\d+\.\d+.*", body["maintenance_info"]["version"])
    assert None not in body.values()


@pytest.mark.requirement("GIN-12")
def test_the_maintenance_version_is_the_one_that_was_made(platform):
    instance_id = platform.ready(order(maintenance_info={"version": VERSION}))

    assert platform.fetch(instance_id).json()["maintenance_info"]["version"] == VERSION


@pytest.mark.requirement("GIN-07")
def test_a_sensitive_parameter_is_never_shown_again(platform):
    instance_id = platform.ready(order(parameters={"size": 5, "secret": "only-the-owner-knows"}))

    assert "only-the-owner-knows" not in platform.fetch(instance_id).text
    assert platform.fetch(instance_id).json()["parameters"] == {"size": 5}


@pytest.mark.requirement("GIN-04")
def test_fetching_an_unknown_instance_is_404(platform):
    refused(platform.fetch(an_id()), 404)


@pytest.mark.requirement("GIN-05")
def test_fetching_an_instance_in_the_making_is_404(platform, external):
    instance_id = an_id()
    with external.holding(instance_id, "create"):
        platform.provision(instance_id)

        refused(platform.fetch(instance_id), 404)
    platform.settle(instance_id)


@pytest.mark.requirement("GIN-06")
def test_fetching_during_an_update_shows_what_is_applied(platform, external):
    instance_id = platform.ready(order(parameters={"size": 1}))
    with external.holding(instance_id, "update"):
        platform.update(instance_id, change(parameters={"size": 2}))
        answer = platform.fetch(instance_id)

        if answer.status_code == 200:
            assert answer.json()["parameters"] == {"size": 1}
        else:
            refused(answer, 422, "ConcurrencyError")
    platform.settle(instance_id)
    assert platform.fetch(instance_id).json()["parameters"] == {"size": 2}


@pytest.mark.requirement("GIN-08")
def test_hints_make_no_difference(platform):
    instance_id = platform.ready()

    answers = [
        platform.fetch(instance_id),
        platform.fetch(instance_id, service_id=SERVICE, plan_id=SMALL),
        platform.fetch(instance_id, service_id=SERVICE),
        platform.fetch(instance_id, plan_id=SMALL),
    ]

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.requirement("GIN-09", "DEP-15")
def test_fetching_a_deprovisioned_instance_is_404(platform):
    instance_id = platform.ready()
    platform.gone(instance_id)

    refused(platform.fetch(instance_id), 404)


@pytest.mark.requirement("GIN-13")
def test_fetching_what_may_not_be_fetched_is_a_refusal(platform):
    instance_id = platform.ready(order(PLAIN, service_id=PLAIN_SERVICE))

    assert 400 <= platform.fetch(instance_id).status_code < 500


@pytest.mark.requirement("GIN-14")
def test_fetching_changes_nothing(platform, external):
    instance_id = platform.ready(order(parameters={"size": 3}))
    things = external.living(instance_id)

    answers = [platform.fetch(instance_id) for _ in range(3)]

    assert len({answer.text for answer in answers}) == 1
    assert external.living(instance_id) == things
    assert platform.poll(instance_id).json()["state"] == "succeeded"
