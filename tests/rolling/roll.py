"""All processes of a broker are replaced, one by one, while platforms go on asking."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import httpx

from broker.store import migrations
from broker.store.sealing import KeyRing
from tests.chaos.checker import violations
from tests.chaos.engine_rules import Bounds
from tests.chaos.evidence import Beliefs, Promise, gather
from tests.chaos.violations import Violation
from tests.end_to_end.world import PLATFORM, World
from tests.replicas.processes import Replica, Replicas
from tests.rolling.balancer import Balancer
from tests.rolling.releases import Release
from tests.service_catalog.controller import Controller
from tests.service_catalog.envelopes import Request
from tests.service_catalog.machine import Answer

LEASE = timedelta(seconds=10)
STOP_AFTER = 1.0
"""Seconds; ten times what the balancer needs to notice."""
SPEED = 20.0
"""How much faster Service Catalog's own pauses are."""
CLASS, PLAN = "azure-storage-blob", "standard-lrs"
LIVES_AT_ONCE = 3
AMPLE = dict.fromkeys(("read", "write", "delete"), (100000.0, 100000.0))


@dataclass
class Observed:
    """What clients have seen."""

    requests: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    promises: list[Promise] = field(default_factory=list)
    lives: int = 0
    replaced: int = 0
    operations: int = 0
    lost: list[Violation] = field(default_factory=list)

    def told(self, request: Request, answer: Answer, took: float) -> None:
        """Take note of an answer; all but a success, and a DELETE of what is gone, is a failure here."""
        what = request.method + (" last_operation" if request.polls else "")
        self.requests[what] += 1
        self.slowest = max(self.slowest, took)
        if answer.status is None or not (answer.status < 300 or answer.status == 410):
            self.failures.append(f"{request.method} {request.path}: {answer.description}")
        parts = request.path.split("/")
        if answer.status == 202 and answer.document:
            binding = parts[5] if len(parts) > 5 else None
            self.promises.append(Promise(parts[3], binding, answer.document["operation"]))


class Roll:
    """A broker of *count* processes behind a balancer, on a PostgreSQL that its first release has migrated."""

    def __init__(self, world: World, started: Replicas, count: int) -> None:
        self.world = world
        self.observed = Observed()
        self._started = started
        self._count = count
        self._living: list[tuple[Release, Replica]] = []
        self._balancer = Balancer()
        self._over = asyncio.Event()

    @asynccontextmanager
    async def serving(self, release: Release) -> AsyncIterator[None]:
        """Start all processes, and clients that go on until the block ends; then judge."""
        await asyncio.to_thread(migrate, release, self.world.database_url)
        async with self._balancer:
            starting = [self._start(release) for _ in range(self._count)]
            await asyncio.gather(*starting)
            async with asyncio.TaskGroup() as clients:
                clients.create_task(self._lives())
                clients.create_task(self._reads())
                yield
                self._over.set()
        await asyncio.to_thread(self._judge)

    async def replace(self, release: Release) -> None:
        """Bring the tables to a release, then put its processes in the places of those that run."""
        await asyncio.to_thread(migrate, release, self.world.database_url)
        for former, replica in list(self._living):
            await self._start(release)
            await self._stop(former, replica)
            self.observed.replaced += 1

    async def _start(self, release: Release) -> None:
        settings = {"lease": f"{LEASE.total_seconds():.0f}s"}
        if release.leaves_in_order:
            settings["stop_after"] = f"{STOP_AFTER}s"
        replica = await asyncio.to_thread(self._started.start, "serve", code=release.folder, **settings)
        self._balancer.add(replica.health_url, replica.url)
        async with asyncio.timeout(30):
            while not self._balancer.sends_to(replica.health_url):
                await asyncio.sleep(0.02)
        self._living.append((release, replica))

    async def _stop(self, release: Release, replica: Replica) -> None:
        if not release.leaves_in_order:
            # What a preStop hook does for it: the process is told after it was taken out.
            self._balancer.remove(replica.health_url)
            await asyncio.sleep(STOP_AFTER)
        replica.signal(signal.SIGTERM)
        await asyncio.to_thread(replica.process.wait, 60)
        assert replica.process.returncode == 0, replica.log.read_text()[-4000:]
        self._living.remove((release, replica))

    # The clients

    async def _lives(self) -> None:
        """Have instances ordered, bound, unbound and deleted, several at once, until it is over."""
        async with Controller(
            self._balancer.url, (PLATFORM, self.world.password), speed=SPEED, told=self.observed.told
        ) as controller:
            await controller.relist()
            async with asyncio.TaskGroup() as places:
                for place in range(LIVES_AT_ONCE):
                    places.create_task(self._place(controller, place))

    async def _place(self, controller: Controller, place: int) -> None:
        number = 0
        while not self._over.is_set():
            number += 1
            name = f"life-{place}-{number}"
            instance = controller.provision(name, CLASS, PLAN, {})
            await controller.settled(instance)
            assert instance.condition.ready, instance.condition
            binding = controller.bind(name, instance)
            await controller.settled(binding)
            assert binding.condition.ready, binding.condition
            binding.delete()
            instance.delete()
            await controller.settled(instance, binding)
            self.observed.lives += 1

    async def _reads(self) -> None:
        """Ask for the catalog all the time, over few connections that stay open."""
        async with httpx.AsyncClient(
            base_url=self._balancer.url,
            auth=(PLATFORM, self.world.password),
            headers={"X-Broker-API-Version": "2.14"},
            trust_env=False,
            timeout=30,
        ) as client:
            while not self._over.is_set():
                began, sent = time.monotonic(), Request("GET", "/v2/catalog")
                try:
                    response = await client.get(sent.path)
                    answer = Answer(response.status_code, response.content)
                except httpx.TransportError:
                    answer = Answer(None, fault="refused")
                self.observed.told(sent, answer, time.monotonic() - began)
                await asyncio.sleep(0.05)

    def _judge(self) -> None:
        gone = frozenset(promise.instance for promise in self.observed.promises)
        evidence = gather(
            self.world.azure,
            self.world.database_url,
            KeyRing([("k1", self.world.key)]),
            self.world.group,
            promises=self.observed.promises,
            beliefs=Beliefs(gone=gone),
        )
        self.observed.operations = len(evidence.stored.operations)
        self.observed.lost = violations(evidence, Bounds(lease=LEASE), AMPLE)


def migrate(release: Release, url: str) -> None:
    """Run `osb migrate` of a release."""
    subprocess.run(
        [sys.executable, "-m", "broker", "migrate"],
        cwd=release.folder,
        env={"PATH": os.environ["PATH"], "BROKER_DATABASE_URL": url},
        check=True,
        capture_output=True,
    )
    assert migrations.current(url) == release.revision


async def roll(world: World, started: Replicas, releases: Sequence[Release], count: int = 3) -> Observed:
    """Serve with the first release, then replace all processes by those of each following one."""
    rolling = Roll(world, started, count)
    async with rolling.serving(releases[0]):
        for release in releases[1:]:
            await rolling.replace(release)
    return rolling.observed
