"""Azure misbehaves, or somebody else acts in it: each order ends as it should, with one deployment."""

from datetime import timedelta

import pytest

from tests.end_to_end.orders import ALL_IN_ONE
from tests.osb.platform import an_id
from tests.simulated import wait_until

pytestmark = pytest.mark.slow
VERSION = "2026-10-01"


def delete(platform, instance):
    return platform.deprovision(instance, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)


def test_a_delete_while_azure_works_stops_the_deployment_and_leaves_nothing(world):
    instance = an_id()
    # A server takes 15 seconds: long enough to be met half-made.
    world.azure.clock(speed=20)

    with world.serving() as platform:
        platform.provision(instance, ALL_IN_ONE.order())
        wait_until(world.servers)
        deleted = delete(platform, instance)
        world.azure.clock(speed=world.azure.speed)
        settled = platform.settle(instance)

    assert deleted.status_code == 202
    assert settled.status_code == 410
    assert world.resources() == []
    assert len(world.calls("POST", "/cancel")) >= 1
    assert world.operations("provision") == ["failed"]
    assert world.operations("deprovision") == ["succeeded"]
    assert world.count("service_instances") == 0


def test_an_instance_whose_server_somebody_deleted_unbinds_and_goes(world):
    with world.serving() as platform:
        instance = platform.ready(ALL_IN_ONE.order())
        binding, _ = platform.bound(instance, ALL_IN_ONE.body())
        platform.bound(instance, ALL_IN_ONE.body())
        (server,) = world.servers()
        world.azure.call("DELETE", world.server_path(server["name"]), version=VERSION)
        wait_until(lambda: not world.servers())

        unbound = platform.unbind(instance, binding, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)
        deleted = delete(platform, instance)
        settled = platform.settle(instance)

    assert unbound.status_code == 200
    assert deleted.status_code == 202
    assert settled.status_code == 410
    assert world.count("service_bindings") == world.count("service_instances") == 0


def test_a_failed_deployment_is_cleaned_up_and_the_same_order_succeeds_under_other_names(world):
    instance = an_id()
    world.azure.fault(
        "deployment_failed",
        method="PUT",
        path=f"/{world.group}/.*/deployments/",
        code="SkuNotAvailable",
        message="The machine is sold out in this region.",
        after=0,
    )

    with world.serving() as platform:
        platform.provision(instance, ALL_IN_ONE.order())
        failed = platform.settle(instance).json()
        after_failure = world.resources()
        again = platform.provision(instance, ALL_IN_ONE.order())
        settled = platform.settle(instance).json()

    assert failed["state"] == "failed"
    assert "SkuNotAvailable" in failed["description"]
    assert after_failure == []
    assert again.status_code == 202
    assert settled["state"] == "succeeded"
    (server,) = world.servers()
    assert server["tags"]["osb-generation"] == "1"
    assert world.recorded() == world.made()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("throttle", {"retry_after": 1}),
        ("error", {"html": True}),
        ("reset", {}),
        ("reply_lost", {}),
        ("slow", {"seconds": 0.5}),
    ],
)
def test_a_call_that_azure_spoils_costs_time_and_nothing_else(sqlite_world, kind, options):
    world, instance = sqlite_world, an_id()
    for method in ("PUT", "GET", "DELETE"):
        world.azure.fault(kind, method=method, path=world.group, **options)

    with world.serving() as platform:
        platform.provision(instance, ALL_IN_ONE.order())
        settled = platform.settle(instance).json()
        servers = world.servers()
        delete(platform, instance)
        deleted = platform.settle(instance)

    assert settled["state"] == "succeeded", settled
    assert len(servers) == 1
    assert len(set(world.deployments())) == 1
    assert deleted.status_code == 410
    assert world.resources() == []


def test_a_deletion_that_azure_refuses_for_a_while_ends_all_the_same(sqlite_world):
    world = sqlite_world

    with world.serving() as platform:
        instance = platform.ready(ALL_IN_ONE.order())
        world.azure.fault("delete_refused", path=f"/{world.group}/.*/flexibleServers/", seconds=2)
        delete(platform, instance)
        settled = platform.settle(instance)

    assert settled.status_code == 410
    assert {call["code"] for call in world.calls("DELETE", "/flexibleServers/")} >= {
        "AnotherOperationInProgress"
    }
    assert world.resources() == []


def test_a_deployment_that_never_ends_is_given_up_at_the_deadline_and_removed(world):
    instance = an_id()
    world.in_a_hurry(ALL_IN_ONE, maximum_polling_duration=timedelta(seconds=5))
    world.azure.fault("stuck", method="PUT", path=f"/{world.group}/.*/deployments/")

    with world.serving() as platform:
        platform.provision(instance, ALL_IN_ONE.order())
        failed = platform.settle(instance).json()

    assert failed["state"] == "failed"
    assert "did not end within 5 seconds" in failed["description"]
    assert len(world.deployments()) == 1
    assert world.resources() == []
    assert world.recorded() == set()
