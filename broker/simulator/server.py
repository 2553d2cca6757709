"""Starts the simulator: its authority, its port, its files, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import secrets
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from pathlib import Path

import structlog
import uvicorn

from broker.simulator.app import Simulator
from broker.simulator.blobs import PREFIX
from broker.simulator.certificates import CertificateAuthority
from broker.simulator.clock import Clock
from broker.simulator.database_servers import DatabaseServers
from broker.simulator.durations import Durations
from broker.simulator.state import State

log = structlog.get_logger(__name__)


class SimulatorCannotStart(Exception):
    """The simulator cannot start; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """
    How to start it.

    *folder* is made if absent and holds all its files; *port* 0 takes a free one; *durations* are seconds of
    simulated time by the names of `Durations`; *template_folder* keeps the data folder that database servers
    are copied from, for several simulators.
    """

    folder: Path
    host: str = "127.0.0.1"
    port: int = 0
    speed: float = 1.0
    at_most_databases: int = 8
    durations: Mapping[str, float] | None = None
    template_folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """What a client needs; also the content of `simulator.json`."""

    endpoint: str
    ca_file: str
    token_file: str
    subscription_id: str
    tenant_id: str
    pid: int

    @property
    def token(self) -> str:
        return Path(self.token_file).read_text(encoding="utf-8").strip()


@dataclass(frozen=True, slots=True)
class Running:
    """A simulator that accepts connections."""

    access: Access
    app: Simulator = field(repr=False)


class _Server(uvicorn.Server):
    """uvicorn with an event for its start, and with signals left to whoever runs it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(options: SimulatorOptions, databases: DatabaseServers | None = None) -> None:
    """
    Run until SIGTERM or SIGINT, then stop the databases and remove `simulator.json`.

    Raises:
        SimulatorCannotStart: The port is taken, a duration is unknown, or database servers cannot run here.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with running(options, databases) as started:
        log.info("The Azure simulator accepts connections", **asdict(started.access))
        await ended.wait()


@contextlib.asynccontextmanager
async def running(
    options: SimulatorOptions, databases: DatabaseServers | None = None
) -> AsyncIterator[Running]:
    """
    Run in this event loop; *databases* stand behind the servers (default: real PostgreSQL, if installed).

    Raises:
        SimulatorCannotStart: As in `serve`.
    """
    try:
        durations = Durations().changed(**(options.durations or {}))
    except ValueError as error:
        raise SimulatorCannotStart(str(error)) from error
    if not _is_loopback(options.host):
        raise SimulatorCannotStart(
            f"{options.host} is no loopback address; the simulator is for this machine only"
        )
    options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = CertificateAuthority()
    async with contextlib.AsyncExitStack() as stack:
        listener = stack.enter_context(_listening(options.host, options.port))
        servers = databases if databases is not None else _real_databases(options, authority)
        stack.push_async_callback(servers.close)
        token = _token(options.folder)
        clock = Clock(options.speed)
        app = Simulator(token=token, databases=servers, clock=clock, durations=durations, state=State())
        stack.push_async_callback(app.close)
        access = _access(options, listener, app.state)
        app.state.storage_base = f"{access.endpoint}{PREFIX.rstrip('/')}"
        _write_whole(options.folder / "ca.pem", authority.certificate_pem.decode())
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=1,
            ssl_context_factory=lambda _config, _default: _tls(authority, options),
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        stack.push_async_callback(_stop, server, task)
        await server.ready.wait()
        ready_file = options.folder / "simulator.json"
        _write_whole(ready_file, json.dumps(asdict(access), indent=2) + "\n")
        stack.callback(ready_file.unlink, missing_ok=True)
        yield Running(access, app)


async def _stop(server: _Server, task: asyncio.Task[None]) -> None:
    server.should_exit = True
    await task


def _real_databases(options: SimulatorOptions, authority: CertificateAuthority) -> DatabaseServers:
    try:
        from broker.simulator.databases.servers import DatabaseServers as PostgresServers  # noqa: PLC0415  an extra
    except ImportError as error:
        raise SimulatorCannotStart(
            "the database servers of the simulator are not installed; install azure-service-broker[simulator]"
        ) from error

    def issue(names: list[str]) -> tuple[bytes, bytes]:
        issued = authority.issue(*names)
        return issued.certificate_pem, issued.key_pem

    return PostgresServers(
        options.folder / "databases",
        issue_certificate=issue,
        at_most_running=options.at_most_databases,
        template_folder=options.template_folder,
    )


def _access(options: SimulatorOptions, listener: socket.socket, state: State) -> Access:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return Access(
        endpoint=f"https://{shown}:{port}",
        ca_file=str(options.folder / "ca.pem"),
        token_file=str(options.folder / "token"),
        subscription_id=state.subscription,
        tenant_id=state.tenant,
        pid=os.getpid(),
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; else each reply waits 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(128)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                hint = f"port {port} on {host} is held by another program; stop it, name another port, or 0 for any"
                raise SimulatorCannotStart(hint) from error
            raise SimulatorCannotStart(f"cannot listen on {host} port {port}: {error.strerror}") from error
        listener.setblocking(False)
        yield listener


def _tls(authority: CertificateAuthority, options: SimulatorOptions) -> ssl.SSLContext:
    """A server context; the key passes through a file of 0600 that is gone before anyone connects."""
    names = dict.fromkeys([options.host, "127.0.0.1", "localhost"])
    issued = authority.issue(*names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    path = options.folder / f".tls-{secrets.token_hex(4)}.pem"
    try:
        _write_private(path, issued.key_pem + issued.certificate_pem)
        context.load_cert_chain(path)
    finally:
        path.unlink(missing_ok=True)
    return context


def _token(folder: Path) -> str:
    """The bearer token: kept from an earlier start in the same folder, else made."""
    path = folder / "token"
    if path.exists() and (kept := path.read_text(encoding="utf-8").strip()):
        return kept
    token = secrets.token_urlsafe(32)
    _write_private(path, token.encode() + b"\n")
    return token


def _write_private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _write_whole(path: Path, text: str) -> None:
    """A reader sees the whole file or none."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
