"""What kills its runners or breaks again and again is put aside, with a reference, and can be retried."""

import signal
from datetime import timedelta

import pytest

from broker.domain.catalog import Catalog
from broker.domain.instances import InstanceState
from broker.domain.operations import OperationKind, OperationStatus, Stage
from broker.domain.operators import Deed, Operator
from broker.lifecycle.administration.operations import OperationAdministration
from broker.operations.retrying import CLAIMS_AT_MOST, UNFORESEEN_AT_MOST
from broker.store import instances, operations
from broker.store.database import Database
from tests.operations.engine import a_runner, accept, ended
from tests.operations.imagined import Imagined, World
from tests.operations.test_crashes import opened, start
from tests.operations.test_stages import READY
from tests.store.nouns import an_instance, an_operation

pytestmark = pytest.mark.anyio


class NoCatalog:
    def current(self) -> Catalog:
        return Catalog(())


@pytest.mark.slow
async def test_what_has_killed_five_processes_is_put_aside_and_cleaned_up(sqlite_url: str, world: World):
    ordered = an_instance()
    database = await opened(sqlite_url)
    accepted = await accept(database, an_operation(ordered), instance=ordered)
    await database.close()

    # The first one dies over its second step; the others make no progress.
    for _ in range(1 + CLAIMS_AT_MOST):
        assert start(sqlite_url, world, "before call").wait(30) == -signal.SIGKILL
    database = await opened(sqlite_url)
    async with a_runner(database, Imagined(world), "the one that lives"):
        operation = await ended(database, accepted)
    async with database.transaction() as tx:
        instance = await instances.by_key(tx, ordered.key)
    await database.close()

    assert operation.status is OperationStatus.FAILED
    assert f"the broker stopped {CLAIMS_AT_MOST} times" in operation.description
    assert str(accepted.id) in operation.description
    assert instance.state is InstanceState.CREATE_FAILED
    assert world.living == set()
    assert world.count("guarded call") == 1 + CLAIMS_AT_MOST, "the one that lives has not tried it again"


async def test_a_deletion_that_breaks_twenty_times_is_put_aside_and_an_operator_retries_it(
    database: Database, at_work, world: World
):
    world.tell("raise-delete")
    ordered = an_instance(**READY)
    # Nineteen tries with their delays would take a quarter of an hour.
    broken = an_operation(
        ordered, OperationKind.DEPROVISION, stage=Stage.WORKING, errors=UNFORESEEN_AT_MOST - 1
    )
    accepted = await accept(database, broken, instance=ordered)

    aside = await ended(database, accepted)
    async with database.transaction() as tx:
        left = await instances.by_key(tx, ordered.key)
    world.unsay("raise-delete")
    told = await OperationAdministration(database, NoCatalog()).retry(
        accepted.id, Deed(Operator("alice", may_act=True), "The cause is mended.")
    )
    async with database.transaction() as tx:
        again = await operations.get(tx, told.operations[0])
    ended_well = again if again.finished else await ended(database, again)

    assert aside.status is OperationStatus.FAILED
    assert f"operation {accepted.id}" in aside.description
    assert "secret" not in aside.description
    assert left.state is InstanceState.DELETE_FAILED
    assert world.count("delete") == 2
    assert ended_well.status is OperationStatus.SUCCEEDED
    async with database.transaction() as tx:
        assert await instances.by_key(tx, ordered.key) is None


async def test_a_child_gives_up_at_its_deadline_and_says_for_whom_and_since_when_it_waited(
    database: Database, at_work, world: World
):
    world.tell("hold-create")
    parent = an_instance(alias="main")
    child = an_instance(parent_key=parent.key)
    first = await accept(database, an_operation(parent), instance=parent)
    async with database.transaction() as tx:
        deadline = tx.now + timedelta(seconds=1)
    second = await accept(database, an_operation(child, deadline_at=deadline), instance=child)

    gave_up = await ended(database, second)
    world.unsay("hold-create")

    assert gave_up.status is OperationStatus.FAILED
    assert "did not end within" in gave_up.description
    assert "Waiting for parent 'main', creating since " in gave_up.description
    assert (await ended(database, first)).status is OperationStatus.SUCCEEDED
