import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from broker.domain.instances import InstanceState
from broker.domain.inventory import ORPHANS
from broker.domain.operations import ExternalResource, OperationKind, OperationStatus, Stage
from broker.store import audit, catalogs, instances, operations, operations_queue, resources
from broker.store.database import Database
from broker.store.errors import ClaimLost, Duplicate
from broker.store.overview import overview
from broker.store.pruning import prune
from broker.store.tables import audit as audit_table
from broker.store.tables import history as history_table
from broker.store.tables import operations as operations_table
from tests.store.nouns import NOON, a_binding, an_instance, an_operation, handlers

pytestmark = pytest.mark.anyio


async def _accepted(database: Database, *accepted):
    async with database.transaction() as tx:
        for operation in accepted:
            await operations.add(tx, operation)


async def test_an_operation_comes_back_exactly_as_it_was_accepted(database: Database):
    instance = an_instance()
    operation = an_operation(
        instance, request_identity="r-1", subscription="s", state={"a": [1, {"b": None}]}
    )

    await _accepted(database, operation)

    async with database.transaction(read_only=True) as tx:
        assert await operations.get(tx, operation.id) == operation
        assert await operations.running_on_instance(tx, instance.key) == operation
        assert await operations.last_of_instance(tx, instance.platform, instance.instance_id) == operation
        assert await operations.last_of_instance(tx, "other", instance.instance_id) is None


async def test_bindings_of_one_instance_are_worked_on_side_by_side(database: Database):
    instance = an_instance()
    first, second = a_binding(instance), a_binding(instance)
    binds = [
        an_operation(instance, OperationKind.BIND, binding_key=one.key, binding_id=one.binding_id)
        for one in (first, second)
    ]

    await _accepted(database, an_operation(instance), *binds)

    with pytest.raises(Duplicate):
        await _accepted(database, replace(binds[0], id=uuid4()))
    async with database.transaction() as tx:
        assert {one.id for one in await operations.running_binds(tx, instance.key)} == {
            one.id for one in binds
        }
        assert (await operations.running_on_binding(tx, first.key)).id == binds[0].id
        last = await operations.last_of_binding(
            tx, instance.platform, instance.instance_id, second.binding_id
        )
        assert last.id == binds[1].id


async def test_a_poll_finds_the_operation_of_this_platform_and_resource_only(database: Database):
    instance = an_instance()
    binding = a_binding(instance)
    operation = an_operation(instance, description="Working.")
    bind = an_operation(instance, OperationKind.BIND, binding_key=binding.key, binding_id=binding.binding_id)
    await _accepted(database, operation, bind)
    platform, instance_id = instance.platform, instance.instance_id

    answer = await operations.poll(database, platform, instance_id, None, operation.id)

    assert answer == await operations.poll(database, platform, instance_id)
    assert (answer.status, answer.kind, answer.description) == (operation.status, operation.kind, "Working.")
    assert (answer.due_at, answer.finished_at, answer.instance_usable) == (operation.due_at, None, None)
    assert (
        await operations.poll(database, platform, instance_id, binding.binding_id)
    ).kind is OperationKind.BIND
    assert (
        await operations.poll(database, platform, instance_id, binding.binding_id, bind.id)
    ).kind is bind.kind
    assert await operations.poll(database, "other", instance_id, None, operation.id) is None
    assert await operations.poll(database, platform, instance_id, binding.binding_id, operation.id) is None
    assert await operations.poll(database, platform, instance_id, None, bind.id) is None
    assert await operations.poll(database, platform, instance_id, None, uuid4()) is None


async def test_an_operation_is_superseded_once(database: Database):
    instance = an_instance()
    operation = an_operation(instance)
    await _accepted(database, operation)

    async with database.transaction() as tx:
        ended = await operations.supersede(tx, operation, "Another took its place.")
        await operations.supersede(tx, operation, "And again.")
        successor = an_operation(instance, OperationKind.DEPROVISION)
        await operations.add(tx, successor)

    async with database.transaction() as tx:
        stored = await operations.get(tx, operation.id)
        assert stored.status is ended.status is OperationStatus.FAILED
        assert stored.description == "Another took its place."
        assert stored.finished_at is not None
        assert (await operations.running_on_instance(tx, instance.key)).id == successor.id


