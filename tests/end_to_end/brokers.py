"""Processes of the broker: started, killed, stopped."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import httpx

from broker.operations.failpoints import Failpoints
from tests.end_to_end.a_broker_process import main
from tests.osb.platform import Platform

READY_WITHIN = 30.0
"""Seconds; a start takes less than one on an idle machine."""
DIES_WITHIN = 30.0
"""Seconds; the longest way to a point is a whole creation, a few seconds long."""


@cache
def _nursery() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.end_to_end.a_broker_process", "psycopg", "aiosqlite", "pytest"])
    return context


@dataclass
class Broker:
    """One process of the broker."""

    process: BaseProcess
    url: str
    health_url: str
    platform: Platform

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.died()

    def died(self) -> None:
        """Wait until it has killed itself."""
        self.process.join(DIES_WITHIN)
        assert self.process.exitcode == -signal.SIGKILL, (
            f"it lives on or ended by itself: {self.process.exitcode}"
        )
        self.platform.close()

    def stop(self) -> None:
        """Ask for an orderly end."""
        os.kill(self.process.pid, signal.SIGTERM)
        self.process.join(DIES_WITHIN)
        assert self.process.exitcode == 0, self.process.exitcode
        self.platform.close()

    def metrics(self) -> str:
        return httpx.get(f"{self.health_url}/metrics").text


def start(
    settings: dict[str, str], log: Path, failpoints: Failpoints, target: Callable[..., None] = main
) -> tuple[BaseProcess, str, str]:
    """Start a process and wait until it serves; where platforms and health checks reach it."""
    context = _nursery()
    told, ready = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(settings, failpoints, str(log), ready), daemon=True)
    process.start()
    ready.close()
    with told:
        assert told.poll(READY_WITHIN), f"not ready after {READY_WITHIN} s"
        try:
            url, health_url = told.recv()
        except EOFError:
            raise AssertionError(log.read_text()[-4000:]) from None
    return process, url, health_url
