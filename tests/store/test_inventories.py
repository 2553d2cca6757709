from datetime import timedelta

import pytest

from broker.store import inventories
from broker.store.database import Database
from tests.lifecycle.test_bad_days import HOURS, the_clock_jumps

pytestmark = pytest.mark.anyio

HOUR, LEASE = timedelta(hours=1), timedelta(minutes=5)


async def test_stock_is_taken_though_the_clock_was_set_back_by_hours(database: Database):
    await inventories.plan(database, first_in=HOUR)

    early = await inventories.claim(database, owner="one", lease=LEASE, every=HOUR)
    the_clock_jumps(database, -HOURS)
    taken = await inventories.claim(database, owner="one", lease=LEASE, every=HOUR)
    second = await inventories.claim(database, owner="two", lease=LEASE, every=HOUR)

    assert early is None
    assert taken is not None
    assert second is None, "one at a time"


async def test_one_that_died_over_it_holds_it_up_no_longer_though_the_clock_was_set_back(database: Database):
    await inventories.plan(database, first_in=timedelta(0))
    assert await inventories.claim(database, owner="dead", lease=LEASE)

    the_clock_jumps(database, -HOURS)

    assert await inventories.claim(database, owner="two", lease=LEASE)
