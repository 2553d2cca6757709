"""Another runner has taken an operation over while this one was about to change something: it must not."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from structlog.testing import capture_logs

from broker.domain.operations import OperationKind, OperationStatus
from broker.operations.leases import Lease
from broker.provisioners.base import LeaseLost
from broker.store import fences, operations
from broker.store.database import Database
from tests.chaos.clocks import PostgreSqlClock
from tests.operations.engine import a_runner, accept, ended, until
from tests.operations.imagined import Imagined, World
from tests.store.nouns import an_instance, an_operation

pytestmark = pytest.mark.anyio

LEASE = timedelta(seconds=30)


class Asking(Imagined):
    """Is told that its resource is not there, and that answer is late."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.told, self.answered = asyncio.Event(), asyncio.Event()

    async def asked(self, name: str) -> None:
        self.told.set()
        await self.answered.wait()


@pytest.fixture
async def processes(postgresql_url, key_ring):
    """A clock that jumps, and two processes' own ways to one database."""
    clock = PostgreSqlClock(postgresql_url)
    clock.install()
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(2):
            database = await Database.open(postgresql_url, sealing=key_ring, broker_id="test")
            stack.push_async_callback(database.close)
            opened.append(database)
        yield clock, *opened


async def test_nothing_is_made_twice_when_the_clock_ends_a_lease_between_question_and_deed(processes, world):
    clock, first, second = processes
    ordered, asking = an_instance(), Asking(world)
    accepted = await accept(first, an_operation(ordered), instance=ordered)

    async with a_runner(first, asking, "the first", lease=LEASE) as early:
        async with asyncio.timeout(20):
            await asking.told.wait()
        clock.jump(2 * LEASE)
        async with a_runner(second, Imagined(world), "the second", lease=LEASE):
            operation = await ended(second, accepted)
        asking.answered.set()

        async def given_up():
            return early.in_flight == 0

        await until(given_up)

    assert operation.status is OperationStatus.SUCCEEDED
    assert world.count("make") == 1


async def test_a_lease_that_the_clock_has_ended_is_renewed_before_a_deed_if_nobody_was_quicker(
    processes, world
):
    clock, first, second = processes
    ordered, asking = an_instance(), Asking(world)
    accepted = await accept(first, an_operation(ordered), instance=ordered)
    made = asyncio.Event()

    class Making(Asking):
        async def _make(self, *how, **more):
            step = await super()._make(*how, **more)
            if step.phase == "look" and not made.is_set():
                made.set()
                await asyncio.Event().wait()  # The call has been made, and the step does not end.
            return step

    asking = Making(world)
    async with a_runner(first, asking, "the first", lease=LEASE, drain=timedelta(0)):
        async with asyncio.timeout(20):
            await asking.told.wait()
        clock.jump(2 * LEASE)
        asking.answered.set()
        async with asyncio.timeout(20):
            await made.wait()
        async with second.transaction(read_only=True) as tx:
            held = await operations.get(tx, accepted.id)
        left = await fences.time_left(second, held)

    assert held.owner == "the first"
    assert left > LEASE / 2, "whoever looks now leaves it to the first one"
    assert world.count("make") == 1


async def test_a_deed_is_left_undone_when_a_deletion_has_taken_the_operations_place(database, world):
    ordered, asking = an_instance(), Asking(world)
    accepted = await accept(database, an_operation(ordered), instance=ordered)

    async with a_runner(database, asking, lease=LEASE):
        async with asyncio.timeout(20):
            await asking.told.wait()
        async with database.transaction() as tx:
            former = await operations.supersede(tx, accepted, "Superseded by a deprovision.")
            deletion = an_operation(ordered, OperationKind.DEPROVISION, due_at=former.due_at)
            await operations.add(tx, deletion)
        asking.answered.set()
        operation = await ended(database, deletion)

    assert operation.status is OperationStatus.SUCCEEDED
    assert world.count("make") == 0


