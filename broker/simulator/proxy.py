"""
A forward proxy that leads the cloud's own names to the simulator, for clients that cannot be told another address.

It knows CONNECT alone, for the names of the cloud that is played and port 443; anything else is refused, so that
nothing meant for the simulator ever leaves the machine. TLS goes through it unread.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Collection

LONGEST_HEAD = 16 * 1024
PATIENCE = 10.0


@contextlib.asynccontextmanager
async def proxying(
    listener: socket.socket, hosts: Collection[str], target: tuple[str, int]
) -> AsyncIterator[None]:
    """Carry connections to any of *hosts*, port 443, to *target*."""
    carried: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        carried.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                await _carry(reader, writer, hosts, target)
        finally:
            await _let_go(writer)
            carried.discard(task)

    server = await asyncio.start_server(accept, sock=listener, limit=LONGEST_HEAD)
    try:
        yield
    finally:
        server.close()
        for task in list(carried):
            task.cancel()
        await asyncio.gather(*carried, return_exceptions=True)


async def _carry(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    hosts: Collection[str],
    target: tuple[str, int],
) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        head = b""
    refusal = _refusal(head, hosts)
    if refusal is not None:
        text = f"{refusal}\n".encode()
        answer = f"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
        writer.write(f"{answer}Connection: close\r\n\r\n".encode() + text)
        await writer.drain()
        return
    onward_reader, onward_writer = await asyncio.open_connection(*target)
    try:
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        ways = [
            asyncio.create_task(_pass_on(reader, onward_writer)),
            asyncio.create_task(_pass_on(onward_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
    finally:
        await _let_go(onward_writer)


async def _let_go(writer: asyncio.StreamWriter) -> None:
    """Close, and see it closed: a loop that ends before would leave the socket to the collector."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            await writer.wait_closed()
            return
    writer.transport.abort()


def _refusal(head: bytes, hosts: Collection[str]) -> str | None:
    method, _, rest = head.decode("latin-1").partition(" ")
    host, _, port = rest.partition(" ")[0].rpartition(":")
    if method != "CONNECT":
        return "The simulated Azure's proxy knows CONNECT only."
    if host.lower() not in hosts or port != "443":
        return f"The simulated Azure's proxy leads to {', '.join(sorted(hosts))}, port 443, and nowhere else."
    return None


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while content := await reader.read(64 * 1024):
        writer.write(content)
        await writer.drain()
