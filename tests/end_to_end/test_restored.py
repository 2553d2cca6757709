"""The store comes back from a backup: what was made since is found again, not made twice."""

import shutil
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from tests.end_to_end.a_broker_process import At
from tests.end_to_end.logins import works
from tests.end_to_end.orders import ALL_IN_ONE
from tests.osb.platform import an_id
from tests.postgresql import dsn_of

pytestmark = pytest.mark.slow


def backup_of(world) -> "Backup | CopiedDatabase":
    return Backup(world) if world.database_url.startswith("sqlite") else CopiedDatabase(world.database_url)


class CopiedDatabase:
    """A copy of a PostgreSQL database, byte by byte, taken while no broker runs."""

    def __init__(self, url: str) -> None:
        self._name = urlsplit(url).path.removeprefix("/")
        self._server = dsn_of(url, "postgres")
        self._copy(self._name, f"{self._name}_backup")

    def restore(self) -> None:
        self._run("DROP DATABASE {} WITH (FORCE)", self._name)
        self._run("ALTER DATABASE {} RENAME TO {}", f"{self._name}_backup", self._name)

    def _copy(self, source: str, target: str) -> None:
        self._run("CREATE DATABASE {} TEMPLATE {}", target, source)

    def _run(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as operator:
            operator.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


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


def test_an_order_that_the_restored_store_never_saw_finds_its_server_again(world):
    instance = an_id()
    world.start().stop()
    backup = backup_of(world)
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


def test_what_was_deleted_after_the_backup_can_be_deleted_again_and_is_not_made_again(sqlite_world):
    world, instance = sqlite_world, an_id()
    broker = world.start()
    broker.platform.ready(ALL_IN_ONE.order(), instance_id=instance)
    broker.stop()
    backup = Backup(world)
    broker = world.start()
    broker.platform.gone(instance, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)
    broker.stop()

    backup.restore()
    with world.serving() as platform:
        repeated = platform.provision(instance, ALL_IN_ONE.order())
        platform.gone(instance, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)

    assert repeated.status_code == 200, "the store knows it as ready"
    assert len(world.deployments()) == 1
    assert world.made() == world.recorded() == set()


def test_a_binding_made_after_the_backup_can_be_made_again_under_its_id(sqlite_world):
    world, instance, binding = sqlite_world, an_id(), an_id()
    broker = world.start()
    broker.platform.ready(ALL_IN_ONE.order(), instance_id=instance)
    broker.stop()
    backup = Backup(world)
    broker = world.start()
    assert broker.platform.bind(instance, binding, ALL_IN_ONE.body()).status_code == 201
    broker.stop()

    backup.restore()
    with world.serving() as platform:
        again = platform.bind(instance, binding, ALL_IN_ONE.body())
        unbound = platform.unbind(instance, binding, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)
        platform.gone(instance, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)

    assert again.status_code == 201
    assert unbound.status_code == 200
    assert world.made() == set()
