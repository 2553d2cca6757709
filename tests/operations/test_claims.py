import asyncio
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import event, select, update

from broker.domain.operations import OperationKind, OperationStatus
from broker.operations import stages
from broker.operations.leases import Lease
from broker.operations.runner import Runner, RunnerOptions
from broker.provisioners.base import FIRST_VERSION, LeaseLost, Next, Outcome
from broker.store import instances, operations, operations_queue
from broker.store.call_meter import CallMeter
from broker.store.database import Database
from broker.store.errors import ClaimLost, Duplicate
from broker.store.sealing import KeyRing
from broker.store.tables import service_instances
from tests.operations.engine import a_runner, accept, ended, until
from tests.operations.imagined import Imagined, World
from tests.store.nouns import an_instance, an_operation, handlers

pytestmark = pytest.mark.anyio

KNOWN = handlers(1)
LEASE = timedelta(seconds=30)
NOTHING = timedelta(0)


async def _claim(
    database: Database, owner: str, *, lease: timedelta = LEASE, at_most: int = 100, known=KNOWN
):
    claimed = await operations_queue.claim(
        database, owner=owner, lease=lease, at_most=at_most, handlers=known
    )
    return list(claimed.claims)


async def _report(database: Database, claim, step: Next) -> None:
    async with database.transaction() as tx:
        held = await operations_queue.hold(tx, claim, with_instance=True)
        changes = stages.advance(held, step, undo_grace=NOTHING, spread=0)
        await operations_queue.save(tx, held, changes, lease=LEASE)


async def test_two_runners_never_hold_one_operation(database: Database):
    for _ in range(30):
        ordered = an_instance()
        await accept(database, an_operation(ordered), instance=ordered)

    async def work(name: str):
        taken = []
        while claims := await _claim(database, name, at_most=3):
            taken += [claim.operation.id for claim in claims]
        return taken

    taken = await asyncio.gather(*(work(f"runner-{number}") for number in range(4)))

    everything = [operation for one in taken for operation in one]
    assert len(everything) == len(set(everything)) == 30


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.FAILED, Outcome.GO_ON])
async def test_a_runner_whose_lease_is_over_can_write_nothing(database: Database, outcome):
    ordered = an_instance()
    await accept(database, an_operation(ordered), instance=ordered)
    (late,) = await _claim(database, "runner-1", lease=NOTHING)
    (current,) = await _claim(database, "runner-2")

    with pytest.raises(ClaimLost):
        await _report(database, late, Next(outcome, record={"written by": "the late one"}))

    async with database.transaction() as tx:
        assert (await instances.by_key(tx, ordered.key)).record == ordered.record
        assert (await operations.get(tx, current.operation.id)).fence == current.operation.fence


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.FAILED])
async def test_a_runner_that_wakes_up_late_cannot_change_a_superseded_operation(database: Database, outcome):
    ordered = an_instance()
    accepted = await accept(database, an_operation(ordered), instance=ordered)
    (late,) = await _claim(database, "runner-1")

    async with database.transaction() as tx:
        ended_then = await operations.supersede(tx, accepted, "Superseded by a deprovision.")
    with pytest.raises(ClaimLost):
        await _report(database, late, Next(outcome))

    assert ended_then.due_at == late.now + LEASE
    assert ended_then.owner == "runner-1"
    async with database.transaction() as tx:
        operation = await operations.get(tx, accepted.id)
    assert (operation.status, operation.description) == (
        OperationStatus.FAILED,
        "Superseded by a deprovision.",
    )


async def test_a_save_that_is_repeated_counts_once(database: Database):
    ordered = an_instance()
    await accept(database, an_operation(ordered), instance=ordered)
    (claim,) = await _claim(database, "runner-1")

    await _report(database, claim, Next(phase="make"))
    with pytest.raises(ClaimLost):
        await _report(database, claim, Next(phase="make"))


async def test_a_renewed_lease_keeps_others_away_and_a_lost_one_is_not_renewed(database: Database):
    ordered = an_instance()
    await accept(database, an_operation(ordered), instance=ordered)
    (claim,) = await _claim(database, "runner-1", lease=NOTHING)

    renewed = await operations_queue.renew(database, [claim.key], owner="runner-1", lease=LEASE)
    stolen = await _claim(database, "runner-2")
    stranger = await operations_queue.renew(database, [claim.key], owner="runner-2", lease=LEASE)

    assert renewed == {claim.key}
    assert stolen == []
    assert stranger == set()


