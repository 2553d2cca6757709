"""What the real database servers behind simulated ones have in common: doors, processes, places, an end."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import structlog

from broker.simulator.databases.gate import Dialect, Gate, ranges_of
from broker.simulator.databases.process import Access, ServerProcess

log = structlog.get_logger(__name__)

Process = TypeVar("Process", bound=ServerProcess)
IssueCertificate = Callable[[list[str]], tuple[bytes, bytes]]


class SettingRefused(Exception):
    """A server or parameter that a simulated server cannot have; the message says why."""


@dataclass
class Hosted(Generic[Process]):
    """One server: its administrator, its process and its door."""

    name: str
    administrator: str
    password: str = field(repr=False)
    process: Process
    gate: Gate
    settings: dict[str, str] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    # Whether the administrator in the server is as above.
    settled: bool = False
    # Whether it has one of the places for running processes.
    placed: bool = False
    users: int = 0
    idle_since: float = 0.0


class Hosting(ABC, Generic[Process]):
    """
    One database server per simulated server, each on its product's port of a loopback address of its own.

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

    dialect: ClassVar[Dialect]

    def __init__(
        self,
        folder: Path,
        *,
        issue_certificate: IssueCertificate,
        at_most_running: int = 8,
        idle_after: timedelta = timedelta(seconds=60),
        port: int,
        template_folder: Path | None = None,
    ) -> None:
        self.folder = folder
        self.template_folder = template_folder or folder
        self.issue_certificate = issue_certificate
        self._at_most_running = at_most_running
        self._idle_after = idle_after
        self._port = port
        self._servers: dict[str, Hosted[Process]] = {}
        self._opening = asyncio.Lock()
        self._opened: tuple[Path, Process] | None = None
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> list[str]:
        """Names of the servers whose process runs, for tests and operators."""
        return sorted(server.name for server in self._servers.values() if server.process.running)

    async def create(self, name: str, *, administrator: str, password: str, version: str) -> str:
        """
        Make a server and return its address. A second call sets the password and returns the same one.

        The process does not start yet. Whatever the *version*, it will be that of the program at hand.

        Raises:
            SettingRefused: The administrator's name is one that Azure keeps.
            PortHeld: Somebody else listens on the port on all addresses.
        """
        if self.is_reserved(administrator.lower()):
            raise SettingRefused(f"{administrator!r} cannot be the administrator's name.")
        server = self._servers.get(name)
        if server is not None:
            await self.set_password(name, password)
            assert server.gate.address is not None
            return server.gate.address
        place, model = await self._open()
        gate = Gate(name, lambda: self._entered(name), self.dialect)
        address = await gate.open(self._port)
        try:
            folder = place / hashlib.sha256(name.encode()).hexdigest()[:12]
            process = await asyncio.to_thread(model.copy_to, folder)
            certificate, key = self.issue_certificate([address])
            process.access = self.access(address, certificate, key)
        except BaseException:
            await gate.close()
            raise
        self._servers[name] = Hosted(name, administrator, password, process, gate)
        log.info("database server made", server=name, address=address, asked_for_version=version)
        return address

    async def set_password(self, name: str, password: str) -> None:
        """Change the administrator's password; sessions go on."""
        server = self._server(name)
        async with server.lock:
            server.password = password
            server.settled = False
            if server.process.running:
                await self._settle(server)

    async def create_database(self, name: str, database: str, charset: str, collation: str) -> None:
        """
        Make a database that belongs to the administrator; one that is there is left as it is.

        Raises:
            SettingRefused: Not with this character set and collation.
        """
        server = self._server(name)
        async with self._entered(name):
            await self.make_database(server, database, charset, collation)

    async def drop_database(self, name: str, database: str) -> None:
        """Drop a database and end the sessions in it; one that is gone is no error."""
        server = self._server(name)
        async with self._entered(name):
            await self.unmake_database(server, database)

    async def set_firewall(self, name: str, ranges: Sequence[tuple[str, str]]) -> None:
        """Let in clients from these ranges (first, last) and no others. Sessions go on, as in Azure."""
        self._server(name).gate.ranges = ranges_of(ranges)

    async def set_configuration(self, name: str, setting: str, value: str) -> None:
        """
        Set a server parameter. What needs a restart is in force after the next start of the process.

        Raises:
            SettingRefused: The server does not know it, or does not take the value.
        """
        server = self._server(name)
        if setting.lower() == "require_secure_transport":
            if value.lower() != "on":
                raise SettingRefused("A simulated server takes connections with TLS only.")
            return
        async with self._entered(name), server.lock:
            await self.change_setting(server, setting, value)
            server.settings[setting.lower()] = value

    async def delete(self, name: str) -> None:
        """End a server's sessions and process and remove its data; one that is gone is no error."""
        server = self._servers.pop(name, None)
        if server is None:
            return
        await server.gate.close()
        async with server.lock:
            await server.process.remove()
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
            await self.put_away()

    def _server(self, name: str) -> Hosted[Process]:
        if name not in self._servers:
            raise SettingRefused(f"There is no database server {name!r}.")
        return self._servers[name]

    async def _open(self) -> tuple[Path, Process]:
        async with self._opening:
            if self._opened is None:
                self._opened = await self.prepare()
            return self._opened

    @contextlib.asynccontextmanager
    async def _entered(self, name: str) -> AsyncIterator[tuple[str, int]]:
        """Hold the server's process running; gives where it listens."""
        server = self._server(name)
        server.users += 1
        try:
            async with server.lock:
                if not server.process.running:
                    await self._take_place(server)
                    await server.process.start()
                if not server.settled:
                    await self._settle(server)
            assert server.process.access.address is not None
            assert server.process.port is not None
            yield server.process.access.address, server.process.port
        finally:
            server.users -= 1
            if server.users == 0:
                self._watch_idle(server)
                async with self._changed:
                    self._changed.notify_all()

    async def _take_place(self, server: Hosted[Process]) -> None:
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

    async def _stop_if_idle(self, server: Hosted[Process]) -> None:
        async with server.lock:
            if server.users == 0:
                await server.process.stop()
                await self._give_place_back(server)

    async def _give_place_back(self, server: Hosted[Process]) -> None:
        server.placed = False
        async with self._changed:
            self._changed.notify_all()

    def _watch_idle(self, server: Hosted[Process]) -> None:
        loop = asyncio.get_running_loop()
        server.idle_since = since = loop.time()

        async def stop_later() -> None:
            await asyncio.sleep(self._idle_after.total_seconds())
            if server.idle_since == since:
                await self._stop_if_idle(server)

        task = loop.create_task(stop_later())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(self, server: Hosted[Process]) -> None:
        await self.settle(server)
        server.settled = True

    @abstractmethod
    def is_reserved(self, login: str) -> bool:
        """Whether an administrator cannot have this name, in lower case."""

    @abstractmethod
    def access(self, address: str, certificate: bytes, key: bytes) -> Access:
        """How the process of a server is entered."""

    @abstractmethod
    async def prepare(self) -> tuple[Path, Process]:
        """Clear away what a killed process left; return the folder for data and the stopped server to copy."""

    @abstractmethod
    async def put_away(self) -> None:
        """Remove what `prepare` made, but for a template that others may share."""

    @abstractmethod
    async def settle(self, server: Hosted[Process]) -> None:
        """Make the administrator as Azure would: sign in and rights, but no superuser."""

    @abstractmethod
    async def make_database(
        self, server: Hosted[Process], database: str, charset: str, collation: str
    ) -> None:
        """Make a database in a server that runs."""

    @abstractmethod
    async def unmake_database(self, server: Hosted[Process], database: str) -> None:
        """Drop one."""

    @abstractmethod
    async def change_setting(self, server: Hosted[Process], setting: str, value: str) -> None:
        """Set a parameter of a server that runs, now and for its next starts."""
