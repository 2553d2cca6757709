"""One seed's storm: brokers that die, a database and an Azure that misbehave, a platform that goes on, and the end."""

import asyncio
import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import ssl
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx

from broker.simulator.server import Access
from broker.store.budgets import BURST, REFILL_PER_SECOND
from broker.store.sealing import KeyRing
from tests.chaos import weather
from tests.chaos.checker import put_again, violations
from tests.chaos.doom import POINTS, PUTS, Doom
from tests.chaos.doom import main as doomed_broker
from tests.chaos.engine_rules import Bounds, between
from tests.chaos.evidence import Put, gather
from tests.chaos.platform import Known, Life, Platform
from tests.chaos.stored import stored
from tests.chaos.violations import Violation
from tests.end_to_end import brokers
from tests.end_to_end.orders import ALL_IN_ONE, DATABASE, SHARED_SERVER, Ordered
from tests.end_to_end.world import PLATFORM, World
from tests.simulated import SimulatedAzure

BLOB = Ordered.of("azure-storage-blob")
LEASE = timedelta(seconds=3)
SPEED = 100.0
FASTER = 10
"""How much more the shared budget of calls holds than Azure's: a storm lasts minutes, not hours."""
BUDGET = {kind: (BURST[kind] * FASTER, REFILL_PER_SECOND[kind] * FASTER) for kind in BURST}
IN_REAL_DATABASES = 0.12
"""The part of the instances that are databases on real servers; the others are storage accounts."""
RANDOM_KILL = "at any moment, from outside"
_DRAIN_WITHIN = 120.0


@dataclass(frozen=True)
class Chosen:
    """How hard it blows. A storm lasts until there were that many instances and kills, or for `duration` seconds."""

    seed: int
    instances: int = 100
    kills: int = 30
    processes: int = 3
    database: str = "postgresql"
    duration: float = 240.0
    pace: float = 1.0
    """How long a broker lives, as a part of what is usual."""
    at_once: int = 24
    """How many service instances have things done to them at the same time."""


@dataclass
class Outcome:
    """What happened in one storm."""

    chosen: Chosen
    instances: int = 0
    real_databases: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    brokers: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    known: Known = field(default_factory=Known)
    operations: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    put_again: int = 0
    """How often a deployment was put again while a PUT of a former claim was on its way; see the checker."""
    not_covered: list[str] = field(default_factory=list)
    took: float = 0.0

    @property
    def well(self) -> bool:
        return not self.violations and not self.known.surprises


@dataclass
class _Broker:
    process: BaseProcess
    url: str
    health: str
    epitaph: Path


