"""A transaction that is cancelled at any moment leaves nothing behind that holds up the next one."""

import asyncio
import random

import pytest
from sqlalchemy import text

from broker.store.database import Database

pytestmark = pytest.mark.anyio

CHANGE = text("UPDATE operations SET claims = claims")


async def changes(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(CHANGE)
        await asyncio.sleep(0)
        await tx.execute(CHANGE)


@pytest.mark.parametrize("seed", range(2))
async def test_transactions_that_are_cancelled_give_their_locks_back(sqlite_url: str, key_ring, seed: int):
    database = await Database.open(sqlite_url, sealing=key_ring)
    whims = random.Random(seed)

    for _ in range(150):
        cancelled = [asyncio.create_task(changes(database)) for _ in range(3)]
        await asyncio.sleep(whims.uniform(0, 0.012))
        for task in cancelled:
            task.cancel()
        await asyncio.gather(*cancelled, return_exceptions=True)
        # SQLite waits ten seconds for a lock; this is for a busy machine.
        async with asyncio.timeout(5):
            await changes(database)
    await database.close()
