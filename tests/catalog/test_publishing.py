"""Files are proposals: which set is served after which start."""

from dataclasses import replace
from datetime import timedelta

import anyio
import pytest

from broker.catalog.faults import CatalogRefused
from broker.catalog.publishing import newest_catalog, publish
from broker.catalog.reader import read_catalog
from broker.catalog.source import CatalogSource
from broker.domain.catalog import Catalog
from broker.shipped import shipped

pytestmark = pytest.mark.anyio
SHIPPED = read_catalog(shipped("catalog"))


def renamed(catalog, **changes):
    """The same catalog with its first offering changed."""
    first, *others = catalog.offerings
    return Catalog((replace(first, **changes), *others))


async def a_start(database, catalog):
    return await publish(database, catalog, author="a test", reason="start")


async def test_a_first_start_publishes_and_a_second_one_does_not(database):
    first = await a_start(database, SHIPPED)
    second = await a_start(database, SHIPPED)

    assert first.revision == second.revision == 1
    assert first.offerings == SHIPPED.offerings
    assert first.published_at is not None


async def test_a_replica_of_the_last_release_does_not_take_the_new_catalog_back(database):
    await a_start(database, SHIPPED)
    newer = renamed(SHIPPED, description="Better than before.")
    await a_start(database, newer)

    served = await a_start(database, SHIPPED)

    assert served.revision == 2
    assert served.offerings == newer.offerings


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (renamed(SHIPPED, name="azure-postgres"), "is now called 'azure-postgres'"),
        (renamed(SHIPPED, id="0f0f0f0f-0000-4000-8000-000000000000"), "a published id never changes"),
        (Catalog(SHIPPED.offerings[1:]), "is no longer there"),
        (renamed(SHIPPED, plans=()), "the plan 'database'"),
        (
            renamed(SHIPPED, plans=(replace(SHIPPED.offerings[0].plans[0], name="other"),)),
            "the plan 'database' of 'azure-postgresql-database' is now called 'other'",
        ),
    ],
)
async def test_ids_and_names_that_were_published_never_change_or_vanish(database, spoilt, reason):
    await a_start(database, SHIPPED)

    with pytest.raises(CatalogRefused, match=reason):
        await a_start(database, spoilt)

    assert (await newest_catalog(database)).revision == 1


async def test_a_running_replica_takes_over_what_another_one_publishes(database):
    source = CatalogSource(database, await a_start(database, SHIPPED))
    before = await source.refresh()
    await a_start(database, renamed(SHIPPED, description="Better than before."))

    after = await source.refresh()

    assert (before, after) == (False, True)
    assert source.current().revision == 2


async def test_before_the_first_start_nothing_is_offered(database):
    assert (await newest_catalog(database)).offerings == ()


async def test_a_process_keeps_up_by_itself_until_it_is_stopped(database):
    source = CatalogSource(database, await a_start(database, SHIPPED), interval=timedelta(milliseconds=10))
    newer = renamed(SHIPPED, description="Better than before.")

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(source.run)
            await a_start(database, newer)
            while source.current().revision < 2:
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()

    assert source.current().offerings == newer.offerings
