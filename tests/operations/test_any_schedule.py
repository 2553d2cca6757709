"""
Requests, steps, deaths, freezes and passing time in any order: what holds at each moment, and at the end.

The machine is played on a real PostgreSQL and on SQLite, with a clock that stands still until it is told to go on. A
process dies at any statement, before and after any commit and external call. `--hypothesis-profile=long` plays longer.
"""

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete

from broker.domain.foresight import Foresight
from broker.domain.requests import (
    BindRequest,
    Caller,
    DeprovisionRequest,
    ProvisionRequest,
    UnbindRequest,
    UpdateRequest,
)
from broker.errors import BrokerError, OperationFailed, StillRunning
from broker.lifecycle.bindings import BindingAccepted, Bindings
from broker.lifecycle.instances import Accepted, Instances
from broker.lifecycle.options import LifecycleOptions
from broker.store import budgets
from broker.store.database import Database
from broker.store.sealing import KeyRing
from broker.store.tables import metadata
from tests.chaos.checker import overflows
from tests.chaos.clocks import PostgreSqlClock, SqliteClock
from tests.chaos.engine_rules import Bounds, at_any_moment, between
from tests.chaos.stored import Reader, Stored
from tests.lifecycle.conftest import CHILD, CHILDREN, PARENT, PARENTS, Shop, catalog_with_children
from tests.operations.mortal import (
    LEASE,
    UNDO_GRACE,
    Died,
    Life,
    Memory,
    Mortal,
    Process,
    Time,
    Witness,
    living,
    simulated_time,
)
from tests.osb.offerings import HURRIED, SERVICE, SMALL

# The long form plays for minutes; the short one takes fifteen seconds on an idle machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

BOUNDS = Bounds(lease=LEASE, undo_grace=UNDO_GRACE)
BURST, REFILL = 3.0, 0.5
"""Writes at once, and per second: few enough to be felt."""
CALLER = Caller("kubernetes")
ORDERED = [
    (PARENTS, PARENT, {"alias": "p"}),
    (CHILDREN, CHILD, {"parentAlias": "p"}),
    (SERVICE, SMALL, {}),
    (SERVICE, HURRIED, {}),
]
"""Offering, plan and parameters of the instances: a parent, its child, one by itself, one that has two seconds."""

INSTANCES, BINDINGS = st.integers(0, len(ORDERED) - 1), st.integers(0, 1)
FUSES = st.one_of(st.none(), st.none(), st.integers(0, 45))
WORDS = st.sampled_from(
    [
        f"{what}-{verb}"
        for what in ("fail", "hold", "trouble", "raise")
        for verb in ("create", "update", "delete", "bind", "unbind")
    ]
)
PASSING = st.sampled_from([0.0, 0.0, 0.3, 0.3, 1, 1, 5, 5, 31, 31, 65, 700, 4000]).map(
    lambda seconds: timedelta(seconds=seconds)
)


RUNNERS, YES_OR_NO = st.integers(0, 1), st.booleans()


def thing(name: str, *how: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(name), *how)


WORK = thing("work_for_a_while", st.integers(1, 4))
THINGS = st.one_of(
    thing("order", INSTANCES, FUSES),
    thing("update", INSTANCES, st.integers(1, 2), FUSES),
    thing("delete", INSTANCES, FUSES),
    thing("bind", INSTANCES, BINDINGS, YES_OR_NO, FUSES),
    thing("unbind", INSTANCES, BINDINGS, YES_OR_NO, FUSES),
    thing("work", RUNNERS, FUSES, st.integers(1, 5)),
    thing("work", RUNNERS, FUSES, st.integers(1, 5)),
    thing("freeze", st.integers(0, 4), PASSING, YES_OR_NO, st.none() | INSTANCES, st.integers(0, 3)),
    thing("time_passes", PASSING),
    thing("outside", st.one_of(st.just(set()), st.sets(WORDS, max_size=2))),
    WORK,
    WORK,
)