async def test_whoever_awaits_an_operation_is_told_of_its_end_and_not_of_its_beginning(database: Database):
    operation = an_operation(an_instance())
    if database.kind == "postgresql":
        async with asyncio.timeout(10):
            await database.wakeups.listening.wait()

    with database.wakeups.finished(operation.id) as awaited:
        await _accepted(database, operation)
        assert not await awaited.wait(timedelta(milliseconds=50))
        async with database.transaction() as tx:
            await operations.supersede(tx, operation, "Ended.")
        assert await awaited.wait(timedelta(seconds=5))


async def test_resources_are_written_down_once_and_live_again(database: Database):
    instance = an_instance()
    one = ExternalResource(instance.key, "/servers/one", "2026-01-01", 1)
    other = ExternalResource(instance.key, "/servers/one/databases/two", "2026-01-01", 2, binding_key=uuid4())

    async with database.transaction() as tx:
        await resources.note(tx, [other, one])
        await resources.note(tx, [replace(one, api_version="2026-02-02")])
        await resources.gone(tx, instance.key, [one.resource_id])
    async with database.transaction() as tx:
        after = await resources.of_instance(tx, instance.key)
        of_binding = await resources.of_binding(tx, other.binding_key)
        await resources.note(tx, [one])
        again = await resources.of_instance(tx, instance.key)

    assert [resource.resource_id for resource in after] == [one.resource_id, other.resource_id]
    assert after[0].api_version == "2026-02-02"
    assert after[0].gone_at is not None
    assert of_binding == [after[1]]
    assert again[0].gone_at is None


async def test_an_orphan_is_not_taken_up_while_a_step_of_its_deletion_is_under_way(database: Database):
    orphan = an_instance(platform=ORPHANS, state=InstanceState.DELETING)
    taker = an_instance()
    left = ExternalResource(orphan.key, "/servers/Left", "2026-01-01", 0)
    deletion = an_operation(orphan, OperationKind.DEPROVISION, due_at=NOON)
    async with database.transaction() as tx:
        await instances.add(tx, orphan)
        await resources.note(tx, [left])
        await operations.add(tx, deletion)
    (claim,) = (
        await operations_queue.claim(
            database, owner="r", lease=timedelta(seconds=30), at_most=1, handlers=handlers(1)
        )
    ).claims

    with pytest.raises(ClaimLost):
        async with database.transaction() as tx:
            await resources.note(tx, [replace(left, instance_key=taker.key, resource_id="/servers/left")])
    async with database.transaction(read_only=True) as tx:
        assert await resources.of_instance(tx, taker.key) == []
    await operations_queue.hand_back(database, [(deletion.id, claim.operation.fence)], owner="r")
    async with database.transaction() as tx:
        await resources.note(tx, [replace(left, instance_key=taker.key, resource_id="/servers/left")])

    async with database.transaction(read_only=True) as tx:
        assert await resources.of_instance(tx, orphan.key) == []


async def test_one_that_is_put_off_while_what_it_waits_for_ends_is_made_due_all_the_same(database: Database):
    parent = an_instance()
    deletion = an_operation(parent, OperationKind.DEPROVISION, stage=Stage.WAITING, due_at=NOON)
    async with database.transaction() as tx:
        await instances.add(tx, parent)
    await _accepted(database, deletion)
    (claim,) = (
        await operations_queue.claim(
            database, owner="r", lease=timedelta(seconds=30), at_most=1, handlers=handlers(1)
        )
    ).claims

    async def child_ends() -> None:
        async with database.transaction() as tx:
            await operations_queue.nudge(tx, uuid4(), parent.key, of_binding=False)

    async with database.transaction() as tx:
        await tx.execute(
            update(operations_table)
            .where(operations_table.c.id == deletion.id)
            .values(owner=None, fence=claim.operation.fence + 1, due_at=tx.now + timedelta(minutes=1))
        )
        ending = asyncio.create_task(child_ends())
        await asyncio.wait([ending], timeout=0.5)  # It waits for this transaction, or has passed it by.
    await ending

    async with database.transaction(read_only=True) as tx:
        due_at = (await tx.execute(select(operations_table.c.due_at))).scalar_one()
        assert due_at <= tx.now


