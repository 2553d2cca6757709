import asyncio
from datetime import timedelta

import psycopg
import pytest

from broker.domain.operations import OperationStatus
from broker.store.database import Database
from broker.store.sealing import KeyRing
from tests.operations.engine import a_runner, accept, ended, until
from tests.operations.imagined import Imagined, World
from tests.store.nouns import an_instance, an_operation

pytestmark = pytest.mark.anyio


async def test_a_lost_notification_costs_latency_only(postgresql_url: str, world: World, key_ring: KeyRing):
    deaf = await Database.open(
        postgresql_url, listen_url=f"{postgresql_url}?pgbouncer=true", sealing=key_ring
    )
    other = await Database.open(
        postgresql_url, listen_url=f"{postgresql_url}?pgbouncer=true", sealing=key_ring
    )
    ordered = an_instance()

    async with a_runner(deaf, Imagined(world)):
        operation = await ended(other, await accept(other, an_operation(ordered), instance=ordered))
    await deaf.close()
    await other.close()

    assert operation.status is OperationStatus.SUCCEEDED


async def test_a_runner_of_another_process_is_woken(postgresql_url: str, world: World, key_ring: KeyRing):
    one = await Database.open(postgresql_url, sealing=key_ring)
    other = await Database.open(postgresql_url, sealing=key_ring)
    ordered = an_instance()

    async with a_runner(one, Imagined(world)):
        async with asyncio.timeout(10):
            await one.wakeups.listening.wait()
        # Less than the shortest time after which it would look by itself.
        operation = await ended(
            other, await accept(other, an_operation(ordered), instance=ordered), within=2.4
        )
    await one.close()
    await other.close()

    assert operation.status is OperationStatus.SUCCEEDED


async def test_a_runner_lives_through_the_loss_of_all_its_connections(
    postgresql_url: str, world: World, key_ring: KeyRing
):
    database = await Database.open(postgresql_url, sealing=key_ring)
    world.tell("hold-create")
    ordered, later = an_instance(), an_instance()

    async with a_runner(database, Imagined(world), lease=timedelta(seconds=3)):
        accepted = await accept(database, an_operation(ordered), instance=ordered)

        async def made():
            return world.count("make") == 1

        await until(made)
        with psycopg.connect(postgresql_url, autocommit=True) as operator:
            operator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        world.unsay("hold-create")
        operation = await ended(database, accepted)
        second = await ended(database, await accept(database, an_operation(later), instance=later))
    await database.close()

    assert operation.status is second.status is OperationStatus.SUCCEEDED
    assert world.count("make") == 2
