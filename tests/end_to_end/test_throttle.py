"""Azure counts the calls: all processes of the broker together keep to what it allows, and a storm is survived."""

from collections import Counter
from datetime import datetime

import pytest

from broker.store.budgets import BURST, REFILL_PER_SECOND
from tests.end_to_end.orders import Ordered
from tests.osb.platform import an_id
from tests.simulated import wait_until

pytestmark = pytest.mark.slow

ACCOUNT = Ordered.of("azure-storage-account")
KINDS = {"GET": "read", "HEAD": "read", "PUT": "write", "POST": "write", "DELETE": "delete"}


def limits(world, **per_second):
    """Let Azure allow so many calls in each second of the wall clock, and no burst above that."""
    speed = world.azure.speed
    asked = {kind: {"size": calls, "per_second": calls / speed} for kind, calls in per_second.items()}
    world.azure.client.post("/_simulator/limits", json=asked).raise_for_status()


def order_many(world, brokers, number):
    ordered = [an_id() for _ in range(number)]
    for place, instance in enumerate(ordered):
        platform = brokers[place % len(brokers)].platform
        assert platform.provision(instance, ACCOUNT.order()).status_code == 202
    return ordered


# A third of a minute on an idle machine; there are 1,200 calls to be made on one that may have much else to do.
@pytest.mark.timeout(360)
def test_two_hundred_orders_in_a_storm_of_refusals_all_end_well(postgresql_world):
    world = postgresql_world
    # The brokers believe in ten times Azure's usual limits, and are told better by each answer.
    limits(world, reads=200, writes=80, deletes=80)
    world.azure.fault("throttle", path=world.group, count=12, retry_after=1)
    before = len(world.azure.ledger())

    brokers = [world.start(azure_call_share="10") for _ in range(2)]
    ordered = order_many(world, brokers, 200)
    wait_until(lambda: world.count("operations", "status = 'in progress'") == 0, at_most=300)
    for broker in brokers:
        broker.stop()

    calls = world.azure.ledger()[before:]
    refused = Counter(call["status"] == 429 for call in calls)
    assert world.operations("provision") == ["succeeded"] * 200
    assert refused[True] >= 12
    assert refused[True] < refused[False], "most calls are made when Azure takes them"
    assert Counter(world.deployments()).most_common(1)[0][1] == 1
    assert len(world.deployments()) == len(ordered)
    assert world.recorded() == world.made()


def test_all_processes_together_call_no_more_often_than_the_budget_allows(postgresql_world):
    world, share = postgresql_world, 0.1
    enough = 2 * share * BURST["read"]
    before = len(world.azure.ledger())

    def made():
        calls = world.azure.ledger()[before:]
        return [(KINDS[one["method"]], datetime.fromisoformat(one["time"]).timestamp()) for one in calls]

    brokers = [world.start(azure_call_share=str(share)) for _ in range(2)]
    order_many(world, brokers, 30)
    # Without a budget these calls would be made at once.
    wait_until(lambda: sum(kind == "read" for kind, _ in made()) >= enough, at_most=60)

    for kind in BURST:
        times = sorted(time for kind_of_call, time in made() if kind_of_call == kind)
        for first, begun in enumerate(times):
            for last in range(first, len(times)):
                # A call is made up to a second after it was paid for.
                seconds = times[last] - begun + 1
                allowed = share * (BURST[kind] + REFILL_PER_SECOND[kind] * seconds)
                assert last - first + 1 <= allowed, f"{last - first + 1} {kind}s in {seconds:.1f} s"
