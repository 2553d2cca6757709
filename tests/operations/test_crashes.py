"""A runner is killed; nothing survives but the database and what it has made."""

import os
import secrets
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from broker.domain.instances import Configuration, InstanceState
from broker.domain.operations import OperationKind, OperationStatus, Stage
from broker.store import bindings, instances, resources
from broker.store.database import Database
from broker.store.sealing import KeyRing
from tests.operations.engine import a_runner, accept, ended
from tests.operations.imagined import Imagined, World, wait_until
from tests.store.nouns import a_binding, an_instance, an_operation

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
KEY = secrets.token_bytes(32)
POINTS = [
    ("claimed", 0),
    ("before step", 0),
    ("before call", 0),
    ("after call", 0),
    ("after step", 1),
    ("in save", 0),
    ("in save", 1),
    ("in save", 2),
    ("saved", 1),
]


def start(url: str, world: World, point: str, *, passes: int = 0, end: str = "SIGKILL", lease: float = 0.5):
    command = [sys.executable, "-m", "tests.operations.a_runner_process", url, str(world.folder), KEY.hex()]
    return subprocess.Popen(
        [*command, point, str(passes), end, str(lease)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )


async def opened(url: str) -> Database:
    return await Database.open(url, sealing=KeyRing([("test", KEY)]), broker_id="test")


@pytest.mark.parametrize(("point", "passes"), POINTS)
async def test_a_provision_survives_the_death_of_its_runner(
    database_url: str, world: World, point: str, passes: int
):
    ordered = an_instance()
    database = await opened(database_url)
    accepted = await accept(database, an_operation(ordered), instance=ordered)
    await database.close()

    assert start(database_url, world, point, passes=passes).wait(20) == -signal.SIGKILL
    database = await opened(database_url)
    async with a_runner(database, Imagined(world), "the next one"):
        operation = await ended(database, accepted)
    async with database.transaction() as tx:
        instance = await instances.by_key(tx, ordered.key)
        recorded = await resources.of_instance(tx, ordered.key)
    await database.close()

    assert operation.status is OperationStatus.SUCCEEDED
    assert world.count("make") == 1
    assert world.living == {resource.resource_id for resource in recorded}
    assert (instance.state, instance.generation) == (InstanceState.READY, 0)


@pytest.mark.parametrize(("point", "passes"), [("after call", 0), ("in save", 2)])
async def test_a_bind_survives_the_death_of_its_runner(
    database_url: str, world: World, point: str, passes: int
):
    ordered = an_instance(state=InstanceState.READY, applied=Configuration("a-plan"), asked=None)
    binding = a_binding(ordered)
    bind = an_operation(ordered, OperationKind.BIND, binding_id=binding.binding_id, binding_key=binding.key)
    bind = replace(bind, stage=Stage.WORKING)
    database = await opened(database_url)
    accepted = await accept(database, bind, instance=ordered, binding=binding)
    await database.close()

    assert start(database_url, world, point, passes=passes).wait(20) == -signal.SIGKILL
    database = await opened(database_url)
    async with a_runner(database, Imagined(world), "the next one"):
        operation = await ended(database, accepted)
    async with database.transaction() as tx:
        (bound,) = await bindings.of_instance(tx, ordered.key)
    await database.close()

    assert operation.status is OperationStatus.SUCCEEDED
    assert world.count("make") == 1
    assert bound.credentials == {"password": "made-up"}


async def test_a_frozen_runner_that_wakes_up_makes_no_late_call_and_writes_nothing(
    postgresql_url: str, world: World
):
    ordered = an_instance()
    database = await opened(postgresql_url)
    accepted = await accept(database, an_operation(ordered), instance=ordered)

    # It stops right before the step that makes the resource.
    frozen = start(postgresql_url, world, "before step", passes=1, end="SIGSTOP", lease=1.0)
    try:
        wait_until(lambda: Path(f"/proc/{frozen.pid}/stat").read_text().split()[2] == "T")
        assert world.count("create") == 1
        async with a_runner(database, Imagined(world), "the next one"):
            operation = await ended(database, accepted)
        guarded = world.count("guarded call")
        frozen.send_signal(signal.SIGCONT)
        wait_until(lambda: world.count("create") == 4)
        frozen.send_signal(signal.SIGTERM)
        assert frozen.wait(20) == 0
    finally:
        frozen.kill()
        frozen.wait()
    async with database.transaction() as tx:
        instance = await instances.by_key(tx, ordered.key)
    await database.close()

    assert operation.status is OperationStatus.SUCCEEDED
    assert instance.state is InstanceState.READY
    assert world.count("guarded call") == guarded == 1


async def test_an_orderly_stop_ends_what_runs_and_hands_back_the_rest(postgresql_url: str, world: World):
    world.tell("hold-create")
    ordered = an_instance()
    database = await opened(postgresql_url)
    accepted = await accept(database, an_operation(ordered), instance=ordered)

    stopped = start(postgresql_url, world, "", lease=30)
    wait_until(lambda: world.count("create") > 5)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(20) == 0
    world.unsay("hold-create")
    async with a_runner(database, Imagined(world), "the next one"):
        # Far less than the lease of thirty seconds.
        operation = await ended(database, accepted, within=10)
    await database.close()

    assert operation.status is OperationStatus.SUCCEEDED
    assert world.count("make") == 1
