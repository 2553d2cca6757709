"""Changing an instance (spec, "Updating a Service Instance")."""

import pytest

from tests.osb.offerings import FIXED, LARGE, PLAIN, PLAIN_SERVICE, SERVICE, SMALL, STEPWISE, VERSION
from tests.osb.platform import an_id, change, order, refused

CONTEXT = {"platform": "kubernetes", "namespace": "n", "clusterid": "c", "instance_name": "i"}
WRONG_TYPES = [7, True, None, [], {"a": 1}]


def settled(platform, instance_id, **changes):
    """Update and wait; the update must be accepted and succeed."""
    answer = platform.update(instance_id, change(**changes))
    assert answer.status_code in {200, 202}, answer.text
    assert platform.settle(instance_id).json()["state"] == "succeeded"
    return answer


@pytest.mark.requirement("UPD-01", "UPD-04", "UPD-11")
def test_a_change_of_parameters_is_applied(platform, external):
    instance_id = platform.ready(order(parameters={"size": 1, "tier": "cool"}))

    answer = settled(platform, instance_id, parameters={"size": 2})

    assert answer.status_code == 202
    assert answer.json()["operation"]
    assert isinstance(answer.json().get("dashboard_url", ""), str)
    assert isinstance(answer.json().get("metadata", {}), dict)
    assert external.living(instance_id)[0].parameters == {"size": 2, "tier": "cool"}
    assert platform.fetch(instance_id).json()["parameters"] == {"size": 2, "tier": "cool"}


@pytest.mark.requirement("UPD-02", "UPD-11", "UPD-10")
def test_a_change_of_plan_is_applied_and_keeps_the_parameters(platform, external):
    instance_id = platform.ready(order(parameters={"size": 1}))

    settled(platform, instance_id, plan_id=LARGE)

    fetched = platform.fetch(instance_id).json()
    assert (fetched["plan_id"], fetched["parameters"]) == (LARGE, {"size": 1})
    (thing,) = external.living(instance_id)
    assert (thing.plan_id, thing.parameters) == (LARGE, {"size": 1})


@pytest.mark.requirement("UPD-03", "UPD-12", "UPD-24")
def test_a_plan_that_can_become_some_others_becomes_no_other_than_these(platform, external):
    instance_id = platform.ready(order(STEPWISE, parameters={"size": 1}))

    description = refused(platform.update(instance_id, change(plan_id=SMALL)), 422, "ChangeNotSupported")

    assert "cannot move from the service plan 'stepwise' to 'small'; it can move to 'large'." in description
    assert platform.fetch(instance_id).json()["plan_id"] == STEPWISE
    assert external.updates[instance_id] == 0
    settled(platform, instance_id, plan_id=LARGE)


@pytest.mark.requirement("UPD-03", "UPD-12", "UPD-24")
def test_a_change_away_from_a_plan_that_forbids_it_is_422_and_says_why(platform, external):
    instance_id = platform.ready(order(FIXED))

    description = refused(platform.update(instance_id, change(plan_id=SMALL)), 422)

    assert "plan" in description
    assert platform.fetch(instance_id).json()["plan_id"] == FIXED
    assert external.updates[instance_id] == 0


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param({"service_id": ...}, 400, marks=pytest.mark.requirement("UPD-05")),
        pytest.param({"plan_id": "unknown"}, 400, marks=pytest.mark.requirement("UPD-06")),
        pytest.param({"plan_id": PLAIN}, 400, marks=pytest.mark.requirement("UPD-06")),
        pytest.param({"plan_id": ""}, 400, marks=pytest.mark.requirement("UPD-06")),
        pytest.param({"service_id": "unknown"}, 400, marks=pytest.mark.requirement("UPD-07")),
        pytest.param({"service_id": PLAIN_SERVICE}, 400, marks=pytest.mark.requirement("UPD-07")),
        pytest.param({"service_id": PLAIN_SERVICE, "plan_id": PLAIN}, 400, marks=pytest.mark.requirement("UPD-07")),
        *[pytest.param({"service_id": value}, 400, marks=pytest.mark.requirement("UPD-14")) for value in WRONG_TYPES],
        *[
            pytest.param({"plan_id": value}, 400, marks=pytest.mark.requirement("UPD-14"))
            for value in WRONG_TYPES
            if value is not None
        ],
        *[
            pytest.param({name: value}, 400, marks=pytest.mark.requirement("UPD-27"))
            for name, value in [
                ("parameters", "text"), ("parameters", [1]), ("previous_values", "text"), ("previous_values", [1]),
                ("context", "text"), ("context", 7), ("maintenance_info", "1.2.0"),
                ("maintenance_info", {"version": 7}),
            ]
        ],
        *[
            pytest.param({"parameters": value}, 400, marks=pytest.mark.requirement("UPD-15"))
            for value in [{"size": 0}, {"size": "5"}, {"tier": "warm"}, {"unknown": 1}, {"region": "elsewhere"}]
        ],
        pytest.param({"maintenance_info": {"version": "9.9.9"}}, 422, marks=pytest.mark.requirement("UPD-16")),
    ],
)  # fmt: skip
@pytest.mark.requirement("UPD-12")
def test_an_update_that_is_wrong_is_refused_and_changes_nothing(platform, external, changes, status):
    instance_id = platform.ready(order(parameters={"size": 1}))
    before = platform.fetch(instance_id).json()

    answer = platform.update(instance_id, change(**({"parameters": {"size": 50}} | changes)))

    refused(answer, status, "MaintenanceInfoConflict" if status == 422 else None)
    assert platform.fetch(instance_id).json() == before
    assert external.updates[instance_id] == 0


