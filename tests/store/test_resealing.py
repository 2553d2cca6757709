"""Values are sealed anew under the newest key while everybody works on, and an old key's last value is known."""

import asyncio
import secrets
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from broker.domain.instances import Configuration, InstanceState
from broker.domain.operators import Deed, Operator
from broker.errors import MalformedRequest
from broker.lifecycle.administration import keys
from broker.lifecycle.administration.keys import KeyAdministration
from broker.store import bindings, instances, resealing
from broker.store.database import Database
from broker.store.resealing import COLUMNS, Position
from broker.store.sealing import KeyRing
from tests.store.nouns import a_binding, an_instance

pytestmark = pytest.mark.anyio

OLD, NEW = ("old", secrets.token_bytes(32)), ("new", secrets.token_bytes(32))
BEFORE, AFTER, WITHOUT_OLD = KeyRing([OLD]), KeyRing([NEW, OLD]), KeyRing([NEW])


@pytest.fixture
async def key_ring() -> KeyRing:
    return BEFORE


@pytest.fixture
async def stored(database: Database):
    """Three instances, one with both configurations, and a binding; the new key is in front now."""
    made = [an_instance() for _ in range(3)]
    both = replace(made[0], applied=Configuration("a-plan", {"size": 1}), state=InstanceState.READY)
    binding = a_binding(both, credentials={"password": "only-sealed"})
    async with database.transaction() as tx:
        for instance in (both, *made[1:]):
            await instances.add(tx, instance)
        await bindings.add(tx, binding)
    database.sealing = AFTER
    return both, binding


async def in_use(database: Database) -> dict[str, int]:
    async with database.transaction(read_only=True) as tx:
        return await resealing.in_use(tx)


async def one_batch(database: Database, at_most: int = 100, after: Position | None = None):
    async with database.transaction() as tx:
        return await resealing.reseal(tx, at_most=at_most, after=after)


async def whole_pass(database: Database, at_most: int = 100) -> int:
    done, after = 0, None
    while True:
        batch = await one_batch(database, at_most, after)
        done, after = done + batch.resealed, batch.after
        if after is None:
            return done


def test_each_sealed_column_is_found():
    assert sorted(COLUMNS) == [
        "service_bindings.asked_sealed",
        "service_bindings.credentials_sealed",
        "service_instances.applied_sealed",
        "service_instances.asked_sealed",
    ]


@pytest.mark.parametrize("at_most", [1, 2, 100])
async def test_a_pass_seals_all_anew_and_the_old_key_may_go(database: Database, stored, at_most: int):
    both, binding = stored
    assert await in_use(database) == {"old": 6}

    done = await whole_pass(database, at_most)

    assert done == 6
    assert await in_use(database) == {"new": 6}
    database.sealing = WITHOUT_OLD
    async with database.transaction() as tx:
        assert await instances.by_key(tx, both.key) == both
        assert await bindings.get(tx, both.key, binding.binding_id) == binding


async def test_a_pass_that_was_broken_off_begins_again_and_does_only_what_is_left(database: Database, stored):
    first = await one_batch(database, at_most=4)

    assert first.resealed == 4
    assert await in_use(database) == {"old": 2, "new": 4}
    assert await whole_pass(database) == 2
    assert await whole_pass(database) == 0


async def test_a_position_survives_being_sent_as_text(database: Database, stored):
    first = await one_batch(database, at_most=4)
    sent = str(first.after)

    rest = await one_batch(database, after=Position.parse(sent))

    assert (rest.resealed, rest.after) == (2, None)
    with pytest.raises(ValueError, match="no such column"):
        Position.parse("service_instances.record:00")


async def test_a_writer_is_neither_waited_for_nor_overwritten(postgresql_url: str):
    database = await Database.open(postgresql_url, sealing=BEFORE)
    instance = an_instance()
    async with database.transaction() as tx:
        await instances.add(tx, instance)
    database.sealing = AFTER
    changed = replace(instance, asked=Configuration("a-plan", {"size": 20}))

    async with asyncio.timeout(5), database.transaction() as tx:
        await instances.locked_by_key(tx, instance.key)
        await instances.save(tx, changed)
        batch = await one_batch(database)

    assert batch.resealed == 0
    async with database.transaction() as tx:
        assert await instances.by_key(tx, instance.key) == changed
    await database.close()


