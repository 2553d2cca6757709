"""
What a controller's object does: it sends, waits, and takes in what came of it.

An object is a generator without any input or output of its own. It yields `Send` and is resumed with the answers in
order, or `Wait` and is resumed later with none; its `now` is set by whoever drives it. So the same object runs on a
clock that stands still, in a test of its own, and against a real broker.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, TypeAlias

from tests.service_catalog.envelopes import Request


@dataclass(frozen=True)
class Flags:
    """Command line flags of the controller, with its defaults."""

    operation_polling_maximum_backoff: timedelta = timedelta(minutes=20)
    osb_api_request_timeout: timedelta = timedelta(seconds=60)
    reconciliation_retry_duration: timedelta = timedelta(days=7)
    resync_interval: timedelta = timedelta(minutes=5)
    async_binding_operations: bool = False
    """A feature gate."""


@dataclass(frozen=True)
class Answer:
    """What came of a request: a status and a body, or a fault of the connection."""

    status: int | None
    body: bytes = b""
    fault: Literal["refused", "timed out"] | None = None

    @property
    def document(self) -> dict[str, Any] | None:
        """The body, if it is a JSON object."""
        try:
            read = json.loads(self.body)
        except ValueError:
            return None
        return read if isinstance(read, dict) else None

    @property
    def description(self) -> str:
        if self.status is None:
            return f"The request {'timed out' if self.fault == 'timed out' else 'did not reach the broker'}."
        return f"Status: {self.status}; Description: {(self.document or {}).get('description')}"


REFUSED = Answer(None, fault="refused")
TIMED_OUT = Answer(None, fault="timed out")


@dataclass(frozen=True)
class Send:
    """Send these at the same time."""

    requests: tuple[Request, ...]


@dataclass(frozen=True)
class Wait:
    """Wait so many seconds; for ever if None. A change of the object ends it, if it `minds` changes."""

    seconds: float | None = None
    minds: bool = True


Work: TypeAlias = Generator[Send | Wait, tuple[Answer, ...], None]


@dataclass
class Backoff:
    """Doubling pauses, as client-go's item rate limiters give them."""

    first: float
    most: float
    times: int = 0

    def next(self) -> float:
        pause: float = min(self.first * 2.0**self.times, self.most)
        self.times += 1
        return pause

    def forget(self) -> None:
        self.times = 0


class Burst(Backoff):
    """The work queue of a kind: fifteen tries in about three minutes, then the object is dropped from it."""

    AT_MOST = 15

    def __init__(self) -> None:
        super().__init__(0.005, 1000.0)

    @property
    def over(self) -> bool:
        return self.times >= self.AT_MOST


@dataclass
class Condition:
    """What `kubectl get` shows of an object."""

    ready: bool = False
    failed: bool = False
    reason: str = ""
    message: str = ""


@dataclass
class Thing:
    """What service instances and service bindings have in common."""

    flags: Flags
    now: float = 0.0
    condition: Condition = field(default_factory=Condition)
    deleting: bool = False
    gone: bool = False
    stalled: bool = False
    """Dropped from the queue in the middle of an operation: nobody looks at it until the controller restarts."""
    changed: bool = False
    """Since it has begun to wait."""
    noticed: Callable[[], None] = field(default=lambda: None, repr=False)
    """Is told of each change."""
    operation: str | None = None
    in_progress: str | None = None
    """The kind of the asynchronous operation that is polled; its key, if any, is `operation`."""
    trying: str | None = None
    began: float = 0.0
    """When what is tried was tried first."""
    pause: float | None = None
    """How long to wait with the next poll, if the last one met an error."""
    burst: Burst = field(init=False)
    polls: Backoff = field(init=False)

    def __post_init__(self) -> None:
        self.restarted()

    def restarted(self) -> None:
        """Forget what is in the controller's memory only; what the API server keeps stays."""
        self.burst = Burst()
        self.polls = Backoff(1.0, self.flags.operation_polling_maximum_backoff.total_seconds())
        self.pause, self.stalled = None, False

    @property
    def timed_out(self) -> bool:
        return self.now - self.began > self.flags.reconciliation_retry_duration.total_seconds()

    def run(self) -> Work:
        """Live until gone."""
        raise NotImplementedError

    def _ready(self, reason: str) -> None:
        self.condition = Condition(ready=True, reason=reason)

    def _not_ready(self, reason: str, message: str = "") -> None:
        self.condition = Condition(failed=self.condition.failed, reason=reason, message=message)

    def _failed(self, reason: str, message: str) -> None:
        self.condition = Condition(failed=True, reason=reason, message=message)

    def change_noticed(self) -> None:
        """Let a wait that minds changes end."""
        self.changed = True
        self.noticed()

    def _begins(self, what: str) -> None:
        """Remember since when this has been tried: there is a limit to it."""
        if self.trying != what:
            self.trying, self.began = what, self.now
            self.burst.forget()

    def _accepted(self, kind: str, answer: Answer) -> None:
        self.in_progress, self.operation = kind, (answer.document or {}).get("operation")
        self.polls.forget()
        self._not_ready(f"Asynchronous {kind}", "")

    def _ended(self) -> None:
        self.in_progress = self.operation = self.trying = None
        self.burst.forget()

    def _polled(self, request: Request) -> Generator[Send | Wait, tuple[Answer, ...], Answer | None]:
        """Poll once, after the pause that is due; None when it met an error that passes."""
        pause, self.pause = self.pause, None
        yield Wait(self.polls.next() if pause is None else pause, minds=False)
        (answer,) = yield Send((request,))
        if answer.status in {400, 410} or (answer.status == 200 and answer.document is not None):
            if answer.status == 200:
                self.burst.forget()
            return answer
        yield from self._after_an_error(answer)
        return None

    def _after_an_error(self, answer: Answer) -> Work:
        """Let the next poll come from another queue, which drops the object after fifteen tries."""
        self.condition.message = answer.description
        if self.burst.over:
            self.stalled = True
            yield Wait(minds=False)
        self.pause = self.burst.next()

    def _again_in_a_burst(self) -> Work:
        """Wait for the next try of this queue; after the last one, for the next resync."""
        if self.burst.over:
            self.burst.forget()
            yield Wait(self.flags.resync_interval.total_seconds(), minds=False)
        else:
            yield Wait(self.burst.next(), minds=False)
