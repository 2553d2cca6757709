"""A runner as a process of its own that kills or stops itself at a named point."""

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from broker.domain.operations import Operation
from broker.operations.failpoints import Failpoints
from broker.operations.runner import Runner, RunnerOptions
from broker.store.database import Database
from broker.store.sealing import KeyRing
from tests.operations.imagined import Imagined, World


class Dying(Failpoints):
    def __init__(self, point: str, passes: int, number: signal.Signals) -> None:
        self._point, self._passes, self._signal = point, passes, number

    def reached(self, point: str, operation: Operation | None = None) -> None:
        if point == self._point:
            self._passes -= 1
            if self._passes < 0:
                self._point = ""
                os.kill(os.getpid(), self._signal)


async def main(url: str, folder: str, key: str, point: str, passes: str, end: str, lease: str) -> None:
    dying = Dying(point, int(passes), signal.Signals[end])
    provisioner = Imagined(
        World(Path(folder)),
        before_call=lambda: dying.reached("before call"),
        after_call=lambda: dying.reached("after call"),
    )
    database = await Database.open(url, sealing=KeyRing([("test", bytes.fromhex(key))]), broker_id="test")
    options = RunnerOptions(name="the one that dies", lease=timedelta(seconds=float(lease)))
    runner = Runner(database, {"imagined": provisioner}, options, failpoints=dying)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, runner.stop)
    await runner.run()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
