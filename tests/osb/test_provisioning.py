"""Ordering an instance (spec, "Provisioning")."""

import pytest

from tests.osb.offerings import FIXED, LARGE, PLAIN, PLAIN_SERVICE, SERVICE, SMALL, VERSION
from tests.osb.platform import an_id, order, refused

CONTEXT = {"platform": "kubernetes", "namespace": "n", "clusterid": "c", "instance_name": "i"}


@pytest.mark.requirement("PRV-01", "PRV-02", "PRV-27", "PRV-30")
def test_a_new_instance_is_202_and_then_there(platform, external):
    instance_id = an_id()

    answer = platform.provision(instance_id, order(parameters={"size": 5, "tier": "hot"}))

    assert answer.status_code == 202
    body = answer.json()
    assert isinstance(body["operation"], str)
    assert isinstance(body.get("dashboard_url", ""), str)
    assert all(isinstance(body.get("metadata", {}).get(key, {}), dict) for key in ("labels", "attributes"))
    assert platform.settle(instance_id).json()["state"] == "succeeded"
    (thing,) = external.living(instance_id)
    assert (thing.plan_id, thing.parameters["size"], thing.parameters["tier"]) == (SMALL, 5, "hot")


@pytest.mark.requirement("PRV-03", "PRV-04", "PRV-29")
def test_the_same_order_of_a_finished_instance_is_200_and_makes_nothing(platform, external):
    body = order(parameters={"size": 5}, context=CONTEXT)
    instance_id = platform.ready(body)

    answers = [platform.provision(instance_id, body) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    assert external.creations[instance_id] == 1
    assert all("operation" not in answer.json() for answer in answers)


@pytest.mark.requirement("PRV-04", "PRV-26", "GIN-10")
def test_the_dashboard_is_in_each_answer_from_the_first_on(platform):
    instance_id = an_id()

    first = platform.provision(instance_id).json()
    platform.settle(instance_id)
    again = platform.provision(instance_id).json()
    fetched = platform.fetch(instance_id).json()

    assert fetched.get("dashboard_url") == again.get("dashboard_url") == first.get("dashboard_url")


@pytest.mark.requirement("PRV-05")
def test_the_same_order_during_the_making_is_202_with_the_first_operation(platform, external):
    instance_id = an_id()
    with external.holding(instance_id, "create"):
        answers = [platform.provision(instance_id, order(parameters={"size": 5})) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [202] * 3
    assert len({answer.json()["operation"] for answer in answers}) == 1
    platform.settle(instance_id)
    assert external.creations[instance_id] == 1


@pytest.mark.requirement("PRV-06", "PRV-07", "PRV-09")
@pytest.mark.parametrize(
    "other",
    [
        {"plan_id": LARGE},
        {"parameters": {"size": 6}},
        {"parameters": {}},
        {"parameters": ...},
        {"parameters": {"size": 5, "tier": "hot"}},
        {"service_id": PLAIN_SERVICE, "plan_id": PLAIN, "parameters": ...},
        {"organization_guid": "another"},
        {"space_guid": "another"},
    ],
)
def test_the_same_id_with_other_attributes_is_409_and_changes_nothing(platform, external, other):
    body = order(parameters={"size": 5})
    instance_id = platform.ready(body)
    before = platform.fetch(instance_id).json()

    refused(platform.provision(instance_id, order(**({"parameters": {"size": 5}} | other))), 409)

    assert platform.fetch(instance_id).json() == before
    assert platform.provision(instance_id, body).status_code == 200
    assert external.living(instance_id)[0].parameters == {"size": 5}


@pytest.mark.requirement("PRV-08")
@pytest.mark.parametrize("other", [{"plan_id": LARGE}, {"parameters": {"size": 6}}])
def test_other_attributes_during_the_making_are_409(platform, external, other):
    instance_id = an_id()
    with external.holding(instance_id, "create"):
        platform.provision(instance_id, order(parameters={"size": 5}))

        refused(platform.provision(instance_id, order(**({"parameters": {"size": 5}} | other))), 409)

    assert platform.settle(instance_id).json()["state"] == "succeeded"
    assert external.living(instance_id)[0].parameters == {"size": 5}


WRONG_TYPES = [7, 7.5, True, None, [], ["a"], {}, {"a": 1}]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"service_id": ...}, marks=pytest.mark.requirement("PRV-10")),
        pytest.param({"plan_id": ...}, marks=pytest.mark.requirement("PRV-11")),
        pytest.param({"organization_guid": ...}, marks=pytest.mark.requirement("PRV-12")),
        pytest.param({"space_guid": ...}, marks=pytest.mark.requirement("PRV-13")),
        *[
            pytest.param({name: ""}, marks=pytest.mark.requirement("PRV-14"))
            for name in ("service_id", "plan_id", "organization_guid", "space_guid")
        ],
        pytest.param({"service_id": "unknown"}, marks=pytest.mark.requirement("PRV-15", "PRV-18")),
        pytest.param({"plan_id": "unknown"}, marks=pytest.mark.requirement("PRV-16", "PRV-18")),
        pytest.param({"plan_id": PLAIN}, marks=pytest.mark.requirement("PRV-17", "PRV-18")),
        pytest.param({"service_id": SMALL, "plan_id": SERVICE}, marks=pytest.mark.requirement("PRV-15", "PRV-18")),
        *[pytest.param({"service_id": value}, marks=pytest.mark.requirement("PRV-19")) for value in WRONG_TYPES],
        *[pytest.param({"plan_id": value}, marks=pytest.mark.requirement("PRV-19")) for value in WRONG_TYPES],
        *[
            pytest.param({name: value}, marks=pytest.mark.requirement("PRV-33"))
            for name, value in [
                ("organization_guid", 7), ("space_guid", ["a"]), ("parameters", "text"), ("parameters", [1]),
                ("parameters", 0), ("context", "text"), ("context", [1]), ("maintenance_info", "1.2.0"),
                ("maintenance_info", {"version": 7}), ("maintenance_info", [VERSION]),
            ]
        ],
        *[
            pytest.param({"parameters": value}, marks=pytest.mark.requirement("PRV-21"))
            for value in [
                {"size": 0}, {"size": 101}, {"size": "5"}, {"size": 5.5}, {"tier": "warm"}, {"tier": None},
                {"unknown": 1}, {"labels": []},
            ]
        ],
    ],
)  # fmt: skip
@pytest.mark.requirement("PRV-22", "ORP-05")
def test_a_malformed_order_is_400_and_leaves_no_instance(platform, external, changes):
    instance_id = an_id()

    refused(platform.provision(instance_id, order(**changes)), 400)

    assert platform.fetch(instance_id).status_code == 404
    assert platform.poll(instance_id).status_code == 404
    assert platform.deprovision(instance_id).status_code == 410
    assert external.creations[instance_id] == 0


