"""A real MySQL server for the tests, whose administrator may do what Azure lets one do, and no more."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pymysql
import pytest

from broker.data_planes.base import Server
from broker.simulator.certificates import CertificateAuthority
from tests.needs import the_program
from tests.simulated import wait_until

ADMINISTRATOR = "broker_admin"
# What Azure's page on creating users lists; neither SUPER nor CONNECTION_ADMIN is among it.
_ADMINISTRATORS_RIGHTS = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES,"
    " CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW,"
    " CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER"
)
_SMALL = (
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=4M",
    "--innodb-flush-log-at-trx-commit=0",
    "--skip-innodb-doublewrite",
    "--skip-log-bin",
    "--max-connections=80",
)


@dataclass
class MysqlServer:
    """A running server; `broker` is how the broker knows it."""

    broker: Server
    socket: Path

    @contextmanager
    def root(self) -> Iterator[pymysql.cursors.Cursor]:
        """What only the platform can do in Azure."""
        with socket.socket(socket.AF_UNIX) as reached:
            reached.connect(str(self.socket))
            own = pymysql.Connection(user="root", autocommit=True, ssl_disabled=True, defer_connect=True)
            own.connect(reached)
            with closing(own):
                yield own.cursor()

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
    home = Path(program[0]).parent
    as_root = ("--user=root",) if os.geteuid() == 0 else ()
    data, address = folder / "data", f"127.77.{secrets.randbelow(250)}.{1 + secrets.randbelow(250)}"
    common = ("--no-defaults", f"--datadir={data}", f"--lc-messages-dir={home / 'share'}", *as_root, *_SMALL)
    subprocess.run(
        [*program, *common, "--initialize-insecure", "--lower-case-table-names=1"],
        check=True,
        capture_output=True,
    )
    authority = CertificateAuthority()
    issued = authority.issue(address, by_rsa=True)
    (folder / "ca.pem").write_bytes(authority.certificate_pem)
    (folder / "server.pem").write_bytes(issued.certificate_pem)
    (folder / "server.key").write_bytes(issued.key_pem)
    secured = (
        (
            f"--ssl-cert={folder / 'server.pem'}",
            f"--ssl-key={folder / 'server.key'}",
            "--require-secure-transport=ON",
        )
        if tls
        else ("--skip-ssl",)
    )
    with socket.socket() as probe:
        probe.bind((address, 0))
        port = probe.getsockname()[1]
    password = f"A1-{secrets.token_urlsafe(20)}"
    server = MysqlServer(
        Server(address, port, ADMINISTRATOR, password, folder / "ca.pem", timedelta(seconds=20)),
        folder / "socket",
    )
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(
            [
                *program,
                *common,
                *secured,
                f"--bind-address={address}",
                f"--port={port}",
                f"--socket={server.socket}",
                "--mysqlx=OFF",
                # As in Azure, where it cannot be changed.
                "--lower-case-table-names=1",
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: _administered(server), at_most=60)
        yield server
    finally:
        process.terminate()
        process.wait(60)


def _administered(server: MysqlServer) -> bool:
    """Make the administrator as Azure does; false while the server does not answer yet."""
    try:
        with server.root() as cursor:
            cursor.execute(
                "CREATE USER IF NOT EXISTS %s@'%%' IDENTIFIED BY %s", (ADMINISTRATOR, server.broker.password)
            )
            cursor.execute(
                f"GRANT {_ADMINISTRATORS_RIGHTS} ON *.* TO %s@'%%' WITH GRANT OPTION", (ADMINISTRATOR,)
            )
            cursor.execute("DROP PROCEDURE IF EXISTS mysql.az_kill")
            cursor.execute("CREATE PROCEDURE mysql.az_kill(session BIGINT) KILL CONNECTION session")
    except (OSError, pymysql.err.OperationalError):
        return False
    return True


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