async def test_an_operation_of_a_later_release_is_left_to_it(database: Database):
    ordered = an_instance()
    await accept(database, an_operation(ordered, handler_version=2), instance=ordered)

    assert await _claim(database, "old", known=handlers(1)) == []
    assert len(await _claim(database, "new", known=handlers(1, 2))) == 1


async def test_an_order_that_is_rolled_back_is_never_executed(database: Database, at_work, world: World):
    ordered, other = an_instance(), an_instance()

    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - it is the block's end that matters
        async with database.transaction() as tx:
            await instances.add(tx, ordered)
            await operations.add(tx, an_operation(ordered))
            raise ZeroDivisionError
    await ended(database, await accept(database, an_operation(other), instance=other))

    assert world.living == {f"{other.instance_id}-0"}


async def test_only_one_operation_runs_on_an_instance(database: Database):
    ordered = an_instance()
    await accept(database, an_operation(ordered), instance=ordered)

    with pytest.raises(Duplicate):
        await accept(database, an_operation(ordered))


async def test_an_operation_that_kills_its_runners_ends_and_is_cleaned_up(database: Database, world: World):
    ordered = an_instance()
    accepted = await accept(database, an_operation(ordered), instance=ordered)
    for _ in range(5):
        assert len(await _claim(database, "dies", lease=NOTHING)) == 1

    async with a_runner(database, Imagined(world)):
        operation = await ended(database, accepted)

    assert operation.status is OperationStatus.FAILED
    assert str(accepted.id) in operation.description
    assert world.count("create") == 0


async def test_a_request_does_not_cut_the_lease_of_a_step_in_flight(database: Database):
    ordered = an_instance()
    accepted = await accept(database, an_operation(ordered), instance=ordered)
    (claim,) = await _claim(database, "runner-1")

    async with database.transaction() as tx:
        await operations.save_request(tx, replace(accepted, again=True, due_at=tx.now))

    assert await _claim(database, "runner-2") == []
    async with database.transaction() as tx:
        held = await operations_queue.hold(tx, claim, with_instance=True)
    assert held.operation.again


async def test_a_step_that_hangs_is_handed_back_when_the_runner_has_to_go(database: Database):
    class Hanging:
        handler_versions = FIRST_VERSION
        began = asyncio.Event()

        async def create(self, work):
            self.began.set()
            await asyncio.Event().wait()

    hanging = Hanging()
    ordered = an_instance()
    accepted = await accept(database, an_operation(ordered), instance=ordered)

    async with a_runner(database, hanging, drain=timedelta(milliseconds=50)):
        async with asyncio.timeout(10):
            await hanging.began.wait()

    (again,) = await _claim(database, "runner-2")
    assert again.operation.id == accepted.id


async def test_a_runner_that_has_to_go_makes_way_for_what_has_superseded_its_step(
    database: Database, world: World
):
    class Hanging(Imagined):
        began = asyncio.Event()

        async def create(self, work):
            self.began.set()
            await asyncio.Event().wait()

    ordered = an_instance()
    accepted = await accept(database, an_operation(ordered), instance=ordered)
    async with a_runner(database, Hanging(world), drain=timedelta(milliseconds=50)):
        async with asyncio.timeout(10):
            await Hanging.began.wait()
        async with database.transaction() as tx:
            former = await operations.supersede(tx, accepted, "Superseded by a deprovision.")
            successor = an_operation(ordered, OperationKind.DEPROVISION, due_at=former.due_at)
            await operations.add(tx, successor)

    (started,) = await _claim(database, "runner-2")
    assert started.operation.id == successor.id


