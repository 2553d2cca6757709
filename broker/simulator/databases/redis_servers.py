"""Real Redis servers behind simulated caches: one process each, on a loopback address of its own, with TLS."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from broker.simulator.listeners import write_private

_LAUNCH = Path(__file__).with_name("launch.py")
_START_WITHIN = timedelta(seconds=20)
_STOP_WITHIN = timedelta(seconds=10)
_LOOK_EVERY = timedelta(milliseconds=10)
_TRIES = 5
_OWNER = "simulator"
# What Azure keeps from its users.
_NOT_ALLOWED = ("acl", "config", "debug", "module", "replicaof", "shutdown", "save", "bgsave", "cluster")


class RedisFailed(Exception):
    """A Redis server did not start, or refused what it was told; the message says why."""


@dataclass
class _Server:
    folder: Path
    address: str
    password: str = field(repr=False)
    process: subprocess.Popen[bytes]

    @property
    def socket(self) -> Path:
        return self.folder / "s"

    @property
    def end_of_log(self) -> str:
        return (self.folder / "log").read_text(errors="replace").strip()[-600:]


class RedisServers:
    """
    One Redis for each cache, from the program at *program*.

    Its own user lets the simulator in over a Unix socket; the user of keys is there once keys are. Data is in memory
    and goes with the process, which goes with this one.
    """

    def __init__(
        self, program: Path, *, issue_certificate: Callable[[list[str]], tuple[bytes, bytes]], ca_file: Path
    ) -> None:
        self._program = program
        self._issue = issue_certificate
        self._ca_file = ca_file
        self._servers: dict[str, _Server] = {}

    async def create(self, name: str) -> str:
        """
        Start one that listens nowhere yet, and give its loopback address; a second call gives the same one.

        Raises:
            RedisFailed: It does not start.
        """
        server = self._servers.get(name)
        if server is None:
            server = self._servers[name] = await self._started()
        return server.address

    async def open_to(self, name: str, keys: Sequence[str]) -> None:
        """
        Let in whoever has one of *keys*, over whatever connection; without any, end all connections.

        Raises:
            RedisFailed: There is no such server, or it does not obey.
        """
        hashes = [f"#{hashlib.sha256(key.encode()).hexdigest()}" for key in keys]
        rights = ("~*", "&*", "+@all", *(f"-{command}" for command in _NOT_ALLOWED))
        user = ["ACL", "SETUSER", "default", "reset", *(("on", *hashes, *rights) if hashes else ("off",))]
        await self._tell(
            name, user, *(() if hashes else (["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"],))
        )

    async def listen(self, name: str, port: int | None) -> None:
        """
        Take connections on *port* of its address, or, with None, none at all.

        Raises:
            RedisFailed: There is no such server, or something else holds the port.
        """
        await self._tell(name, ["CONFIG", "SET", "tls-port", str(port or 0)])

    async def delete(self, name: str) -> None:
        """Stop it and forget its data; one that is gone is no error."""
        server = self._servers.pop(name, None)
        if server is None:
            return
        server.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(server.process.wait, _STOP_WITHIN.total_seconds())
        if server.process.poll() is None:
            server.process.kill()
            await asyncio.to_thread(server.process.wait)
        shutil.rmtree(server.folder, ignore_errors=True)

    async def close(self) -> None:
        """Stop all of them."""
        for name in list(self._servers):
            await self.delete(name)

    async def _started(self) -> _Server:
        server = self._spawned()
        waited = timedelta()
        while not server.socket.exists():
            if server.process.poll() is not None or waited > _START_WITHIN:
                server.process.kill()
                raise RedisFailed(f"Redis did not start: {server.end_of_log}")
            await asyncio.sleep(_LOOK_EVERY.total_seconds())
            waited += _LOOK_EVERY
        return server

    def _spawned(self) -> _Server:
        # The path of a Unix socket may have 107 bytes: the simulator's own folder may be too deep.
        folder = Path(tempfile.mkdtemp(prefix="osb-redis-"))
        numbers = [random.randint(16, 250), random.randint(0, 255), random.randint(1, 254)]  # noqa: S311 - no secret
        address = ".".join(str(number) for number in (127, *numbers))
        password = secrets.token_urlsafe(32)
        certificate, key = self._issue([address])
        write_private(folder / "certificate.pem", certificate)
        write_private(folder / "key.pem", key)
        settings = _settings(folder, address, self._ca_file, hashlib.sha256(password.encode()).hexdigest())
        (folder / "redis.conf").write_text("\n".join(settings) + "\n")
        ends = str(signal.SIGTERM.value)
        launched = [sys.executable, "-I", "-S", str(_LAUNCH), "-1", "-1", str(os.getpid()), ends]
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603  # a program that whoever starts the simulator named, no shell
                [*launched, str(self._program), str(folder / "redis.conf")],
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return _Server(folder, address, password, process)

    async def _tell(self, name: str, *commands: list[str]) -> None:
        server = self._servers.get(name)
        if server is None:
            raise RedisFailed(f"There is no Redis server of the cache '{name}'.")
        reader, writer = await asyncio.open_unix_connection(server.socket)
        try:
            for command in (["AUTH", _OWNER, server.password], *commands):
                parts = [word.encode() for word in command]
                writer.write(
                    b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)
                )
                answer = (await reader.readline()).decode(errors="replace").strip()
                if not answer.startswith(("+", ":")):
                    raise RedisFailed(f"The Redis server of the cache '{name}' refused: {answer[:200]}")
        finally:
            writer.close()


def _settings(folder: Path, address: str, ca_file: Path, password_hash: str) -> list[str]:
    return [
        f"bind {address}",
        "port 0",
        "tls-port 0",
        "protected-mode no",
        f"unixsocket {folder / 's'}",
        "unixsocketperm 700",
        f"dir {folder}",
        'save ""',
        "appendonly no",
        "maxmemory 64mb",
        "databases 1",
        'tls-protocols "TLSv1.2 TLSv1.3"',
        "tls-auth-clients no",
        f"tls-cert-file {folder / 'certificate.pem'}",
        f"tls-key-file {folder / 'key.pem'}",
        f"tls-ca-cert-file {ca_file}",
        "user default off",
        f"user {_OWNER} on #{password_hash} ~* &* +@all",
    ]
