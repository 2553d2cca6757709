"""The real PostgreSQL servers behind simulated ones."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psycopg
import structlog
from psycopg import sql

from broker.simulator.databases.cluster import SUPERUSER, Access, Cluster
from broker.simulator.databases.gate import Gate, ranges_of
from broker.simulator.databases.runtime import find_runtime, open_folder, remove_folder
from broker.simulator.databases.template import ADMINISTRATORS, template

log = structlog.get_logger(__name__)

IssueCertificate = Callable[[list[str]], tuple[bytes, bytes]]

# TLS only, and never the superuser. A plain connection finds no line and gets the error that Azure gives.
_AUTHENTICATION = (
    f"hostssl all {SUPERUSER} 0.0.0.0/0 reject",
    "hostssl all all 0.0.0.0/0 scram-sha-256",
)
_RESERVED = frozenset(
    {SUPERUSER, ADMINISTRATORS, "azure_superuser", "admin", "administrator", "root", "guest"}
)


class SettingRefused(Exception):
    """A server or parameter that a simulated server cannot have; the message says why."""


@dataclass
class _Server:
    name: str
    administrator: str
    password: str = field(repr=False)
    cluster: Cluster
    gate: Gate
    settings: dict[str, str] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    # Whether the administrator in the cluster is as above.
    settled: bool = False
    # Whether it has one of the places for running processes.
    placed: bool = False
    users: int = 0
    idle_since: float = 0.0


class DatabaseServers:
    """
    One PostgreSQL per simulated server, each on port 5432 of a loopback address of its own.

    The process of a server starts at the first connection and stops when nobody has been connected for
    *idle_after*. At most *at_most_running* run at once: a further one stops the one that is idle longest,
    or waits until one is. All end, and their data goes, with `close`; a new object on the same folder
    clears away what a killed process left.

    Args:
        folder: For data folders, and for the template that they are copied from.
        issue_certificate: Gives certificate chain and key, PEM, for names and addresses.
        at_most_running: How many server processes run at the same time.
        idle_after: How long a process without connections goes on.
        port: What clients connect to.
        template_folder: Where to keep the template; several objects may share it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        issue_certificate: IssueCertificate,
        at_most_running: int = 8,
        idle_after: timedelta = timedelta(seconds=60),
        port: int = 5432,
        template_folder: Path | None = None,
    ) -> None:
        self._folder = folder
        self._template_folder = template_folder or folder
        self._issue_certificate = issue_certificate
        self._at_most_running = at_most_running
        self._idle_after = idle_after
        self._port = port
        self._servers: dict[str, _Server] = {}
        self._opening = asyncio.Lock()
        self._opened: tuple[Path, Cluster] | None = None
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> list[str]:
        """Names of the servers whose process runs, for tests and operators."""
        return sorted(server.name for server in self._servers.values() if server.cluster.running)

    async def create(self, name: str, *, administrator: str, password: str, version: str) -> str:
        """
        Make a server and return its address. A second call sets the password and returns the same one.

        The process does not start yet. Whatever the *version*, it will be the wheel's.

        Raises:
            SettingRefused: The administrator's name is one that Azure keeps.
            PortHeld: Somebody else listens on the port on all addresses.
        """
        if administrator.lower() in _RESERVED or administrator.lower().startswith("pg_"):
            raise SettingRefused(f"{administrator!r} cannot be the administrator's name.")
        server = self._servers.get(name)
        if server is not None:
            await self.set_password(name, password)
            assert server.gate.address is not None
            return server.gate.address
        place, model = await self._open()
        gate = Gate(name, lambda: self._entered(name))
        address = await gate.open(self._port)
        try:
            folder = place / hashlib.sha256(name.encode()).hexdigest()[:12]
            cluster = await asyncio.to_thread(model.copy_to, folder)
            certificate, key = self._issue_certificate([address])
            cluster.access = Access(address, _AUTHENTICATION, certificate, key)
        except BaseException:
            await gate.close()
            raise
        self._servers[name] = _Server(name, administrator, password, cluster, gate)
        log.info("database server made", server=name, address=address, asked_for_version=version)
        return address

    async def set_password(self, name: str, password: str) -> None:
        """Change the administrator's password; sessions go on."""
        server = self._server(name)
        async with server.lock:
            server.password = password
            server.settled = False
            if server.cluster.running:
                await _settle(server)

    async def create_database(self, name: str, database: str, charset: str, collation: str) -> None:
        """
        Make a database that belongs to the administrator; one that is there is left as it is.

        Azure gives databases made by ARM to the administrator (cyrilgdn/terraform-provider-postgresql
        issue 500, hashicorp/terraform-provider-azurerm issue 27895). The *collation* is not looked at:
        text sorts by code point here, as the languages of this machine are not Azure's.

        Raises:
            SettingRefused: The *charset* is not UTF8.
        """
        del collation
        if charset.upper() not in {"UTF8", "UTF-8"}:
            raise SettingRefused(f"A simulated database has the character set UTF8, not {charset!r}.")
        server = self._server(name)
        async with self._entered(name), server.cluster.superuser() as connection:
            create = sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(database), sql.Identifier(server.administrator)
            )
            with contextlib.suppress(psycopg.errors.DuplicateDatabase):
                await connection.execute(create)

    async def drop_database(self, name: str, database: str) -> None:
        """Drop a database and end the sessions in it; one that is gone is no error."""
        server = self._server(name)
        async with self._entered(name), server.cluster.superuser() as connection:
            await connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
            )

    async def set_firewall(self, name: str, ranges: Sequence[tuple[str, str]]) -> None:
        """Let in clients from these ranges (first, last) and no others. Sessions go on, as in Azure."""
        self._server(name).gate.ranges = ranges_of(ranges)

    async def set_configuration(self, name: str, setting: str, value: str) -> None:
        """
        Set a server parameter. What needs a restart is in force after the next start of the process.

        Raises:
            SettingRefused: PostgreSQL does not know it, or does not take the value.
        """
        server = self._server(name)
        if setting.lower() == "require_secure_transport":
            if value.lower() != "on":
                raise SettingRefused("A simulated server takes connections with TLS only.")
            return
        async with self._entered(name), server.lock:
            if not setting.lower().startswith("azure."):
                await _try_setting(server, setting, value)
            server.settings[setting.lower()] = value
            server.cluster.write_settings(server.settings)
            server.cluster.reload()

    async def delete(self, name: str) -> None:
        """End a server's sessions and process and remove its data; one that is gone is no error."""
        server = self._servers.pop(name, None)
        if server is None:
            return
        await server.gate.close()
        async with server.lock:
            await server.cluster.remove()
            await self._give_place_back(server)
        log.info("database server deleted", server=name)

    async def close(self) -> None:
        """End every server and remove all data. A second call finds none and returns."""
        await asyncio.gather(*(self.delete(name) for name in list(self._servers)))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._opened is not None:
            self._opened = None
            await asyncio.to_thread(remove_folder, self._folder, "servers")
            if self._template_folder == self._folder:
                await asyncio.to_thread(remove_folder, self._folder, "template", keep_if_inside=True)
            await asyncio.to_thread(remove_folder, self._folder, "programs", keep_if_inside=True)

    def _server(self, name: str) -> _Server:
        if name not in self._servers:
            raise SettingRefused(f"There is no database server {name!r}.")
        return self._servers[name]

    async def _open(self) -> tuple[Path, Cluster]:
        async with self._opening:
            if self._opened is None:
                runtime = await asyncio.to_thread(find_runtime, self._folder)
                place = open_folder(self._folder, "servers")
                for left_over in (entry for entry in place.iterdir() if entry.is_dir()):
                    await Cluster(runtime, left_over).remove()
                shared = open_folder(self._template_folder, "template")
                self._opened = place, await template(runtime, shared)
            return self._opened

    @contextlib.asynccontextmanager
    async def _entered(self, name: str) -> AsyncIterator[tuple[str, int]]:
        """Hold the server's process running; gives where it listens."""
        server = self._server(name)
        server.users += 1
        try:
            async with server.lock:
                if not server.cluster.running:
                    await self._take_place(server)
                    await server.cluster.start()
                if not server.settled:
                    await _settle(server)
            assert server.cluster.access.address is not None
            assert server.cluster.port is not None
            yield server.cluster.access.address, server.cluster.port
        finally:
            server.users -= 1
            if server.users == 0:
                self._watch_idle(server)
                async with self._changed:
                    self._changed.notify_all()

    async def _take_place(self, server: _Server) -> None:
        while not server.placed:
            placed = [other for other in self._servers.values() if other.placed]
            if len(placed) < self._at_most_running:
                server.placed = True
                return
            idle = [other for other in placed if other.users == 0]
            if idle:
                await self._stop_if_idle(min(idle, key=lambda other: other.idle_since))
            else:
                async with self._changed:
                    await self._changed.wait()

    async def _stop_if_idle(self, server: _Server) -> None:
        async with server.lock:
            if server.users == 0:
                await server.cluster.stop()
                await self._give_place_back(server)

    async def _give_place_back(self, server: _Server) -> None:
        server.placed = False
        async with self._changed:
            self._changed.notify_all()

    def _watch_idle(self, server: _Server) -> None:
        loop = asyncio.get_running_loop()
        server.idle_since = since = loop.time()

        async def stop_later() -> None:
            await asyncio.sleep(self._idle_after.total_seconds())
            if server.idle_since == since:
                await self._stop_if_idle(server)

        task = loop.create_task(stop_later())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _settle(server: _Server) -> None:
    """Make the administrator as Azure would: sign in, roles and databases, but no superuser."""
    async with server.cluster.superuser() as connection:
        role = sql.Identifier(server.administrator)
        verifier = connection.pgconn.encrypt_password(
            server.password.encode(), server.administrator.encode(), b"scram-sha-256"
        )
        found = await connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [server.administrator])
        if await found.fetchone() is None:
            await connection.execute(sql.SQL("CREATE ROLE {}").format(role))
        await connection.execute(
            sql.SQL("ALTER ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {}").format(
                role, sql.Literal(verifier.decode())
            )
        )
        await connection.execute(
            sql.SQL("GRANT {} TO {} WITH ADMIN TRUE").format(sql.Identifier(ADMINISTRATORS), role)
        )
    server.settled = True


async def _try_setting(server: _Server, setting: str, value: str) -> None:
    """Ask the server whether it would take a value, without keeping it: a bad one would stop its start."""
    async with server.cluster.superuser() as connection:
        name = sql.Identifier(setting.lower())
        try:
            await connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(name, sql.Literal(value)))
            await connection.execute(sql.SQL("ALTER SYSTEM RESET {}").format(name))
        except psycopg.Error as error:
            raise SettingRefused(
                f"The server does not take {setting} = {value!r}: {error.diag.message_primary}."
            ) from error
