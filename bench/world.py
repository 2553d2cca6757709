"""Everything a run needs: a PostgreSQL, a simulated Azure, the broker and the bare server, each on its core."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import psycopg.sql

from bench.cores import Cores, stay_on
from broker.demo.azure import simulated_azure
from broker.demo.processes import Child
from broker.demo.witnesses import Azure
from broker.demo.workplace import LOCATION, PLATFORM, RESOURCE_GROUP, Workplace
from broker.shipped import shipped
from broker.simulator.databases.cluster import SUPERUSER, Access, Cluster
from broker.simulator.databases.runtime import find_runtime
from broker.store.migrations import upgrade

READY_WITHIN = timedelta(seconds=60)
READING_POOL = 4
"""Connections of the broker's reading pool; the bare server gets as many."""
WRITING_POOL = 10
"""Connections of the broker's writing pool; the bare server gets as many."""


@dataclass(frozen=True)
class World:
    """What runs, and where."""

    workplace: Workplace
    database_url: str
    broker: str
    bare: str
    environment: dict[str, str]
    stack: AsyncExitStack
    """Ends with the world; what is started later joins it."""

    @property
    def authorization(self) -> str:
        shown = f"{PLATFORM}:{self.workplace.password}".encode()
        return "Basic " + base64.b64encode(shown).decode()

    def client(self) -> httpx.AsyncClient:
        """A client of the broker, as the demo platform."""
        headers = {"Authorization": self.authorization, "X-Broker-API-Version": "2.17"}
        return httpx.AsyncClient(base_url=self.broker, headers=headers, timeout=70, trust_env=False)


@asynccontextmanager
async def world(cores: Cores) -> AsyncIterator[World]:
    """Start it all in a temporary folder, and end and remove it all."""
    async with AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="osb-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)  # noqa: ASYNC240 - before anything runs; the database's user reads below it
        workplace = Workplace(folder / "work")
        workplace.prepare()
        stay_on(cores.client)
        database_url = await _postgres(stack, folder)
        await asyncio.to_thread(upgrade, database_url)
        inherited = dict(os.environ)
        await stack.enter_async_context(simulated_azure(workplace, inherited, speed=2000))
        async with Azure(workplace.simulated_azure()) as azure:
            await azure.put_group(RESOURCE_GROUP, LOCATION)
        environment = workplace.broker_environment(
            inherited,
            BROKER_CATALOG_FOLDER=str(_catalog_without_preflight(folder / "catalog")),
            BROKER_DATABASE_URL=database_url,
            BROKER_PORT="0",
            BROKER_HEALTH_PORT="0",
            BROKER_LOG_LEVEL="warning",
            BROKER_AZURE_POLL_INTERVAL="200ms",
        )
        stay_on(cores.server)
        broker = Child(
            name="The broker",
            arguments=["serve", "--ready-file", str(folder / "ready.json")],
            log=folder / "broker.log",
            ready_file=folder / "ready.json",
            environment=environment,
        )
        where = await broker.start(within=READY_WITHIN)
        stack.push_async_callback(broker.stop)
        made = World(workplace, database_url, where["url"], "", environment, stack)
        bare = await bare_server(stack, folder, await _read_plan(folder, made))
        stay_on(cores.client)
        yield replace(made, bare=bare)


async def another_database(made: World, name: str) -> str:
    """Make a database of the newest schema beside the broker's own; return its URL."""
    async with await psycopg.AsyncConnection.connect(made.database_url, autocommit=True) as connection:
        await connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
    url = f"{made.database_url.rpartition('/')[0]}/{name}"
    await asyncio.to_thread(upgrade, url)
    return url


async def _postgres(stack: AsyncExitStack, folder: Path) -> str:
    access = Access(address="127.0.0.1", authentication=("host all all 127.0.0.1/32 scram-sha-256",))
    cluster = Cluster(find_runtime(folder), folder / "postgresql", access, {"shared_buffers": "64MB"})
    password = secrets.token_urlsafe(24)
    cluster.initialise(password)
    await cluster.start()
    stack.push_async_callback(cluster.stop)
    return f"postgresql://{SUPERUSER}:{quote(password, safe='')}@127.0.0.1:{cluster.port}/postgres"


def _catalog_without_preflight(folder: Path) -> Path:
    shutil.copytree(shipped("catalog"), folder, ignore=shutil.ignore_patterns("legacy"))
    without_preflight(folder)
    return folder


def without_preflight(folder: Path) -> None:
    """Have the plans of a catalog ask Azure for nothing beforehand: the broker's own part is measured."""
    for file in folder.glob("*/*.yaml"):
        lines = file.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if not line.startswith("preflight:")]
        file.write_text("\n".join([*kept, "preflight: none", ""]), encoding="utf-8")


async def _read_plan(folder: Path, made: World) -> dict[str, Any]:
    """Plan a bare server that gives the very bytes and headers that the broker answers with."""
    async with made.client() as client:
        catalog = await client.get("/v2/catalog")
    catalog.raise_for_status()
    (folder / "catalog.json").write_bytes(catalog.content)
    own = {"date", "server"}
    return {
        "platform": {"name": PLATFORM, "passwords": [made.workplace.password]},
        "body_file": str(folder / "catalog.json"),
        "etag": catalog.headers["etag"],
        "headers": [[name, value] for name, value in catalog.headers.items() if name not in own],
        "database_url": made.database_url,
        "pool": READING_POOL,
    }


async def bare_server(stack: AsyncExitStack, folder: Path, plan: dict[str, Any]) -> str:
    """Start a bare server that goes by *plan*, end it with *stack*, and return its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    plan_file = folder / f"bare-{port}.json"
    plan_file.write_text(json.dumps({**plan, "port": port}), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.baselines", str(plan_file), start_new_session=True
    )
    stack.push_async_callback(_end, process)
    url = f"http://127.0.0.1:{port}"
    async with asyncio.timeout(READY_WITHIN.total_seconds()):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return url
    raise RuntimeError("The bare server did not start; its error is above.")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        await process.wait()
