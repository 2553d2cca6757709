"""What is measured: rates against the bare server in alternate rounds, and two latencies."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg

from bench.load import Request, requests_per_second
from bench.world import READY_WITHIN, World
from broker.demo.processes import Child
from broker.demo.witnesses import Azure

VERSION = {"X-Broker-API-Version": "2.17"}
RUNTIME_LIBRARIES = (
    "fastapi, uvicorn, uvloop, httptools, sqlalchemy.ext.asyncio, psycopg, psycopg_pool, aiosqlite, alembic, httpx, "
    "azure.core.pipeline, jsonschema, jmespath, structlog, prometheus_client, yaml, pydantic_settings, typer, "
    "cryptography.hazmat.primitives.ciphers.aead"
)


@dataclass(frozen=True)
class Figure:
    """One line of the table: the values of each round, what they are compared with, and the target."""

    name: str
    unit: str
    values: list[float]
    target: str
    reached: bool
    baseline: str = ""
    baseline_values: list[float] = field(default_factory=list)
    ratio: float | None = None
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value not in ("", None, [])}


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int
    lasting: timedelta
    orders: int
    waiting: int
    """How many operations wait at once."""
    settling: timedelta
    """How long a process runs before its cost is measured: what its start costs is another figure."""
    kills: int
    connections: int = 16


async def rate(
    name: str,
    ours: Request,
    bare: Request,
    effort: Effort,
    *,
    target: float,
    baseline: str,
    tell: Callable[[str], None],
) -> Figure:
    """Compare two servers under the same load, in alternate rounds, so that both see the same weather."""
    mine: list[float] = []
    theirs: list[float] = []
    for round_ in range(effort.rounds):
        pair = [(ours, mine), (bare, theirs)]
        for request, values in pair if round_ % 2 == 0 else reversed(pair):
            values.append(
                await requests_per_second(request, connections=effort.connections, lasting=effort.lasting)
            )
        tell(
            f"{name}: round {round_ + 1} of {effort.rounds}: {mine[-1]:.0f} against {theirs[-1]:.0f} a second"
        )
    ratio = statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
    return Figure(
        name=name, unit="requests/s", values=mine, baseline=baseline, baseline_values=theirs, ratio=round(ratio, 3),
        target=f"ratio >= {target}", reached=ratio >= target,
    )  # fmt: skip


async def catalog(world: World, effort: Effort, tell: Callable[[str], None]) -> list[Figure]:
    """The catalog whole, and answered 304."""
    async with world.client() as client:
        etag = (await client.get("/v2/catalog")).headers["etag"]
    headers = {"Authorization": world.authorization, **VERSION}
    known = {**headers, "If-None-Match": etag}
    ours, bare = f"{world.broker}/v2/catalog", f"{world.bare}/v2/catalog"
    baseline = "bare uvicorn application, same bytes, same check of credentials"
    return [
        await rate(
            "GET /v2/catalog, 200",
            Request(ours, headers),
            Request(bare, headers),
            effort,
            target=0.6,
            baseline=baseline,
            tell=tell,
        ),
        await rate(
            "GET /v2/catalog, 304",
            Request(ours, known, 304),
            Request(bare, known, 304),
            effort,
            target=0.7,
            baseline=baseline,
            tell=tell,
        ),
    ]


async def polling(world: World, instance_id: str, effort: Effort, tell: Callable[[str], None]) -> Figure:
    """`last_operation` of an instance that is there, on PostgreSQL."""
    headers = {"Authorization": world.authorization, **VERSION}
    path = f"/v2/service_instances/{instance_id}/last_operation"
    return await rate(
        "GET last_operation, PostgreSQL",
        Request(world.broker + path, headers),
        Request(world.bare + path, headers),
        effort,
        target=0.5,
        baseline="bare uvicorn application, same SELECT by bare psycopg, same pool",
        tell=tell,
    )


async def first_request(
    world: World, effort: Effort, tell: Callable[[str], None]
) -> tuple[list[Figure], str]:
    """
    From the 202 in the client's hands to the first call that reached Azure for that operation.

    The note tells the same from the beginning of the accepting transaction, as the operation's row says it.
    Returns the figures and the id of an instance whose creation has ended.
    """
    answered: dict[str, datetime] = {}
    async with world.client() as client:
        services = (await client.get("/v2/catalog")).json()["services"]
        offering = next(each for each in services if each["name"] == "azure-postgresql-server")
        body = {
            "service_id": offering["id"],
            "plan_id": offering["plans"][0]["id"],
            "organization_guid": "bench",
            "space_guid": "bench",
        }
        instance_id = ""
        for _ in range(effort.orders):
            instance_id = str(uuid.uuid4())
            answer = await client.put(
                f"/v2/service_instances/{instance_id}", params={"accepts_incomplete": "true"}, json=body
            )
            answered[answer.json()["operation"]] = datetime.now(UTC)
            answer.raise_for_status()
            await _ended(client, instance_id)
    # The first one opens the connection to Azure and is left out.
    asked = list(answered)[1:]
    begun, reached = await _begun_at(world), await _first_calls(world)
    if missing := [operation for operation in asked if operation not in reached]:
        raise RuntimeError(f"{len(missing)} of {len(asked)} operations are not in Azure's ledger.")
    waits = sorted((reached[one] - answered[one]).total_seconds() * 1000 for one in asked)
    whole = sorted((reached[one] - begun[one]).total_seconds() * 1000 for one in asked)
    half, nearly_all = statistics.median(waits), waits[min(len(waits) - 1, round(len(waits) * 0.99))]
    note = (
        f"{len(waits)} orders, one after the other; fastest {waits[0]:.1f}, slowest {waits[-1]:.1f}; from the "
        f"beginning of the accepting transaction p50 {statistics.median(whole):.1f}, slowest {whole[-1]:.1f}"
    )
    tell(f"accepted to first request at Azure: {note}")
    name = "accepted to first request at Azure"
    return [
        Figure(f"{name}, p50", "ms", [round(half, 2)], "< 15", half < 15, note=note),
        Figure(f"{name}, p99", "ms", [round(nearly_all, 2)], "< 100", nearly_all < 100),
    ], instance_id


async def _ended(client: httpx.AsyncClient, instance_id: str) -> None:
    async with asyncio.timeout(READY_WITHIN.total_seconds()):
        while True:
            answer = await client.get(f"/v2/service_instances/{instance_id}/last_operation")
            state = answer.json()["state"]
            if state == "succeeded":
                return
            if state == "failed":
                raise RuntimeError(f"An order failed: {answer.json()['description']}")
            await asyncio.sleep(0.05)


async def _begun_at(world: World) -> dict[str, datetime]:
    async with await psycopg.AsyncConnection.connect(world.database_url) as connection:
        rows = await (await connection.execute("SELECT id, created_at FROM operations")).fetchall()
    return {str(operation): created_at for operation, created_at in rows}


async def _first_calls(world: World) -> dict[str, datetime]:
    first: dict[str, datetime] = {}
    async with Azure(world.workplace.simulated_azure()) as azure:
        for call in await azure.ledger():
            if call["client_request_id"]:
                first.setdefault(call["client_request_id"], datetime.fromisoformat(call["time"]))
    return first


async def readiness(world: World, effort: Effort, folder: Path, tell: Callable[[str], None]) -> Figure:
    """From the start of `osb serve` to its first answer, less the time of importing its libraries alone."""
    beyond: list[float] = []
    imports: list[float] = []
    for round_ in range(effort.rounds):
        imports.append(await _timed_imports(world.environment))
        broker = Child(
            name="A second broker",
            arguments=["serve", "--no-runner", "--ready-file", str(folder / "second.json")],
            log=folder / "second.log",
            ready_file=folder / "second.json",
            environment=world.environment,
        )
        started = time.perf_counter()
        await broker.start(within=READY_WITHIN)
        took = time.perf_counter() - started
        await broker.stop()
        beyond.append(round(took - imports[-1], 3))
        tell(f"ready: round {round_ + 1} of {effort.rounds}: {took:.2f} s, of it imports {imports[-1]:.2f} s")
    typical = statistics.median(beyond)
    return Figure(
        "ready, beyond the imports of its libraries", "s", beyond, "<= 1.0", typical <= 1.0,
        baseline="python -c 'import ...' of the runtime libraries", baseline_values=[round(v, 3) for v in imports],
    )  # fmt: skip


async def _timed_imports(environment: dict[str, str]) -> float:
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        f"import {RUNTIME_LIBRARIES}",
        env={**environment, "PATH": os.environ.get("PATH", "")},
    )
    if await process.wait() != 0:
        raise RuntimeError("The runtime libraries cannot be imported; their error is above.")
    return time.perf_counter() - started


def summary(figures: list[Figure]) -> str:
    """The figures as JSON."""
    return json.dumps([figure.as_json() for figure in figures], indent=2)
