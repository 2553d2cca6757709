"""One PostgreSQL server: a data folder and the process that serves it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import LiteralString

import psycopg
import structlog

from broker.simulator.databases.runtime import Runtime

log = structlog.get_logger(__name__)

# The name of the superuser, as in Azure, where it belongs to the platform alone.
SUPERUSER = "azuresu"

# A start after a crash replays its log first; two busy cores have been seen to take 8 s for it.
_START_WITHIN = timedelta(seconds=60)
_STOP_WITHIN = timedelta(seconds=20)
_LOOK_EVERY = timedelta(milliseconds=10)
_START_TRIES = 5
# A socket's path may hold 107 bytes; PostgreSQL appends "/.s.PGSQL.<port>.lock".
_LONGEST_SOCKET_FOLDER = 80

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


class ClusterFailed(Exception):
    """A PostgreSQL server did not start or did not end; the message carries the end of its log."""


@dataclass(frozen=True)
class Access:
    """
    How a running cluster is entered over TCP.

    Attributes:
        address: Loopback address to listen on; None: by unix socket alone.
        authentication: Lines of ``pg_hba.conf`` for it.
        certificate: PEM chain; with *key*, TLS is on.
        key: PEM of the private key.
    """

    address: str | None = None
    authentication: tuple[str, ...] = ()
    certificate: bytes | None = None
    key: bytes | None = None


@dataclass
class Cluster:
    """
    A data folder and, while started, its server process.

    One process may hold a data folder at a time; a process that an earlier, killed owner left
    behind is ended before a start.
    """

    runtime: Runtime
    folder: Path
    access: Access = field(default_factory=Access)
    options: Mapping[str, str] = field(default_factory=dict)
    port: int | None = field(default=None, init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _socket_folder: Path | None = field(default=None, init=False)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

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

    def copy_to(self, folder: Path) -> Cluster:
        """
        A copy of this stopped cluster in *folder*. An earlier copy that was interrupted is replaced.

        Raises:
            ClusterFailed: This cluster runs; a copy would be torn.
        """
        if self.running:
            raise ClusterFailed(f"{self.folder} cannot be copied while it runs.")
        shutil.rmtree(folder, ignore_errors=True)
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        copied = subprocess.run(  # noqa: S603  # plain copy; cp knows reflinks and sparse files
            ["/bin/cp", "-a", "--", str(self.folder), str(unfinished)], capture_output=True, check=False
        )
        if copied.returncode != 0:
            raise ClusterFailed(f"{self.folder} could not be copied: {copied.stderr.decode().strip()}")
        unfinished.rename(folder)
        return Cluster(self.runtime, folder, self.access, self.options)

    async def start(self) -> None:
        """
        Start the server and wait until it answers. A second call finds it running and returns.

        Raises:
            ClusterFailed: It ended again, or did not answer within a minute.
        """
        if self.running:
            return
        await self._end_leftover()
        self._write_files()
        for attempt in range(_START_TRIES):
            self.port = _free_port(self.access.address)
            # In this thread: the server ends with the thread that started it, and a pool's may end any time.
            self._spawn()
            try:
                await self._wait_until_ready()
            except ClusterFailed:
                await self.stop()
                # The port was free a moment ago; somebody else may have taken it since.
                if attempt + 1 == _START_TRIES or "could not bind" not in self._end_of_log():
                    raise
            else:
                return

    async def stop(self) -> None:
        """
        End sessions, write a checkpoint, stop. A second call finds it stopped and returns.

        Raises:
            ClusterFailed: It was still there after 20 s; it has been killed.
        """
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                await asyncio.to_thread(process.wait, _STOP_WITHIN.total_seconds())
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)
                raise ClusterFailed(f"{self.folder} did not stop and was killed.") from None
        if self._socket_folder is not None and self._socket_folder != self.folder:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
        self._socket_folder = None

    def reload(self) -> None:
        """Make the running server read its configuration again."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGHUP)

    async def remove(self) -> None:
        """Stop the server and delete its folder. A second call finds nothing and returns."""
        await self.stop()
        await self._end_leftover()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    @contextlib.asynccontextmanager
    async def superuser(self, database: str = "postgres") -> AsyncIterator[psycopg.AsyncConnection]:
        """A connection of the superuser over the unix socket, each statement its own transaction."""
        connection = await psycopg.AsyncConnection.connect(
            host=str(self._socket_folder),
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

    def _write_files(self) -> None:
        self._socket_folder = self.folder
        if len(os.fsencode(self.folder)) > _LONGEST_SOCKET_FOLDER:
            self._socket_folder = Path(tempfile.mkdtemp(prefix="osb-pg-"))
            self.runtime.give(self._socket_folder)
        options = {
            **_DURABLE_ENOUGH,
            **self.options,
            "listen_addresses": self.access.address or "",
            "unix_socket_directories": str(self._socket_folder),
            "unix_socket_permissions": "0700",
        }
        if self.access.certificate is not None and self.access.key is not None:
            self._write("server.crt", self.access.certificate)
            self._write("server.key", self.access.key)
            options |= {
                "ssl": "on",
                "ssl_cert_file": str(self.folder / "server.crt"),
                "ssl_key_file": str(self.folder / "server.key"),
                "ssl_min_protocol_version": "TLSv1.2",
            }
        lines = [f"{name} = '{value}'" for name, value in options.items()]
        settings = self.folder / "azure.conf"
        if not settings.exists():
            self._write("azure.conf", b"")
        lines.append(f"include = '{settings}'")
        self._write("data/postgresql.conf", "\n".join([*lines, ""]).encode())
        authentication = [f"local all {SUPERUSER} scram-sha-256", *self.access.authentication]
        self._write("data/pg_hba.conf", "\n".join([*authentication, ""]).encode())

    def write_settings(self, settings: Mapping[str, str]) -> None:
        """Keep *settings* in a file of their own beside the fixed ones; `reload` or a start applies them."""
        lines = []
        for name, value in sorted(settings.items()):
            quoted = value.replace("\\", "\\\\").replace("'", "''").replace("\n", " ")
            lines.append(f"{name} = '{quoted}'\n")
        self._write("azure.conf", "".join(lines).encode())

    def _write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        aside = path.with_name(f"{path.name}.new")
        aside.unlink(missing_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        self.runtime.give(aside)
        aside.rename(path)

    def _spawn(self) -> None:
        assert self.port is not None
        log_file = self.folder / "log"
        with log_file.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  # our own programs, no shell
                self.runtime.command("postgres", "-D", str(self.data), "-p", str(self.port)),
                cwd="/",
                env=self.runtime.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C at a terminal is for the owner, who stops it in order
            )

    async def _wait_until_ready(self) -> None:
        waited = timedelta()
        while waited < _START_WITHIN:
            if not self.running:
                raise ClusterFailed(f"PostgreSQL in {self.folder} ended at its start: {self._end_of_log()}")
            # The last line of the pid file says `ready` once connections are taken.
            with contextlib.suppress(OSError):
                lines = (self.data / "postmaster.pid").read_text().splitlines()
                if len(lines) >= 8 and lines[7].strip() == "ready":
                    return
            await asyncio.sleep(_LOOK_EVERY.total_seconds())
            waited += _LOOK_EVERY
        raise ClusterFailed(f"PostgreSQL in {self.folder} was not ready in time: {self._end_of_log()}")

    def _end_of_log(self) -> str:
        with contextlib.suppress(OSError):
            return (self.folder / "log").read_text(errors="replace").strip()[-800:]
        return "it wrote no log."

    async def _end_leftover(self) -> None:
        """End a server that a killed owner left on this data folder; a stale pid file is removed."""
        waited = timedelta()
        signalled: int | None = None
        while (pid := self._leftover()) is not None:
            if signalled is None or waited > _STOP_WITHIN:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT if signalled is None else signal.SIGKILL)
                signalled, waited = pid, timedelta()
            await asyncio.sleep(_LOOK_EVERY.total_seconds())
            waited += _LOOK_EVERY
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _leftover(self) -> int | None:
        try:
            pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
            # A process id may have gone to a stranger since: a postmaster works in its data folder.
            return pid if Path(f"/proc/{pid}/cwd").resolve(strict=True) == self.data.resolve() else None
        except (OSError, ValueError, IndexError):
            return None


def _free_port(address: str | None) -> int:
    with socket.socket() as probe:
        probe.bind((address or "127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
