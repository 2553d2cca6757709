"""Processes that die between any two statements, or stand still for longer than their lease; all in one, in no time."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncConnection

from broker.operations import runner as runner_module
from broker.operations.failpoints import Failpoints
from broker.operations.leases import Lease
from broker.operations.runner import Runner, RunnerOptions
from broker.provisioners.base import Cost, Next, Work
from broker.store import operations_queue
from broker.store.call_meter import CallMeter
from broker.store.database import Database
from tests.operations.imagined import Imagined, World

LEASE = timedelta(seconds=30)
UNDO_GRACE = timedelta(minutes=2)


class Died(BaseException):
    """The process is no more; nothing in it can catch this."""


class Life:
    """One process. It dies at its *fuse*-th breath: a statement, a commit, an external call, a point of the engine."""

    def __init__(self, name: str, fuse: int | None = None) -> None:
        self.name = name
        self.fuse = fuse
        self.dead = False
        self.breaths = 0
        self.to_be_frozen: int | None = None
        """At which external call from now on it stands still."""
        self.thaws = 0
        self.frozen, self.goes_on = asyncio.Event(), asyncio.Event()

    def breathe(self) -> None:
        self.breaths += 1
        if self.fuse is not None and self.breaths > self.fuse:
            self.dead = True
        if self.dead:
            raise Died

    async def call(self) -> None:
        """Breathe right before or after an external call, where it may also be frozen."""
        self.breathe()
        if self.to_be_frozen is not None:
            self.to_be_frozen -= 1
            if self.to_be_frozen < 0:
                self.goes_on.clear()
                self.frozen.set()
                await self.goes_on.wait()
                self.thaws += 1
                self.breathe()

    def thaw(self) -> None:
        self.to_be_frozen = None
        self.frozen.clear()
        self.goes_on.set()


_LIVING: ContextVar[Life | None] = ContextVar("living", default=None)


def _breathe(*_args, **_options) -> None:
    life = _LIVING.get()
    if life is not None:
        life.breathe()


@contextlib.contextmanager
def living(life: Life) -> Iterator[None]:
    """Let what is done in the block be done by *life*."""
    token = _LIVING.set(life)
    try:
        yield
    finally:
        _LIVING.reset(token)


class Points(Failpoints):
    def reached(self, point: str, operation) -> None:
        _breathe()


class Time:
    """The database's clock, which may jump, and the steady one of all processes, which does not."""

    def __init__(self, start: datetime) -> None:
        self.now = start
        self._steady = timedelta(0)
        self.tell: Callable[[datetime], None] = lambda _: None

    def passes(self, by: timedelta) -> None:
        self._steady += by
        self.jumps(by)

    def jumps(self, by: timedelta) -> None:
        """Set the database's clock forward, and no other."""
        self.now += by
        self.tell(self.now)

    def monotonic(self) -> float:
        return self._steady.total_seconds()


@contextlib.contextmanager
def simulated_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[Time]:
    """Simulated time, in which each statement and each commit is a breath, also the moment after it was sent."""
    simulated, commit = Time(datetime(2030, 1, 1, tzinfo=UTC)), AsyncConnection.commit

    async def breathing_commit(connection: AsyncConnection) -> None:
        _breathe()
        await commit(connection)
        _breathe()

    monkeypatch.setattr(AsyncConnection, "commit", breathing_commit)
    monkeypatch.setattr(runner_module, "Lease", partial(Lease, clock=simulated.monotonic))
    monkeypatch.setattr(runner_module, "time", simulated)
    event.listen(Engine, "before_cursor_execute", _breathe)
    yield simulated
    event.remove(Engine, "before_cursor_execute", _breathe)


@dataclass
class Witness:
    """What was seen of the steps of all processes."""

    writes: list[datetime] = field(default_factory=list)
    """When something was made outside."""
    wrongs: list[str] = field(default_factory=list)
    steps: list["Begun"] = field(default_factory=list)
    """Those in flight, of processes that are alive or stand still."""
    fence_of: Callable[[UUID], int | None] = lambda _: None
    """The highest fence of an operation in progress; None when it has ended."""


@dataclass(frozen=True)
class Begun:
    """A step in flight, and the earliest end of the lease that protects it."""

    operation: UUID
    fence: int
    instance: UUID
    binding: UUID | None
    life: Life
    leased_until: datetime

    def in_the_way_of(self, other: "Begun") -> bool:
        """Whether the other one may not begin while this one is protected."""
        same = self.instance == other.instance and other.binding in {None, self.binding}
        return same and not self.life.dead and self.life is not other.life


