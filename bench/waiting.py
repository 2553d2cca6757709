"""What ten thousand waiting operations cost one process: memory, processor time, database transactions."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import sys
import tempfile
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import httpx
import psycopg

from bench.accepting import OFFERING
from bench.cores import stay_on, two_cores
from bench.measures import VERSION, Effort, Figure
from bench.world import READY_WITHIN, World, another_database
from broker.azure import naming
from broker.demo.processes import Child
from broker.demo.workplace import PLATFORM
from broker.domain.operations import Operation
from broker.store import instances, operations, resources
from broker.store.database import Database
from broker.store.sealing import KeyRing

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class _Cost:
    processor_s: float
    transactions: int


async def waiting(world: World, effort: Effort, tell: Callable[[str], None]) -> list[Figure]:
    """Let creations wait for deployments that never end, and watch the process for as long as all rounds last."""
    count = effort.waiting
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="osb-bench-waiting-")))
        url = await another_database(world, "waiting")
        stay_on(two_cores().client)
        environment = await _silent_azure(stack, folder, {**world.environment, "BROKER_DATABASE_URL": url})
        await _one_waits(folder, environment, world)
        await _copied(url, environment, count - 1)
        tell(f"waiting: {count} operations are in the database")
        (folder / "everything-runs").touch()
        stay_on(two_cores().server)
        broker = await _broker(folder, environment)
        stack.push_async_callback(broker.stop)
        stay_on(two_cores().client)
        await asyncio.sleep(effort.settling.total_seconds())
        before, started = await _cost(broker, url), asyncio.get_running_loop().time()
        await asyncio.sleep(effort.rounds * effort.lasting.total_seconds())
        after, took = await _cost(broker, url), asyncio.get_running_loop().time() - started
        memory = _memory_mb(broker)
        cores = (after.processor_s - before.processor_s) / took
        transactions = (after.transactions - before.transactions) / took
    tell(f"waiting: {memory:.0f} MB, {cores:.2f} of a core, {transactions:.1f} transactions a second")
    name = f"{count} waiting operations"
    return [
        Figure(f"{name}: memory", "MB", [round(memory, 1)], "< 300", memory < 300),
        Figure(f"{name}: processor", "cores", [round(cores, 3)], "< 0.5", cores < 0.5),
        Figure(f"{name}: database", "transactions/s", [round(transactions, 1)], "<= 50", transactions <= 50),
    ]


async def _silent_azure(stack: AsyncExitStack, folder: Path, environment: dict[str, str]) -> dict[str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.silent_azure", str(folder), start_new_session=True
    )

    async def end() -> None:
        if process.returncode is None:
            process.terminate()
            await process.wait()

    stack.push_async_callback(end)
    async with asyncio.timeout(READY_WITHIN.total_seconds()):
        while not (folder / "azure.json").exists():
            if process.returncode is not None:
                raise RuntimeError("The silent Azure did not start; its error is above.")
            await asyncio.sleep(0.05)
    where = json.loads((folder / "azure.json").read_text(encoding="utf-8"))
    return {
        **environment,
        "BROKER_AZURE_ENDPOINT": where["endpoint"],
        "BROKER_AZURE_SCOPE": f"{where['endpoint']}/.default",
        "BROKER_AZURE_AUTHORITY": where["endpoint"],
        "BROKER_AZURE_CA_FILE": where["ca_file"],
        "BROKER_AZURE_TOKEN_FILE": where["token_file"],
        "BROKER_AZURE_POLL_INTERVAL": "5s",
    }


async def _broker(folder: Path, environment: dict[str, str]) -> Child:
    broker = Child(
        name="The broker with many operations",
        arguments=["serve", "--ready-file", str(folder / "ready.json")],
        log=folder / "broker.log",
        ready_file=folder / "ready.json",
        environment=environment,
    )
    await broker.start(within=READY_WITHIN)
    return broker


async def _one_waits(folder: Path, environment: dict[str, str], world: World) -> None:
    """Order one instance and stop the broker once its deployment runs: the pattern of all others."""
    broker = await _broker(folder, environment)
    try:
        where = json.loads((folder / "ready.json").read_text(encoding="utf-8"))
        headers = {"Authorization": world.authorization, **VERSION}
        async with httpx.AsyncClient(
            base_url=where["url"], headers=headers, trust_env=False, timeout=70
        ) as client:
            services = (await client.get("/v2/catalog")).json()["services"]
            offering = next(each for each in services if each["name"] == OFFERING)
            path = f"/v2/service_instances/{uuid.uuid4()}"
            body = {
                "service_id": offering["id"],
                "plan_id": offering["plans"][0]["id"],
                "organization_guid": "bench",
                "space_guid": "bench",
            }
            answer = await client.put(path, params={"accepts_incomplete": "true"}, json=body)
            answer.raise_for_status()
            async with asyncio.timeout(READY_WITHIN.total_seconds()):
                await _until_it_waits(environment["BROKER_DATABASE_URL"])
    finally:
        await broker.stop()


async def _until_it_waits(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while True:
            row = await (await connection.execute("SELECT phase, owner FROM operations")).fetchone()
            if row == ("wait", None):
                return
            await asyncio.sleep(0.05)


async def _copied(url: str, environment: dict[str, str], count: int) -> None:
    """Write *count* more of what waits, each with keys, names and a place in time of its own."""
    ring = _ring(Path(environment["BROKER_SEALING_KEYS_FILE"]))
    database = await Database.open(url, sealing=ring, broker_id=environment["BROKER_BROKER_ID"])
    try:
        async with database.transaction() as tx:
            pattern = await _pattern(url)
            operation = await operations.get(tx, pattern)
            assert operation is not None
            instance = await instances.get(tx, PLATFORM, operation.instance_id)
            assert instance is not None
            made = await resources.of_instance(tx, instance.key)
        for begin in range(0, count, 500):
            async with database.transaction() as tx:
                for _ in range(min(500, count - begin)):
                    key, identity = uuid.uuid4(), str(uuid.uuid4())
                    another = _another(operation, key, identity)
                    name = naming.deployment_name(key, another.id)
                    record = {**instance.record, "deployments": [name]}
                    await instances.add(tx, replace(instance, key=key, instance_id=identity, record=record))
                    await operations.add(tx, another)
                    await resources.note(
                        tx,
                        [
                            replace(each, instance_key=key, resource_id=f"{each.resource_id}-{key}")
                            for each in made
                        ],
                    )
    finally:
        await database.close()


def _ring(file: Path) -> KeyRing:
    key_id, _, key = file.read_text(encoding="utf-8").strip().partition(":")
    return KeyRing([(key_id, base64.b64decode(key))])


def _another(operation: Operation, key: uuid.UUID, identity: str) -> Operation:
    # They were not all ordered at once: their turns are spread over a minute.
    spread = timedelta(seconds=random.uniform(0, 60))
    return replace(
        operation, id=uuid.uuid4(), instance_key=key, instance_id=identity, due_at=operation.due_at + spread
    )


async def _pattern(url: str) -> uuid.UUID:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await (await connection.execute("SELECT id FROM operations")).fetchone()
    assert row is not None
    found: uuid.UUID = row[0]
    return found


async def _cost(broker: Child, url: str) -> _Cost:
    fields = Path(f"/proc/{broker.pid}/stat").read_text().rpartition(")")[2].split()  # noqa: ASYNC240 - of the kernel
    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await (
            await connection.execute(
                "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
            )
        ).fetchone()
    assert row is not None
    return _Cost((int(fields[11]) + int(fields[12])) / _TICKS, int(row[0]))


def _memory_mb(broker: Child) -> float:
    lines = Path(f"/proc/{broker.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
