"""A sealing key is gone: what it sealed is refused in clear words, can still be deleted, and is not destroyed."""

import secrets
from datetime import timedelta

import pytest
from sqlalchemy import update

from broker.domain.requests import Caller, UpdateRequest
from broker.errors import Gone, SealingKeyMissing
from broker.lifecycle.instances import Instances
from broker.store import bindings, instances
from broker.store.sealing import KeyRing
from broker.store.tables import operations
from tests.osb.offerings import SERVICE, SMALL

pytestmark = pytest.mark.anyio

FIRST, SECOND = ("first", secrets.token_bytes(32)), ("second", secrets.token_bytes(32))


@pytest.fixture
async def key_ring() -> KeyRing:
    return KeyRing([FIRST])


@pytest.fixture
async def locked(desk):
    """An instance and a binding whose key has gone."""
    await desk.ready("i", parameters={"size": 7})
    await desk.bind("i", "b")
    desk.database.sealing = KeyRing([SECOND])
    return desk


async def change(desk):
    request = UpdateRequest(
        Caller("cf"), "i", SERVICE, SMALL, parameters={"size": 2}, accepts_incomplete=True
    )
    return await Instances(desk.database, desk.shop, desk.options).update(request)


async def stored(desk):
    async with desk.database.transaction() as tx:
        found = await instances.get(tx, "cf", "i")
        binding = await bindings.get(tx, found.key, "b")
        return found.applied, (binding.parameters, binding.secrets, binding.credentials)


@pytest.mark.parametrize(
    "ask",
    [
        lambda desk: desk.order("i", parameters={"size": 7}),
        lambda desk: desk.bind("i", "b"),
        lambda desk: desk.bind("i", "another"),
        change,
    ],
    ids=["provision again", "bind again", "bind", "update"],
)
async def test_what_needs_the_values_is_refused_with_the_name_of_the_key(locked, ask):
    with pytest.raises(SealingKeyMissing, match="the key 'first'") as refused:
        await ask(locked)

    assert refused.value.status == 422, "on a 5xx the platform would delete what is all right"


async def test_a_binding_and_its_instance_can_be_deleted(locked):
    await locked.unbind("i", "b")
    await locked.delete("i")

    with pytest.raises(Gone):
        await locked.ended("i")
    assert locked.external.living("i") == []
    assert locked.external.passwords() == set()


async def test_an_instance_goes_with_the_bindings_that_cannot_be_opened(locked):
    await locked.delete("i")

    with pytest.raises(Gone):
        await locked.ended("i")
    assert locked.external.living("i") == []
    assert locked.external.logins_of("b") == []


async def test_a_failed_deletion_destroys_nothing_that_the_key_would_open_again(locked):
    without, locked.database.sealing = locked.database.sealing, KeyRing([FIRST])
    before = await stored(locked)
    locked.database.sealing = without
    locked.external.fail("b", "unbind")
    await locked.delete("i")
    assert (await locked.ended("i")).state == "failed"

    locked.database.sealing = KeyRing([SECOND, FIRST])
    assert await stored(locked) == before


async def test_a_creation_that_cannot_be_opened_makes_way_for_a_deletion(desk):
    desk.external.hold("i", "create")
    await desk.order("i")
    desk.database.sealing = KeyRing([SECOND])
    await desk.delete("i")

    with pytest.raises(Gone):
        await desk.ended("i")
    assert desk.external.living("i") == []


async def test_a_creation_that_cannot_be_opened_ends_at_its_deadline_and_leaves_nothing(desk):
    desk.external.hold("i", "create")
    await desk.order("i")
    in_a_second, between_steps = timedelta(seconds=1), operations.c.owner.is_(None)
    while desk.database.sealing.names != (SECOND[0],):
        async with desk.database.transaction() as tx:
            deadline = update(operations).where(between_steps).values(deadline_at=tx.now + in_a_second)
            if (await tx.execute(deadline)).rowcount:
                desk.database.sealing = KeyRing([SECOND])

    assert (await desk.ended("i")).state == "failed"

    assert desk.external.living("i") == []
