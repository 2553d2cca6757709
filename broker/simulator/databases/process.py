"""One database server behind a simulated one: a data folder and the process that serves it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Self

# A start after a crash replays its log first; two busy cores have been seen to take 8 s for it.
_START_WITHIN = timedelta(seconds=60)
_STOP_WITHIN = timedelta(seconds=20)
_LOOK_EVERY = timedelta(milliseconds=10)
_START_TRIES = 5
# A socket's path may hold 107 bytes; PostgreSQL appends "/.s.PGSQL.<port>.lock".
_LONGEST_SOCKET_FOLDER = 80


class ServerFailed(Exception):
    """A database server did not start or did not end; the message carries the end of its log."""


@dataclass(frozen=True)
class Access:
    """
    How a running server is entered over TCP.

    Attributes:
        address: Loopback address to listen on; None: by unix socket alone.
        authentication: Lines of ``pg_hba.conf`` for it, with PostgreSQL.
        certificate: PEM chain; with *key*, TLS is on.
        key: PEM of the private key.
    """

    address: str | None = None
    authentication: tuple[str, ...] = ()
    certificate: bytes | None = None
    key: bytes | None = None


class ServerProcess(ABC):
    """
    A data folder and, while started, its server process.

    One process may hold a data folder at a time; a process that an earlier, killed owner left
    behind is ended before a start. Subclasses are dataclasses and say what differs from product to product.
    """

    product: ClassVar[str]
    # In the log of a server whose port somebody else took.
    port_is_taken: ClassVar[str]
    # What ends the process in order, its sessions too.
    end_signal: ClassVar[signal.Signals]
    pid_file: ClassVar[str]

    folder: Path
    access: Access
    port: int | None
    _process: subprocess.Popen[bytes] | None
    _socket_folder: Path | None

    @abstractmethod
    def command(self) -> list[str]:
        """The command that serves the data folder on `port`."""

    @abstractmethod
    def environment(self) -> Mapping[str, str]:
        """All of the environment that it gets."""

    @abstractmethod
    def write_files(self) -> None:
        """Write what it reads at its start."""

    @abstractmethod
    async def is_ready(self) -> bool:
        """Whether it takes connections."""

    @abstractmethod
    def at(self, folder: Path) -> Self:
        """A process like this one on another folder, not started."""

    def give(self, path: Path) -> None:  # noqa: B027 - nothing to do where they are the same
        """Make a file the user's as whom the process runs."""

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def copy_to(self, folder: Path) -> Self:
        """
        A copy of this stopped server in *folder*. An earlier copy that was interrupted is replaced.

        Raises:
            ServerFailed: This one runs; a copy would be torn.
        """
        if self.running:
            raise ServerFailed(f"{self.folder} cannot be copied while it runs.")
        shutil.rmtree(folder, ignore_errors=True)
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        copied = subprocess.run(  # noqa: S603  # plain copy; cp knows reflinks and sparse files
            ["/bin/cp", "-a", "--", str(self.folder), str(unfinished)], capture_output=True, check=False
        )
        if copied.returncode != 0:
            raise ServerFailed(f"{self.folder} could not be copied: {copied.stderr.decode().strip()}")
        unfinished.rename(folder)
        return self.at(folder)

    async def start(self) -> None:
        """
        Start the server and wait until it answers. A second call finds it running and returns.

        Raises:
            ServerFailed: It ended again, or did not answer within a minute.
        """
        if self.running:
            return
        await self._end_leftover()
        for attempt in range(_START_TRIES):
            self.port = _free_port(self.access.address)
            self.write_files()
            # In this thread: the server ends with the thread that started it, and a pool's may end any time.
            self._spawn()
            try:
                await self._wait_until_ready()
            except ServerFailed:
                await self.stop()
                # The port was free a moment ago; somebody else may have taken it since.
                if attempt + 1 == _START_TRIES or self.port_is_taken not in self._end_of_log():
                    raise
            else:
                return

    async def stop(self) -> None:
        """
        End sessions, write a checkpoint, stop. A second call finds it stopped and returns.

        Raises:
            ServerFailed: It was still there after 20 s; it has been killed.
        """
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(self.end_signal)
            try:
                await asyncio.to_thread(process.wait, _STOP_WITHIN.total_seconds())
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)
                raise ServerFailed(f"{self.folder} did not stop and was killed.") from None
        if self._socket_folder is not None and self._socket_folder != self.folder:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
        self._socket_folder = None

    async def remove(self) -> None:
        """Stop the server and delete its folder. A second call finds nothing and returns."""
        await self.stop()
        await self._end_leftover()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    def socket_folder(self) -> Path:
        """Where its unix socket is: a short path, so a temporary one if need be."""
        if self._socket_folder is None:
            self._socket_folder = self.folder
            if len(os.fsencode(self.folder)) > _LONGEST_SOCKET_FOLDER:
                self._socket_folder = Path(tempfile.mkdtemp(prefix="osb-db-"))
                self.give(self._socket_folder)
        return self._socket_folder

    def write(self, name: str, content: bytes) -> None:
        """Write a file below the folder, whole or not at all, that nobody else may read."""
        path = self.folder / name
        aside = path.with_name(f"{path.name}.new")
        aside.unlink(missing_ok=True)
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        self.give(aside)
        aside.rename(path)

    def _spawn(self) -> None:
        assert self.port is not None
        log_file = self.folder / "log"
        with log_file.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  # our own programs, no shell
                self.command(),
                cwd="/",
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C at a terminal is for the owner, who stops it in order
            )

    async def _wait_until_ready(self) -> None:
        waited = timedelta()
        while waited < _START_WITHIN:
            if not self.running:
                raise ServerFailed(
                    f"{self.product} in {self.folder} ended at its start: {self._end_of_log()}"
                )
            if await self.is_ready():
                return
            await asyncio.sleep(_LOOK_EVERY.total_seconds())
            waited += _LOOK_EVERY
        raise ServerFailed(f"{self.product} in {self.folder} was not ready in time: {self._end_of_log()}")

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
                    os.kill(pid, self.end_signal if signalled is None else signal.SIGKILL)
                signalled, waited = pid, timedelta()
            await asyncio.sleep(_LOOK_EVERY.total_seconds())
            waited += _LOOK_EVERY
        (self.data / self.pid_file).unlink(missing_ok=True)

    def _leftover(self) -> int | None:
        try:
            pid = int((self.data / self.pid_file).read_text().splitlines()[0])
            # A process id may have gone to a stranger since: a server works in its data folder.
            return pid if Path(f"/proc/{pid}/cwd").resolve(strict=True) == self.data.resolve() else None
        except (OSError, ValueError, IndexError):
            return None


@contextlib.asynccontextmanager
async def alone(lock: Path) -> AsyncIterator[None]:
    """Hold a lock file: who comes later, from whatever process, waits."""
    with await asyncio.to_thread(lock.open, "w") as file:
        await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
        yield


def _free_port(address: str | None) -> int:
    with socket.socket() as probe:
        probe.bind((address or "127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