@pytest.mark.requirement("PRV-23", "PRV-22")
def test_another_maintenance_version_is_a_conflict_and_leaves_no_instance(platform):
    instance_id = an_id()

    refused(
        platform.provision(instance_id, order(maintenance_info={"version": "1.1.9"})),
        422,
        "MaintenanceInfoConflict",
    )

    assert platform.poll(instance_id).status_code == 404


@pytest.mark.requirement("PRV-24", "PRV-25")
def test_the_catalogs_maintenance_version_is_accepted(platform):
    body = order(maintenance_info={"version": VERSION, "description": "not the catalog's"})

    assert platform.provision(an_id(), body).status_code == 202


@pytest.mark.requirement("PRV-28")
def test_two_ids_with_the_same_attributes_are_two_instances(platform, external):
    first, second = platform.ready(), platform.ready()

    platform.gone(first)

    assert external.living(first) == []
    assert len(external.living(second)) == 1
    assert platform.fetch(second).status_code == 200


@pytest.mark.requirement("PRV-31")
@pytest.mark.parametrize("version", ["1.0.0", "", "latest"])
def test_a_maintenance_version_for_a_plan_without_one_never_breaks_anything(platform, version):
    answer = platform.provision(an_id(), order(FIXED, maintenance_info={"version": version}))

    assert answer.status_code in {202, 400, 422}


@pytest.mark.requirement("PRV-32")
def test_an_id_may_be_ordered_anew_after_its_instance_was_deleted(platform, external):
    instance_id = platform.ready(order(parameters={"size": 1}))
    platform.gone(instance_id)

    platform.ready(order(parameters={"size": 2}), instance_id=instance_id)

    (thing,) = external.living(instance_id)
    assert thing.parameters == {"size": 2}
    assert external.creations[instance_id] == 2
