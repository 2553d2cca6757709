import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from broker.domain.bindings import BindingState
from broker.domain.instances import Configuration, InstanceState
from broker.store import bindings, instances
from broker.store.database import Database
from broker.store.errors import Duplicate
from broker.store.pruning import prune
from broker.store.tables import history as history_table
from tests.store.nouns import a_binding, an_instance

pytestmark = pytest.mark.anyio


async def test_an_instance_comes_back_exactly_as_it_was_added(database: Database):
    added = an_instance(alias="main", dashboard_url="https://portal.example/")

    async with database.transaction() as tx:
        await instances.add(tx, added)

    async with database.transaction(read_only=True) as tx:
        assert await instances.get(tx, added.platform, added.instance_id) == added
        assert await instances.by_alias(tx, added.platform, added.scope, "main") == added
        assert await instances.get(tx, "another platform", added.instance_id) is None
        assert await instances.locked_by_key(tx, added.key) == added


async def test_a_saved_instance_comes_back_as_it_was_saved(database: Database):
    added = an_instance()
    changed = replace(
        added,
        state=InstanceState.READY,
        applied=added.asked,
        asked=Configuration("other-plan"),
        region="westeurope",
    )
    async with database.transaction() as tx:
        await instances.add(tx, added)

    async with database.transaction() as tx:
        locked = await instances.locked(tx, added.platform, added.instance_id)
        await instances.save(tx, changed)

    assert locked == added
    async with database.transaction() as tx:
        assert await instances.get(tx, added.platform, added.instance_id) == changed


async def test_an_id_is_unique_among_the_living_of_one_platform_only(database: Database):
    first = an_instance()
    async with database.transaction() as tx:
        await instances.add(tx, first)

    async with database.transaction() as tx:
        await instances.add(tx, an_instance(instance_id=first.instance_id, platform="cloudfoundry"))
    with pytest.raises(Duplicate):
        async with database.transaction() as tx:
            await instances.add(tx, an_instance(instance_id=first.instance_id))


async def test_an_alias_is_unique_in_its_scope_only(database: Database):
    async with database.transaction() as tx:
        await instances.add(tx, an_instance(alias="main"))
        await instances.add(tx, an_instance(alias="main", scope="c1/ns2"))
        await instances.add(tx, an_instance(alias=None))
        await instances.add(tx, an_instance(alias=None))

    with pytest.raises(Duplicate):
        async with database.transaction() as tx:
            await instances.add(tx, an_instance(alias="main"))


async def test_an_id_that_is_used_again_gets_the_next_generation(database: Database):
    first = an_instance(generation=3)
    async with database.transaction() as tx:
        assert await instances.next_generation(tx, first.platform, first.instance_id) == 0
        await instances.add(tx, first)
        await bindings.add(tx, a_binding(first))

    async with database.transaction() as tx:
        await instances.remove(tx, first, reason="Deprovisioned.")

    async with database.transaction() as tx:
        assert await instances.get(tx, first.platform, first.instance_id) is None
        assert await bindings.of_instance(tx, first.key) == []
        assert await instances.next_generation(tx, first.platform, first.instance_id) == 4
        assert await instances.next_generation(tx, "cloudfoundry", first.instance_id) == 0


async def test_an_id_that_is_used_again_gets_the_next_generation_long_after_its_history_was_pruned(
    database: Database,
):
    lives = [an_instance(instance_id="used-again", generation=generation) for generation in (0, 4, 3)]
    for life in lives:
        async with database.transaction() as tx:
            await instances.add(tx, life)
            await instances.remove(tx, life, reason="Deprovisioned.")
        await prune(database, keep=timedelta(seconds=-5), keep_audit=timedelta(days=1))

    async with database.transaction() as tx:
        assert (await tx.execute(history_table.select())).all() == []
        assert await instances.next_generation(tx, "kubernetes", "used-again") == 5
        assert await instances.next_generation(tx, "cloudfoundry", "used-again") == 0


async def test_replicas_that_prune_at_once_forget_no_generation(database: Database):
    lives = [an_instance(generation=number) for number in range(1, 40)]
    async with database.transaction() as tx:
        for life in lives:
            await instances.add(tx, life)
            await instances.remove(tx, life, reason="Deprovisioned.")

    await asyncio.gather(
        *(prune(database, keep=timedelta(seconds=-5), keep_audit=timedelta(days=1)) for _ in range(4))
    )

    async with database.transaction() as tx:
        next_ones = [await instances.next_generation(tx, one.platform, one.instance_id) for one in lives]
    assert next_ones == [one.generation + 1 for one in lives]


async def test_children_are_found_by_their_parent(database: Database):
    parent = an_instance()
    child = an_instance(parent_key=parent.key)

    async with database.transaction() as tx:
        await instances.add(tx, parent)
        await instances.add(tx, child)

    async with database.transaction() as tx:
        assert await instances.children(tx, parent.key) == [child]
        assert await instances.children(tx, child.key) == []


async def test_a_binding_comes_back_exactly_as_it_was_saved(database: Database):
    instance = an_instance()
    added = a_binding(instance)
    bound = replace(
        added,
        state=BindingState.BOUND,
        credentials={"uri": "postgresql://x"},
        endpoints=({"host": "h", "ports": ["1"]},),
    )

    async with database.transaction() as tx:
        await instances.add(tx, instance)
        await bindings.add(tx, added)
        assert await bindings.locked(tx, instance.key, added.binding_id) == added
        await bindings.save(tx, bound)

    async with database.transaction(read_only=True) as tx:
        assert await bindings.get(tx, instance.key, added.binding_id) == bound
        assert await bindings.of_instance(tx, instance.key) == [bound]
        assert await bindings.get(tx, uuid4(), added.binding_id) is None


async def test_a_binding_id_is_taken_once_per_instance(database: Database):
    instance = an_instance()
    async with database.transaction() as tx:
        await instances.add(tx, instance)
        await bindings.add(tx, a_binding(instance, binding_id="b"))

    with pytest.raises(Duplicate):
        async with database.transaction() as tx:
            await bindings.add(tx, a_binding(instance, binding_id="b"))


async def test_an_exception_leaves_nothing_behind(database: Database):
    instance = an_instance()

    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - it is the block's end that matters
        async with database.transaction() as tx:
            await instances.add(tx, instance)
            raise ZeroDivisionError

    async with database.transaction() as tx:
        assert await instances.get(tx, instance.platform, instance.instance_id) is None