@dataclass
class Stage:
    """What the machine plays on; one for all games of a test."""

    database: Database
    reader: Reader
    loop: asyncio.AbstractEventLoop
    time: Time
    seen: Counter[str] = field(default_factory=Counter)
    """What has happened in all games, so that a test can tell whether they were worth playing."""
    options: LifecycleOptions = field(
        default_factory=lambda: LifecycleOptions(
            request_wait=timedelta(0),
            quick_wait=timedelta(0),
            look_again=timedelta(0),
            foresee=lambda _plan, _instance, _parent: Foresight(subscription="a-subscription"),
        )
    )

    @property
    def replicated(self) -> bool:
        return self.database.kind == "postgresql"

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    async def clear(self) -> None:
        async with self.database.transaction() as tx:
            for table in reversed(metadata.sorted_tables):
                await tx.execute(delete(table))


class AnySchedule(RuleBasedStateMachine):
    """Each rule is one thing that happens; the invariants hold after each."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        self.world = Memory()
        self.witness = Witness(fence_of=self.fence_of)
        self.lives = 0
        self.processes: dict[int, Process] = {}
        self.promised: set[UUID] = set()
        self.before: Stored | None = None
        stage.time.passes(timedelta(days=1))
        stage.run(stage.clear())

    @initialize(begun=st.integers(0, 3), bound=st.lists(INSTANCES, max_size=3))
    def some_are_there(self, begun: int, bound: list[int]) -> None:
        """Most games begin with instances, and some with bindings."""
        for number in range(begun):
            self.order(number, None)
        self.calm()
        for number in bound:
            self.bind(number, 0, True, None)
        self.calm()

    @rule(thing=THINGS)
    def happens(self, thing: tuple[Any, ...]) -> None:
        """One of all things. (Of several rules hypothesis would leave some out of each game.)"""
        what, *how = thing
        self.stage.seen[f"did {what}"] += 1
        getattr(self, what)(*how)

    # What a platform does

    def order(self, number: int, fuse: int | None) -> None:
        service, plan, parameters = ORDERED[number]
        request = ProvisionRequest(
            caller=CALLER,
            instance_id=f"i{number}",
            service_offering_id=service,
            service_plan_id=plan,
            parameters=parameters,
            accepts_incomplete=True,
        )
        self.ask(lambda: self.instances.provision(request), fuse)

    def update(self, number: int, size: int, fuse: int | None) -> None:
        number = self.one_that_is_there(number)
        service, plan, _ = ORDERED[number]
        request = UpdateRequest(
            caller=CALLER,
            instance_id=f"i{number}",
            service_offering_id=service,
            service_plan_id=plan,
            parameters={"size": size},
            accepts_incomplete=True,
        )
        self.ask(lambda: self.instances.update(request), fuse)

    def delete(self, number: int, fuse: int | None) -> None:
        self.deleted(self.one_that_is_there(number), fuse)

    def deleted(self, number: int, fuse: int | None) -> None:
        service, plan, _ = ORDERED[number]
        request = DeprovisionRequest(CALLER, f"i{number}", service, plan, accepts_incomplete=True)
        self.ask(lambda: self.instances.deprovision(request), fuse)

    def bind(self, number: int, binding: int, patient: bool, fuse: int | None) -> None:
        number = self.one_that_is_there(number)
        service, plan, _ = ORDERED[number]
        request = BindRequest(
            CALLER, f"i{number}", f"b{number}{binding}", service, plan, accepts_incomplete=patient
        )
        self.ask(lambda: self.bindings.bind(request), fuse)

    def unbind(self, number: int, binding: int, patient: bool, fuse: int | None) -> None:
        bound = [row["binding_id"] for row in self.before.bindings] if self.before else []
        if bound:
            number, binding = map(int, bound[(2 * number + binding) % len(bound)].removeprefix("b"))
        service, plan, _ = ORDERED[number]
        request = UnbindRequest(
            CALLER, f"i{number}", f"b{number}{binding}", service, plan, accepts_incomplete=patient
        )
        self.ask(lambda: self.bindings.unbind(request), fuse)

    # What becomes of processes, and of what is outside

    def work(self, number: int, fuse: int | None, at_most: int) -> None:
        process = self.process(number)
        process.life.fuse = None if fuse is None else process.life.breaths + fuse
        self.stage.run(process.work(at_most))
        process.life.fuse = None
        self.buried(process.life)

    def work_for_a_while(self, rounds: int) -> None:
        for _ in range(rounds):
            self.work(0, None, 5)
            self.stage.time.passes(timedelta(seconds=10))

    def freeze(self, calls: int, by: timedelta, jumping: bool, meanwhile: int | None, at_most: int) -> None:
        """
        One process stands still at an external call; a deletion may come; the other one works; it wakes up.

        Meanwhile time passes, or the database's clock alone is set forward.
        """
        if not self.stage.replicated:
            return
        frozen, other = self.process(0), self.process(1)
        if meanwhile is not None:
            self.order(meanwhile, None)
        frozen.life.to_be_frozen = calls
        self.stage.run(frozen.work(2))
        if meanwhile is not None:
            self.deleted(meanwhile, None)
        (self.stage.time.jumps if jumping else self.stage.time.passes)(by)
        if at_most:
            self.stage.run(other.work(at_most))
        frozen.life.thaw()
        self.stage.run(frozen.settle())

    def time_passes(self, by: timedelta) -> None:
        self.stage.time.passes(by)

    def outside(self, words: set[str]) -> None:
        """What fails, hangs or is in trouble from now on."""
        self.world.unsay_all()
        for word in words:
            self.world.tell(word)

    # What always holds

    @invariant()
    def nothing_is_wrong(self) -> None:
        rows = self.stage.reader.read(now=self.stage.time.now)
        found = at_any_moment(rows, BOUNDS)
        if self.before is not None:
            found += between(self.before, rows)
        assert found == []
        assert not self.promised - {operation["id"] for operation in rows.operations}, (
            "an accepted one is lost"
        )
        made = Counter(name for what, name in self.world.calls if what == "make" and name.startswith("i"))
        assert set(made.values()) <= {1}, "nothing is made twice under one name"
        known = {str(operation["id"]) for operation in rows.operations}
        worked_on = {name.partition(":")[0] for what, name in self.world.calls if what in VERBS}
        assert worked_on <= known, "what was rolled back is never executed"
        assert list(overflows(self.witness.writes, BURST, REFILL)) == []
        assert self.witness.wrongs == []
        assert self.world.living <= recorded(rows), "whatever lives is on record"
        self.before = rows

    def teardown(self) -> None:
        """Let the wind go down: everything ends within its time, and then the books agree with the world."""
        self.world.unsay_all()
        self.calm()
        self.nothing_is_wrong()
        rows = self.stage.reader.read(now=self.stage.time.now)
        self.stage.seen.update(f"{op['kind']} {op['status']}" for op in rows.operations)
        self.stage.seen.update(event["what"] for event in rows.events)
        whole = {row["key"] for row in rows.instances if row["state"] == "ready"}
        whole |= {row["key"] for row in rows.bindings if row["state"] == "bound"}
        expected = {
            r["resource_id"] for r in rows.resources if (r["binding_key"] or r["instance_key"]) in whole
        }
        assert expected & recorded(rows) <= self.world.living, "what is on record as whole is there"

    # How

    def calm(self) -> None:
        """Let a runner work and time pass until nothing is in progress."""
        time, worker = self.stage.time, self.process(2)
        rows = self.stage.reader.read(now=time.now)
        last = max([time.now, *(op["deadline_at"] for op in rows.running())]) + BOUNDS.late
        while running := self.stage.reader.read(now=time.now).running():
            assert time.now <= last, f"these do not end: {running}"
            time.passes(max(timedelta(milliseconds=1), min(op["due_at"] for op in running) - time.now))
            self.stage.run(worker.work(10))
            self.nothing_is_wrong()

    def fence_of(self, operation: UUID) -> int | None:
        rows = self.stage.reader.read(now=self.stage.time.now)
        return next((op["fence"] for op in rows.running() if op["id"] == operation), None)

    @property
    def instances(self) -> Instances:
        return Instances(self.stage.database, Shop(catalog_with_children()), self.stage.options)

    @property
    def bindings(self) -> Bindings:
        return Bindings(self.stage.database, Shop(catalog_with_children()), self.stage.options)

    def ask(self, request: Callable[[], Coroutine[Any, Any, Any]], fuse: int | None) -> None:
        life = self.life("front", fuse)

        async def asked() -> Any:
            with living(life), contextlib.suppress(Died):
                try:
                    return await request()
                except BrokerError as refusal:
                    return refusal

        answer = self.stage.run(asked())
        if isinstance(answer, Accepted | BindingAccepted):
            self.promised.add(answer.operation_id)
        elif isinstance(answer, BrokerError) and not isinstance(answer, OperationFailed | StillRunning):
            assert answer.status < 500, "a legal request is answered, not crashed upon"
        self.buried(life)

    def one_that_is_there(self, number: int) -> int:
        """Take one of the instances that are there, if any is: a request for nothing is soon answered."""
        there = [row["instance_id"] for row in self.before.instances] if self.before else []
        return int(there[number % len(there)].removeprefix("i")) if there else number

    def life(self, name: str, fuse: int | None = None) -> Life:
        self.lives += 1
        return Life(f"{name}-{self.lives}", fuse)

    def process(self, number: int) -> Process:
        """The process at a place; a new one when the last one has died."""
        if number not in self.processes:
            life = self.life("runner")
            mortal = Mortal(self.world, life, self.stage.time, self.witness)
            self.processes[number] = Process(self.stage.database, life, mortal, self.stage.time)
        return self.processes[number]

    def buried(self, life: Life) -> None:
        if not life.dead:
            return
        self.processes = {number: one for number, one in self.processes.items() if not one.life.dead}
        if not self.stage.replicated:
            # There was one process, and all of it has died; the next one takes its operations up at once.
            self.processes.clear()
            self.stage.database.recovered = False


VERBS = {"create", "update", "delete", "bind", "unbind"}


def recorded(rows: Stored) -> set[str]:
    return {row["resource_id"] for row in rows.resources if row["gone_at"] is None}


@pytest.fixture
def time(monkeypatch) -> Iterator[Time]:
    with simulated_time(monkeypatch) as time:
        yield time


@pytest.fixture
def stage(database_url: str, time: Time, monkeypatch) -> Iterator[Stage]:
    for kind in budgets.BURST:
        monkeypatch.setitem(budgets.BURST, kind, BURST if kind == "write" else 1000.0)
        monkeypatch.setitem(budgets.REFILL_PER_SECOND, kind, REFILL if kind == "write" else 1000.0)
    postgresql = database_url.startswith("postgresql")
    if postgresql:
        clock = PostgreSqlClock(database_url)
        clock.install()
        time.tell = clock.set
    loop = asyncio.new_event_loop()
    keys = KeyRing([("test", secrets.token_bytes(32))])
    database = loop.run_until_complete(Database.open(database_url, sealing=keys, broker_id="test"))
    if not postgresql:
        time.tell = SqliteClock(database).set
    time.passes(timedelta(0))
    with Reader(database_url) as reader:
        yield Stage(database, reader, loop, time)
    loop.run_until_complete(database.close())
    loop.close()


def test_no_schedule_of_requests_steps_deaths_and_time_breaks_a_promise(stage: Stage):
    long = settings.get_current_profile_name() == "long"

    run_state_machine_as_test(
        lambda: AnySchedule(stage),
        settings=settings(
            max_examples=150 if long else 12,
            stateful_step_count=60 if long else 50,
            derandomize=not long,
            database=None,
            deadline=None,
            # A smaller example takes minutes to find: `--hypothesis-profile=long` looks for one.
            phases=[Phase.generate, Phase.shrink] if long else [Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )

    # The games were worth playing.
    kinds = ("provision", "update", "deprovision", "bind", "unbind")
    expected = {f"{kind} succeeded" for kind in kinds} | {
        "provision failed",
        "bind failed",
        "superseded",
        "undoing",
    }
    assert expected <= stage.seen.keys(), stage.seen
    assert ("taken over" in stage.seen) == stage.replicated, stage.seen
