"""Simulated database servers for the tests, with a certificate authority made on the spot."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from broker.data_planes.base import Server
from broker.simulator.certificates import CertificateAuthority
from broker.simulator.databases.servers import DatabaseServers

EVERYBODY_HERE = [("127.0.0.0", "127.255.255.255")]


@dataclass
class Simulated:
    """Servers in a folder, and what a client must trust to believe them."""

    servers: DatabaseServers
    ca_file: Path
    folder: Path

    async def server(self, name="server-one", *, ranges=EVERYBODY_HERE) -> Server:
        """A new server, as the broker's data plane wants to know it."""
        password = f"A1-{secrets.token_urlsafe(20)}"
        address = await self.servers.create(
            name, administrator="broker_admin", password=password, version="17"
        )
        await self.servers.set_firewall(name, ranges)
        return Server(address, 5432, "broker_admin", password, self.ca_file, timedelta(seconds=20))

    async def database(self, name="server-one", database="orders") -> None:
        """A database as ARM would make it."""
        await self.servers.create_database(name, database, "UTF8", "en_US.utf8")


@asynccontextmanager
async def simulated_in(folder: Path, **options) -> AsyncIterator[Simulated]:
    authority = CertificateAuthority()
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(authority.certificate_pem)

    def issue(names):
        issued = authority.issue(*names)
        return issued.certificate_pem, issued.key_pem

    servers = DatabaseServers(folder / "databases", issue_certificate=issue, **options)
    try:
        yield Simulated(servers, ca_file, folder)
    finally:
        await servers.close()


@pytest.fixture(scope="session")
def template_folder() -> Iterator[Path]:
    """One template data folder for the session; the simulated servers of all tests are copied from it."""
    with TemporaryDirectory(prefix="osb-template-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
async def simulated(template_folder, tmp_path) -> AsyncIterator[Simulated]:
    async with simulated_in(tmp_path, template_folder=template_folder) as made:
        yield made
