"""The store comes back from a backup: what was made since is found again, not made twice."""

import shutil

import pytest

from tests.end_to_end.a_broker_process import At
from tests.end_to_end.logins import works
from tests.end_to_end.orders import ALL_IN_ONE
from tests.osb.platform import an_id

pytestmark = pytest.mark.slow


class Backup:
    """A copy of the store's file and of its write-ahead log, taken while no broker runs."""

    def __init__(self, world) -> None:
        self._file = world.folder / "broker.db"
        self._kept = {}
        for suffix in ("", "-wal"):
            path = self._file.with_name(self._file.name + suffix)
            if path.exists():
                self._kept[path] = shutil.copy(path, world.folder / f"backup{suffix}")

    def restore(self) -> None:
        for path in self._file.parent.glob("broker.db*"):
            path.unlink()
        for path, copy in self._kept.items():
            shutil.copy(copy, path)


def test_an_order_that_the_restored_store_never_saw_finds_its_server_again(sqlite_world):
    world, instance = sqlite_world, an_id()
    world.start().kill()
    backup = Backup(world)
    broker = world.start()
    broker.platform.ready(ALL_IN_ONE.order(), instance_id=instance)
    (server,) = world.servers()
    broker.kill()

    backup.restore()
    with world.serving() as platform:
        repeated = platform.provision(instance, ALL_IN_ONE.order())
        settled = platform.settle(instance).json()
        _, bound = platform.bound(instance, ALL_IN_ONE.body())

    assert repeated.status_code == 202
    assert settled["state"] == "succeeded"
    assert [one["id"] for one in world.servers()] == [server["id"]]
    assert world.recorded() == world.made()
    assert works(bound["credentials"], world.azure.access.ca_file)


def test_an_operation_that_was_under_way_in_the_backup_finds_its_deployment_ended(sqlite_world):
    world, instance = sqlite_world, an_id()
    doomed = world.start(At("after step", "provision", "submit"))
    doomed.platform.provision(instance, ALL_IN_ONE.order())
    doomed.died()
    backup = Backup(world)
    broker = world.start()
    assert broker.platform.settle(instance).json()["state"] == "succeeded"
    broker.kill()

    backup.restore()
    with world.serving() as platform:
        settled = platform.settle(instance).json()
        _, bound = platform.bound(instance, ALL_IN_ONE.body())

    assert settled["state"] == "succeeded"
    assert len(world.deployments()) == len(world.servers()) == 1
    assert works(bound["credentials"], world.azure.access.ca_file)


def test_a_later_generation_that_the_restored_store_does_not_know_is_taken_up(sqlite_world):
    world, instance = sqlite_world, an_id()
    world.start().kill()
    backup = Backup(world)
    broker = world.start()
    broker.platform.ready(ALL_IN_ONE.order(), instance_id=instance)
    broker.platform.gone(instance, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)
    broker.platform.ready(ALL_IN_ONE.order(), instance_id=instance)
    (server,) = world.servers()
    broker.kill()

    backup.restore()
    with world.serving() as platform:
        platform.ready(ALL_IN_ONE.order(), instance_id=instance)

    assert server["tags"]["osb-generation"] == "1"
    assert [one["id"] for one in world.servers()] == [server["id"]]
