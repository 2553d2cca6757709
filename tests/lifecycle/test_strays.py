"""What operators order about resources in Azure that no living service instance has on record."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import pytest

from broker.domain.handlers import Handlers
from broker.domain.inventory import Inventory, Stray, StrayKind
from broker.domain.operations import ExternalResource, OperationKind
from broker.domain.operators import Deed, Operator
from broker.errors import WrongState
from broker.lifecycle.administration.inventory import InventoryAdministration
from broker.store import instances, inventories, operations_queue, resources
from broker.store.database import Database
from tests.store.nouns import NOON, an_instance

pytestmark = pytest.mark.anyio

GROUP = "/subscriptions/s/resourceGroups/left"
SERVER = GROUP + "/providers/Microsoft.DBforPostgreSQL/flexibleServers/one"
DEED = Deed(Operator("alice", may_act=True), "A drill.")


def a_stray(resource_id: str) -> Stray:
    tags = {"osb-broker": "b", "osb-platform": "p", "osb-instance": "i", "osb-generation": "0"}
    return Stray(resource_id, "any", StrayKind.ORPHAN, "p", "i", "0", "2026-01-01", tags, NOON)


async def found(database: Database, *resource_ids: str) -> InventoryAdministration:
    """Let the last look at Azure have found these."""
    await inventories.plan(database, first_in=timedelta(0))
    taking = await inventories.claim(database, owner="one", lease=timedelta(minutes=5))
    report = replace(Inventory(), strays=[a_stray(one) for one in resource_ids])
    async with database.transaction() as tx:
        await inventories.finish(tx, taking, next_in=None, found=report)
    return InventoryAdministration(database)


async def test_what_an_instance_takes_up_at_this_moment_is_not_deleted_as_an_orphan(database: Database):
    administration, taker = await found(database, SERVER), an_instance()

    async with AsyncExitStack() as stack:
        tx = await stack.enter_async_context(database.transaction())
        await instances.add(tx, taker)
        await resources.note(tx, [ExternalResource(taker.key, SERVER, "2026-01-01", 0)])
        order = asyncio.create_task(administration.delete(DEED, every_orphan=True))
        done, _ = await asyncio.wait([order], timeout=0.5)
        assert not done, "it waits for what is being written down"
    with pytest.raises(WrongState, match="living service instance's"):
        await order


async def test_what_is_being_deleted_with_its_group_is_told(database: Database):
    administration = await found(database, GROUP, SERVER)
    await administration.delete(DEED, [GROUP])
    known = Handlers({("arm_template", kind): frozenset({1}) for kind in OperationKind})
    claimed = await operations_queue.claim(
        database, owner="r", lease=timedelta(seconds=30), at_most=1, handlers=known
    )

    with pytest.raises(WrongState, match="deleted already"):
        await administration.delete(DEED, [SERVER])

    assert len(claimed.claims) == 1
