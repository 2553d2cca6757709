"""What may befall Azure and the broker's database, drawn by a seed."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from broker.simulator.databases.cluster import SUPERUSER, Access, Cluster
from broker.simulator.databases.runtime import find_runtime
from broker.simulator.faults import KINDS
from broker.store.migrations import upgrade
from tests.chaos.clocks import PostgreSqlClock
from tests.postgresql import dsn_of
from tests.simulated import SimulatedAzure

DISK = "384m"
"""Room for the broker's database; what is left of it can be taken away in a moment."""
DISK_FULL_FOR = (1.0, 4.0)
LOCKED_FOR = (2.0, 8.0)
CLOCK_JUMPS = (-4.0, -1.0, 3.0, 10.0, 25.0)
"""Seconds by which the database's clock jumps; what waits goes on later by as much as it jumps back."""
EXCLUDED: Mapping[str, str] = {}
"""Faults of the simulator that are not drawn, each with its reason."""

_CODES = ("QuotaExceeded", "SkuNotAvailable", "Conflict", "InternalServerError", "RequestDisallowedByPolicy")


def fault(draws: random.Random, group: str) -> tuple[str, dict[str, Any]]:
    """Draw a fault of the simulator and what it befalls."""
    kind = draws.choice([kind for kind in KINDS if kind not in EXCLUDED])
    options: dict[str, Any] = {"path": f"/{group}/", "count": draws.randint(1, 4)}
    options["method"] = draws.choice([None, "GET", "PUT", "DELETE", "POST"])
    match kind:
        case "throttle":
            options["retry_after"] = 1
        case "error":
            options["html"] = draws.random() < 0.5
            options["status"] = draws.choice([500, 502, 503, 504])
        case "slow":
            options["seconds"] = draws.uniform(0.2, 3)
        case "deployment_failed":
            options |= {"method": "PUT", "path": f"/{group}/.*/deployments/", "count": draws.randint(1, 2)}
            options |= {"code": draws.choice(_CODES), "after": draws.randint(0, 1)}
        case "stuck":
            options |= {"method": draws.choice(["PUT", "DELETE"]), "count": 1}
        case "delete_refused":
            options |= {"method": "DELETE", "seconds": draws.uniform(0.5, 3), "count": None}
    return kind, {name: value for name, value in options.items() if value is not None}


async def azure(simulated: SimulatedAzure, group: str, draws: random.Random, seen: Counter[str]) -> None:
    """Draw one fault after the other; what is stuck goes on after a while."""
    held: list[tuple[float, str]] = []
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(draws.uniform(0.3, 1.7))
        kind, options = fault(draws, group)
        number = await asyncio.to_thread(partial(simulated.fault, kind, **options))
        seen[kind] += 1
        held.append((loop.time() + draws.uniform(2, 5), number))
        if draws.random() < 0.1:
            await asyncio.to_thread(lambda: simulated.clock(advance=draws.choice([30.0, 600.0])))
            seen["Azure's clock jumps"] += 1
        while held and held[0][0] < loop.time():
            _, over = held.pop(0)
            await asyncio.to_thread(simulated.lift, over)