@pytest.mark.requirement("UPD-08")
def test_updating_an_unknown_instance_is_404(platform):
    refused(platform.update(an_id(), change(parameters={"size": 1})), 404)


@pytest.mark.requirement("UPD-09", "UPD-10")
def test_what_an_update_does_not_name_stays(platform, external):
    instance_id = platform.ready(order(parameters={"size": 1, "note": "kept", "tier": "hot"}))

    settled(platform, instance_id, parameters={"size": 2})
    settled(platform, instance_id, plan_id=LARGE)
    settled(platform, instance_id, parameters={"tier": "cool"})

    (thing,) = external.living(instance_id)
    assert (thing.plan_id, thing.parameters) == (LARGE, {"size": 2, "note": "kept", "tier": "cool"})


@pytest.mark.requirement("UPD-17")
def test_the_catalogs_maintenance_version_is_accepted(platform):
    instance_id = platform.ready()

    settled(platform, instance_id, maintenance_info={"version": VERSION})

    assert platform.fetch(instance_id).json()["maintenance_info"]["version"] == VERSION


@pytest.mark.requirement("UPD-18")
@pytest.mark.parametrize(
    "nothing",
    [
        {},
        {"plan_id": SMALL},
        {"parameters": {}},
        {"parameters": {"size": 1}},
        {"previous_values": {"plan_id": SMALL}},
    ],
)
def test_an_update_that_changes_nothing_is_200_and_does_nothing(platform, external, nothing):
    instance_id = platform.ready(order(parameters={"size": 1}))

    answer = platform.update(instance_id, change(**nothing))

    assert (answer.status_code, answer.json().get("operation")) == (200, None)
    assert external.updates[instance_id] == 0


@pytest.mark.requirement("UPD-19")
def test_the_same_update_while_it_runs_is_202_with_the_first_operation(platform, external):
    instance_id = platform.ready(order(parameters={"size": 1}))
    with external.holding(instance_id, "update"):
        answers = [
            platform.update(instance_id, change(parameters={"size": 2}, plan_id=LARGE)) for _ in range(3)
        ]

    assert [answer.status_code for answer in answers] == [202] * 3
    assert len({answer.json()["operation"] for answer in answers}) == 1
    platform.settle(instance_id)
    assert external.updates[instance_id] == 1


@pytest.mark.requirement("UPD-20")
def test_the_context_alone_can_be_updated_where_the_offering_allows_it(platform, external):
    instance_id = platform.ready(order(context=CONTEXT))

    answer = platform.update(instance_id, change(context=CONTEXT | {"instance_name": "renamed"}))

    assert answer.status_code == 200
    assert external.updates[instance_id] == 0


@pytest.mark.requirement("UPD-21")
def test_previous_values_are_accepted_in_every_shape_that_platforms_send(platform):
    instance_id = platform.ready(order(parameters={"size": 1}))

    for size, previous in enumerate(
        [{}, {"plan_id": SMALL}, {"service_id": SERVICE, "organization_id": "o", "space_id": "s"}]
    ):
        settled(platform, instance_id, parameters={"size": size + 2}, previous_values=previous)


@pytest.mark.requirement("UPD-22")
def test_an_update_during_the_making_is_a_concurrency_error(platform, external):
    instance_id = an_id()
    with external.holding(instance_id, "create"):
        platform.provision(instance_id)

        refused(platform.update(instance_id, change(parameters={"size": 2})), 422, "ConcurrencyError")
    assert platform.settle(instance_id).json()["state"] == "succeeded"
    assert external.updates[instance_id] == 0


@pytest.mark.requirement("UPD-23")
def test_a_different_update_while_one_runs_is_a_concurrency_error(platform, external):
    instance_id = platform.ready(order(parameters={"size": 1}))
    with external.holding(instance_id, "update"):
        platform.update(instance_id, change(parameters={"size": 2}))

        refused(platform.update(instance_id, change(parameters={"size": 3})), 422, "ConcurrencyError")
    platform.settle(instance_id)
    assert external.living(instance_id)[0].parameters == {"size": 2}


@pytest.mark.requirement("UPD-25")
def test_an_update_that_failed_leaves_an_instance_that_can_be_updated_and_deleted(platform, external):
    instance_id = platform.ready(order(parameters={"size": 1}))
    external.fail(instance_id, "update", "Not now.", flags=(True, True))

    platform.update(instance_id, change(parameters={"size": 2}))
    failed = platform.settle(instance_id).json()
    external.mend(instance_id)

    assert (failed["state"], failed["instance_usable"], failed["update_repeatable"]) == ("failed", True, True)
    settled(platform, instance_id, parameters={"size": 2})
    platform.gone(instance_id)
