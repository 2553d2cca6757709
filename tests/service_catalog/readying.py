"""From the moment at which Azure has made something to the moment at which its ServiceInstance is Ready."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from broker.store.migrations import upgrade
from tests.end_to_end.world import PLATFORM, World
from tests.service_catalog.controller import Controller
from tests.service_catalog.machine import Flags
from tests.simulated import SimulatedAzure, StandInDatabases, a_simulator

SPEED = 10.0
"""How much faster Azure, the broker's looks at it, and Service Catalog's pauses are; the broker's own work is not."""
POLL_INTERVAL = timedelta(seconds=5) / SPEED
_SUCCEEDED = "SELECT instance_id FROM operations WHERE status = 'succeeded' AND kind = 'provision'"
CLASS, PLAN = "azure-storage-blob", "standard-lrs"


@dataclass(frozen=True)
class Readied:
    """Seconds as they would be without SPEED."""

    to_answer: list[float]
    """Until a poll would have been answered with success."""
    to_ready: list[float]

    def row(self, name: str) -> str:
        cells = (
            f"{statistics.median(each):.0f} s, {max(each):.0f} s" for each in (self.to_answer, self.to_ready)
        )
        return f"| {name} | {' | '.join(cells)} |"


def readied(flags: Flags, number: int) -> Readied:
    """Order so many, one every three seconds, of a broker of its own."""
    folder = Path(tempfile.mkdtemp(prefix="osb-readying-"))
    try:
        with a_simulator(folder / "azure", StandInDatabases(), speed=SPEED) as simulator:
            upgrade(f"sqlite:///{folder}/broker.db")
            world = World(simulator, f"sqlite:///{folder}/broker.db", folder)
            try:
                broker = world.start(
                    azure_poll_interval=f"{POLL_INTERVAL // timedelta(milliseconds=1)}ms", lease="30s"
                )
                return asyncio.run(_readied(world, broker.url, flags, number))
            finally:
                world.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _readied(world: World, url: str, flags: Flags, number: int) -> Readied:
    made: dict[str, float] = {}
    answered: dict[str, float] = {}
    ready: dict[str, float] = {}

    async def one(controller: Controller, place: int) -> None:
        await asyncio.sleep(place * 3 / SPEED)
        instance = controller.provision(f"store-{place}", CLASS, PLAN)
        await controller.settled(instance)
        assert instance.condition.ready, instance.condition
        ready[instance.envelopes.id] = time.monotonic()

    async def watch() -> None:
        while True:
            for resource in await asyncio.to_thread(_finished, world.azure, world.group):
                made.setdefault(resource, time.monotonic())
            rows = await asyncio.to_thread(
                world.rows,
                "SELECT instance_id FROM operations WHERE status = 'succeeded' AND kind = 'provision'",
            )
            for (instance,) in rows:
                answered.setdefault(instance, time.monotonic())
            await asyncio.sleep(0.02)

    async with Controller(url, (PLATFORM, world.password), flags=flags, speed=SPEED) as controller:
        await controller.relist()
        watching = asyncio.create_task(watch())
        await asyncio.gather(*(one(controller, place) for place in range(number)))
        await asyncio.sleep(0.2)
        watching.cancel()
    return Readied(
        [(answered[each] - made[each]) * SPEED for each in ready],
        [(ready[each] - made[each]) * SPEED for each in ready],
    )


def _finished(azure: SimulatedAzure, group: str) -> list[str]:
    """Return the instances whose deployment Azure has ended."""
    path = f"/resourceGroups/{group}/providers/Microsoft.Resources/deployments"
    ended = [one["properties"] for one in azure.call("GET", path).json()["value"]]
    made = " ".join(
        str(one.get("outputResources")) for one in ended if one["provisioningState"] == "Succeeded"
    )
    return [
        one["tags"]["osb-instance-id"]
        for one in azure.state()["resources"]
        if "osb-instance-id" in (one["tags"] or {}) and one["id"].lower() in made.lower()
    ]
