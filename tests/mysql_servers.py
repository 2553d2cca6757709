"""A real MySQL server for the tests, whose administrator may do what Azure lets one do, and no more."""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pymysql
import pytest

from broker.data_planes.base import Server
from broker.simulator.certificates import CertificateAuthority
from broker.simulator.databases.mysql_process import MysqlProcess
from broker.simulator.databases.mysql_servers import make_administrator, template
from broker.simulator.databases.process import Access
from tests.needs import the_program

ADMINISTRATOR = "broker_admin"


@dataclass
class MysqlServer:
    """A running server; `broker` is how the broker knows it."""

    broker: Server
    process: MysqlProcess

    @contextmanager
    def root(self) -> Iterator[pymysql.cursors.Cursor]:
        """What only the platform can do in Azure."""
        with self.process.root() as cursor:
            yield cursor

    def database(self) -> str:
        """Make a new database, as ARM would."""
        name = f"db_{secrets.token_hex(6)}"
        with self.root() as cursor:
            cursor.execute(f"CREATE DATABASE `{name}`")
        return name

    def drop(self, database: str) -> None:
        with self.root() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{database}`")


@contextmanager
def running(folder: Path, *, tls: bool = True) -> Iterator[MysqlServer]:
    program = the_program("mysql")
    assert program is not None
    address = f"127.77.{secrets.randbelow(250)}.{1 + secrets.randbelow(250)}"
    authority = CertificateAuthority()
    issued = authority.issue(address, by_rsa=True)
    (folder / "ca.pem").write_bytes(authority.certificate_pem)
    copied = asyncio.run(template(Path(program[0]), folder / "template"))
    process = copied.copy_to(folder / "server")
    pem = (issued.certificate_pem, issued.key_pem) if tls else (None, None)
    process.access = Access(address, (), *pem)
    password = f"A1-{secrets.token_urlsafe(20)}"
    try:
        asyncio.run(process.start())
        assert process.port is not None
        with process.root() as cursor:
            make_administrator(cursor, login=ADMINISTRATOR, password=password)
        yield MysqlServer(
            Server(address, process.port, ADMINISTRATOR, password, folder / "ca.pem", timedelta(seconds=20)),
            process,
        )
    finally:
        asyncio.run(process.remove())


@pytest.fixture(scope="session")
def mysql_server() -> Iterator[MysqlServer]:
    """One server for all tests; each makes databases of its own."""
    # Unix sockets have short names, which pytest's folders are not.
    folder = Path(tempfile.mkdtemp(prefix="osb-mysql-"))
    try:
        with running(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)