def a_revision(digest: str) -> catalogs.NewRevision:
    text = f'{{"digest": "{digest}\\u0000",\n"offerings": [], "of": "ünïcode"}}'
    return catalogs.NewRevision(text, digest, sources={}, ids={}, offerings=0, plans=0)


async def test_the_newest_catalog_is_served_and_a_digest_is_remembered(database: Database):
    async with database.transaction() as tx:
        assert await catalogs.newest(tx) is None
        assert await catalogs.publish(tx, a_revision("d1"), "start", "first", after=0) == 1
        assert await catalogs.publish(tx, a_revision("d2"), "start", "second", after=1) == 2

    async with database.transaction(read_only=True) as tx:
        newest = await catalogs.newest(tx)
        assert (newest.revision, newest.text, newest.digest) == (2, a_revision("d2").text, "d2")
        assert await catalogs.newest_number(tx) == 2
        assert await catalogs.was_published(tx, "d1")
        assert not await catalogs.was_published(tx, "d3")


async def test_the_audit_keeps_who_what_and_when(database: Database):
    async with database.transaction() as tx:
        await audit.add(tx, "kubernetes", "kubernetes eyJ9", "provision", "service instance x", None)

    async with database.transaction(read_only=True) as tx:
        row = (await tx.execute(audit_table.select())).one()
    assert (row.actor, row.originating_identity, row.action) == ("kubernetes", "kubernetes eyJ9", "provision")
    assert abs(row.at - datetime.now(UTC)) < timedelta(minutes=1)


async def test_the_database_tells_the_time(database: Database):
    async with database.transaction() as tx:
        first = tx.now
    async with database.transaction(read_only=True) as tx:
        assert first <= tx.now < first + timedelta(minutes=1)
    assert first.tzinfo is UTC


async def test_what_is_finished_and_old_is_forgotten_and_what_runs_is_not(database: Database):
    instance, other = an_instance(), an_instance()
    old, running = an_operation(instance), an_operation(other)
    async with database.transaction() as tx:
        await instances.add(tx, instance)
        await operations.add(tx, running)
        await operations.add(tx, old)
        await operations.supersede(tx, old, "Ended.")
        await instances.remove(tx, instance, reason="Deprovisioned.")

    kept = await prune(database, keep=timedelta(days=1), keep_audit=timedelta(days=1))
    deleted = await prune(database, keep=timedelta(seconds=-5), keep_audit=timedelta(days=1))

    assert (kept, deleted) == (0, 1)
    async with database.transaction() as tx:
        assert await operations.get(tx, old.id) is None
        assert await operations.get(tx, running.id) == running
        assert (await tx.execute(history_table.select())).all() == []


async def test_the_overview_counts_what_runs_and_how_late_it_is(database: Database):
    async with database.transaction() as tx:
        long_ago = tx.now - timedelta(minutes=5)
        waiting = an_operation(an_instance(), created_at=long_ago, due_at=tx.now - timedelta(minutes=1))
        await operations.add(tx, waiting)

    seen = await overview(database)

    assert seen.operations == {("provision", "a-plan", "in progress"): 1}
    assert timedelta(minutes=5) <= seen.oldest < timedelta(minutes=6)
    assert timedelta(minutes=1) <= seen.lag < timedelta(minutes=2)


async def test_writers_take_turns_and_none_fails(database: Database):
    instance = an_instance()
    async with database.transaction() as tx:
        await instances.add(tx, instance)

    async def write():
        async with database.transaction() as tx:
            found = await instances.locked(tx, instance.platform, instance.instance_id)
            counted = found.record.get("count", 0) + 1
            await instances.save(tx, replace(found, record={"count": counted}))

    await asyncio.gather(*(write() for _ in range(20)))

    async with database.transaction(read_only=True) as tx:
        assert (await instances.by_key(tx, instance.key)).record == {"count": 20}
