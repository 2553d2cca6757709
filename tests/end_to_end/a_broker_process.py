"""
The whole broker as a process that kills itself at a named point.

It is forked from a server that has done the imports and nothing else, so that a start takes a fraction of a second.
"""

import asyncio
import multiprocessing
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import uvicorn
import uvloop

from broker.api.protocol import JsonHttpProtocol
from broker.app import running
from broker.domain.operations import Operation
from broker.logs import configure_logs
from broker.operations.failpoints import Failpoints
from broker.settings import read_settings


@dataclass(frozen=True)
class At:
    """A point in the life of an operation; a phase of None is any."""

    point: str
    kind: str
    phase: str | None = None

    def __str__(self) -> str:
        return "-".join(word for word in (self.kind, self.phase, self.point) if word).replace(" ", "-")


class Dying(Failpoints):
    """Ends the process, without a chance to tidy up, when it first comes to a point."""

    def __init__(self, at: At | None) -> None:
        self._at = at

    def reached(self, point: str, operation: Operation) -> None:
        at = self._at
        if at is None or (point, str(operation.kind)) != (at.point, at.kind):
            return
        if at.phase in {None, operation.phase}:
            os.kill(os.getpid(), signal.SIGKILL)


class Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main(settings: dict[str, Any], failpoints: Failpoints, log: str, ready: Connection) -> None:
    """Serve until SIGTERM; *ready* is told where. Settings in capitals are the environment's."""
    # Children of a fork server have the environment that it was started with.
    os.environ |= {name: settings.pop(name) for name in list(settings) if name.isupper()}
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(output, stream)
    configure_logs("info", "json")
    uvloop.run(_serve(settings, failpoints, ready))


def _listener() -> socket.socket:
    # With its protocol named, or asyncio leaves Nagle's delay on and each answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    return listener


async def _serve(given: dict[str, Any], failpoints: Failpoints, ready: Connection) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    if (tests := multiprocessing.parent_process()) is not None:
        # Tests that are killed themselves leave no broker behind.
        loop.add_reader(tests.sentinel, lambda: os.kill(os.getpid(), signal.SIGKILL))
    listeners = [_listener() for _ in range(2)]
    async with running(read_settings(**given), failpoints=failpoints) as broker, asyncio.TaskGroup() as tasks:
        servers = [
            Server(uvicorn.Config(app, http=JsonHttpProtocol, loop="none", lifespan="off", log_config=None))
            for app in (broker.api, broker.health)
        ]
        for server, listener in zip(servers, listeners, strict=True):
            tasks.create_task(server.serve(sockets=[listener]))
        ready.send([f"http://127.0.0.1:{listener.getsockname()[1]}" for listener in listeners])
        await stopping.wait()
        for server in servers:
            server.should_exit = True