class Storm:
    """Everything that runs for one seed."""

    def __init__(self, chosen: Chosen, folder: Path, tell: Callable[[str], None]) -> None:
        self.chosen = chosen
        self.outcome = Outcome(chosen)
        self._folder = folder
        self._tell = tell
        self._living: dict[int, _Broker] = {}
        self._calm = asyncio.Event()
        self._over = asyncio.Event()
        self._rows: list[Violation] = []
        self._metrics: list[bytes] = []
        self._freezes: list[tuple[int, datetime]] = []

    def _draws(self, of: str) -> random.Random:
        return random.Random(f"{self.chosen.seed}/{of}")

    async def run(self) -> Outcome:
        began = time.monotonic()
        disk = weather.Disk()
        if disk.why_not:
            self.outcome.not_covered.append(f"database disk full: {disk.why_not}")
        store: Any = (weather.PostgreSql if self.chosen.database == "postgresql" else weather.Sqlite)(disk)
        try:
            await store.start()
            async with _simulated_azure(self._folder, SPEED) as azure:
                world = World(azure, store.url, self._folder)
                await self._blow(world, store)
                await asyncio.to_thread(self._judge, world)
        finally:
            for broker in self._living.values():
                broker.process.kill()
            await store.stop()
            disk.remove()
        self.outcome.took = time.monotonic() - began
        return self.outcome

    async def _blow(self, world: World, store: Any) -> None:
        platform = Platform(
            self._urls, (PLATFORM, world.password), self.outcome.known, self._draws("platform")
        )
        try:
            async with asyncio.TaskGroup() as keepers:
                for slot in range(self.chosen.processes if store.kind == "postgresql" else 1):
                    keepers.create_task(self._keep(slot, world))
                watching = keepers.create_task(self._watch(world))
                attending = keepers.create_task(platform.attend())
                bad = [
                    keepers.create_task(
                        weather.azure(world.azure, world.group, self._draws("azure"), self.outcome.faults)
                    ),
                    keepers.create_task(
                        weather.database(store, self._draws("database"), self.outcome.faults)
                    ),
                    keepers.create_task(self._progress()),
                ]
                lives = keepers.create_task(self._lives(platform))
                await self._calm.wait()
                for task in bad:
                    task.cancel()
                await asyncio.gather(*bad, return_exceptions=True)
                await store.clear()
                await asyncio.to_thread(world.azure.reset)
                await asyncio.to_thread(lambda: world.azure.clock(speed=SPEED))
                try:
                    async with asyncio.timeout(_DRAIN_WITHIN):
                        await lives
                        await self._at_rest(world)
                    self.outcome.known.surprises += platform.unsettled()
                except TimeoutError:
                    lives.cancel()
                    self.outcome.known.surprises.append(f"not at rest {_DRAIN_WITHIN:.0f} s after the storm")
                watching.cancel()
                attending.cancel()
                await self._read_metrics()
                self._over.set()
        finally:
            await platform.close()

    # The platform

    def _urls(self) -> list[str]:
        return [broker.url for broker in self._living.values()]

    async def _lives(self, platform: Platform) -> None:
        """Begin lives until there were enough of them, and enough deaths."""
        draws, places = self._draws("lives"), asyncio.Semaphore(self.chosen.at_once)
        ends = time.monotonic() + self.chosen.duration
        server = Life(
            platform, self._draws("server"), SHARED_SERVER, {"alias": "shared"}, until=asyncio.Event()
        )
        children: list[asyncio.Task[None]] = []
        self.outcome.instances += 1
        self.outcome.real_databases += 1
        async with asyncio.TaskGroup() as group:
            group.create_task(server.run())
            while time.monotonic() < ends:
                if self.outcome.instances >= self.chosen.instances and self._killed >= self.chosen.kills:
                    break
                await places.acquire()
                life = self._a_life(draws, platform, server)
                task = group.create_task(life.run())
                task.add_done_callback(lambda _: places.release())
                if life.ordered is DATABASE:
                    children.append(task)
            self._calm.set()
            await asyncio.gather(*children)
            server.until.set()

    def _a_life(self, draws: random.Random, platform: Platform, server: Life) -> Life:
        number = self.outcome.instances
        self.outcome.instances += 1
        own = self._draws(f"life {number}")
        real = draws.random() < IN_REAL_DATABASES or number % 10 == 0
        ordered, parameters, update = BLOB, {"tags": {"note": self._canary}}, {"accessTier": "Cool"}
        if real and server.ready.is_set():
            self.outcome.real_databases += 1
            if draws.random() < 0.85:
                ordered, parameters, update = DATABASE, {"parentAlias": "shared"}, {"extensions": ["hstore"]}
            else:
                ordered, parameters, update = ALL_IN_ONE, {"storageGB": 32}, {"storageGB": 64}
        return Life(
            platform,
            own,
            ordered,
            parameters,
            bindings=own.choice([1, 2, 3]) if ordered is not BLOB else own.choice([0, 1, 1, 2]),
            update=update if own.random() < 0.4 else None,
            stays=ordered is not DATABASE and own.random() < 0.3,
            impatient=own.random() < 0.1,
        )

    @property
    def _canary(self) -> str:
        return f"canary-{self.chosen.seed}-sings-alone"

    # The brokers

    @property
    def _killed(self) -> int:
        return sum(self.outcome.kills.values())

    async def _keep(self, slot: int, world: World) -> None:
        """Have a broker at a place, start the next one when it is dead, and see that it dies in many ways."""
        draws, number = self._draws(f"slot {slot}"), 0
        while not self._over.is_set():
            number += 1
            doom = Doom(None, 0, self._folder / f"epitaph-{slot}-{number}", BUDGET)
            if not self._calm.is_set() and self._killed < self.chosen.kills and draws.random() < 0.8:
                # The point that was met least often comes next, now and then.
                point = draws.choice(sorted(POINTS))
                if draws.random() < 0.7:
                    point = min(sorted(POINTS), key=lambda each: self.outcome.kills[each])
                doom = Doom(
                    point, draws.randint(0, round(POINTS[point] * self.chosen.pace)), doom.epitaph, BUDGET
                )
            settings = world.settings(
                lease=f"{round(LEASE.total_seconds() * 1000)}ms", request_wait="8s", log_level="info"
            )
            try:
                process, url, health = await asyncio.to_thread(
                    brokers.start, settings, world.log, doom, doomed_broker
                )
            except AssertionError:
                self.outcome.brokers["could not start"] += 1
                await asyncio.sleep(0.5)
                continue
            self.outcome.brokers["started"] += 1
            broker = self._living[slot] = _Broker(process, url, health, doom.epitaph)
            await self._live(broker, draws, doomed=doom.point is not None)
            del self._living[slot]

    async def _live(self, broker: _Broker, draws: random.Random, *, doomed: bool) -> None:
        """Wait for its own death, or bring about another one."""
        while True:
            for _ in range(round(draws.uniform(2, 6) * 20 * self.chosen.pace)):
                if not broker.process.is_alive():
                    self._buried(broker)
                    return
                if self._over.is_set():
                    os.kill(broker.process.pid or 0, signal.SIGTERM)
                    await asyncio.to_thread(broker.process.join, 30)
                    self._ended(broker)
                    return
                await asyncio.sleep(0.05)
            if self._calm.is_set():
                continue
            drawn = draws.random()
            pid = broker.process.pid or 0
            if drawn < (0.1 if doomed else 0.4) and self._killed < self.chosen.kills:
                os.kill(pid, signal.SIGKILL)
                await asyncio.to_thread(broker.process.join)
                self.outcome.kills[RANDOM_KILL] += 1
                return
            if drawn < 0.5:
                self._freezes.append((pid, datetime.now(UTC)))
                os.kill(pid, signal.SIGSTOP)
                await asyncio.sleep(LEASE.total_seconds() * draws.uniform(1.2, 2))
                os.kill(pid, signal.SIGCONT)
                self.outcome.faults["broker frozen past its lease"] += 1
            elif drawn < 0.6:
                os.kill(pid, signal.SIGTERM)
                self.outcome.faults["broker stopped in order"] += 1
                await asyncio.to_thread(broker.process.join, 30)

    def _buried(self, broker: _Broker) -> None:
        if broker.epitaph.exists():
            self.outcome.kills[broker.epitaph.read_text()] += 1
        else:
            self._ended(broker)

    def _ended(self, broker: _Broker) -> None:
        code = broker.process.exitcode
        self.outcome.brokers[f"ended with {code}"] += 1
        if code != 0:
            self.outcome.known.surprises.append(f"a broker ended by itself, with {code}")

    # Looking on

    async def _watch(self, world: World) -> None:
        """Compare the rows of one moment with those of the next."""
        before = None
        while True:
            with contextlib.suppress(Exception):
                now = await asyncio.to_thread(stored, world.database_url)
                if before is not None:
                    self._rows += between(before, now)
                before = now
            await asyncio.sleep(1)

    async def _progress(self) -> None:
        while True:
            await asyncio.sleep(10)
            self._tell(
                f"seed {self.chosen.seed}: {self.outcome.instances} instances, {self._killed} kills, "
                f"{sum(self.outcome.faults.values())} faults"
            )

    async def _at_rest(self, world: World) -> None:
        while True:
            with contextlib.suppress(Exception):
                running = (await asyncio.to_thread(stored, world.database_url)).running()
                busy = [one for one in world.azure.state()["resources"] if one["busy"]]
                if not running and not busy:
                    return
            await asyncio.sleep(0.3)

    async def _read_metrics(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            for broker in self._living.values():
                with contextlib.suppress(httpx.TransportError):
                    self._metrics.append((await client.get(f"{broker.health}/metrics")).content)

    def _judge(self, world: World) -> None:
        known = self.outcome.known
        evidence = gather(
            world.azure,
            world.database_url,
            KeyRing([("k1", world.key)]),
            world.group,
            logs=[world.log],
            texts={"the metrics": b"".join(self._metrics)},
            secrets={"the platform's password": world.password, **known.secrets},
            private={"the canary among the parameters": self._canary},
            promises=known.promises,
            beliefs=known.beliefs,
            puts=self._puts(),
        )
        self.outcome.put_again = put_again(evidence)
        (self._folder / "ledger.json").write_text(json.dumps(evidence.ledger, indent=1))
        self.outcome.violations = [*self._rows, *violations(evidence, Bounds(lease=LEASE), BUDGET)]
        self.outcome.operations = Counter(
            f"{operation['kind']} {operation['status']}" for operation in evidence.stored.operations
        )

    def _puts(self) -> Iterator[Put]:
        """What the brokers wrote down of their PUTs, and whether they were frozen right after."""
        notes = self._folder / PUTS
        for line in notes.read_text().splitlines() if notes.exists() else ():
            put = Put(**json.loads(line))
            since = [
                frozen - datetime.fromisoformat(put.at) for pid, frozen in self._freezes if pid == put.pid
            ]
            stood_still = any(abs(each) < timedelta(seconds=1) for each in since)
            yield replace(put, stood_still=stood_still)


@asynccontextmanager
async def _simulated_azure(folder: Path, speed: float) -> AsyncIterator[SimulatedAzure]:
    """A simulated Azure as a process of its own."""
    work = folder / "azure"
    with (folder / "azure.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(
                "-m",
                "broker",
                "simulate-azure",
                "--work",
                str(work),
                "--speed",
                str(speed),
                "--cloud",
                "custom",
            ),
            stdout=log,
            stderr=log,
        )
    try:
        async with asyncio.timeout(60):
            while not (work / "simulator.json").exists():
                assert process.returncode is None, (folder / "azure.log").read_text()[-2000:]
                await asyncio.sleep(0.05)
        access = Access(**json.loads((work / "simulator.json").read_text()))
        with httpx.Client(
            base_url=access.endpoint,
            verify=ssl.create_default_context(cafile=access.ca_file),
            headers={"Authorization": f"Bearer {access.token}"},
            timeout=30,
            trust_env=False,
        ) as client:
            yield SimulatedAzure(access, client, None, speed)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def storm(
    chosen: Chosen, tell: Callable[[str], None] = lambda _: None, keep: Path | None = None
) -> Outcome:
    """Let one storm pass, in a folder of its own; *keep* is where its folder goes when something was wrong."""
    folder = Path(tempfile.mkdtemp(prefix=f"osb-chaos-{chosen.seed}-{secrets.token_hex(2)}-"))
    folder.chmod(0o755)
    try:
        outcome = await Storm(chosen, folder, tell).run()
        if keep is not None and not outcome.well:
            keep.mkdir(parents=True, exist_ok=True)
            for name in ("brokers.log", "azure.log", "ledger.json"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copy(folder / name, keep / f"{chosen.seed}-{name}")
        return outcome
    finally:
        shutil.rmtree(folder, ignore_errors=True)
