"""`osb` processes that share one PostgreSQL: started, frozen, killed, stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.end_to_end.world import PLATFORM, World
from tests.osb.platform import Platform

TOP = Path(__file__).parents[2]
WITHIN = 60.0
"""Seconds; a start takes two on an idle machine."""


@dataclass
class Replica:
    """One process; `platform` is a client of it, if it serves any."""

    process: subprocess.Popen[bytes]
    log: Path
    health_url: str
    platform: Platform | None
    url: str = ""

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> float:
        """Ask for an orderly end and return how many seconds it took."""
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        self.process.wait(WITHIN)
        took = time.monotonic() - began
        assert self.process.returncode == 0, self.log.read_text()[-4000:]
        return took

    def events(self) -> list[dict[str, object]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def said(self, event: str) -> bool:
        return any(str(one.get("event")).startswith(event) for one in self.events())


class Replicas:
    def __init__(self, world: World) -> None:
        self.world = world
        self.living: list[Replica] = []
        self._numbers = count()

    def start(self, *command: str, code: Path = TOP, **settings: str) -> Replica:
        """Start `osb` of the tree at *code* with the world's settings and wait until it is ready."""
        number = next(self._numbers)
        ready, log = self.world.folder / f"ready-{number}.json", self.world.folder / f"osb-{number}.log"
        given = self.world.settings(port="0", health_port="0", **settings)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "broker", *command, "--ready-file", ready],
                cwd=code,
                env={"PATH": os.environ["PATH"], **{f"BROKER_{k.upper()}": str(v) for k, v in given.items()}},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        replica = Replica(process, log, "", None)
        self.living.append(replica)
        until = time.monotonic() + WITHIN
        while not ready.exists():
            assert process.poll() is None, log.read_text()[-4000:]
            assert time.monotonic() < until, "not ready in time"
            time.sleep(0.02)
        where = json.loads(ready.read_text())
        replica.health_url = where["health_url"]
        if where["url"]:
            replica.url = where["url"]
            replica.platform = Platform(where["url"], PLATFORM, PLATFORM, self.world.password)
        return replica


@contextmanager
def replicas(world: World) -> Iterator[Replicas]:
    """End with the block whatever still runs, frozen or not."""
    started = Replicas(world)
    try:
        yield started
    finally:
        for one in started.living:
            one.process.kill()
            one.process.wait()
            if one.platform is not None:
                one.platform.close()
        world.end()
