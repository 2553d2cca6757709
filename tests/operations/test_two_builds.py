"""Two builds of the broker at work on one database, one of which knows less than the other."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from broker.domain.handlers import Handlers
from broker.domain.instances import Configuration, InstanceState
from broker.domain.operations import Operation, OperationKind, OperationStatus, Stage
from broker.operations.unhandled import UnhandledWatch
from broker.store import bindings, instances, operations
from broker.store.database import Database
from broker.store.sealing import KeyRing
from tests.operations.engine import a_runner, accept, ended, until
from tests.operations.imagined import Imagined, World
from tests.store.nouns import a_binding, an_instance, an_operation, handlers

pytestmark = pytest.mark.anyio

SOON = timedelta(milliseconds=50)


class Old(Imagined):
    handler_versions = dict.fromkeys(OperationKind, frozenset({1}))


class New(Imagined):
    handler_versions = dict.fromkeys(OperationKind, frozenset({1, 2}))


async def another(database: Database, url: str, key_ring: KeyRing) -> Database:
    """The database as another process opens it; SQLite serves one process alone."""
    if database.kind == "sqlite":
        return database
    return await Database.open(url, sealing=key_ring, broker_id="test")


async def its_time_is_over(database: Database, operation: Operation) -> None:
    async with database.transaction() as tx:
        await operations.save_request(tx, replace(operation, deadline_at=tx.now))


async def test_two_builds_share_the_work_and_none_takes_what_it_does_not_know(
    database: Database, database_url: str, key_ring: KeyRing, world: World
):
    other = await another(database, database_url, key_ring)
    old, new = Old(world), New(world)
    ordered = [an_instance() for _ in range(20)]

    async with a_runner(database, old, "old"), a_runner(other, new, "new"):
        accepted = [
            await accept(database, an_operation(one, handler_version=1 + number % 2), instance=one)
            for number, one in enumerate(ordered)
        ]

        async def all_ended():
            async with database.transaction(read_only=True) as tx:
                return not [one for one in ordered if await operations.running_on_instance(tx, one.key)]

        await until(all_ended)
    async with database.transaction() as tx:
        done = [await operations.get(tx, one.id) for one in accepted]
    if other is not database:
        await other.close()
    assert {operation.status for operation in done} == {OperationStatus.SUCCEEDED}
    assert world.living == {f"{one.instance_id}-0" for one in ordered}
    assert world.count("make") == len(ordered)
    assert {work.operation.handler_version for work in old.works} <= {1}
    assert 2 in {work.operation.handler_version for work in new.works}


async def test_what_the_old_build_has_begun_is_ended_by_the_new_one_and_not_the_other_way_round(
    database: Database, world: World
):
    world.tell("hold-create")
    ordered = an_instance(), an_instance()
    async with a_runner(database, New(world), "new"):
        accepted = [
            await accept(database, an_operation(one, handler_version=version), instance=one)
            for version, one in enumerate(ordered, start=1)
        ]

        async def both_begun():
            return world.count("make") == 2

        await until(both_begun)
    world.unsay("hold-create")

    async with a_runner(database, Old(world), "old"):
        first = await ended(database, accepted[0])
        async with database.transaction() as tx:
            second = await operations.get(tx, accepted[1].id)
    assert first.status is OperationStatus.SUCCEEDED
    assert (second.status, second.owner) == (OperationStatus.IN_PROGRESS, None)

    async with a_runner(database, New(world), "new again"):
        second = await ended(database, accepted[1])
    assert second.status is OperationStatus.SUCCEEDED
    assert world.count("make") == 2


@pytest.mark.parametrize("stage", [Stage.WAITING, Stage.WORKING])
async def test_an_operation_that_nobody_knows_fails_once_its_deadline_is_over(
    database: Database, world: World, stage: Stage
):
    ordered = an_instance()
    operation = an_operation(ordered, handler_version=2, stage=stage)
    async with a_runner(database, Old(world), unhandled_after=SOON):
        accepted = await accept(database, operation, instance=ordered)
        await asyncio.sleep(10 * SOON.total_seconds())  # it is seen several times, and left alone
        async with database.transaction() as tx:
            early = await operations.get(tx, accepted.id)
        await its_time_is_over(database, early)
        late = await ended(database, accepted)
    async with database.transaction() as tx:
        instance = await instances.by_key(tx, ordered.key)

    assert early.status is OperationStatus.IN_PROGRESS
    assert late.status is OperationStatus.FAILED
    assert "no runner of the broker knows the provisioner 'imagined' in version 2" in late.description
    assert instance.state is InstanceState.CREATE_FAILED
    assert world.calls == []


async def test_a_clean_up_that_nobody_knows_is_given_its_grace(database: Database, world: World):
    ordered = an_instance()
    operation = an_operation(ordered, handler_version=2, stage=Stage.UNDOING, failure="There was no quota.")
    async with a_runner(database, Old(world), unhandled_after=SOON, undo_grace=timedelta(seconds=1)):
        accepted = await accept(database, operation, instance=ordered)
        await its_time_is_over(database, accepted)
        late = await ended(database, accepted)

    assert late.finished_at - late.deadline_at >= timedelta(seconds=1)
    assert late.description.startswith("There was no quota. Service instance")


async def test_a_bind_that_nobody_knows_fails_and_can_be_unbound(database: Database, world: World):
    ordered = an_instance(state=InstanceState.READY, applied=Configuration("a-plan"), asked=None)
    binding = a_binding(ordered)
    ids = {"binding_id": binding.binding_id, "binding_key": binding.key}
    bind = an_operation(ordered, OperationKind.BIND, handler_version=2, stage=Stage.WORKING, **ids)
    unbind = an_operation(ordered, OperationKind.UNBIND, stage=Stage.WORKING, **ids)
    async with a_runner(database, Old(world), unhandled_after=SOON):
        accepted = await accept(database, bind, instance=ordered, binding=binding)
        await its_time_is_over(database, accepted)
        late = await ended(database, accepted)
        unbound = await ended(database, await accept(database, unbind))
    async with database.transaction() as tx:
        left = await bindings.of_instance(tx, ordered.key)

    assert late.status is OperationStatus.FAILED
    assert unbound.status is OperationStatus.SUCCEEDED
    assert left == []


async def test_an_unbind_that_a_deprovision_orders_has_the_newest_version(database: Database, world: World):
    ordered = an_instance(state=InstanceState.READY, applied=Configuration("a-plan"), asked=None)
    deprovision = an_operation(ordered, OperationKind.DEPROVISION, handler_version=1)
    database.handlers = handlers(1, 2)
    async with a_runner(database, new := New(world), "new"):
        accepted = await accept(database, deprovision, instance=ordered, binding=a_binding(ordered))
        done = await ended(database, accepted)

    assert done.status is OperationStatus.SUCCEEDED
    versions = {work.operation.kind: work.operation.handler_version for work in new.works}
    assert versions == {OperationKind.UNBIND: 2, OperationKind.DEPROVISION: 1}


async def test_an_operator_is_told_of_what_this_build_does_not_know(database: Database, capfd):
    ordered = [an_instance() for _ in range(3)]
    counts = []
    watch = UnhandledWatch(database, handlers(1), counted=counts.append, by=SOON, every=SOON)
    task = asyncio.create_task(watch.run())
    assert await watch.note() is None
    await accept(database, an_operation(ordered[0]), instance=ordered[0])
    for one in ordered[1:]:
        await accept(database, an_operation(one, handler_version=2), instance=one)

    async def noted():
        return counts.count(2) >= 3

    await until(noted)
    said = await watch.note()
    async with database.transaction() as tx:
        for one in ordered:
            running = await operations.running_on_instance(tx, one.key)
            await operations.supersede(tx, running, "Ended.")

    async def forgotten():
        return await watch.note() is None

    await until(forgotten)
    task.cancel()
    assert "2 of imagined provision version 2" in said
    assert capfd.readouterr().out.count("Operations are overdue that this build cannot carry on.") == 1


@pytest.mark.parametrize(("known", "version"), [(handlers(1), 1), (handlers(1, 2), 2), (Handlers(), 1)])
async def test_an_operation_is_accepted_in_the_newest_version_of_its_build(
    database: Database, known, version
):
    database.handlers = known
    ordered = an_instance()

    accepted = await accept(database, an_operation(ordered, handler_version=None), instance=ordered)

    async with database.transaction() as tx:
        assert (await operations.get(tx, accepted.id)).handler_version == version
