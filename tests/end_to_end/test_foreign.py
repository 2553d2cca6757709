"""What the broker did not make, or what is not its own any more, it leaves alone and says so."""

import pytest

from broker.azure.naming import NameRule, external_name, tags
from tests.descriptions import faults_of
from tests.end_to_end.orders import ALL_IN_ONE
from tests.end_to_end.world import BROKER_ID, PLATFORM
from tests.osb.platform import an_id

pytestmark = pytest.mark.slow
VERSION = "2026-10-01"


def planted(world, instance, generation):
    name = external_name(NameRule("pg-", 40), BROKER_ID, PLATFORM, instance, generation)
    path = world.server_path(name)
    world.azure.plant(
        id=path, location="westeurope", tags={"owner": "somebody"}, properties={"version": "16"}
    )
    return path, world.azure.call("GET", path, version=VERSION).json()


def test_a_foreign_server_of_the_same_name_is_untouched_and_another_name_is_taken(world):
    instance = an_id()
    path, before = planted(world, instance, 0)

    with world.serving() as platform:
        ordered = platform.provision(instance, ALL_IN_ONE.order())
        made = platform.settle(instance).json()
        (server,) = (one for one in world.servers() if one["id"].lower() != path.lower())
        platform.deprovision(instance, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)
        deleted = platform.settle(instance)

    assert ordered.status_code == 202
    assert made["state"] == "succeeded", made
    assert server["name"] == external_name(NameRule("pg-", 40), BROKER_ID, PLATFORM, instance, 1)
    assert deleted.status_code == 410
    assert world.azure.call("GET", path, version=VERSION).json() == before


def test_an_order_all_of_whose_names_are_foreign_is_refused_and_nothing_is_touched(world):
    instance = an_id()
    foreign = [planted(world, instance, generation) for generation in range(3)]

    with world.serving() as platform:
        refused = platform.provision(instance, ALL_IN_ONE.order())
        deleted = platform.deprovision(instance, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)

    assert refused.status_code == 400
    assert refused.json()["error"] == "NameTaken"
    assert not faults_of(refused.json()["description"])
    assert deleted.status_code == 410
    for path, before in foreign:
        assert world.azure.call("GET", path, version=VERSION).json() == before
    assert world.calls("PUT") == world.calls("PATCH") == world.calls("DELETE") == []


def test_a_server_whose_tags_somebody_changed_is_not_deleted_until_they_are_back(world):
    with world.serving() as platform:
        instance = platform.ready(ALL_IN_ONE.order())
        (server,) = world.servers()
        path = world.server_path(server["name"])

        world.azure.retag(path, {"owner": "somebody"})
        platform.deprovision(instance, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)
        refused = platform.settle(instance).json()
        deletions = world.calls("DELETE", server["name"])
        still_there = [one["id"] for one in world.servers()]

        world.azure.retag(path, tags(BROKER_ID, PLATFORM, instance, 0))
        platform.deprovision(instance, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)
        deleted = platform.settle(instance)

    assert refused["state"] == "failed"
    assert "does not carry this service instance's tags" in refused["description"]
    assert deletions == []
    assert still_there == [server["id"]]
    assert deleted.status_code == 410
    assert world.resources() == []
