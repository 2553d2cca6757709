"""One PostgreSQL server: a data folder and the process that serves it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString

import psycopg
import structlog

from broker.simulator.databases.process import Access, ServerProcess
from broker.simulator.databases.runtime import Runtime

log = structlog.get_logger(__name__)

# The name of the superuser, as in Azure, where it belongs to the platform alone.
SUPERUSER = "azuresu"

_DURABLE_ENOUGH = {
    # A simulated server must survive the death of its process, not of its machine.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "64MB",
    "min_wal_size": "8MB",
    "shared_buffers": "16MB",
    "jit": "off",
    "timezone": "GMT",
    "log_timezone": "GMT",
    "password_encryption": "scram-sha-256",
    "logging_collector": "off",
    "log_min_messages": "warning",
}


@dataclass
class Cluster(ServerProcess):
    """A server of PostgreSQL."""

    product = "PostgreSQL"
    port_is_taken = "could not bind"
    end_signal = signal.SIGINT
    pid_file = "postmaster.pid"

    runtime: Runtime
    folder: Path
    access: Access = field(default_factory=Access)
    options: Mapping[str, str] = field(default_factory=dict)
    port: int | None = field(default=None, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _socket_folder: Path | None = field(default=None, init=False)

    def initialise(self, password: str) -> None:
        """Make an empty data folder whose superuser has *password*. Takes about a second."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.runtime.give(self.folder)
        with tempfile.TemporaryDirectory(prefix="osb-initdb-") as handover:
            self.runtime.give(Path(handover))
            password_file = Path(handover) / "password"
            password_file.write_text(f"{password}\n")
            password_file.chmod(0o600)
            self.runtime.give(password_file)
            self.runtime.run(
                "initdb",
                f"--pgdata={self.data}",
                f"--username={SUPERUSER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # PostgreSQL's own C.UTF-8: the same on every machine, whatever languages it has.
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
                "--wal-segsize=4",  # MiB; the folder is copied for each server
                "--no-sync",
                "--no-instructions",
            )
        (self.folder / "superuser").write_text(password)
        (self.folder / "superuser").chmod(0o600)

    def reload(self) -> None:
        """Make the running server read its configuration again."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGHUP)

    @contextlib.asynccontextmanager
    async def superuser(self, database: str = "postgres") -> AsyncIterator[psycopg.AsyncConnection]:
        """A connection of the superuser over the unix socket, each statement its own transaction."""
        connection = await psycopg.AsyncConnection.connect(
            host=str(self.socket_folder()),
            port=self.port,
            user=SUPERUSER,
            password=(self.folder / "superuser").read_text(),
            dbname=database,
            autocommit=True,
            connect_timeout=10,
            application_name="simulator",
        )
        async with connection:
            yield connection

    async def execute(self, statement: LiteralString, *, database: str = "postgres") -> None:
        """Run *statement* as the superuser."""
        async with self.superuser(database) as connection:
            await connection.execute(statement)

    def give(self, path: Path) -> None:
        self.runtime.give(path)

    def at(self, folder: Path) -> Cluster:
        return Cluster(self.runtime, folder, self.access, self.options)

    def command(self) -> list[str]:
        return self.runtime.command("postgres", "-D", str(self.data), "-p", str(self.port))

    def environment(self) -> Mapping[str, str]:
        return self.runtime.environment()

    async def is_ready(self) -> bool:
        # The last line of the pid file says `ready` once connections are taken.
        with contextlib.suppress(OSError):
            lines = (self.data / self.pid_file).read_text().splitlines()
            return len(lines) >= 8 and lines[7].strip() == "ready"
        return False

    def write_files(self) -> None:
        options = {
            **_DURABLE_ENOUGH,
            **self.options,
            "listen_addresses": self.access.address or "",
            "unix_socket_directories": str(self.socket_folder()),
            "unix_socket_permissions": "0700",
        }
        if self.access.certificate is not None and self.access.key is not None:
            self.write("server.crt", self.access.certificate)
            self.write("server.key", self.access.key)
            options |= {
                "ssl": "on",
                "ssl_cert_file": str(self.folder / "server.crt"),
                "ssl_key_file": str(self.folder / "server.key"),
                "ssl_min_protocol_version": "TLSv1.2",
            }
        lines = [f"{name} = '{value}'" for name, value in options.items()]
        settings = self.folder / "azure.conf"
        if not settings.exists():
            self.write("azure.conf", b"")
        lines.append(f"include = '{settings}'")
        self.write("data/postgresql.conf", "\n".join([*lines, ""]).encode())
        authentication = [f"local all {SUPERUSER} scram-sha-256", *self.access.authentication]
        self.write("data/pg_hba.conf", "\n".join([*authentication, ""]).encode())

    def write_settings(self, settings: Mapping[str, str]) -> None:
        """Keep *settings* in a file of their own beside the fixed ones; `reload` or a start applies them."""
        lines = []
        for name, value in sorted(settings.items()):
            quoted = value.replace("\\", "\\\\").replace("'", "''").replace("\n", " ")
            lines.append(f"{name} = '{quoted}'\n")
        self.write("azure.conf", "".join(lines).encode())
