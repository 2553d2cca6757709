"""Which bindings hold keys, and what of a comparison is written down."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from broker.domain.bindings import BindingState
from broker.store import bindings, instances
from tests.store.nouns import NOON, a_binding, an_instance

pytestmark = pytest.mark.anyio


@pytest.fixture
async def kept(database):
    """Two complete bindings that hold keys, and two that are not looked at."""
    instance = an_instance()
    bound = [
        a_binding(instance, key=UUID(int=number), state=BindingState.BOUND, keys_checked_at=NOON)
        for number in (1, 2)
    ]
    others = [
        a_binding(instance, state=BindingState.BOUND),
        a_binding(instance, state=BindingState.UNBINDING, keys_checked_at=NOON),
    ]
    async with database.transaction() as tx:
        await instances.add(tx, instance)
        for one in (*bound, *others):
            await bindings.add(tx, one)
    return bound


async def test_all_that_hold_keys_are_found_page_by_page_and_no_others(database, kept):
    async with database.transaction(read_only=True) as tx:
        first = await bindings.with_keys(tx, after=None, at_most=1)
        behind = first[0].instance_key, first[0].key
        others = await bindings.with_keys(tx, after=behind, at_most=5)

    assert [one.key for one in (*first, *others)] == [one.key for one in kept]


async def test_a_comparison_with_credentials_that_were_renewed_meanwhile_marks_nothing(database, kept):
    compared, other = kept
    async with database.transaction() as tx:
        await bindings.save(tx, replace(compared, keys_checked_at=NOON + timedelta(seconds=1)))
        marked = await bindings.mark_keys(tx, compared, is_stale=True)
        assert await bindings.mark_keys(tx, other, is_stale=True)
        stale = await bindings.count_stale(tx)
        again = await bindings.locked_by_key(tx, other.key)
        assert await bindings.mark_keys(tx, again, is_stale=False)

    assert (marked, stale) == (False, 1)
    async with database.transaction(read_only=True) as tx:
        assert await bindings.count_stale(tx) == 0
