"""The phase `check` of a creation: what is left, and of whom, when it ends without anything being made."""

from dataclasses import replace
from datetime import timedelta

import pytest

from broker.domain.instances import InstanceState
from broker.domain.operations import CHECK, OperationKind, OperationStatus, Refusal, Stage
from broker.provisioners.base import Next, Outcome, StepFailed
from broker.store import instances, operations
from tests.operations.engine import a_runner, accept, ended, until
from tests.operations.imagined import Imagined
from tests.store.nouns import an_instance, an_operation

pytestmark = pytest.mark.anyio


class Checking(Imagined):
    """`refuse`: the order is refused; `give-up`: what was asked does not answer, for good. Else it goes on looking."""

    async def create(self, work):
        if work.operation.phase != CHECK:
            return await super().create(work)
        if self.world.told("give-up"):
            raise StepFailed("Nobody answered.", retryable=False)
        if self.world.told("refuse"):
            refusal = Refusal("QuotaExceeded", never=False)
            return Next(Outcome.FAILED, description="There is no room.", unmade=True, refusal=refusal)
        return Next(phase=CHECK, delay=timedelta(milliseconds=20), description="Asking")


def a_check(instance, **state):
    return an_operation(instance, phase=CHECK, stage=Stage.WORKING, state=state)


async def living(database, *those):
    async with database.transaction(read_only=True) as tx:
        return [await instances.by_key(tx, each.key) for each in those]


async def test_what_was_ordered_on_an_instance_that_is_refused_fails_with_it_and_can_be_deleted(
    database, world
):
    parent = an_instance()
    children = [an_instance(parent_key=parent.key) for _ in range(2)]

    async with a_runner(database, Checking(world)):
        checked = await accept(database, a_check(parent), instance=parent)
        on_it = [await accept(database, an_operation(child), instance=child) for child in children]

        async def waits():
            async with database.transaction(read_only=True) as tx:
                told = [(await operations.get(tx, each.id)).description for each in on_it]
            return all("Waiting for parent" in each for each in told)

        await until(waits)
        world.tell("refuse")
        refused = await ended(database, checked)
        failed = [await ended(database, each) for each in on_it]

        assert refused.refusal == Refusal("QuotaExceeded", never=False)
        assert [each.status for each in failed] == [OperationStatus.FAILED] * 2
        assert all("There is no room." in each.description for each in failed)
        gone, *left = await living(database, parent, *children)
        assert gone is None
        assert [(each.state, each.parent_key) for each in left] == [(InstanceState.CREATE_FAILED, None)] * 2

        for child in left:
            deleted = await accept(database, an_operation(child, kind=OperationKind.DEPROVISION))
            assert (await ended(database, deleted)).status is OperationStatus.SUCCEEDED
    assert await living(database, parent, *children) == [None] * 3


@pytest.mark.parametrize("how", ["answer", "deadline", "cancellation"])
async def test_a_dry_run_leaves_no_instance_however_it_ends(database, world, how):
    instance = an_instance()

    async with a_runner(database, Checking(world)):
        dry = await accept(database, a_check(instance, dry_run=True), instance=instance)
        async with database.transaction() as tx:
            if how == "answer":
                world.tell("give-up")
            elif how == "deadline":
                await operations.save_request(tx, replace(dry, deadline_at=tx.now))
            else:
                await operations.save_request(tx, replace(dry, cancel_requested_at=tx.now))
        failed = await ended(database, dry)

    assert failed.status is OperationStatus.FAILED
    assert await living(database, instance) == [None]
