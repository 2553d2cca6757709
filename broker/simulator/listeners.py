"""Sockets on loopback, and servers on them that leave signals to whoever runs them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from broker.simulator.certificates import CertificateAuthority


class SimulatorCannotStart(Exception):
    """The simulator cannot start; the text says why and what to do."""


class _Server(uvicorn.Server):
    """uvicorn with an event for its start."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def served(app: ASGIApp, listener: socket.socket, tls: ssl.SSLContext | None) -> AsyncIterator[None]:
    """Serve *app* on *listener*, over plain HTTP when there is no *tls*."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        # Clients that keep connections for five seconds must not meet a server that closes them at that moment.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
        proxy_headers=False,
        ssl_context_factory=(lambda _config, _default: tls) if tls is not None else None,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    await server.ready.wait()
    try:
        yield
    finally:
        # Who does not answer a goodbye would keep a socket beyond the end of the loop. A TLS transport that is told to
        # close once more forgets its socket, so those that are closing go first.
        for transport in _transports(server):
            if transport.is_closing():
                transport.abort()
        server.should_exit = True
        await task
        for transport in _transports(server):
            transport.abort()
        await asyncio.sleep(0)


def _transports(server: uvicorn.Server) -> list[asyncio.Transport]:
    connected = (getattr(each, "transport", None) for each in server.server_state.connections)
    return [transport for transport in connected if transport is not None]


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """
    Listen on a loopback address; port 0 takes a free one.

    Raises:
        SimulatorCannotStart: The address is another machine's business, or the port is taken.
    """
    if not is_loopback(host):
        raise SimulatorCannotStart(f"{host} is no loopback address; the simulator is for this machine only")
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


def address(listener: socket.socket) -> str:
    """Host and port as they stand in an address."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def tls_context(authority: CertificateAuthority, names: Iterable[str], folder: Path) -> ssl.SSLContext:
    """A server context; the key passes through a file of 0600 in *folder* that is gone before anyone connects."""
    issued = authority.issue(*dict.fromkeys(names))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    path = folder / f".tls-{secrets.token_hex(4)}.pem"
    try:
        write_private(path, issued.key_pem + issued.certificate_pem)
        context.load_cert_chain(path)
    finally:
        path.unlink(missing_ok=True)
    return context


def write_private(path: Path, content: bytes) -> None:
    """Replace a file by one that its owner alone can read."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
