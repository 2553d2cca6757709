import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from broker.domain.requests import Caller, ProvisionRequest
from broker.errors import AlreadyExists, ConcurrencyError, HasChildren, ParentUnknown, StillRunning
from broker.lifecycle.instances import Accepted, Instances
from broker.lifecycle.options import LifecycleOptions
from broker.store import instances
from tests.lifecycle.conftest import (
    CHILD,
    CHILDREN,
    FOSTER,
    FOSTER_PARENT,
    PARENT,
    PARENTS,
    Shop,
    catalog_with_children,
    in_namespace,
)

pytestmark = pytest.mark.anyio


async def test_a_child_finds_its_parent_by_alias_or_by_id_in_its_own_namespace(desk):
    here = in_namespace("here")
    await desk.ready("p", PARENTS, PARENT, parameters={"alias": "db"}, context=here)

    await desk.ready("by-alias", CHILDREN, CHILD, parameters={"parentAlias": "db"}, context=here)
    await desk.ready("by-id", CHILDREN, CHILD, parameters={"parentAlias": "p"}, context=here)


async def test_a_child_stands_on_a_parent_of_any_offering_that_its_own_names_and_of_no_other(desk):
    here = in_namespace("here")
    await desk.ready("f", FOSTER, FOSTER_PARENT, parameters={"alias": "fostering"}, context=here)
    await desk.ready("other", context=here)

    await desk.ready("child", CHILDREN, CHILD, parameters={"parentAlias": "fostering"}, context=here)

    with pytest.raises(ParentUnknown, match=f"'{PARENTS}' or '{FOSTER}'"):
        await desk.order("stray", CHILDREN, CHILD, parameters={"parentAlias": "other"}, context=here)


@pytest.mark.parametrize("named", ["db", "p", "nobody", "", None, 5])
async def test_a_parent_in_another_namespace_looks_unknown(desk, named):
    await desk.ready("p", PARENTS, PARENT, parameters={"alias": "db"}, context=in_namespace("here"))

    with pytest.raises(ParentUnknown):
        await desk.order(
            "c", CHILDREN, CHILD, parameters={"parentAlias": named}, context=in_namespace("elsewhere")
        )


async def test_a_parent_of_another_platform_looks_unknown(desk):
    await desk.of("another").ready("p", PARENTS, PARENT, parameters={"alias": "db"})

    with pytest.raises(ParentUnknown):
        await desk.order("c", CHILDREN, CHILD, parameters={"parentAlias": "db"})


async def test_an_alias_is_one_instances_alone_within_its_scope(desk):
    await desk.order("p", PARENTS, PARENT, parameters={"alias": "db"}, context=in_namespace("here"))

    with pytest.raises(AlreadyExists, match="alias"):
        await desk.order("q", PARENTS, PARENT, parameters={"alias": "db"}, context=in_namespace("here"))
    await desk.order("r", PARENTS, PARENT, parameters={"alias": "db"}, context=in_namespace("elsewhere"))
    await desk.of("another").order(
        "p", PARENTS, PARENT, parameters={"alias": "db"}, context=in_namespace("here")
    )


async def test_an_order_that_is_only_tried_out_takes_no_alias(database):
    short = LifecycleOptions(request_wait=timedelta(seconds=1))
    orders = Instances(database, Shop(catalog_with_children()), short)
    wanted = ProvisionRequest(
        Caller("cf"), "tried", PARENTS, PARENT, parameters={"alias": "db"}, accepts_incomplete=True
    )

    # No runner is there, so the trial lasts until its time is over.
    tried = asyncio.create_task(orders.try_out(wanted))
    async with asyncio.timeout(20):
        while not await written_down(database, "tried"):
            await asyncio.sleep(0.01)
    accepted = await orders.provision(replace(wanted, instance_id="ordered"))
    with pytest.raises(StillRunning):
        await tried
    with pytest.raises(AlreadyExists, match="alias"):
        await orders.try_out(replace(wanted, instance_id="tried too"))

    assert isinstance(accepted, Accepted)


async def written_down(database, instance_id):
    async with database.transaction(read_only=True) as tx:
        return await instances.get(tx, "cf", instance_id)


async def test_a_child_may_be_ordered_while_its_parent_is_made_and_waits_for_it(desk):
    with desk.external.holding("p", "create"):
        await desk.order("p", PARENTS, PARENT, parameters={"alias": "db"})
        await desk.order("c", CHILDREN, CHILD, parameters={"parentAlias": "db"})
        await asyncio.sleep(0.2)
        assert desk.external.creations["c"] == 0

    assert (await desk.ended("c")).state == "succeeded"


async def test_a_parent_with_children_cannot_go_and_says_who_they_are(desk):
    await desk.ready("p", PARENTS, PARENT, parameters={"alias": "db"})
    await desk.ready("c", CHILDREN, CHILD, parameters={"parentAlias": "db"})

    with pytest.raises(HasChildren, match="'c'"):
        await desk.delete("p", PARENTS, PARENT)
    await desk.delete("c", CHILDREN, CHILD)
    await _gone(desk, "c")
    await desk.delete("p", PARENTS, PARENT)
    await _gone(desk, "p")

    assert desk.external.things == {}


async def test_no_child_is_born_while_its_parent_goes(desk):
    await desk.ready("p", PARENTS, PARENT, parameters={"alias": "db"})

    with desk.external.holding("p", "delete"):
        await desk.delete("p", PARENTS, PARENT)
        with pytest.raises(ConcurrencyError):
            await desk.order("c", CHILDREN, CHILD, parameters={"parentAlias": "db"})


async def test_of_a_child_and_the_deletion_of_its_parent_at_once_only_one_is_accepted(desk):
    await desk.ready("p", PARENTS, PARENT, parameters={"alias": "db"})

    born, gone = await asyncio.gather(
        desk.order("c", CHILDREN, CHILD, parameters={"parentAlias": "db"}),
        desk.delete("p", PARENTS, PARENT),
        return_exceptions=True,
    )

    refused = [outcome for outcome in (born, gone) if isinstance(outcome, BaseException)]
    assert len(refused) == 1
    assert isinstance(refused[0], HasChildren | ConcurrencyError | ParentUnknown)


async def _gone(desk, instance_id):
    from broker.errors import Gone

    with pytest.raises(Gone):
        await desk.ended(instance_id)
