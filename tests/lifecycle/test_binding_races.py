"""A deletion meets the save of a step at the very same moment; SQLite's writers come one after another anyway."""

import asyncio
from dataclasses import replace

import psycopg
import pytest

from broker.lifecycle.bindings import Unbound
from broker.store import bindings, instances
from tests.lifecycle.conftest import PATIENCE

pytestmark = pytest.mark.anyio
MADE = {"format": 1, "made": ["what the undo has to go by"]}


@pytest.fixture
def database_url(postgresql_url: str) -> str:
    return postgresql_url


async def seen(condition):
    """Wait until *condition* gives something; nothing here takes longer than a few milliseconds."""
    async with asyncio.timeout(PATIENCE.total_seconds()):
        while not (found := await condition()):
            await asyncio.sleep(0.01)
        return found


async def the_binding(desk):
    async with desk.database.transaction(read_only=True) as tx:
        instance = await instances.get(tx, "cf", "i")
        return await bindings.get(tx, instance.key, "b")


async def test_an_unbind_keeps_what_a_step_of_the_bind_writes_down_at_the_same_moment(desk, database_url):
    async def both_wait():
        """The unbind, and the runner's own save of the step that is held."""
        query = (
            "SELECT count(*) >= 2 FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            return (await (await connection.execute(query)).fetchone())[0]

    await desk.ready("i")
    with desk.external.holding("b", "bind"):
        binding = asyncio.create_task(desk.bind("i", "b"))
        made = await seen(lambda: the_binding(desk))
        async with desk.database.transaction() as save_of_a_step:
            held = await bindings.locked_by_key(save_of_a_step, made.key)
            await bindings.save(save_of_a_step, replace(held, record=MADE))
            unbinding = asyncio.create_task(desk.unbind("i", "b"))
            await seen(both_wait)
        await asyncio.gather(binding, return_exceptions=True)
        kept = (await the_binding(desk)).record

    assert kept == MADE
    assert isinstance(await unbinding, Unbound)
