"""A balancer as a Service of Kubernetes is one: it knows connections, not requests, and asks for readiness."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import count
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

PROBE_EVERY = 0.1
"""Seconds. What takes Kubernetes seconds, from the failed probe to the last node's rules, happens at once here."""


class Balancer:
    """
    Passes each new connection on to one of the processes that are ready, by turns.

    A connection that is open stays where it is, whatever becomes of that process.
    """

    def __init__(self) -> None:
        self.url = ""
        self._endpoints: dict[str, tuple[str, int]] = {}
        self._ready: list[str] = []
        self._turns = count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._probes = httpx.AsyncClient(trust_env=False, timeout=2)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = "http://{}:{}".format(*self._server.sockets[0].getsockname()[:2])
        self._probing = asyncio.create_task(self._probe())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in (self._probing, *self._tasks):
            task.cancel()
        await asyncio.gather(self._probing, *self._tasks, return_exceptions=True)
        await self._probes.aclose()

    def add(self, health_url: str, url: str) -> None:
        """Send connections there once it is ready."""
        parts = urlsplit(url)
        self._endpoints[health_url] = (str(parts.hostname), int(parts.port or 0))

    def remove(self, health_url: str) -> None:
        """Forget a process, as is done with a pod at the moment when its deletion begins."""
        del self._endpoints[health_url]
        self._ready = [each for each in self._ready if each != health_url]

    def sends_to(self, health_url: str) -> bool:
        return health_url in self._ready

    async def _probe(self) -> None:
        while True:
            for health_url in list(self._endpoints):
                try:
                    ready = (await self._probes.get(f"{health_url}/readyz")).status_code == 200
                except httpx.TransportError:
                    ready = False
                if not ready and health_url in self._ready:
                    self._ready.remove(health_url)
                elif ready and health_url not in self._ready and health_url in self._endpoints:
                    self._ready.append(health_url)
            await asyncio.sleep(PROBE_EVERY)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if not self._ready:
                return
            host, port = self._endpoints[self._ready[next(self._turns) % len(self._ready)]]
            answers, requests = await asyncio.open_connection(host, port)
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, requests))
                both.create_task(_pump(answers, writer))
        except (OSError, asyncio.CancelledError):
            pass  # The client sees its connection end; asyncio would report a cancelled one as a fault.
        finally:
            self._tasks.discard(task)
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until one side has nothing more to say, and tell the other side so."""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()