async def test_writers_that_go_on_meanwhile_lose_nothing(database: Database, stored):
    both, _ = stored
    written = 0

    async def write() -> None:
        nonlocal written
        while await in_use(database) != {"new": 6}:
            async with database.transaction() as tx:
                current = await instances.locked_by_key(tx, both.key)
                assert current.applied.parameters == {"size": written + 1}
                written += 1
                applied = replace(current.applied, parameters={"size": written + 1})
                await instances.save(tx, replace(current, applied=applied))

    async def reseal() -> None:
        while await in_use(database) != {"new": 6}:
            await whole_pass(database, at_most=1)

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        tasks.create_task(write_is_under_way(lambda: written, reseal))

    async with database.transaction() as tx:
        current = await instances.by_key(tx, both.key)
    assert current.applied.parameters == {"size": written + 1}


async def write_is_under_way(written, then) -> None:
    while not written():
        await asyncio.sleep(timedelta(milliseconds=1).total_seconds())
    await then()


async def test_values_that_cannot_be_opened_stay_as_they_are_and_are_counted(database: Database, stored):
    stranger = KeyRing([("lost", secrets.token_bytes(32))])
    database.sealing = stranger
    lost = an_instance()
    async with database.transaction() as tx:
        await instances.add(tx, lost)
    database.sealing = AFTER

    done, unopened, after = 0, 0, None
    while True:
        batch = await one_batch(database, 1, after)
        done, unopened, after = done + batch.resealed, unopened + batch.unopened, batch.after
        if after is None:
            break

    assert (done, unopened) == (6, 1)
    assert await in_use(database) == {"new": 6, "lost": 1}
    database.sealing = stranger
    async with database.transaction() as tx:
        assert await instances.by_key(tx, lost.key) == lost


async def test_an_operator_seals_anew_batch_by_batch_and_sees_when_the_old_key_may_go(
    database: Database, stored, monkeypatch
):
    monkeypatch.setattr(keys, "BATCH", 4)
    desk = KeyAdministration(database)
    deed = Deed(Operator("alice", may_act=True), "The old key leaked.")
    before = await desk.usage()

    dry = await desk.reseal(replace(deed, dry_run=True))
    untouched = await desk.usage()
    first = await desk.reseal(deed)
    second = await desk.reseal(deed, after=first.after)
    after = await desk.usage()
    async with database.transaction() as tx:
        audited = [tuple(row) for row in await tx.execute(text("SELECT actor, action, reason FROM audit"))]

    assert [(one.key_id, one.values, one.seals) for one in before] == [("new", 0, True), ("old", 6, False)]
    assert (dry.resealed, dry.after, untouched) == (6, None, before)
    assert (first.resealed, second.resealed, second.after) == (4, 2, None)
    assert [(one.key_id, one.values) for one in after] == [("new", 6), ("old", 0)]
    assert audited == [("operator alice", "reseal", "The old key leaked.")] * 2
    with pytest.raises(MalformedRequest):
        await desk.reseal(deed, after="nonsense")


async def test_a_key_that_is_needed_and_not_at_hand_is_listed(database: Database, stored):
    database.sealing = WITHOUT_OLD

    new, old = await KeyAdministration(database).usage()

    assert (new.key_id, new.at_hand, old.key_id, old.at_hand, old.values) == ("new", True, "old", False, 6)


async def test_a_value_of_unknown_form_is_listed_and_hides_no_other(database: Database, stored):
    async with database.transaction() as tx:
        await tx.execute(
            text("UPDATE service_bindings SET asked_sealed = :junk"), {"junk": b"\x07not sealed by anyone"}
        )

    assert await in_use(database) == {"old": 5, resealing.UNREADABLE: 1}
