"""Orders, failures and crashes in any order: what is true at the end, and at every moment."""

import asyncio
import contextlib
import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from broker.domain.instances import InstanceState
from broker.domain.operations import OperationKind, OperationStatus
from broker.operations.runner import Runner, RunnerOptions
from broker.provisioners.base import Next, Outcome, StepFailed
from broker.store import instances, operations, resources
from broker.store.database import Database
from broker.store.errors import Duplicate
from broker.store.tables import operations as table
from tests.operations.engine import until
from tests.operations.imagined import Imagined, World
from tests.store.nouns import an_instance, an_operation

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


class Whimsical(Imagined):
    """Fails in all ways, but seldom enough that all ends well before the deadline."""

    def __init__(self, world: World, whims: random.Random) -> None:
        super().__init__(world)
        self.whims = whims

    async def create(self, work) -> Next:
        await self._whim()
        step = await super().create(work)
        if step.outcome is Outcome.DONE and self.whims.random() < 0.2:
            return Next(Outcome.FAILED, description="There is no quota.")
        return step

    async def delete(self, work) -> Next:
        await self._whim()
        return await super().delete(work)

    async def _whim(self) -> None:
        await asyncio.sleep(self.whims.random() * 0.01)
        drawn = self.whims.random()
        if drawn < 0.05:
            raise ZeroDivisionError
        if drawn < 0.1:
            raise StepFailed("The cloud is tired.", retryable=True, retry_after=timedelta(milliseconds=10))


async def _order(database: Database, kind: OperationKind, instance) -> None:
    """Order as a platform does; a deprovision takes the place of a running provision."""
    with contextlib.suppress(Duplicate):
        async with database.transaction() as tx:
            living = await instances.locked(tx, instance.platform, instance.instance_id)
            running = living and await operations.running_on_instance(tx, living.key)
            if kind is OperationKind.PROVISION and living is None:
                generation = await instances.next_generation(tx, instance.platform, instance.instance_id)
                await instances.add(tx, replace(instance, generation=generation))
                await operations.add(tx, an_operation(instance, created_at=tx.now, due_at=tx.now))
            elif (
                kind is OperationKind.PROVISION
                and running is None
                and living.state is InstanceState.CREATE_FAILED
            ):
                await instances.save(tx, replace(living, state=InstanceState.CREATING))
                await operations.add(tx, an_operation(living, created_at=tx.now, due_at=tx.now))
            elif kind is OperationKind.DEPROVISION and living is not None:
                due_at = tx.now
                if running is not None and running.kind is OperationKind.PROVISION:
                    former = await operations.supersede(tx, running, "Superseded.")
                    due_at = max(tx.now, former.due_at) if former.owner else tx.now
                elif running is not None:
                    return
                await instances.save(tx, replace(living, state=InstanceState.DELETING))
                await operations.add(tx, an_operation(living, kind, created_at=tx.now, due_at=due_at))


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_all_ends_and_what_lives_is_on_record(
    database: Database, world: World, seed: int
):
    whims, over = random.Random(seed), asyncio.Event()
    ordered = [an_instance() for _ in range(6)]

    async def crashing_runner(number: int) -> None:
        lives = 0
        while not over.is_set():
            lives += 1
            options = RunnerOptions(name=f"runner-{number}-{lives}", lease=timedelta(seconds=0.6))
            task = asyncio.create_task(Runner(database, {"imagined": Whimsical(world, whims)}, options).run())
            await asyncio.sleep(whims.uniform(0.1, 0.8))
            # As abrupt as it gets within one process: nothing is finished, nothing handed back.
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def fences_rise() -> None:
        seen: dict = {}
        while not over.is_set():
            async with database.transaction(read_only=True) as tx:
                rows = list(await tx.execute(select(table.c.id, table.c.fence, table.c.status)))
                running = await tx.execute(
                    select(func.count())
                    .where(table.c.status == "in progress", table.c.binding_key.is_(None))
                    .group_by(table.c.instance_key)
                )
            assert all(count == 1 for count in running.scalars())
            for row in rows:
                fence, status = seen.get(row.id, (0, "in progress"))
                assert row.fence >= fence
                assert status in {"in progress", row.status}, "what has ended never changes"
                seen[row.id] = (row.fence, row.status)
            await asyncio.sleep(0.02)

    async def nothing_runs() -> bool:
        async with database.transaction(read_only=True) as tx:
            running = select(func.count()).where(table.c.status == OperationStatus.IN_PROGRESS.value)
            return (await tx.execute(running)).scalar_one() == 0

    async with asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(crashing_runner(number))
        group.create_task(fences_rise())
        for _ in range(40):
            kind = whims.choice([OperationKind.PROVISION, OperationKind.PROVISION, OperationKind.DEPROVISION])
            await _order(database, kind, replace(whims.choice(ordered), key=an_instance().key))
            await asyncio.sleep(whims.uniform(0, 0.05))
        await until(nothing_runs, seconds=60)
        over.set()

    recorded = set()
    async with database.transaction(read_only=True) as tx:
        for instance in ordered:
            living = await instances.get(tx, instance.platform, instance.instance_id)
            if living is None:
                continue
            found = {
                one.resource_id for one in await resources.of_instance(tx, living.key) if one.gone_at is None
            }
            assert len(found) == (1 if living.state is InstanceState.READY else 0), living.state
            recorded |= found
    assert world.living == recorded
    made = Counter(name for call, name in world.calls if call == "make")
    assert set(made.values()) <= {1}, "no creation was repeated"
