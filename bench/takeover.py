"""How soon the operations of a process that was killed go on in another one."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import psycopg

from bench.accepting import OFFERING
from bench.measures import VERSION, Effort, Figure
from bench.world import READY_WITHIN, World, another_database
from broker.demo.processes import Child
from broker.demo.witnesses import Azure

LEASE = timedelta(seconds=5)
PROMISED = LEASE + timedelta(seconds=2)
ORDERS = 8
_SLOW = timedelta(seconds=3)
"""How long Azure takes to answer, so that steps are in flight when the process dies."""


async def takeover(world: World, effort: Effort, tell: Callable[[str], None]) -> Figure:
    """Kill the process that holds steps in flight, and time how long until another has claimed each of them."""
    kills = effort.kills
    waits: list[float] = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="osb-bench-takeover-")))
        url = await another_database(world, "takeover")
        environment = {**world.environment, "BROKER_DATABASE_URL": url, "BROKER_LEASE": f"{LEASE.seconds}s"}
        azure = await stack.enter_async_context(Azure(world.workplace.simulated_azure()))
        stack.push_async_callback(azure.mend)
        dying = await _replica(stack, folder, "dying", environment)
        heir = await _replica(stack, folder, "heir", environment)
        for kill in range(kills):
            await azure.break_down(
                kind="slow", match={"method": "GET"}, count=None, seconds=_SLOW.total_seconds()
            )
            await _order(world, heir.url)
            held, died = await _killed_while_it_holds(url, dying)
            waits += await _until_claimed(url, held, died)
            await azure.mend()
            tell(
                f"take-over: kill {kill + 1} of {kills}: {len(held)} steps in flight, slowest {max(waits):.2f} s"
            )
            await dying.start()
    half, slowest = statistics.median(waits), max(waits)
    return Figure(
        "killed process to claim by another", "s", [round(wait, 2) for wait in waits],
        f"max <= {PROMISED.total_seconds():.0f}", slowest <= PROMISED.total_seconds(),
        note=f"{len(waits)} steps in flight, {kills} kills, lease {LEASE.seconds} s; p50 {half:.2f}, max {slowest:.2f}",
    )  # fmt: skip


class _Replica:
    def __init__(self, child: Child) -> None:
        self.child = child
        self.url = ""

    async def start(self) -> None:
        self.url = (await self.child.start(within=READY_WITHIN))["url"]


async def _replica(stack: AsyncExitStack, folder: Path, name: str, environment: dict[str, str]) -> _Replica:
    replica = _Replica(
        Child(
            name=f"The {name} replica",
            arguments=["serve", "--ready-file", str(folder / f"{name}.json")],
            log=folder / f"{name}.log",
            ready_file=folder / f"{name}.json",
            environment=environment,
        )
    )
    await replica.start()
    stack.push_async_callback(replica.child.stop)
    return replica


async def _order(world: World, url: str) -> None:
    headers = {"Authorization": world.authorization, **VERSION}
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=70) as client:
        services = (await client.get("/v2/catalog")).json()["services"]
        offering = next(each for each in services if each["name"] == OFFERING)
        for _ in range(ORDERS):
            body = {
                "service_id": offering["id"],
                "plan_id": offering["plans"][0]["id"],
                "organization_guid": "bench",
                "space_guid": "bench",
            }
            path = f"/v2/service_instances/{uuid.uuid4()}"
            (await client.put(path, params={"accepts_incomplete": "true"}, json=body)).raise_for_status()


async def _killed_while_it_holds(url: str, replica: _Replica) -> tuple[dict[uuid.UUID, int], datetime]:
    """Kill the replica once it has claims; return them with their fences, and the database's time of the death."""
    owner = f"%-{replica.child.pid}"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        async with asyncio.timeout(READY_WITHIN.total_seconds()):
            while True:
                cursor = await connection.execute(
                    "SELECT id, fence FROM operations WHERE owner LIKE %s AND status = 'in progress'",
                    (owner,),
                )
                if await cursor.fetchall():
                    break
                await asyncio.sleep(0.02)
        await replica.child.kill()
        cursor = await connection.execute("SELECT clock_timestamp()")
        row = await cursor.fetchone()
        assert row is not None
        # What it had handed back in the meantime is waiting, not in flight.
        cursor = await connection.execute(
            "SELECT id, fence FROM operations WHERE owner LIKE %s AND status = 'in progress'", (owner,)
        )
        return {row[0]: row[1] for row in await cursor.fetchall()}, row[0]


async def _until_claimed(url: str, held: dict[uuid.UUID, int], died: datetime) -> list[float]:
    waits: dict[uuid.UUID, float] = {}
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True) as connection,
        asyncio.timeout(READY_WITHIN.total_seconds()),
    ):
        while len(waits) < len(held):
            cursor = await connection.execute(
                "SELECT id, fence, clock_timestamp() FROM operations WHERE id = ANY(%s)", (list(held),)
            )
            for operation, fence, now in await cursor.fetchall():
                if fence > held[operation]:
                    waits.setdefault(operation, (now - died).total_seconds())
            await asyncio.sleep(0.02)
    return list(waits.values())