class Disk:
    """A small file system of its own, which can be filled to the last byte; one of the machine's without root."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="osb-chaos-"))
        self.folder.chmod(0o755)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "tmpfs", str(self.folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        self.why_not = "" if mounted.returncode == 0 else mounted.stderr.strip() or "mount failed"

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    async def full(self, draws: random.Random) -> None:
        """Leave no room for a while."""
        if self.why_not:
            return
        try:
            with contextlib.suppress(OSError), self._ballast.open("wb") as file:
                while True:
                    file.write(bytes(256 * 1024))
                    file.flush()
            await asyncio.sleep(draws.uniform(*DISK_FULL_FOR))
        finally:
            self._ballast.unlink(missing_ok=True)

    def remove(self) -> None:
        if not self.why_not:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class PostgreSql:
    """The broker's PostgreSQL, which can be treated badly; its clock can jump."""

    kind = "postgresql"

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._cluster = Cluster(
            find_runtime(disk.folder),
            disk.folder / "server",
            Access("127.0.0.1", ("host all all 127.0.0.1/32 scram-sha-256",)),
            {
                "max_connections": "200",
                "shared_buffers": "32MB",
                "max_wal_size": "32MB",
                # Promises are kept by a store that keeps its own: what was committed survives a restart.
                "fsync": "on",
                "synchronous_commit": "on",
                "full_page_writes": "on",
            },
        )
        self.url = ""
        self._port = 0

    async def start(self) -> None:
        """Make a migrated database whose clock is a function of its own."""
        password = "made-for-this-run-" + os.urandom(12).hex()
        self._cluster.initialise(password)
        await self._cluster.start()
        self._port = self._cluster.port or 0
        self._server = f"postgresql://{SUPERUSER}:{quote(password)}@127.0.0.1:{self._port}/postgres"
        self.url = dsn_of(self._server, "broker")
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute("CREATE DATABASE broker")
        await asyncio.to_thread(upgrade, self.url)
        self._clock = PostgreSqlClock(self.url)
        await asyncio.to_thread(self._clock.install)

    def troubles(self) -> Mapping[str, Callable[[random.Random], Awaitable[None]]]:
        """What can be done to it, by its name in the table."""
        troubles = {
            "database restarted, immediate mode": self._restarted,
            "database connections terminated": self._terminated,
            "database clock jumps": self._jumped,
        }
        return troubles if self._disk.why_not else {**troubles, "database disk full": self._full}

    async def _restarted(self, draws: random.Random) -> None:
        self._die()
        await asyncio.sleep(draws.uniform(0, 1.5))
        await self._up()

    def _die(self) -> None:
        process = self._cluster._process
        assert process is not None
        process.send_signal(signal.SIGQUIT)
        process.wait(30)

    async def _up(self) -> None:
        """Start it again on its port, as often as it takes: after a full disk the first start may fail."""
        for _ in range(20):
            if self._cluster.running:
                return
            await self._cluster._end_leftover()
            self._cluster.port = self._port
            self._cluster._spawn()
            try:
                await self._cluster._wait_until_ready()
            except Exception:  # noqa: BLE001 - it is tried again
                await asyncio.sleep(0.5)
        raise RuntimeError(self._cluster._end_of_log())

    async def _terminated(self, draws: random.Random) -> None:
        del draws
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'broker'"
            )

    async def _jumped(self, draws: random.Random) -> None:
        await asyncio.to_thread(self._clock.jump, timedelta(seconds=draws.choice(CLOCK_JUMPS)))

    async def _full(self, draws: random.Random) -> None:
        await self._disk.full(draws)
        await asyncio.sleep(0.5)
        await self._up()

    async def clear(self) -> None:
        """See that it runs."""
        await self._up()

    async def stop(self) -> None:
        await self._cluster.stop()


class Sqlite:
    """The broker's SQLite file, which others lock and whose disk fills up."""

    kind = "sqlite"

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._file = disk.folder / "broker.db"
        self.url = f"sqlite:///{self._file}"

    async def start(self) -> None:
        await asyncio.to_thread(upgrade, self.url)

    def troubles(self) -> Mapping[str, Callable[[random.Random], Awaitable[None]]]:
        troubles = {"database file locked by another process": self._locked}
        return troubles if self._disk.why_not else {**troubles, "database disk full": self._disk.full}

    async def _locked(self, draws: random.Random) -> None:
        def hold(seconds: float) -> None:
            with (
                contextlib.closing(sqlite3.connect(self._file, timeout=10, isolation_level=None)) as file,
                contextlib.suppress(sqlite3.OperationalError),
            ):
                file.execute("BEGIN IMMEDIATE")
                time.sleep(seconds)
                file.execute("ROLLBACK")

        await asyncio.to_thread(hold, draws.uniform(*LOCKED_FOR))

    async def clear(self) -> None:
        """Nothing stays as it was left."""

    async def stop(self) -> None:
        """It is a file."""


async def database(store: PostgreSql | Sqlite, draws: random.Random, seen: Counter[str]) -> None:
    """Let one trouble after the other come over the broker's database."""
    troubles = store.troubles()
    while True:
        await asyncio.sleep(draws.uniform(4, 12))
        name = draws.choice(sorted(troubles))
        seen[name] += 1
        with contextlib.suppress(psycopg.Error):
            await troubles[name](draws)
