"""What the checker goes by: the store, Azure with all its calls, the database servers, and all that was written."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from broker.domain.instances import ServiceInstance
from broker.provisioners.records import secrets_of
from broker.store.sealing import KeyRing
from tests.chaos.stored import Stored, dump, stored, unsealed
from tests.simulated import POSTGRES, SimulatedAzure

SERVERS = "Microsoft.DBforPostgreSQL/flexibleServers"
_SERVERS_OWN = ("azuresu", "azure_pg_admin")


@dataclass(frozen=True)
class Promise:
    """What a platform was told: an operation accepted (202), or the outcome itself (200, 201)."""

    instance: str
    binding: str | None = None
    operation: str | None = None


@dataclass(frozen=True)
class Beliefs:
    """What a platform knows after all its requests: which ids live, and which are gone."""

    alive: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Put:
    """A PUT of a deployment, as whoever sent it wrote down right before: with its fence, and when (ISO)."""

    deployment: str
    fence: int
    pid: int
    at: str
    stood_still: bool = False
    """Whether its process was frozen in the second after that."""


@dataclass(frozen=True)
class DatabaseServer:
    """A living server in Azure and the roles that it knows besides its own; None when nobody has its password."""

    id: str
    roles: frozenset[str] | None


@dataclass(frozen=True)
class Evidence:
    """Everything of one moment at which nothing is under way."""

    stored: Stored
    azure: Mapping[str, Any]
    ledger: list[dict[str, Any]]
    group: str
    servers: tuple[DatabaseServer, ...] = ()
    promises: tuple[Promise, ...] = ()
    beliefs: Beliefs = Beliefs()
    texts: Mapping[str, bytes] = field(default_factory=dict)
    """What was written in the open, by the name of its place."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    private: Mapping[str, str] = field(default_factory=dict)
    """What Azure may show and nobody else, such as parameters."""
    logs: str = ""
    puts: tuple[Put, ...] = ()

    def resources(self) -> list[dict[str, Any]]:
        """What lives in the broker's group; a server's settings are a part of the server."""
        inside = f"/resourcegroups/{self.group}/".lower()
        return [
            one
            for one in self.azure["resources"]
            if inside in one["id"].lower() and not one["type"].endswith("/configurations")
        ]


def gather(
    azure: SimulatedAzure,
    database_url: str,
    keys: KeyRing,
    group: str,
    *,
    logs: Iterable[Path] = (),
    texts: Mapping[str, bytes] | None = None,
    secrets: Mapping[str, str] | None = None,
    private: Mapping[str, str] | None = None,
    promises: Iterable[Promise] = (),
    beliefs: Beliefs = Beliefs(),
    puts: Iterable[Put] = (),
) -> Evidence:
    """Collect it from a world at rest; what the broker has drawn for itself counts as secret too."""
    instances = unsealed(database_url, keys)
    state, ledger = azure.state(), azure.ledger()
    written = b"".join(path.read_bytes() for path in logs if path.exists())
    drawn = {
        f"{name} of {instance.instance_id}": value
        for instance in instances.values()
        for name, value in secrets_of(instance).items()
        if name.endswith("password")
    }
    return Evidence(
        stored=stored(database_url),
        azure=state,
        ledger=ledger,
        group=group,
        servers=tuple(_servers(azure, state, stored(database_url), instances, group)),
        promises=tuple(promises),
        beliefs=beliefs,
        texts={
            "the store": dump(database_url),
            "the logs": written,
            "Azure's ledger": json.dumps(ledger).encode(),
            "Azure's state": json.dumps(state).encode(),
            "Azure's history": _history(azure, group),
            **(texts or {}),
        },
        secrets={**drawn, **(secrets or {})},
        private=private or {},
        logs=written.decode(errors="replace"),
        puts=tuple(puts),
    )


def _history(azure: SimulatedAzure, group: str) -> bytes:
    path = f"/resourceGroups/{group}/providers/Microsoft.Resources/deployments"
    listed = azure.call("GET", path).json().get("value", [])
    details = [azure.call("GET", f"{path}/{one['name']}/operations").json() for one in listed]
    return json.dumps([listed, details]).encode()


def _servers(
    azure: SimulatedAzure, state: Any, rows: Stored, instances: Mapping[Any, ServiceInstance], group: str
) -> Iterable[DatabaseServer]:
    holders = {one["resource_id"].lower(): one["instance_key"] for one in rows.resources}
    for resource in state["resources"]:
        if resource["type"] != SERVERS or f"/resourcegroups/{group}/".lower() not in resource["id"].lower():
            continue
        holder = instances.get(holders.get(resource["id"].lower()))
        secrets = secrets_of(holder) if holder else {}
        if "administrator_password" not in secrets:
            yield DatabaseServer(resource["id"], None)
            continue
        shown = azure.call("GET", resource["id"], version=POSTGRES).json()
        yield DatabaseServer(
            resource["id"],
            roles_of(
                shown["properties"]["fullyQualifiedDomainName"],
                secrets["administrator_login"],
                secrets["administrator_password"],
                azure.access.ca_file,
            ),
        )


def roles_of(host: str, administrator: str, password: str, ca_file: str) -> frozenset[str]:
    """All roles on a server that somebody has made."""
    with psycopg.connect(
        host=host,
        port=5432,
        user=administrator,
        password=password,
        dbname="postgres",
        sslmode="verify-full",
        sslrootcert=ca_file,
        connect_timeout=20,
        autocommit=True,
    ) as connection:
        names = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
    return frozenset(
        name
        for name in names
        if not name.startswith("pg_") and name not in _SERVERS_OWN and name != administrator
    )