async def test_a_long_step_keeps_its_lease(database: Database, world: World):
    class Slow(Imagined):
        async def create(self, work):
            if work.operation.phase == "make":
                await asyncio.sleep(1.5)  # longer than the lease, which the heartbeat renews meanwhile
            return await super().create(work)

    ordered = an_instance()
    accepted = await accept(database, an_operation(ordered), instance=ordered)

    lease = timedelta(seconds=0.9)
    async with (
        a_runner(database, Slow(world), "runner-1", lease=lease),
        a_runner(database, Slow(world), "runner-2", lease=lease),
    ):
        operation = await ended(database, accepted)

    assert operation.status is OperationStatus.SUCCEEDED
    assert world.count("create") == 3


async def test_what_a_dead_process_held_is_taken_up_at_once_where_only_one_can_live(
    sqlite_url: str, key_ring: KeyRing, world: World
):
    ordered = an_instance()
    former = await Database.open(sqlite_url, sealing=key_ring)
    accepted = await accept(former, an_operation(ordered), instance=ordered)
    assert len(await _claim(former, "dies")) == 1
    await former.close()

    database = await Database.open(sqlite_url, sealing=key_ring)
    async with a_runner(database, Imagined(world)):
        operation = await ended(database, accepted, within=10)
    await database.close()

    assert operation.status is OperationStatus.SUCCEEDED


def test_a_lease_lets_no_call_pass_once_it_is_nearly_over():
    now = [100.0]
    lease = Lease(100.0, timedelta(seconds=30), clock=lambda: now[0])

    now[0] = 124.9
    lease.check()
    now[0] = 125.0
    with pytest.raises(LeaseLost):
        lease.check()
    lease.renewed(110.0)
    lease.check()


async def test_what_waits_is_a_row_and_starts_on_time(database: Database, at_work, world: World):
    ordered = an_instance()
    world.tell("hold-create")
    accepted = await accept(database, an_operation(ordered), instance=ordered)

    async def polled():
        return world.count("create") > 4

    await until(polled)
    world.unsay("hold-create")
    await ended(database, accepted, within=5)


async def test_where_thousands_wait_looks_are_taken_up_together(database: Database, world: World):
    world.tell("hold-create")
    for _ in range(20):
        ordered = an_instance()
        await accept(database, an_operation(ordered), instance=ordered)
    meter, claims = CallMeter(), []
    meter.counted({"a subscription": 10_000})
    runner = Runner(database, {"imagined": Imagined(world)}, RunnerOptions(name="runner-1"), meter=meter)

    def executing(_connection, _cursor, statement, *_more):
        if statement.startswith("UPDATE operations SET") and "claims + " in statement:
            claims.append(statement)

    async def looked(times):
        goal = world.count("create") + times
        async with asyncio.timeout(20):
            while world.count("create") < goal:
                await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        group.create_task(runner.run())
        await looked(60)
        event.listen(database._writing.sync_engine, "before_cursor_execute", executing)
        began = time.monotonic()
        await looked(100)
        took = time.monotonic() - began
        runner.stop()

    # Each wants to look again after 20 ms, and four times a second is often enough.
    assert 1 <= len(claims) <= 6 * took + 3


async def test_a_value_that_does_not_open_holds_up_its_own_operation_alone(
    database: Database, at_work, world: World
):
    broken, whole = an_instance(), an_instance()
    async with database.transaction() as tx:
        await instances.add(tx, broken)
        whose = service_instances.c.key == broken.key
        sealed = (await tx.execute(select(service_instances.c.asked_sealed).where(whose))).scalar_one()
        await tx.execute(
            update(service_instances).where(whose).values(asked_sealed=sealed[:-1] + bytes([sealed[-1] ^ 1]))
        )
        held_up = an_operation(broken, created_at=tx.now, due_at=tx.now)
        await operations.add(tx, held_up)

    other = await ended(database, await accept(database, an_operation(whole), instance=whole))
    async with database.transaction() as tx:
        then = await operations.get(tx, held_up.id)
        await tx.execute(update(service_instances).where(whose).values(asked_sealed=sealed))
        await operations.save_request(tx, replace(then, due_at=tx.now))

    assert other.status is OperationStatus.SUCCEEDED
    assert then.status is OperationStatus.IN_PROGRESS
    assert "cannot be opened" in then.description
    assert (then.owner, then.claims) == (None, 0)
    assert (await ended(database, held_up)).status is OperationStatus.SUCCEEDED
