import asyncio
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from broker.domain.catalog import Catalog
from broker.domain.operations import CHECK
from broker.domain.requests import Caller, ProvisionRequest
from broker.errors import StoreUnavailable
from broker.lifecycle.instances import Accepted, Instances
from broker.lifecycle.options import LifecycleOptions
from broker.lifecycle.polling import Polling
from broker.store.database import Database
from tests.lifecycle.conftest import Shop
from tests.osb.offerings import CATALOG, SERVICE, SMALL

pytestmark = pytest.mark.anyio

OPTIONS = LifecycleOptions(
    request_wait=timedelta(seconds=10),
    quick_wait=timedelta(seconds=10),
    look_again=timedelta(milliseconds=20),
)
ORDER = ProvisionRequest(Caller("cf"), "i", SERVICE, SMALL, accepts_incomplete=True)


def hang_up_on_everybody(url):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.fixture
async def on_postgresql(postgresql_url, key_ring):
    opened = await Database.open(postgresql_url, sealing=key_ring)
    yield opened
    await opened.close()


async def test_an_order_and_a_poll_outlast_lost_connections(on_postgresql, postgresql_url):
    instances = Instances(on_postgresql, Shop(CATALOG), OPTIONS)
    polling = Polling(on_postgresql, OPTIONS)
    first = await instances.provision(ORDER)
    await polling.last_operation("cf", "i", None, None)

    hang_up_on_everybody(postgresql_url)
    again = await instances.provision(ORDER)
    hang_up_on_everybody(postgresql_url)
    polled = await polling.last_operation("cf", "i", None, None)

    assert isinstance(first, Accepted)
    assert again == first
    assert polled.state == "in progress"


async def test_a_store_that_stays_away_is_a_passing_fault_and_never_a_state(key_ring):
    nowhere = await Database.open(
        "postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=1", sealing=key_ring
    )
    short = LifecycleOptions(
        request_wait=timedelta(milliseconds=100),
        quick_wait=timedelta(milliseconds=100),
        look_again=timedelta(milliseconds=20),
    )

    with pytest.raises(StoreUnavailable) as ordered:
        await Instances(nowhere, Shop(CATALOG), short).provision(ORDER)
    with pytest.raises(StoreUnavailable) as polled:
        await Polling(nowhere, short).last_operation("cf", "i", None, None)
    await nowhere.close()

    assert ordered.value.retry_after
    assert polled.value.retry_after


async def test_an_order_that_was_accepted_stays_so_when_the_store_goes_while_it_is_checked(
    on_postgresql, postgresql_url
):
    short = replace(
        OPTIONS, quick_wait=timedelta(milliseconds=100), preflight_wait=timedelta(milliseconds=500)
    )
    offering = CATALOG.offering(SERVICE)
    plan = replace(CATALOG.plan(SERVICE, SMALL)[1], recipe={"kind": "external", "preflight": "reads"})
    checking = Catalog((replace(offering, plans=(plan,)),), revision=1)
    database = urlsplit(postgresql_url).path.strip("/")
    elsewhere = urlunsplit(urlsplit(postgresql_url)._replace(path="/postgres"))

    with (
        psycopg.connect(postgresql_url, autocommit=True) as there,
        psycopg.connect(elsewhere, autocommit=True) as server,
    ):
        ordered = asyncio.create_task(Instances(on_postgresql, Shop(checking), short).provision(ORDER))
        async with asyncio.timeout(20):
            while not (row := there.execute("SELECT id, phase FROM operations").fetchone()):
                await asyncio.sleep(0.01)
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        server.execute(allow.format(sql.Identifier(database), sql.Literal(False)))
        hang_up = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        server.execute(hang_up, [database])
        accepted = await ordered

    assert row == (accepted.operation_id, CHECK)
    assert not accepted.checking
