"""One broker for each catalog, on both databases, over real HTTP, and nobody who carries anything out."""

import asyncio
import base64
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import httpx
import psycopg
import pytest
import uvicorn
from psycopg import sql

from broker.api.protocol import JsonHttpProtocol
from broker.app import create_app
from broker.domain.catalog import Catalog
from broker.lifecycle.options import LifecycleOptions
from broker.setting_values import PlatformCredentials
from broker.store.database import Database
from tests.lifecycle.conftest import catalog_with_children
from tests.osb.offerings import SERVICE, SMALL
from tests.osb.serving import FixedCatalog, a_listener
from tests.postgresql import dsn_of
from tests.state_matrix import states

NO_PATIENCE = LifecycleOptions(
    request_wait=timedelta(milliseconds=1),
    quick_wait=timedelta(milliseconds=1),
    look_again=timedelta(milliseconds=1),
)
"""Nothing is carried out, so no wait would be long enough."""


def catalogs() -> dict[str, Catalog]:
    whole = catalog_with_children()
    kept = next(one for one in whole.offerings if one.id == SERVICE)
    others = tuple(one for one in whole.offerings if one.id != SERVICE)
    poorer = replace(kept, plans=tuple(plan for plan in kept.plans if plan.id != SMALL))
    return {
        states.FULL: whole,
        states.NO_PLAN: Catalog((poorer, *others), revision=2),
        states.NO_OFFERING: Catalog(others, revision=3),
        states.NOTHING: Catalog((), revision=4),
    }


class Brokers:
    """The database and a client of each broker."""

    def __init__(self, database: Database, clients: dict[str, httpx.AsyncClient]) -> None:
        self.database = database
        self.clients = clients


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_database_url(request, tmp_path_factory):
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("matrix") / "broker.db"
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        yield f"sqlite:///{path}"
        return
    dsn, template = request.getfixturevalue("postgres_dsn"), request.getfixturevalue("migrated_template")
    name = f"matrix_{secrets.token_hex(8)}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
    yield dsn_of(dsn, name)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
async def brokers(anyio_backend, shared_database_url, key_ring) -> AsyncIterator[Brokers]:
    password = secrets.token_urlsafe(24)
    basic = base64.b64encode(f"{states.PLATFORM}:{password}".encode()).decode()
    platform = PlatformCredentials(states.PLATFORM, states.PLATFORM, (password,), ())
    async with AsyncExitStack() as stack:
        database = await Database.open(shared_database_url, sealing=key_ring, broker_id="test")
        stack.push_async_callback(database.close)
        servers, clients, tasks = [], {}, []
        for name, catalog in catalogs().items():
            app = create_app(
                database, catalog=FixedCatalog(catalog), platforms=[platform], options=NO_PATIENCE
            )
            server = uvicorn.Server(
                uvicorn.Config(app, http=JsonHttpProtocol, lifespan="off", log_config=None, access_log=False)
            )
            listener = a_listener()
            stack.callback(listener.close)
            tasks.append(asyncio.create_task(server.serve(sockets=[listener])))
            servers.append(server)
            clients[name] = await stack.enter_async_context(
                httpx.AsyncClient(
                    base_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
                    headers={"X-Broker-API-Version": "2.17", "Authorization": f"Basic {basic}"},
                    timeout=60,
                )
            )
        yield Brokers(database, clients)
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)
