"""A simulated Azure for tests: its own thread and event loop, real TLS on loopback, time 2000 times as fast."""

import asyncio
import contextlib
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from broker.simulator.rate_limits import LIMITS
from broker.simulator.server import Access, Running, SimulatorOptions, running
from broker.simulator.state import PAGE
from tests.needs import the_program

SPEED = 2000.0
POSTGRES = "2026-10-01"
RESOURCES = "2025-04-01"


class StandInDatabases:
    """Remembers what it was asked; nothing listens behind the addresses that it gives."""

    def __init__(self) -> None:
        self.servers: dict[str, dict[str, Any]] = {}
        self.fail_with: Exception | None = None
        self._made = 0

    async def create(self, name: str, *, administrator: str, password: str, version: str) -> str:
        if self.fail_with is not None:
            raise self.fail_with
        self._made += 1
        self.servers[name] = {
            "administrator": administrator,
            "password": password,
            "version": version,
            "databases": {},
            "firewall": [],
            "configurations": {},
        }
        return f"127.77.{self._made // 250}.{self._made % 250 + 1}"

    async def set_password(self, name: str, password: str) -> None:
        self.servers[name]["password"] = password

    async def create_database(self, name: str, database: str, charset: str, collation: str) -> None:
        if self.fail_with is not None:
            raise self.fail_with
        self.servers[name]["databases"][database] = (charset, collation)

    async def drop_database(self, name: str, database: str) -> None:
        self.servers[name]["databases"].pop(database, None)

    async def set_firewall(self, name: str, ranges: list[tuple[str, str]]) -> None:
        self.servers[name]["firewall"] = ranges

    async def set_configuration(self, name: str, setting: str, value: str) -> None:
        self.servers[name]["configurations"][setting] = value

    async def delete(self, name: str) -> None:
        self.servers.pop(name, None)

    async def close(self) -> None:
        self.servers.clear()


@dataclass
class SimulatedAzure:
    """A running simulator and a client of it; paths below `/subscriptions/S` may leave that out."""

    access: Access
    client: httpx.Client
    databases: StandInDatabases | None = field(default=None, repr=False)
    speed: float = SPEED

    @property
    def endpoint(self) -> str:
        return self.access.endpoint

    @property
    def subscription(self) -> str:
        return f"/subscriptions/{self.access.subscription_id}"

    def call(
        self, method: str, path: str, body: Any = None, version: str = RESOURCES, **kw: Any
    ) -> httpx.Response:
        whole = path if path.startswith(("/subscriptions", "/_simulator")) else self.subscription + path
        return self.client.request(method, whole, params={"api-version": version}, json=body, **kw)

    def retag(self, path: str, tags: dict[str, str], version: str = POSTGRES) -> None:
        """Change a resource's tags behind the broker's back, and wait: Azure takes its time for a PATCH."""
        reply = self.call("PATCH", path, {"tags": tags}, version=version)
        assert reply.status_code in {200, 202}, reply.text

        def done() -> bool:
            resource = self.call("GET", path, version=version).json()
            return resource["tags"] == tags and resource["properties"].get("state", "Ready") == "Ready"

        wait_until(done)

    def a_group(self, name: str | None = None, **tags: str) -> str:
        """A new resource group; its name."""
        name = name or f"rg-{uuid.uuid4().hex[:12]}"
        reply = self.call("PUT", f"/resourceGroups/{name}", {"location": "westeurope", "tags": tags})
        assert reply.status_code in {200, 201}, reply.text
        return name

    def ledger(self, after: int = 0) -> list[dict[str, Any]]:
        """The calls, without those to the simulator's own routes."""
        reply = self.client.get("/_simulator/ledger", params={"after": after})
        return list(reply.json()["calls"])

    def state(self) -> dict[str, Any]:
        return dict(self.client.get("/_simulator/state").json())

    def fault(self, kind: str, *, method: str | None = None, path: str = "", **options: Any) -> str:
        """Ask for a fault, once unless *count* says otherwise (None: until lifted); its id."""
        asked = {"kind": kind, "match": {"method": method, "path": path}, **options}
        reply = self.client.post("/_simulator/faults", json=asked)
        assert reply.status_code == 201, reply.text
        return str(reply.json()["id"])

    def lift(self, fault: str | None = None) -> None:
        """Lift one fault, or all."""
        self.client.delete("/_simulator/faults" + (f"/{fault}" if fault else ""))

    def plant(self, **body: Any) -> None:
        reply = self.client.post("/_simulator/plant", json=body)
        assert reply.status_code == 201, reply.text

    def clock(self, *, speed: float | None = None, advance: float | None = None) -> None:
        """Change the speed (0 stands still) or jump forward by seconds."""
        asked = {key: value for key, value in (("speed", speed), ("advance", advance)) if value is not None}
        assert self.client.post("/_simulator/clock", json=asked).status_code == 200

    def reset(self) -> None:
        """Lift all faults, usual speed, limits, pages and permissions. What lives stays."""
        self.lift()
        self.clock(speed=self.speed)
        limits = {
            kind: {"size": limit.size, "per_second": limit.per_second} for kind, limit in LIMITS.items()
        }
        self.client.post("/_simulator/limits", json=limits)
        self.client.post("/_simulator/permissions", json={"actions": ["*"]})
        self.client.post("/_simulator/pages", json={"size": PAGE})
        self.plant(role_assignments=0)
        for namespace in ("Microsoft.DBforPostgreSQL", "Microsoft.Resources"):
            self.client.post("/_simulator/providers", json={"namespace": namespace, "registered": True})


