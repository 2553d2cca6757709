"""Those who are asked what is true, none of them the broker: Azure, a database driver, the store's file."""

from __future__ import annotations

import asyncio
import sqlite3
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, LiteralString, Self

import httpx
import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from broker.azure import naming

if TYPE_CHECKING:
    from pathlib import Path


DriverError = psycopg.Error
HttpError = httpx.HTTPError

_DEPLOYMENTS = "2025-04-01"
_SERVERS = "2026-10-01"
_SERVER = "Microsoft.DBforPostgreSQL/flexibleServers"


class Azure:
    """The simulated Azure: its management API, its ledger of all calls, its switches for faults."""

    def __init__(self, where: dict[str, Any]) -> None:
        with open(where["token_file"], encoding="utf-8") as file:  # noqa: PTH123 - a path as JSON gave it
            token = file.read().strip()
        self.subscription = where["subscription_id"]
        self.client = httpx.AsyncClient(
            base_url=where["endpoint"],
            headers={"Authorization": f"Bearer {token}"},
            verify=ssl.create_default_context(cafile=where["ca_file"]),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def ledger(self) -> list[dict[str, Any]]:
        """Return every call that came to Azure, in order."""
        return list((await self._read("/_simulator/ledger"))["calls"])

    async def living(self) -> dict[str, Any]:
        """Return what lives in Azure now: resources, groups, deployments."""
        read: dict[str, Any] = await self._read("/_simulator/state")
        return read

    async def resources(self) -> list[dict[str, Any]]:
        """Return the resources that live in Azure now, of every type, whoever made them."""
        return list((await self.living())["resources"])

    async def servers(self) -> list[dict[str, Any]]:
        """Return the database servers as Azure describes them."""
        found = [item["id"] for item in await self.resources() if item["type"].lower() == _SERVER.lower()]
        return [await self._read(f"{server_id}?api-version={_SERVERS}") for server_id in found]

    async def databases(self) -> list[str]:
        """Return the names of the databases on all servers."""
        wanted = f"{_SERVER}/databases".lower()
        return [i["name"].rpartition("/")[2] for i in await self.resources() if i["type"].lower() == wanted]

    async def put_group(self, name: str, location: str) -> None:
        """Make a resource group as an operator would; one that is there is no error."""
        await self._send("PUT", self._group(name), _DEPLOYMENTS, {"location": location})

    async def deploy_behind_the_back(self, group: str) -> None:
        """Begin a deployment that the broker knows nothing of."""
        template = {
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0",
            "resources": [],
        }
        await self._send(
            "PUT",
            f"{self._group(group)}/providers/Microsoft.Resources/deployments/somebody-else",
            _DEPLOYMENTS,
            {"properties": {"mode": "Incremental", "template": template, "parameters": {}}},
        )

    async def close_firewall(self, server_id: str) -> None:
        """Delete every firewall rule of a server and wait until they are gone."""
        rules = f"{_SERVER}/firewallRules".lower()
        until = time.monotonic() + 30
        while left := [i["id"] for i in await self.resources() if i["type"].lower() == rules]:
            for rule in left:
                if rule.lower().startswith(server_id.lower()):
                    answer = await self.client.delete(f"{rule}?api-version={_SERVERS}")
                    if answer.status_code != 409:
                        answer.raise_for_status()
            if time.monotonic() > until:
                raise TimeoutError("The firewall rules are still there after 30 s.")
            await asyncio.sleep(0.1)

    async def plant_ours(self, group: str, broker_id: str, platform: str, instance_id: str) -> None:
        """Put a server there whose tags say that it is the broker's."""
        await self.plant(
            {
                "id": f"{self._group(group)}/providers/{_SERVER}/pg-left-over",
                "location": "westeurope",
                "tags": naming.tags(broker_id, platform, instance_id, 0),
            }
        )

    async def break_down(self, **fault: Any) -> None:
        """Have the simulated Azure misbehave."""
        (await self.client.post("/_simulator/faults", json=fault)).raise_for_status()

    async def mend(self) -> None:
        """Take all faults away."""
        (await self.client.delete("/_simulator/faults")).raise_for_status()

    async def plant(self, resource: dict[str, Any]) -> None:
        """Put a resource there that no broker made."""
        (await self.client.post("/_simulator/plant", json=resource)).raise_for_status()

    def _group(self, name: str) -> str:
        return f"/subscriptions/{self.subscription}/resourceGroups/{name}"

    async def _send(self, method: str, path: str, api_version: str, body: dict[str, Any]) -> None:
        answer = await self.client.request(method, f"{path}?api-version={api_version}", json=body)
        answer.raise_for_status()

    async def _read(self, path: str) -> Any:
        answer = await self.client.get(path)
        answer.raise_for_status()
        return answer.json()


async def connected(
    credentials: dict[str, Any], ca_file: str, *, sslmode: str = "verify-full", **other: str
) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """Make a fresh connection with a binding's credentials; *other* replaces some of them."""
    told = {
        name: str(credentials[name]) for name in ("host", "port", "username", "password", "database")
    } | other
    return await psycopg.AsyncConnection.connect(
        host=told["host"],
        port=told["port"],
        user=told["username"],
        password=told["password"],
        dbname=told["database"],
        sslmode=sslmode,
        sslrootcert=ca_file,
        connect_timeout=20,
        autocommit=True,
    )


async def refused(
    credentials: dict[str, Any], ca_file: str, *, sslmode: str = "verify-full", **other: str
) -> str | None:
    """Try to connect; return why it was refused, None if it was not."""
    try:
        connection = await connected(credentials, ca_file, sslmode=sslmode, **other)
    except psycopg.OperationalError as fault:
        return " ".join(str(fault).split())
    await connection.close()
    return None


async def value(
    connection: psycopg.AsyncConnection[tuple[Any, ...]], query: LiteralString, *values: object
) -> Any:
    """Return the one value that a query gives."""
    cursor = await connection.execute(query, values or None)
    row = await cursor.fetchone()
    return None if row is None else row[0]


def write_other_ca(path: Path) -> None:
    """Write the certificate of an authority that has signed nothing."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Another authority")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def dumped(database: Path) -> str:
    """Return everything that stands in the broker's SQLite file, binary values in hexadecimal, as one text."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return "\n".join(connection.iterdump())
    finally:
        connection.close()


def rows(database: Path, table: str) -> int:
    """Count the rows of a table in the broker's SQLite file."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return int(connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])  # noqa: S608 - our own names
    finally:
        connection.close()
