"""How many orders a second are accepted, against the same statements committed from a bare application."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path

from bench.cores import stay_on, two_cores
from bench.load import FRESH_ID, Request
from bench.measures import VERSION, Effort, Figure, rate
from bench.world import READY_WITHIN, WRITING_POOL, World, another_database, bare_server
from broker.demo.processes import Child
from broker.demo.workplace import PLATFORM

OFFERING = "azure-postgresql-server"


async def accepting(world: World, effort: Effort, tell: Callable[[str], None]) -> Figure:
    """A broker without a runner accepts orders; the bare server says the same to a database of the same kind."""
    with tempfile.TemporaryDirectory(prefix="osb-bench-accepting-") as place:
        folder = Path(place)
        url = await another_database(world, "accepting")
        environment = {**world.environment, "BROKER_DATABASE_URL": url, "BROKER_LOG_LEVEL": "error"}
        headers = {"Authorization": world.authorization, "Content-Type": "application/json", **VERSION}
        order = await _order(world)
        recorded = str(uuid.uuid4())
        statements = await _recorded(folder, environment, headers, order, recorded)
        stay_on(two_cores().server)
        broker = Child(
            name="The accepting broker",
            arguments=["serve", "--no-runner", "--ready-file", str(folder / "ready.json")],
            log=folder / "broker.log",
            ready_file=folder / "ready.json",
            environment=environment,
        )
        where = await broker.start(within=READY_WITHIN)
        world.stack.push_async_callback(broker.stop)
        plan = {
            "platform": {"name": PLATFORM, "passwords": [world.workplace.password]},
            "body_file": os.devnull, "etag": "", "headers": [],
            "database_url": url, "pool": WRITING_POOL,
            "statements_file": str(statements), "recorded_id": recorded,
        }  # fmt: skip
        bare = await bare_server(world.stack, folder, plan)
        stay_on(two_cores().client)
        path = f"/v2/service_instances/{FRESH_ID}?accepts_incomplete=true"
        body = json.dumps(order).encode()
        try:
            return await rate(
                "provision accepted (202), PostgreSQL",
                Request(where["url"] + path, headers, 202, "PUT", body),
                Request(bare + path, headers, 202, "PUT", body),
                effort,
                target=0.4,
                baseline="bare uvicorn application, the same statements by bare psycopg in one transaction, same pool",
                tell=tell,
            )
        finally:
            await broker.stop()


async def _order(world: World) -> dict[str, str]:
    async with world.client() as client:
        services = (await client.get("/v2/catalog")).json()["services"]
    offering = next(each for each in services if each["name"] == OFFERING)
    return {
        "service_id": offering["id"],
        "plan_id": offering["plans"][0]["id"],
        "organization_guid": "bench",
        "space_guid": "bench",
    }


async def _recorded(
    folder: Path,
    environment: dict[str, str],
    headers: dict[str, str],
    order: dict[str, str],
    instance_id: str,
) -> Path:
    """Have one order accepted by a broker in a process of its own, and its statements written down."""
    path = f"/v2/service_instances/{instance_id}?accepts_incomplete=true"
    (folder / "order.json").write_text(json.dumps({"path": path, "headers": headers, "body": order}))
    statements = folder / "statements"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.recording", str(folder / "order.json"), str(statements), env=environment
    )
    if await process.wait() != 0:
        raise RuntimeError("The statements of an order could not be recorded; the error is above.")
    return statements
