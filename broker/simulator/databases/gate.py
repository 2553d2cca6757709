"""The door of a simulated database server: its address, its firewall, and the way to its process."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import random
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger(__name__)

_CHUNK = 64 * 1024
_TRIES = 50
# In Azure a rule of this one address lets in whatever runs inside Azure.
_AZURE_SERVICES = ipaddress.ip_address("0.0.0.0")  # noqa: S104  # a rule's meaning, nothing is bound to it

Address = ipaddress.IPv4Address


class PortHeld(Exception):
    """No loopback address has the port free; the message says who may hold it and what to do."""


@dataclass(frozen=True)
class AddressRange:
    """A firewall rule: from *start* to *end*, both included."""

    start: Address
    end: Address

    @classmethod
    def of(cls, start: str, end: str) -> AddressRange:
        return cls(ipaddress.IPv4Address(start), ipaddress.IPv4Address(end))

    def admits(self, client: Address) -> bool:
        """
        Whether a client from *client* may enter.

        The processes on this machine stand for what runs inside Azure.
        """
        inside_azure = self.start == self.end == _AZURE_SERVICES and client.is_loopback
        return inside_azure or self.start <= client <= self.end


@dataclass(frozen=True)
class Dialect:
    """
    How a server of one kind says at the door that a client may not enter.

    Attributes:
        refusal: The words for a client that no rule admits; `{client}` is its address.
        packet: An error as the server sends it.
        client_begins: Whether a server says nothing before the client's first packet.
    """

    refusal: str
    packet: Callable[[str], bytes]
    client_begins: bool


def _postgresql_error(message: str) -> bytes:
    """An error in the form of PostgreSQL's manual, "Message Formats"."""
    fields = b"SFATAL\0VFATAL\0C28000\0M" + message.encode() + b"\0\0"
    return b"E" + (len(fields) + 4).to_bytes(4, "big") + fields


def mysql_error(message: str, number: int = 9000) -> bytes:
    """An ERR packet in place of the server's greeting, as MySQL's manual has it; 9000 is Azure's own number."""
    content = b"\xff" + number.to_bytes(2, "little") + message.encode()
    return len(content).to_bytes(3, "little") + b"\0" + content


POSTGRESQL = Dialect(
    'no pg_hba.conf entry for host "{client}": no firewall rule', _postgresql_error, client_begins=True
)
MYSQL = Dialect(
    "Client with IP address '{client}' is not allowed to connect to this MySQL server.",
    mysql_error,
    client_begins=False,
)

# Opens the way to the server's process for one connection, starting it if need be.
Enter = Callable[[], contextlib.AbstractAsyncContextManager[tuple[str, int]]]


@dataclass
class Gate:
    """
    Listens on a loopback address and relays bytes to the process behind it.

    TLS goes through from end to end; the gate sees the client's address and nothing else.
    """

    name: str
    enter: Enter
    dialect: Dialect = POSTGRESQL
    ranges: tuple[AddressRange, ...] = ()
    address: str | None = None
    _listener: asyncio.Server | None = field(default=None, init=False)
    _connections: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    async def open(self, port: int) -> str:
        """
        Listen on the earlier address, or on one drawn at random, and return it.

        Raises:
            PortHeld: Every address tried has *port* in use.
        """
        tried = [self.address] if self.address is not None else _drawn_addresses()
        reason: OSError | None = None
        for address in tried:
            try:
                self._listener = await asyncio.start_server(self._accept, address, port, backlog=512)
            except OSError as error:
                if error.errno not in {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}:
                    raise
                reason = error
            else:
                self.address = address
                return address
        raise PortHeld(
            f"The database server {self.name!r} cannot listen on port {port} of {tried[-1]}"
            f"{'' if len(tried) == 1 else f' nor of {len(tried) - 1} other loopback addresses'}"
            f" ({reason.strerror if reason else 'none tried'}). A database server or another program that listens"
            f" on all addresses (0.0.0.0:{port}) holds it: stop that program, or let it listen on 127.0.0.1"
            " only."
        )

    async def close(self) -> None:
        """Listen no more and end every connection. A second call changes nothing."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            # A client that went away, or the gate is closing: either way there is nobody to tell.
            writer.transport.abort()
        except Exception:
            log.exception("a simulated database server could not be entered", server=self.name)
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = ipaddress.IPv4Address(writer.get_extra_info("peername")[0])
        if not any(allowed.admits(client) for allowed in self.ranges):
            log.info("a firewall refused a client", server=self.name, client=str(client))
            await _refuse(reader, writer, self.dialect, self.dialect.refusal.format(client=client))
            return
        async with self.enter() as (host, port):
            inner_reader, inner_writer = await asyncio.open_connection(host, port)
            async with _closing(inner_writer):
                await _relay(reader, writer, inner_reader, inner_writer)


async def _relay(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    inner_reader: asyncio.StreamReader,
    inner_writer: asyncio.StreamWriter,
) -> None:
    """Carry bytes both ways until the server hangs up, or the client has and the server knows it."""
    up = asyncio.create_task(_pump(reader, inner_writer))
    try:
        await _pump(inner_reader, writer)
    finally:
        up.cancel()
        await asyncio.gather(up, return_exceptions=True)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await source.read(_CHUNK):
            sink.write(chunk)
            await sink.drain()
    with contextlib.suppress(OSError):
        sink.write_eof()


async def _refuse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dialect: Dialect, message: str
) -> None:
    if dialect.client_begins:
        with contextlib.suppress(asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(5):  # a client that says nothing is not waited for
                length = int.from_bytes(await reader.readexactly(4), "big")
                await reader.readexactly(max(0, min(length, 10_000) - 4))
    writer.write(dialect.packet(message))
    await writer.drain()


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.close()


def _drawn_addresses() -> list[str]:
    # 127.0.* to 127.15.* are left to whoever chose an address by hand.
    return [
        f"127.{random.randint(16, 250)}.{random.randint(0, 255)}.{random.randint(1, 254)}"  # noqa: S311
        for _ in range(_TRIES)
    ]


def ranges_of(rules: Iterable[tuple[str, str]]) -> tuple[AddressRange, ...]:
    """Firewall rules from pairs of start and end."""
    return tuple(AddressRange.of(start, end) for start, end in rules)
