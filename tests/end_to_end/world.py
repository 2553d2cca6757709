"""A place for one broker: its database, its resource group, its processes; and what the others know of it."""

import asyncio
import base64
import contextlib
import json
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg

from broker.catalog.file_sets import Files
from broker.catalog.reader import read_catalog
from broker.domain.catalog import Catalog, ServiceOffering
from broker.shipped import shipped
from broker.store import instances
from broker.store.database import Database
from broker.store.sealing import KeyRing
from tests.catalog.published import publish
from tests.end_to_end.a_broker_process import At, Dying
from tests.end_to_end.brokers import Broker, start
from tests.end_to_end.orders import Ordered
from tests.osb.platform import Platform
from tests.simulated import SimulatedAzure

LEASE = "1500ms"
"""Long enough for a runner that renews it every half second, short enough to wait for its end."""

SERVERS = "Microsoft.DBforPostgreSQL/flexibleServers"
PLATFORM = "kubernetes"
BROKER_ID = "end-to-end"


@dataclass
class World:
    """Everything around a broker; it outlives each of its processes."""

    azure: SimulatedAzure
    database_url: str
    folder: Path
    group: str = ""
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    living: list[Broker] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.group = self.group or self.azure.a_group()

    @property
    def log(self) -> Path:
        return self.folder / "brokers.log"

    def settings(self, **changes: str) -> dict[str, str]:
        access = self.azure.access
        return {
            "database_url": self.database_url,
            "broker_id": BROKER_ID,
            "platforms": json.dumps({PLATFORM: {"username": PLATFORM, "passwords": [self.password]}}),
            "sealing_keys": f"k1:{base64.b64encode(self.key).decode()}",
            "azure_cloud": "custom",
            "azure_endpoint": access.endpoint,
            "azure_scope": f"{access.endpoint}/.default",
            "azure_authority": access.endpoint,
            "azure_ca_file": access.ca_file,
            "azure_authentication": "simulator",
            "azure_token_file": access.token_file,
            "azure_subscription_id": access.subscription_id,
            "azure_location": "westeurope",
            "azure_resource_group": self.group,
            "azure_poll_interval": "50ms",
            "data_plane_ca_file": access.ca_file,
            "egress_addresses": "127.0.0.1",
            "lease": LEASE,
            "request_wait": "30s",
            **changes,
        }

    def start(self, dies: At | None = None, **settings: str) -> Broker:
        """Start a process and wait until it serves."""
        process, url, health_url = start(self.settings(**settings), self.log, Dying(dies))
        broker = Broker(process, url, health_url, Platform(url, PLATFORM, PLATFORM, self.password))
        self.living.append(broker)
        return broker

    def in_a_hurry(self, ordered: Ordered, **durations: timedelta) -> None:
        """Publish the catalog with other durations of one plan; shorter ones than a file may say."""

        def changed(offering: ServiceOffering) -> ServiceOffering:
            plans = (
                replace(plan, **durations) if plan.id == ordered.plan_id else plan for plan in offering.plans
            )
            return replace(offering, plans=tuple(plans))

        async def run() -> None:
            database = await self._database()
            try:
                as_shipped = Files(shipped("catalog")).read()
                files = read_catalog(shipped("catalog"))
                await publish(database, files, of=as_shipped)
                await publish(
                    database, Catalog(tuple(changed(offering) for offering in files.offerings)), of=as_shipped
                )
            finally:
                await database.close()

        asyncio.run(run())

    async def _database(self) -> Database:
        return await Database.open(
            self.database_url, sealing=KeyRing([("k1", self.key)]), broker_id=BROKER_ID
        )

    def passwords(self, instance: str) -> list[str]:
        """The secrets that the broker has drawn for an instance, unsealed while no broker runs."""

        async def read() -> list[str]:
            database = await self._database()
            try:
                async with database.transaction() as tx:
                    found = await instances.get(tx, PLATFORM, instance)
            finally:
                await database.close()
            assert found is not None
            assert found.applied is not None
            return [found.applied.secrets["administrator_password"]]

        return asyncio.run(read())

    @contextmanager
    def serving(self, **settings: str) -> Iterator[Platform]:
        """A platform's client of a broker that is stopped at the end."""
        broker = self.start(**settings)
        yield broker.platform
        broker.stop()

    def end(self) -> None:
        """Kill what is left, and leave nothing in Azure that costs processes."""
        for broker in self.living:
            broker.process.kill()
            broker.process.join()
            broker.platform.close()
        self.azure.reset()
        self.azure.call("DELETE", f"/resourceGroups/{self.group}")

    # What the store holds.

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the store, past the broker."""
        if self.database_url.startswith("sqlite"):
            path = self.database_url.removeprefix("sqlite:///")
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
                return list(file.execute(query))
        with psycopg.connect(self.database_url) as connection:
            return list(connection.execute(query))

    def count(self, table: str, where: str = "1 = 1") -> int:
        return int(self.rows(f"SELECT count(*) FROM {table} WHERE {where}")[0][0])

    def operations(self, kind: str) -> list[str]:
        """The statuses of all operations of a kind, the oldest first."""
        return [
            row[0]
            for row in self.rows(f"SELECT status FROM operations WHERE kind = '{kind}' ORDER BY number")
        ]

    def statuses(self, binding: str) -> list[str]:
        """The statuses of all operations of a binding, the oldest first."""
        return [
            row[0]
            for row in self.rows(
                f"SELECT status FROM operations WHERE binding_id = '{binding}' ORDER BY number"
            )
        ]

    def recorded(self) -> set[str]:
        """The ids of what the store believes to live in Azure."""
        return {
            row[0].lower()
            for row in self.rows("SELECT resource_id FROM external_resources WHERE gone_at IS NULL")
        }

    # What Azure holds.

    def made(self) -> set[str]:
        """The ids of what lives in the broker's group; a server's settings are a part of the server."""
        return {one["id"].lower() for one in self.resources() if not one["type"].endswith("/configurations")}

    def resources(self, kind: str = "") -> list[dict[str, Any]]:
        """What lives in the broker's group."""
        inside = f"/resourcegroups/{self.group}/".lower()
        return [
            one
            for one in self.azure.state()["resources"]
            if inside in one["id"].lower() and one["type"].lower().endswith(kind.lower())
        ]

    def servers(self) -> list[dict[str, Any]]:
        return self.resources(SERVERS)

    def calls(self, method: str, what: str = "") -> list[dict[str, Any]]:
        """The ledger's calls that touched the broker's group."""
        inside = f"/resourcegroups/{self.group}/".lower()
        return [
            call
            for call in self.azure.ledger()
            if call["method"] == method
            and inside in call["path"].lower()
            and what.lower() in call["path"].lower()
        ]

    def deployments(self) -> list[str]:
        """The names of the deployments that were started, once for each time it was asked for."""
        return [call["deployment"] for call in self.calls("PUT", "/deployments/") if call["handled"]]

    def server_path(self, name: str) -> str:
        return f"{self.azure.subscription}/resourceGroups/{self.group}/providers/{SERVERS}/{name}"


def through_death(
    world: World,
    dies: At,
    ask: Callable[[Platform], httpx.Response],
) -> tuple[Broker, httpx.Response]:
    """
    Ask a broker that will die over it, then ask the next one the same, as a platform does; its answer.

    The first request may be answered or cut off: that depends on where the broker dies.
    """
    doomed = world.start(dies)
    with contextlib.suppress(httpx.TransportError):
        ask(doomed.platform)
    doomed.died()
    successor = world.start()
    return successor, ask(successor.platform)
