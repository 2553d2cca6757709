from datetime import timedelta

import pytest

from broker.domain.operations import Operation
from broker.store import budgets, operations, operations_queue
from broker.store.budgets import BURST, Budgets, CallCost
from broker.store.database import Database
from tests.store.nouns import an_instance, an_operation

pytestmark = pytest.mark.anyio

AT_ONCE = timedelta(0)


async def _debit(database: Database, *costs: CallCost, subscription: str = "s") -> list[timedelta]:
    async with database.transaction() as tx:
        left = await Budgets.locked(tx, {subscription})
        waits = [left.debit(subscription, cost) for cost in costs]
        await left.store()
    return waits


async def test_what_is_spent_is_spent_for_all_replicas(database: Database):
    (first,) = await _debit(database, CallCost(writes=200))
    (second,) = await _debit(database, CallCost(writes=50))
    (other,) = await _debit(database, CallCost(writes=50), subscription="t")

    assert first == other == AT_ONCE
    # Ten calls a second come back.
    assert timedelta(seconds=4) < second <= timedelta(seconds=5)


async def test_polls_leave_reads_for_those_who_create(database: Database):
    polls = await _debit(database, *[CallCost(reads=25)] * 10)
    (creation,) = await _debit(database, CallCost(reads=25, writes=1))

    assert polls.count(AT_ONCE) == 7
    assert creation == AT_ONCE


async def test_nobody_calls_while_azure_refuses(database: Database):
    async with database.transaction() as tx:
        await budgets.block(tx, "s", until=tx.now + timedelta(seconds=30))
        await budgets.block(tx, "s", until=tx.now + timedelta(seconds=3))

    blocked, free = await _debit(database, CallCost(reads=1), CallCost())

    assert timedelta(seconds=25) < blocked <= timedelta(seconds=30)
    assert free == AT_ONCE


async def test_an_operation_that_cannot_be_paid_for_is_put_off_and_another_subscription_s_is_not(
    database: Database,
):
    poor, rich = (an_operation(an_instance(), subscription=name) for name in ("poor", "rich"))
    async with database.transaction() as tx:
        await budgets.block(tx, "poor", until=tx.now + timedelta(seconds=30))
        await operations.add(tx, poor)
        await operations.add(tx, rich)

    # The operations stand for themselves here: their instances were never added.
    claimed = await operations_queue.claim(
        database, owner="runner-1", lease=timedelta(seconds=30), at_most=10, known={"imagined": 1}
    )

    assert claimed.claims == []
    async with database.transaction() as tx:
        put_off: Operation = await operations.get(tx, poor.id)
        assert put_off.due_at > tx.now + timedelta(seconds=20)
        assert (await operations.get(tx, rich.id)).finished


async def test_metrics_see_what_is_left(database: Database):
    await _debit(database, CallCost(writes=100))

    async with database.transaction(read_only=True) as tx:
        left = await budgets.left(tx)

    assert left["s", "read"] == BURST["read"]
    assert 100 <= left["s", "write"] < 110