class Mortal(Imagined):
    """Works for one life, says honestly what its steps cost, and tells a witness."""

    def __init__(self, world: World, life: Life, time: Time, witness: Witness) -> None:
        super().__init__(world, before_call=life.breathe, after_call=life.breathe)
        self.life, self.time, self.witness = life, time, witness
        self.meter = CallMeter()

    async def create(self, work: Work) -> Next:
        return await self._step(super().create, work)

    async def update(self, work: Work) -> Next:
        return await self._step(super().update, work)

    async def delete(self, work: Work) -> Next:
        return await self._step(super().delete, work)

    async def bind(self, work: Work) -> Next:
        return await self._step(super().bind, work)

    async def unbind(self, work: Work) -> Next:
        return await self._step(super().unbind, work)

    async def asked(self, name: str) -> None:
        await self.life.call()

    async def _step(self, step, work: Work) -> Next:
        binding = work.binding.key if work.binding else None
        key, fence = work.operation.id, work.operation.fence
        begun = Begun(key, fence, work.instance.key, binding, self.life, self.time.now + LEASE)
        for other in self.witness.steps:
            if other.in_the_way_of(begun) and self.time.now < other.leased_until:
                self.witness.wrongs.append(
                    f"{key} ({work.operation.kind}) began within the lease of {other.operation}"
                )
        self.witness.steps.append(begun)
        try:
            return await self._watched(step, work)
        finally:
            self.witness.steps.remove(begun)

    async def _watched(self, step, work: Work) -> Next:
        began, thaws = self.time.now, self.life.thaws
        await self.life.call()
        made, removed = self.world.count("make"), self.world.count("remove")
        try:
            after = await step(work)
        finally:
            frozen, mine = self.life.thaws > thaws, work.operation.fence
            fence = self.witness.fence_of(work.operation.id) if frozen else mine
            if fence not in {None, mine} and self.time.now < began + LEASE:
                self.witness.wrongs.append(f"{work.operation.id} was taken over within its lease")
            if fence != mine and (self.world.count("make"), self.world.count("remove")) != (made, removed):
                self.witness.wrongs.append(f"{work.operation.id}: a late call for fence {mine}")
        for _ in range(self.world.count("make") - made):
            self.witness.writes.append(self.time.now)
            self.meter.called(work.operation.subscription, "write", region=None, remaining=None)
        await self.life.call()
        return replace(after, cost=Cost(writes=1)) if after.phase == "make" else after


class Memory(World):
    """The imagined world without files."""

    def __init__(self) -> None:
        self._living: set[str] = set()
        self._calls: list[tuple[str, str]] = []
        self._words: set[str] = set()

    @property
    def living(self) -> set[str]:
        return set(self._living)

    @property
    def calls(self) -> list[tuple[str, str]]:
        return self._calls

    def exists(self, name: str) -> bool:
        return name in self._living

    def make(self, name: str) -> None:
        self.called("make", name)
        self._living.add(name)

    def remove(self, name: str) -> None:
        self.called("remove", name)
        self._living.discard(name)

    def called(self, what: str, name: str) -> None:
        self._calls.append((what, name))

    def told(self, word: str) -> bool:
        return word in self._words

    def tell(self, word: str) -> None:
        self._words.add(word)

    def unsay(self, word: str) -> None:
        self._words.discard(word)

    def unsay_all(self) -> None:
        self._words.clear()


class Process:
    """A process with a runner that works when it is told to, and only then."""

    def __init__(self, database: Database, life: Life, provisioner: Mortal, time: Time) -> None:
        self.life = life
        self._database, self._time = database, time
        self._options = RunnerOptions(name=life.name, lease=LEASE, undo_grace=UNDO_GRACE)
        self._meter = provisioner.meter
        self._runner = Runner(
            database, {"external": provisioner}, self._options, failpoints=Points(), meter=self._meter
        )

    async def work(self, at_most: int) -> None:
        """Claim what is due and take steps until all is given back, stands still, or is dead."""
        with living(self.life), contextlib.suppress(Died):
            sent_at = self._time.monotonic()
            await operations_queue.recover(self._database)
            claimed = await operations_queue.claim(
                self._database,
                owner=self._options.name,
                lease=LEASE,
                at_most=at_most,
                handlers=self._runner._handlers,
                meter=self._meter,
            )
            for claim in claimed.claims:
                self._runner._start(claim, sent_at)
        await self.settle()

    async def settle(self) -> None:
        """Let its steps go on until they have ended, or it stands still."""
        while tasks := {one.task for one in self._runner._in_flight.values() if one.task is not None}:
            frozen = asyncio.create_task(self.life.frozen.wait())
            done, _ = await asyncio.wait({*tasks, frozen}, return_when=asyncio.FIRST_COMPLETED)
            frozen.cancel()
            for task in done & tasks:
                if (fault := task.exception()) is not None and not isinstance(fault, Died):
                    raise fault
            if self.life.frozen.is_set():
                return
