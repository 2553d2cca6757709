"""What the store tells of the use of a catalog: numbers and names, never a value."""

import secrets
from dataclasses import replace

import pytest
from sqlalchemy import delete

from broker.domain.catalog import Catalog
from broker.domain.catalog_use import PublishedId, Violation
from broker.domain.instances import Configuration, InstanceState
from broker.store import catalog_ids, catalog_use, instances, tables
from broker.store.sealing import KeyRing
from tests.catalog.offered import a_plan, an_offering
from tests.catalog.published import publish
from tests.store.nouns import an_instance

pytestmark = pytest.mark.anyio

SMALL, LARGE = "small-plan", "large-plan"


def with_sizes(*sizes: int, **schema) -> Catalog:
    """One offering with two plans; the small one takes these sizes."""
    create = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"size": {"enum": list(sizes)}, "note": {"type": "string"}},
        **schema,
    }
    return Catalog((an_offering("databases", a_plan(SMALL, create_schema=create), a_plan(LARGE)),))


WIDE, NARROW = with_sizes(1, 2, 3), with_sizes(1)


def living(plan=SMALL, size=2, **changes):
    changes = {"applied": Configuration(plan, {"size": size}), "asked": None} | changes
    return an_instance(service_offering_id="databases", **{"state": InstanceState.READY, **changes})


async def stored(database, *made):
    async with database.transaction() as tx:
        for instance in made:
            await instances.add(tx, instance)


async def use_of(database, proposed, published=WIDE):
    async with database.transaction(read_only=True) as tx:
        return await catalog_use.of_proposal(tx, published, proposed)


async def published(database, *catalogs_):
    for catalog in catalogs_:
        await publish(database, catalog)


async def test_instances_are_counted_by_plan_and_by_offering_whatever_their_state(database):
    moving = living(asked=Configuration(LARGE))
    await stored(database, living(), moving, living(state=InstanceState.DELETE_FAILED))

    use = await use_of(database, WIDE)

    assert use.known
    assert use.instances == {("databases", SMALL): 3, ("databases", LARGE): 1}
    assert use.of_offering("databases") == 3
    assert use.of_plan("databases", "another") == 0


async def test_children_are_counted_at_the_offering_of_their_parent(database):
    parent = living()
    await stored(database, parent, *(an_instance(parent_key=parent.key) for _ in range(2)))

    use = await use_of(database, WIDE)

    assert use.children == {"databases": 2}


async def test_what_a_narrowed_schema_would_refuse_is_counted_and_never_shown(database):
    secret = secrets.token_hex(8)
    note = Configuration(SMALL, {"size": 3, "note": secret})
    await stored(database, living(size=1), living(size=2), living(applied=note))
    tighter = with_sizes(1, properties={"size": {"enum": [1]}, "note": {"maxLength": 3}}, required=["kind"])

    use = await use_of(database, tighter)

    assert use.violations == (
        Violation("databases", SMALL, "kind", 3),
        Violation("databases", SMALL, "note", 1),
        Violation("databases", SMALL, "size", 2),
    )
    assert secret not in repr(use)


async def test_an_instance_counts_once_though_it_is_being_updated(database):
    await stored(database, living(asked=Configuration(SMALL, {"size": 3})))

    use = await use_of(database, NARROW)

    assert use.violations == (Violation("databases", SMALL, "size", 1),)


async def test_a_parameter_that_the_plan_no_longer_has_is_a_violation(database):
    await stored(database, living())

    use = await use_of(database, with_sizes(1, properties={}))

    assert use.violations == (Violation("databases", SMALL, "size", 1),)


async def test_what_the_published_schema_refuses_already_is_no_fault_of_the_proposal(database):
    await stored(database, living(size=7), living(size=2))

    use = await use_of(database, with_sizes(1, 2))

    assert use.violations == ()


@pytest.mark.parametrize(
    "state", [InstanceState.DELETING, InstanceState.DELETE_FAILED, InstanceState.CREATE_FAILED]
)
async def test_what_can_only_be_deleted_violates_nothing(database, state):
    await stored(database, living(state=state))

    use = await use_of(database, NARROW)

    assert use.violations == ()


async def test_every_instance_is_tried_however_many_there_are(database, monkeypatch):
    monkeypatch.setattr(catalog_use, "_AT_ONCE", 3)
    await stored(database, *(living() for _ in range(10)))

    use = await use_of(database, NARROW)

    assert use.violations == (Violation("databases", SMALL, "size", 10),)


async def test_parameters_under_a_lost_key_are_told_apart(database):
    await stored(database, living(), living())
    database.sealing = KeyRing([("another", secrets.token_bytes(32))])

    use = await use_of(database, NARROW)

    assert use.violations == ()
    assert use.unread == {("databases", SMALL): 2}


async def test_an_id_is_remembered_after_it_is_gone(database):
    await published(database, WIDE, Catalog(()), Catalog((an_offering("queues", a_plan("tiny")),)))

    use = await use_of(database, WIDE)

    assert use.published == {
        "databases": PublishedId("databases", "databases"),
        SMALL: PublishedId(SMALL, "databases"),
        LARGE: PublishedId(LARGE, "databases"),
        "queues": PublishedId("queues", "queues"),
        "tiny": PublishedId("tiny", "queues"),
    }


async def test_what_another_release_published_is_remembered_too(database):
    await published(database, WIDE)
    async with database.transaction() as tx:
        await tx.execute(delete(tables.catalog_ids))
    before = await use_of(database, WIDE)
    await published(database, Catalog(()))

    async with database.transaction(read_only=True) as tx:
        rows = (await tx.execute(tables.catalog_ids.select())).all()

    assert {row.id for row in rows} == before.published.keys() == {"databases", SMALL, LARGE}


async def test_what_an_id_stood_for_first_is_what_it_stands_for(database):
    renamed = replace(WIDE.offerings[0], name="stores")
    await published(database, WIDE, Catalog((renamed,)))

    async with database.transaction(read_only=True) as tx:
        found = await catalog_ids.published(tx)

    assert found["databases"].name == "databases"
