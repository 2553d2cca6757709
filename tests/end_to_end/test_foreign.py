"""What the broker did not make, or what is not its own any more, it leaves alone and says so."""

import pytest

from broker.azure.naming import NameRule, external_name, tags
from tests.end_to_end.orders import ALL_IN_ONE
from tests.end_to_end.world import BROKER_ID, PLATFORM
from tests.osb.platform import an_id

pytestmark = pytest.mark.slow
VERSION = "2026-10-01"


def test_a_foreign_server_of_the_same_name_is_untouched_and_the_order_fails(world):
    instance = an_id()
    name = external_name(NameRule("pg-", 40), BROKER_ID, PLATFORM, instance, 0)
    path = world.server_path(name)
    world.azure.plant(
        id=path, location="westeurope", tags={"owner": "somebody"}, properties={"version": "16"}
    )
    before = world.azure.call("GET", path, version=VERSION).json()

    with world.serving() as platform:
        ordered = platform.provision(instance, ALL_IN_ONE.order())
        failed = platform.settle(instance).json()
        platform.deprovision(instance, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)
        deleted = platform.settle(instance)

    assert ordered.status_code == 202
    assert failed["state"] == "failed"
    assert name in failed["description"]
    assert "is taken" in failed["description"]
    assert deleted.status_code == 410
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
