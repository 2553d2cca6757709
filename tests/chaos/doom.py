"""A broker process that is doomed: it kills itself the n-th time that it comes to a point."""

import functools
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from broker.azure.arm import Arm
from broker.data_planes import postgresql
from broker.domain.operations import Operation
from broker.errors import StoreUnavailable
from broker.operations.failpoints import Failpoints
from broker.provisioners import creation
from broker.provisioners.base import Work
from broker.store import budgets
from tests.chaos.evidence import Put
from tests.end_to_end import a_broker_process

CLAIMED = "after a claim"
BEFORE_PUT = "before the PUT of a deployment"
AFTER_PUT = "after the PUT of a deployment"
IN_DATABASE = "after a statement in a database server"
AFTER_DATABASE = "between work in a database server and its save"
BEFORE_SAVE = "between a call and its save"
IN_SAVE = "inside a save"
SAVED = "after a save"
BEFORE_COMMIT = "before a commit"
AFTER_COMMIT = "after a commit"

POINTS: Mapping[str, int] = {
    CLAIMED: 8,
    BEFORE_PUT: 1,
    AFTER_PUT: 1,
    IN_DATABASE: 4,
    AFTER_DATABASE: 1,
    BEFORE_SAVE: 15,
    IN_SAVE: 15,
    SAVED: 15,
    BEFORE_COMMIT: 12,
    AFTER_COMMIT: 12,
}
"""Each point, and how often it may be passed at most before it kills: the rare ones kill soon."""

_OF_THE_ENGINE = {
    Failpoints.CLAIMED: CLAIMED,
    Failpoints.AFTER_STEP: BEFORE_SAVE,
    Failpoints.IN_SAVE: IN_SAVE,
    Failpoints.SAVED: SAVED,
}


PUTS = "puts.jsonl"
_FENCE: ContextVar[int] = ContextVar("fence", default=-1)


@dataclass
class Doom(Failpoints):
    """
    Ends the process at *point* when it was passed *passes* times; None: it lives.

    The last word of a process is the name of its point, in *epitaph*. *rates* are what the shared budget has for
    each kind of call: first how many at once, then how many more a second.
    """

    point: str | None
    passes: int
    epitaph: Path
    rates: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def reached(self, point: str, operation: Operation) -> None:
        if point in _OF_THE_ENGINE:
            self.passed(_OF_THE_ENGINE[point])

    def passed(self, point: str) -> None:
        if point != self.point:
            return
        self.passes -= 1
        if self.passes < 0:
            self.epitaph.write_text(point)
            os.kill(os.getpid(), signal.SIGKILL)

    def prepare(self) -> None:
        """Watch what the engine's own points do not cover."""
        self._note_the_fence()
        Arm.put_deployment = self._around(Arm.put_deployment, BEFORE_PUT, AFTER_PUT)
        AsyncConnection.commit = self._around(AsyncConnection.commit, BEFORE_COMMIT, AFTER_COMMIT)
        postgresql._run = self._around(postgresql._run, None, IN_DATABASE)
        for name in ("prepare_database", "create_login", "drop_login", "drop_database_roles"):
            setattr(postgresql, name, self._around(getattr(postgresql, name), None, AFTER_DATABASE))
        for kind, (burst, per_second) in self.rates.items():
            budgets.BURST[kind], budgets.REFILL_PER_SECOND[kind] = burst, per_second

    def _note_the_fence(self) -> None:
        """Write down each PUT of a deployment right before it is sent, with the fence of whoever sends it."""
        submit, put = creation.submit, Arm.put_deployment

        @functools.wraps(submit)
        async def submitting(arm: Arm, work: Work, *how: Any, **more: Any) -> Any:
            _FENCE.set(work.operation.fence)
            return await submit(arm, work, *how, **more)

        @functools.wraps(put)
        async def putting(arm: Arm, subscription: str, group: str, name: str, *how: Any, **more: Any) -> Any:
            sent = Put(name, _FENCE.get(), os.getpid(), datetime.now(UTC).isoformat())
            with (self.epitaph.parent / PUTS).open("a") as notes:
                notes.write(json.dumps(asdict(sent)) + "\n")
            return await put(arm, subscription, group, name, *how, **more)

        creation.submit, Arm.put_deployment = submitting, putting

    def _around(self, call: Callable[..., Awaitable[Any]], before: str | None, after: str) -> Any:
        @functools.wraps(call)
        async def passing(*args: Any, **options: Any) -> Any:
            if before is not None:
                self.passed(before)
            answer = await call(*args, **options)
            self.passed(after)
            return answer

        return passing


def main(settings: dict[str, Any], doom: Doom, log: str, ready: Connection) -> None:
    """Serve until SIGTERM, or until the doom."""
    doom.prepare()
    try:
        a_broker_process.main(settings, doom, log, ready)
    except StoreUnavailable:
        # As at the command line: a line for people, and the next process tries again.
        sys.exit("The broker cannot start: its database does not answer.")
