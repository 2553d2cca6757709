"""How much longer requests take while a large catalog is published, in the replica that does it and in another."""

from __future__ import annotations

import asyncio
import json
import secrets
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from bench.catalog_load import OFFERINGS, write_catalog
from bench.measures import VERSION, Effort, Figure
from bench.world import READY_WITHIN, World, another_database, without_preflight
from broker.demo.processes import Child

AT_MOST_LATER = 50.0
"""Milliseconds: how much later the slowest of a hundred may be answered."""
_BETWEEN_S = 0.004
"""Between two requests of one client."""


async def publishing(world: World, effort: Effort, tell: Callable[[str], None]) -> list[Figure]:
    """Polls and 304s of the catalog, in both replicas, with and without publications."""
    offerings = OFFERINGS if effort.rounds > 1 else 20
    lasting = max(effort.lasting * effort.rounds, timedelta(seconds=2))
    with tempfile.TemporaryDirectory(prefix="osb-bench-catalog-") as name:
        folder = Path(name)
        await asyncio.to_thread(write_catalog, folder / "catalog", offerings)
        without_preflight(folder / "catalog")
        token = secrets.token_hex(32)
        environment = world.environment | {
            "BROKER_CATALOG_FOLDER": str(folder / "catalog"),
            "BROKER_DATABASE_URL": await another_database(world, "publishing"),
            "BROKER_OPERATORS": json.dumps({"bench": {"role": "operate", "tokens": [token]}}),
        }
        async with AsyncExitStack() as stack:
            urls = {
                word: await _replica(stack, folder, environment, word) for word in ("publisher", "follower")
            }
            paths = {"last_operation": await _ordered(world, urls["publisher"]), "catalog": "/v2/catalog"}
            quiet = await _latencies(world, urls, paths, lasting)
            stop = asyncio.Event()
            publications = asyncio.create_task(_publish(urls["publisher"], token, stop))
            loud = await _latencies(world, urls, paths, lasting)
            stop.set()
            published = await publications
    tell(f"publishing: {published} publications of {offerings} offerings in {lasting.total_seconds():.0f} s")
    figures = []
    for key, values in loud.items():
        where, what = key
        before, after = _p99(quiet[key]), _p99(values)
        figures.append(
            Figure(
                name=f"GET {what} while catalogs are published, {where}, p99",
                unit="ms",
                values=[round(after, 2)],
                baseline="the same without publications",
                baseline_values=[round(before, 2)],
                ratio=round(after / before, 2),
                target=f"< {AT_MOST_LATER:.0f} ms later",
                reached=after - before < AT_MOST_LATER,
                note=f"{published} publications, {len(values)} requests, slowest {max(values):.1f} "
                f"against {max(quiet[key]):.1f}",
            )
        )
        tell(f"{figures[-1].name}: {after:.1f} against {before:.1f}; {figures[-1].note}")
    return figures


async def _replica(stack: AsyncExitStack, folder: Path, environment: dict[str, str], word: str) -> str:
    broker = Child(
        name=f"The {word}",
        arguments=["serve", "--no-runner", "--ready-file", str(folder / f"{word}.json")],
        log=folder / f"{word}.log",
        ready_file=folder / f"{word}.json",
        environment=environment,
    )
    where: dict[str, Any] = await broker.start(within=READY_WITHIN)
    stack.push_async_callback(broker.stop)
    return str(where["url"])


def _client(world: World, url: str) -> httpx.AsyncClient:
    headers = {"Authorization": world.authorization, **VERSION, "If-None-Match": "*"}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=70, trust_env=False)


async def _ordered(world: World, url: str) -> str:
    """Order an instance, which nobody makes; return where to poll it."""
    async with _client(world, url) as client:
        services = (await client.get("/v2/catalog", headers={"If-None-Match": ""})).json()["services"]
        path = f"/v2/service_instances/{uuid.uuid4()}"
        ids = {"service_id": services[0]["id"], "plan_id": services[0]["plans"][0]["id"]}
        body = ids | {"organization_guid": "bench", "space_guid": "bench"}
        answer = await client.put(path, params={"accepts_incomplete": "true"}, json=body)
        answer.raise_for_status()
    return f"{path}/last_operation"


async def _latencies(
    world: World, urls: dict[str, str], paths: dict[str, str], lasting: timedelta
) -> dict[tuple[str, str], list[float]]:
    """In milliseconds, by replica and what was asked for."""
    found: dict[tuple[str, str], list[float]] = {(where, what): [] for where in urls for what in paths}

    async def ask(where: str, what: str) -> None:
        async with _client(world, urls[where]) as client:
            await client.get(paths[what])
            ends_at = time.perf_counter() + lasting.total_seconds()
            while (began := time.perf_counter()) < ends_at:
                answer = await client.get(paths[what])
                found[where, what].append((time.perf_counter() - began) * 1000)
                if answer.status_code not in {200, 304}:
                    raise RuntimeError(f"{paths[what]} was answered {answer.status_code}")
                await asyncio.sleep(_BETWEEN_S)

    async with asyncio.TaskGroup() as group:
        for where, what in found:
            group.create_task(ask(where, what))
    return found


async def _publish(url: str, token: str, stop: asyncio.Event) -> int:
    """Withdraw a plan and offer it again until it is enough; return how often that was published."""
    headers = {"Authorization": f"Bearer {token}"}
    number = 0
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=70, trust_env=False) as client:
        while not stop.is_set():
            path = "withdraw" if number % 2 == 0 else "restore"
            body = {"what": "service-001/plan-1", "reason": "To see how long others wait."}
            answer = await client.post(f"/admin/v1/catalog/{path}", json=body)
            answer.raise_for_status()
            number += 1
    return number


def _p99(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(len(ordered) * 0.99))]
