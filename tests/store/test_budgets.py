from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from broker.domain.operations import Operation
from broker.operations import stages
from broker.operations.runner import RunnerOptions
from broker.store import budgets, instances, operations, operations_queue
from broker.store.budgets import BURST, Budgets
from broker.store.call_meter import Account, CallCost, CallMeter
from broker.store.database import Database
from broker.store.tables import operations as table
from tests.store.nouns import an_instance, an_operation, handlers

pytestmark = pytest.mark.anyio

AT_ONCE = timedelta(0)


async def _debit(
    database: Database, *costs: CallCost, subscription: str = "s", meter: CallMeter | None = None
) -> list[timedelta]:
    meter = meter or CallMeter()
    async with database.transaction() as tx:
        left = await Budgets.locked(tx, {subscription}, meter)
        waits = [left.debit(meter.account(subscription), cost) for cost in costs]
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
        await budgets.block(tx, Account("s"), until=tx.now + timedelta(seconds=30))
        await budgets.block(tx, Account("s"), until=tx.now + timedelta(seconds=3))

    blocked, free = await _debit(database, CallCost(reads=1), CallCost())

    assert timedelta(seconds=25) < blocked <= timedelta(seconds=30)
    assert free == AT_ONCE


async def test_an_operation_that_cannot_be_paid_for_is_put_off_and_another_subscription_s_is_not(
    database: Database,
):
    poor, rich = (an_operation(an_instance(), subscription=name) for name in ("poor", "rich"))
    async with database.transaction() as tx:
        await budgets.block(tx, Account("poor"), until=tx.now + timedelta(seconds=30))
        await operations.add(tx, poor)
        await operations.add(tx, rich)

    # The operations stand for themselves here: their instances were never added.
    claimed = await operations_queue.claim(
        database, owner="runner-1", lease=timedelta(seconds=30), at_most=10, handlers=handlers(1)
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


async def test_another_principal_or_region_has_a_budget_of_its_own(database: Database):
    here, other, elsewhere = CallMeter("one"), CallMeter("other"), CallMeter("one")
    here.called("s", "read", region="WESTEUROPE", remaining=None)
    elsewhere.called("s", "read", region="EASTUS", remaining=None)

    first = await _debit(database, CallCost(writes=200), meter=here)
    second = await _debit(database, CallCost(writes=200), meter=other)
    third = await _debit(database, CallCost(writes=200), meter=elsewhere)
    again = await _debit(database, CallCost(writes=200), meter=here)

    assert first == second == third == [AT_ONCE]
    assert again > [timedelta(seconds=15)]


async def test_what_was_spent_before_the_region_was_known_is_spent_in_it(database: Database):
    meter = CallMeter()
    await _debit(database, CallCost(writes=150), meter=meter)
    meter.called("s", "read", region="WESTEUROPE", remaining=None)

    (wait,) = await _debit(database, CallCost(writes=150), meter=meter)
    (after_a_restart,) = await _debit(database, CallCost(writes=150), meter=CallMeter())

    assert timedelta(seconds=8) < wait <= timedelta(seconds=10)
    assert timedelta(seconds=8) < after_a_restart <= timedelta(seconds=10)


async def test_what_azure_says_to_be_left_corrects_the_budget_downward_only(database: Database):
    meter = CallMeter()
    meter.called("s", "write", region=None, remaining=199)
    await _debit(database, CallCost(writes=150), meter=meter)

    meter.called("s", "write", region=None, remaining=20)
    (corrected,) = await _debit(database, CallCost(writes=40), meter=meter)
    meter.called("s", "write", region=None, remaining=199)
    (no_more,) = await _debit(database, CallCost(writes=40), meter=meter)

    assert timedelta(seconds=1) < corrected <= timedelta(seconds=2)
    assert timedelta(seconds=1) < no_more <= timedelta(seconds=2.2)


async def test_calls_are_paid_as_they_were_made_and_what_was_paid_too_much_comes_back(database: Database):
    meter = CallMeter()
    await _debit(database, CallCost(writes=190), meter=meter)

    for _ in range(3):
        meter.called("s", "write", region=None, remaining=None)
    meter.settle("s", CallCost(writes=190))
    (wait,) = await _debit(database, CallCost(writes=190), meter=meter)
    (none_left,) = await _debit(database, CallCost(writes=60), meter=meter)

    assert wait == AT_ONCE
    assert none_left > timedelta(seconds=4)


async def test_looks_that_are_sent_away_come_back_one_after_another_whenever_they_were(database: Database):
    meter = CallMeter()
    await _debit(database, CallCost(reads=175), meter=meter)

    first = await _debit(database, *[CallCost(reads=35)] * 3, meter=meter)
    later = await _debit(database, *[CallCost(reads=35)] * 2, meter=meter)

    # Polls may have 17.5 reads a second.
    assert [round(wait.total_seconds()) for wait in (*first, *later)] == [1, 3, 5, 7, 9]


async def test_calls_that_were_counted_are_not_forgotten_when_their_transaction_is_rolled_back(
    database: Database,
):
    meter = CallMeter()
    meter.called("s", "delete", region=None, remaining=199)
    await _debit(database, CallCost(writes=1), meter=meter)
    for _ in range(150):
        meter.called("s", "write", region=None, remaining=None)
    meter.called("s", "delete", region=None, remaining=7)

    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - it is the block's end that matters
        async with database.transaction() as tx:
            left = await Budgets.locked(tx, {"s"}, meter)
            await left.store()
            meter.called("s", "write", region=None, remaining=None)
            raise ZeroDivisionError
    writes, deletes = await _debit(database, CallCost(writes=70), CallCost(deletes=27), meter=meter)

    # 152 of 200 writes are gone; Azure has said that 7 deletions are left.
    assert AT_ONCE < writes <= timedelta(seconds=2.3)
    assert AT_ONCE < deletes <= timedelta(seconds=2)


def test_however_many_wait_none_is_put_off_so_far_that_it_looks_like_a_clock_that_was_set_back():
    furthest = stages.look_again_in(timedelta(seconds=5), pace=budgets.pace(1_000_000, 0.1), spread=1)

    assert furthest < RunnerOptions(name="any").longest_wait


def test_turns_are_not_given_away_for_ever_nor_after_a_clock_that_was_set_back():
    meter, now, every = CallMeter(), datetime(2030, 1, 1, tzinfo=UTC), timedelta(minutes=4)

    turns = [meter.turn(Account("s"), now, every) - now for _ in range(5)]
    set_back = meter.turn(Account("s"), now - timedelta(days=1), every)
    much_later = meter.turn(Account("s"), now + timedelta(days=1), every)

    assert turns == [timedelta(minutes=minutes) for minutes in (0, 4, 8, 0, 4)]
    assert set_back == now - timedelta(days=1)
    assert much_later == now + timedelta(days=1)


def test_few_are_looked_at_on_time_and_thousands_are_gathered():
    assert budgets.gathering(0, 1.0) == AT_ONCE
    assert budgets.gathering(10, 1.0) < timedelta(milliseconds=30)
    assert budgets.gathering(10_000, 1.0) == timedelta(milliseconds=250)


async def test_those_who_are_sent_away_together_come_back_one_after_another(database: Database):
    waits = await _debit(database, CallCost(writes=200), *[CallCost(writes=10)] * 3)

    assert waits[0] == AT_ONCE
    assert [round(wait.total_seconds()) for wait in waits[1:]] == [1, 2, 3]


async def test_a_part_of_azures_limits_is_all_that_is_used_when_an_operator_wants_so(database: Database):
    (wait,) = await _debit(database, *[CallCost(writes=20)], meter=CallMeter(share=0.1))
    (more,) = await _debit(database, CallCost(writes=5), meter=CallMeter(share=0.1))

    assert wait == AT_ONCE
    assert timedelta(seconds=4) < more <= timedelta(seconds=5)


async def test_a_small_bucket_of_azures_leaves_polls_their_part(database: Database):
    meter = CallMeter(share=10)
    meter.called("s", "read", region=None, remaining=100)
    await _debit(database, CallCost(reads=1), meter=meter)
    meter.called("s", "read", region=None, remaining=99)

    (poll,) = await _debit(database, CallCost(reads=1), meter=meter)

    assert poll == AT_ONCE


async def test_what_creates_is_taken_before_what_only_looks(database: Database):
    homes = [an_instance() for _ in range(4)]
    async with database.transaction() as tx:
        for place, home in enumerate(homes):
            await instances.add(tx, home)
            await operations.add(tx, an_operation(home, due_at=tx.now - timedelta(seconds=10 - place)))
        looks = table.c.instance_key.in_([home.key for home in homes[:3]])
        await tx.execute(update(table).where(looks).values(cost_writes=0))

    claimed = await operations_queue.claim(
        database, owner="runner-1", lease=timedelta(seconds=30), at_most=2, handlers=handlers(1)
    )

    assert [claim.instance.key for claim in claimed.claims] == [homes[3].key, homes[0].key]


async def test_a_claim_counts_what_is_in_progress_and_spreads_looks_accordingly(database: Database):
    meter = CallMeter()
    async with database.transaction() as tx:
        for _ in range(35):
            await operations.add(
                tx, an_operation(an_instance(), subscription="s", due_at=tx.now + timedelta(hours=1))
            )

    await operations_queue.claim(
        database, owner="runner-1", lease=timedelta(seconds=30), at_most=2, handlers=handlers(1), meter=meter
    )

    assert meter.active("s") == 35
    assert budgets.pace(meter.active("s"), meter.share) == timedelta(seconds=2)
