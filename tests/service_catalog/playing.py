"""Objects of the controller on a clock that stands still between two things that happen."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count

from tests.service_catalog.envelopes import Request
from tests.service_catalog.machine import Answer, Send, Thing, Wait, Work


class Over(Exception):
    """The broker will not answer this object any more: it is left as it is."""


@dataclass(frozen=True)
class Sent:
    """A request, and the second at which it was sent."""

    at: float
    request: Request


class Play:
    """
    Lets objects live against a *broker*: a function of the request and the second, which answers at once.

    An answer `timed out` takes the whole time of a request.
    """

    def __init__(self, broker: Callable[[Request, float], Answer]) -> None:
        self.now = 0.0
        self.sent: list[Sent] = []
        self._broker = broker
        self._lives: dict[int, tuple[Thing, Work]] = {}
        self._due: list[tuple[float, int, int]] = []
        self._waits: dict[int, Wait] = {}
        self._numbers = count()
        self._turns: dict[int, int] = {}

    def add(self, *things: Thing) -> None:
        for thing in things:
            number = next(self._numbers)
            self._lives[number] = (thing, thing.run())
            self._step(number, None)

    def until(self, at: float = math.inf, *, settled: Iterable[Thing] = ()) -> None:
        """Let time go on to *at*, or until all these have settled."""
        watched = list(settled)
        while not (watched and all(thing.settled for thing in watched)):
            if self._wake_the_changed():
                continue
            while self._due and self._turns[self._due[0][1]] != self._due[0][2]:
                heapq.heappop(self._due)
            if not self._due or self._due[0][0] > at:
                self.now = self.now if math.isinf(at) else at
                return
            self.now, number, _ = heapq.heappop(self._due)
            self._step(number, ())

    def restart(self) -> None:
        """Let the controller forget all that it has in memory only, and begin again with each object."""
        for number, (thing, _) in self._lives.items():
            thing.restarted()
            self._lives[number] = (thing, thing.run())
            self._step(number, None)

    def _wake_the_changed(self) -> bool:
        changed = [
            n
            for n, (thing, _) in self._lives.items()
            if thing.changed and n in self._waits and self._waits[n].minds
        ]
        for number in changed:
            self._step(number, ())
        return bool(changed)

    def _step(self, number: int, answers: tuple[Answer, ...] | None) -> None:
        thing, work = self._lives[number]
        self._waits.pop(number, None)
        self._turns[number] = self._turns.get(number, 0) + 1
        at = self.now
        while True:
            thing.now, thing.changed = at, False
            try:
                wish = next(work) if answers is None else work.send(answers)
            except StopIteration:
                return
            if isinstance(wish, Wait):
                if wish.seconds is not None:
                    heapq.heappush(self._due, (at + wish.seconds, number, self._turns[number]))
                self._waits[number] = wish
                return
            try:
                answers, at = self._answered(thing, wish, at)
            except Over:
                return

    def _answered(self, thing: Thing, wish: Send, at: float) -> tuple[tuple[Answer, ...], float]:
        answers = tuple(self._broker(request, at) for request in wish.requests)
        self.sent += [Sent(at, request) for request in wish.requests]
        if any(answer.fault == "timed out" for answer in answers):
            at += thing.flags.osb_api_request_timeout.total_seconds()
        return answers, at
