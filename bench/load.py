"""
A client that costs next to nothing: it knows the length of the answer and counts bytes.

Each connection is kept alive and sends its next request when the answer to the last one is complete. The first
answer is read with care (status, length); every later one must have the same length.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

FRESH_ID = "00000000-0000-0000-0000-000000000000"
"""Stands for an id of its own in each request."""


@dataclass(frozen=True)
class Request:
    """
    One request, sent again and again, and the status that each answer must have.

    Where its URL holds `FRESH_ID`, each sending asks for something new.
    """

    url: str
    headers: dict[str, str]
    status: int = 200
    method: str = "GET"
    body: bytes = b""

    @property
    def text(self) -> bytes:
        where = urlsplit(self.url)
        target = where.path + (f"?{where.query}" if where.query else "")
        lines = [f"{self.method} {target} HTTP/1.1", f"Host: {where.netloc}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body:
            lines.append(f"Content-Length: {len(self.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body


class WrongAnswer(Exception):
    """An answer was not what is measured: then the figure would be worth nothing."""


class _Connection(asyncio.Protocol):
    def __init__(self, text: bytes, length: int) -> None:
        self._text = text
        self._fresh = FRESH_ID.encode() in text
        self._length = length
        self._missing = length
        self._transport: asyncio.Transport | None = None
        self.answers = 0
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._next())

    def _next(self) -> bytes:
        return (
            self._text.replace(FRESH_ID.encode(), str(uuid.uuid4()).encode()) if self._fresh else self._text
        )

    def data_received(self, data: bytes) -> None:
        self._missing -= len(data)
        if self._missing > 0 or self._transport is None:
            return
        if self._missing < 0:
            self.lost = True
            self._transport.abort()
            return
        self._missing = self._length
        self.answers += 1
        self._transport.write(self._next())

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self.lost or exc is not None

    def end(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def requests_per_second(request: Request, *, connections: int, lasting: timedelta) -> float:
    """
    Ask for *lasting* on *connections* at once; return answers per second.

    Raises:
        WrongAnswer: The status is another one, or answers differ in length.
    """
    where = urlsplit(request.url)
    host, port = where.hostname or "127.0.0.1", where.port or 80
    length = await _length_of_one(request, host, port)
    loop = asyncio.get_running_loop()
    clients = [_Connection(request.text, length) for _ in range(connections)]
    started = time.perf_counter()
    for client in clients:
        await loop.create_connection(lambda client=client: client, host, port)  # type: ignore[misc]
    await asyncio.sleep(lasting.total_seconds())
    answers = sum(client.answers for client in clients)
    took = time.perf_counter() - started
    if any(client.lost for client in clients):
        raise WrongAnswer(f"{request.url}: the server closed a connection or changed the answer's length.")
    for client in clients:
        client.end()
    return answers / took


async def _length_of_one(request: Request, host: str, port: int) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(request.text.replace(FRESH_ID.encode(), str(uuid.uuid4()).encode()))
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    if status != request.status:
        raise WrongAnswer(f"{request.url}: {status} instead of {request.status}.")
    body = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            body = int(value)
    await reader.readexactly(body)
    writer.transport.abort()
    return len(head) + body