async def test_a_deed_waits_while_the_database_cannot_say_whose_the_operation_is(
    processes, world, postgresql_url, postgres_dsn
):
    _, first, _ = processes
    ordered, asking = an_instance(), Asking(world)
    accepted = await accept(first, an_operation(ordered), instance=ordered)
    name = str(conninfo_to_dict(postgresql_url)["dbname"])
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")

    async with a_runner(first, asking, lease=LEASE):
        async with asyncio.timeout(20):
            await asking.told.wait()
        with psycopg.connect(postgres_dsn, autocommit=True) as server, capture_logs() as logs:
            server.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            asking.answered.set()

            async def waits():
                return any("a change in Azure waits" in line["event"] for line in logs)

            await until(waits)
            made_meanwhile = world.count("make")
            server.execute(allow.format(sql.Identifier(name), sql.SQL("true")))
        operation = await ended(first, accepted)

    assert made_meanwhile == 0
    assert operation.status is OperationStatus.SUCCEEDED


class Hanging(Imagined):
    """Begins a creation that never answers, after it was let change something or not."""

    def __init__(self, world, *, changing):
        super().__init__(world)
        self.began = asyncio.Event()
        self._changing = changing

    async def create(self, work):
        if self._changing:
            await work.before_change()
        self.began.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("changing", [False, True])
async def test_a_step_that_is_cut_off_in_a_change_is_left_to_its_lease(database, world, changing):
    hanging = Hanging(world, changing=changing)
    ordered = an_instance()
    accepted = await accept(database, an_operation(ordered), instance=ordered)
    async with a_runner(database, hanging, lease=LEASE, drain=timedelta(milliseconds=50)):
        async with asyncio.timeout(20):
            await hanging.began.wait()
    async with database.transaction() as tx:
        operation = await operations.get(tx, accepted.id)
        left = operation.due_at - tx.now

    # Its call may be taken in yet: whoever asked now would be told that nothing is there, and make it again.
    assert (operation.owner is not None, left > timedelta(0)) == (changing, changing)


@pytest.mark.parametrize("changing", [False, True])
async def test_a_deletion_starts_at_once_after_a_step_over_its_limit_unless_that_changed_something(
    database, world, changing
):
    hanging = Hanging(world, changing=changing)
    ordered = an_instance()
    accepted = await accept(database, an_operation(ordered), instance=ordered)
    limit = timedelta(seconds=0.5)
    async with a_runner(database, hanging, lease=LEASE, step_limit=limit):
        async with asyncio.timeout(20):
            await hanging.began.wait()
        async with database.transaction() as tx:
            former = await operations.supersede(tx, accepted, "Superseded by a deprovision.")
            deletion = an_operation(ordered, OperationKind.DEPROVISION, due_at=former.due_at)
            await operations.add(tx, deletion)
        with capture_logs() as logs:

            async def lost():
                return any(
                    "was superseded" in line["event"] or "lease was lost" in line["event"] for line in logs
                )

            await until(lost)
    async with database.transaction(read_only=True) as tx:
        due_at = (await operations.get(tx, deletion.id)).due_at

    # What it was about to make may be made yet.
    assert (due_at == former.due_at) == changing


async def test_a_step_is_cut_off_at_the_end_of_a_lease_that_nobody_renews():
    lease = Lease(asyncio.get_running_loop().time(), timedelta(seconds=0.3))

    with pytest.raises(LeaseLost):
        async with lease.bounding(timedelta(seconds=60)):
            await asyncio.Event().wait()


async def test_a_step_outlasts_a_lease_that_is_renewed_and_ends_at_its_own_limit():
    clock = asyncio.get_running_loop().time
    began = clock()
    lease = Lease(began, timedelta(seconds=0.3))

    async def renewed():
        while True:
            await asyncio.sleep(0.1)
            lease.renewed(clock())

    renewing = asyncio.create_task(renewed())
    with pytest.raises(TimeoutError):
        async with lease.bounding(timedelta(seconds=0.6)):
            await asyncio.Event().wait()
    renewing.cancel()

    assert clock() - began > 0.5