def wait_until(condition: Callable[[], Any], at_most: float = 20.0) -> Any:
    """What *condition* gives once it is true; 20 seconds are many times what a busy machine needs."""
    end = time.monotonic() + at_most
    while not (seen := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return seen


@contextlib.contextmanager
def a_simulator(
    folder: Path, databases: Any = None, speed: float = SPEED, **options: Any
) -> Iterator[SimulatedAzure]:
    """A simulator in a thread; *databases* None means real servers, *options* are its own."""
    started = threading.Event()
    outcome: dict[str, Any] = {}

    async def run() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with running(SimulatorOptions(folder, speed=speed, **options), databases) as simulator:
                outcome["running"] = simulator
                outcome["stop"] = lambda: loop.call_soon_threadsafe(stop.set)
                started.set()
                await stop.wait()
        except BaseException as error:
            outcome["error"] = error
            raise
        finally:
            started.set()

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="simulated Azure", daemon=True)
    thread.start()
    started.wait(timeout=60)  # the first start copies and starts a template database server
    if "running" not in outcome:
        raise RuntimeError("the simulator did not start") from outcome.get("error")
    simulator: Running = outcome["running"]
    try:
        with httpx.Client(
            base_url=simulator.access.endpoint,
            verify=ssl.create_default_context(cafile=simulator.access.ca_file),
            headers={"Authorization": f"Bearer {simulator.access.token}"},
            timeout=30,  # `slow` faults of tests last far less
            trust_env=False,
        ) as client:
            stand_in = databases if isinstance(databases, StandInDatabases) else None
            yield SimulatedAzure(simulator.access, client, stand_in, speed)
    finally:
        outcome["stop"]()
        thread.join(timeout=60)  # stopping eight database servers


@pytest.fixture(scope="session")
def simulator(tmp_path_factory) -> Iterator[SimulatedAzure]:
    """A simulated Azure with nothing behind its servers; shared, so use groups and names of your own."""
    with a_simulator(tmp_path_factory.mktemp("simulator"), StandInDatabases()) as started:
        yield started


@pytest.fixture(scope="session")
def simulator_with_databases(tmp_path_factory) -> Iterator[SimulatedAzure]:
    """A simulated Azure with a real PostgreSQL or MySQL behind each server; shared likewise."""
    program = the_program("mysql")
    mysqld = Path(program[0]) if program else None
    with a_simulator(tmp_path_factory.mktemp("simulator-with-databases"), mysqld=mysqld) as started:
        yield started


@pytest.fixture(autouse=True)
def _faults_end_with_their_test(request) -> Iterator[None]:
    yield
    for name in ("simulator", "simulator_with_databases"):
        if name in request.fixturenames:
            request.getfixturevalue(name).reset()
