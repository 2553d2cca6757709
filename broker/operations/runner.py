"""The runner: claims operations, takes one step of each, writes down what came of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog

from broker.domain.operations import OperationKind, Stage
from broker.errors import StoreUnavailable
from broker.operations import stages, waiting
from broker.operations.failpoints import Failpoints
from broker.operations.leases import Lease
from broker.operations.observing import Observer, Unobserved
from broker.operations.retrying import UNFORESEEN_AT_MOST, Trouble
from broker.operations.unhandled import OVERDUE_BY
from broker.provisioners.base import LeaseLost, Next, Provisioner, StepFailed, Work, handlers_of
from broker.store import budgets, clock_jumps, fences, operations_queue, unhandled
from broker.store.call_meter import CallMeter
from broker.store.database import Database
from broker.store.errors import ClaimLost
from broker.store.operations_queue import Changes, Claim
from broker.store.pruning import prune

log = structlog.get_logger(__name__)

_ASK_AGAIN = 0.05
_BLOCKED_FOR = timedelta(seconds=10)
# One answer is not to stop everybody for hours: whoever asks too early then is told again.
_BLOCKED_AT_MOST = timedelta(minutes=5)


@dataclass(frozen=True)
class RunnerOptions:
    """
    How a runner works.

    `name` is shown to operators and is unique to the process. A `lease` is how long the runner may be silent
    before others take over; `in_flight` how many steps it takes at once, `batch` how many it claims at once.
    `step_limit` ends a step that hangs. `drain` is how long an orderly stop waits for steps. A clean-up may take
    `undo_grace` longer than the order itself. What is finished is kept for `retention`, the audit for
    `audit_retention`. What this build does not know is ended once it is overdue by `unhandled_after`, and past its
    deadline by as long.
    """

    name: str
    lease: timedelta = timedelta(seconds=30)
    in_flight: int = 500
    batch: int = 100
    drain: timedelta = timedelta(seconds=20)
    step_limit: timedelta = timedelta(seconds=120)
    undo_grace: timedelta = timedelta(minutes=30)
    retention: timedelta = timedelta(days=90)
    audit_retention: timedelta = timedelta(days=400)
    prune_every: timedelta = timedelta(hours=1)
    longest_wait: timedelta = timedelta(minutes=15)
    """Nothing is put off for longer; what seems to be was written before the database's clock was set back."""
    unhandled_after: timedelta = OVERDUE_BY


@dataclass
class _InFlight:
    claim: Claim
    lease: Lease
    changing: bool = False
    """Whether the step has been let change something: cut off, it may have a call on its way to Azure."""
    task: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Let a call pass, or raise `LeaseLost`; whatever was called before has ended."""
        self.changing = False
        self.lease.check()


class Runner:
    """
    Carries out operations until it is stopped; any number of runners share one database.

    Everything of importance is in the database: a runner that dies at any point leaves an operation that is due
    again when its lease is over, and a step that is safe to repeat.
    """

    def __init__(
        self,
        database: Database,
        provisioners: Mapping[str, Provisioner],
        options: RunnerOptions,
        *,
        failpoints: Failpoints | None = None,
        observer: Observer | None = None,
        meter: CallMeter | None = None,
    ) -> None:
        self._database = database
        self._provisioners = dict(provisioners)
        self._handlers = handlers_of(self._provisioners)
        self._options = options
        self._failpoints = failpoints or Failpoints()
        self._observer = observer or Unobserved()
        self._meter = meter or CallMeter()
        self._in_flight: dict[UUID, _InFlight] = {}
        # Saves take turns before they ask for a connection, and leave half of the connections to requests.
        self._saving = asyncio.Semaphore(max(1, database.writers // 2))
        self._freed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._drain_within = options.drain
        self._wakes_at = 0.0
        self._looked_at = time.monotonic()

    @property
    def in_flight(self) -> int:
        """How many operations are being worked on at this moment."""
        return len(self._in_flight)

    @property
    def silent_for(self) -> timedelta:
        """How long ago the runner last looked at the queue with success; health checks read it."""
        return timedelta(seconds=time.monotonic() - self._looked_at)

    def stop(self, within: timedelta | None = None) -> None:
        """
        Ask for an orderly end: `run` returns when the steps in flight have ended or were handed back.

        Steps may take *within*, else the `drain` of the options; a second call changes nothing.
        """
        if self._stopping.is_set():
            return
        self._drain_within = self._options.drain if within is None else within
        self._stopping.set()
        self._freed.set()
        self._database.wakeups.wake()

    async def run(self) -> None:
        """
        Work until `stop` is called.

        A fault of the dispatcher, the heartbeat or the listener rises from here: the process is to exit, for a
        dead dispatcher behind a healthy API is the worst of failures. A fault of one step never does.
        """
        log.info("Runner has started.", runner=self._options.name, provisioners=sorted(self._provisioners))
        async with asyncio.TaskGroup() as group:
            service = [
                group.create_task(self._renew_leases(), name="leases"),
                group.create_task(self._prune(), name="pruning"),
                group.create_task(self._mind_the_clock(), name="clock"),
                group.create_task(self._end_unhandled(), name="unhandled"),
                group.create_task(self._database.wakeups.watch(), name="wake-ups"),
            ]
            try:
                await self._dispatch()
                await self._drain()
            finally:
                for task in service:
                    task.cancel()
                for one in list(self._in_flight.values()):
                    if one.task is not None:
                        one.task.cancel()
        log.info("Runner has ended.", runner=self._options.name)

    async def _dispatch(self) -> None:
        wakeups, faults = self._database.wakeups, 0
        while not self._stopping.is_set():
            seen = wakeups.count
            free = min(self._options.batch, self._options.in_flight - len(self._in_flight))
            if free <= 0:
                self._freed.clear()
                await self._freed.wait()  # `stop` sets it too
                continue
            # Counted from before the claim is sent: the lease ends here no later than in the database.
            sent_at = time.monotonic()
            try:
                await operations_queue.recover(self._database)
                claimed = await operations_queue.claim(
                    self._database,
                    owner=self._options.name,
                    lease=self._options.lease,
                    at_most=free,
                    handlers=self._handlers,
                    meter=self._meter,
                )
            except StoreUnavailable:
                faults += 1
                log.warning("The queue cannot be read.", runner=self._options.name, faults=faults)
                pause = timedelta(seconds=min(5.0, 0.2 * 2 ** min(faults, 5)) * random.uniform(0.5, 1))  # noqa: S311 - spreads load
                await wakeups.work(pause, after=wakeups.count)
                continue
            faults = 0
            self._looked_at = time.monotonic()
            for claim in claimed.claims:
                self._start(claim, sent_at)
            for by in claimed.late:
                self._observer.claimed_late(by)
            if claimed.full:
                continue
            # Looking once a lease at least, no end of a lease is slept over.
            rest = min(wakeups.fallback, self._options.lease)
            if claimed.next_due_in is not None:
                rest = min(rest, max(claimed.next_due_in, self._together))
            self._wakes_at = time.monotonic() + rest.total_seconds()
            await wakeups.work(rest, after=seen)

    def _start(self, claim: Claim, sent_at: float) -> None:
        self._failpoints.reached(Failpoints.CLAIMED, claim.operation)
        one = _InFlight(claim, Lease(sent_at, self._options.lease))
        former = self._in_flight.get(claim.operation.id)
        if former is not None and former.task is not None:
            # This runner has overslept its own lease and taken the operation over from itself.
            former.task.cancel()
        self._in_flight[claim.operation.id] = one
        one.task = asyncio.create_task(self._carry(one), name=f"operation {claim.operation.id}")

    async def _carry(self, one: _InFlight) -> None:
        operation = one.claim.operation
        told = log.bind(
            operation=str(operation.id),
            kind=operation.kind.value,
            instance=operation.instance_id,
            binding=operation.binding_id,
            request_identity=operation.request_identity,
        )
        try:
            while True:
                after = await self._step(one)
                if after is None:
                    return
                one.claim = after
                if self._stopping.is_set():
                    await self._hand_back([after])
                    return
        except (LeaseLost, ClaimLost):
            await self._lost(one, told)
        except StoreUnavailable:
            told.warning("The outcome of a step could not be written; it is repeated when its lease is over.")
        except Exception:  # noqa: BLE001 - one operation's fault is not to end the others
            # The engine's own fault. The operation is due again when its lease is over, and poison in the end.
            told.exception("The engine failed on an operation.")
        finally:
            if self._in_flight.get(operation.id) is one:
                del self._in_flight[operation.id]
            self._freed.set()

    async def _lost(self, one: _InFlight, told: structlog.stdlib.BoundLogger) -> None:
        """Let a deletion that has taken this operation's place start: there is no step in flight any more."""
        self._observer.lease_lost()
        try:
            superseded = not one.changing and await operations_queue.make_way(self._database, one.claim)
        except StoreUnavailable:
            superseded = False
        if superseded:
            told.info("The operation was superseded; its successor starts.")
        else:
            told.warning("The lease was lost; the operation is another runner's or due again soon.")

    async def _step(self, one: _InFlight) -> Claim | None:
        claim = one.claim
        trouble = stages.before_step(claim, undo_grace=self._options.undo_grace)
        if trouble is not None:
            return await self._save(one, claim, trouble)
        if claim.operation.stage is Stage.WAITING:
            if not stages.needs_no_waiting(claim):
                return await self._save(one, claim, None)
            claim = replace(claim, operation=replace(claim.operation, stage=Stage.WORKING))
        try:
            with self._observer.step(claim.operation) as told:
                step = await self._ask_provisioner(one, claim)
                if isinstance(step, Trouble):
                    told.failed(step.description)
        finally:
            self._meter.settle(claim.operation.subscription, claim.paid)
        return await self._save(one, claim, step)

    async def _ask_provisioner(self, one: _InFlight, claim: Claim) -> Next | Trouble:
        provisioner, lease = self._provisioners[claim.operation.provisioner], one.lease
        work = Work(
            operation=claim.operation,
            instance=claim.instance,
            now=claim.now,
            guard=one.check,
            before_change=partial(self._see_that_it_is_held, one, claim),
            binding=claim.binding,
            parent=claim.parent,
            predecessor=claim.predecessor,
            resources=claim.resources,
            clearing=claim.operation.stage is Stage.CLEARING,
        )
        one.check()
        self._failpoints.reached(Failpoints.BEFORE_STEP, claim.operation)
        cut_off = False
        try:
            async with lease.bounding(self._options.step_limit):
                step: Next | Trouble = await _method(provisioner, claim)(work)
        except LeaseLost:
            raise
        except StepFailed as failure:
            step = Trouble.of(failure)
        except TimeoutError:
            cut_off = True
            seconds = round(self._options.step_limit.total_seconds())
            step = Trouble(
                f"{stages.subject(claim.operation)}: a step did not end within {seconds} seconds. An operator finds "
                f"more in the log under operation {claim.operation.id}.",
                retryable=True,
                at_most=UNFORESEEN_AT_MOST,
            )
        except Exception:
            log.exception(
                "A step failed in a way that nobody foresaw.",
                operation=str(claim.operation.id),
                kind=claim.operation.kind.value,
                stage=claim.operation.stage.value,
                phase=claim.operation.phase,
                instance=claim.operation.instance_id,
                binding=claim.operation.binding_id,
                request_identity=claim.operation.request_identity,
            )
            step = Trouble(
                f"{stages.subject(claim.operation)}: something unforeseen went wrong in the broker. An operator finds "
                f"more in the log under operation {claim.operation.id}.",
                retryable=True,
                at_most=UNFORESEEN_AT_MOST,
            )
        one.changing = one.changing and cut_off
        self._failpoints.reached(Failpoints.AFTER_STEP, claim.operation)
        return step

    async def _see_that_it_is_held(self, one: _InFlight, claim: Claim) -> None:
        """
        Let a change outside pass if the database says that the claim is still held, and that for a good while yet.

        This runner's own clock cannot tell: the database's may have been set forward, which ends leases early, and
        a request may have ended the operation. What is left is the moment from here until the call is on its way.

        Raises:
            LeaseLost: The claim is another's by now, or nearly over and the database does not answer.
        """
        lease, enough = one.lease, self._options.lease / 2
        while True:
            one.check()
            sent_at = time.monotonic()
            try:
                left = await fences.time_left(self._database, claim.operation)
                if left is None:
                    raise LeaseLost
                if left >= enough:
                    lease.check()
                    one.changing = True
                    return
                renewed = await operations_queue.renew(
                    self._database, [claim.key], owner=self._options.name, lease=self._options.lease
                )
            except StoreUnavailable:
                log.warning("The store is away; a change in Azure waits.", operation=str(claim.operation.id))
                await asyncio.sleep(random.uniform(0.2, 1.0))  # noqa: S311 - spreads load
                continue
            if renewed:
                lease.renewed(sent_at)
            else:
                await asyncio.sleep(
                    _ASK_AGAIN
                )  # A request has its row locked at the moment, or it is another's.

    async def _save(self, one: _InFlight, claim: Claim, step: Next | Trouble | None) -> Claim | None:
        """Write what came of a step (None: there was none, the engine has to look for itself)."""
        while True:
            try:
                async with self._saving:
                    return await self._save_once(one, claim, step)
            except StoreUnavailable:
                # The fence tells whether a commit of unknown outcome was one: trying again cannot count twice.
                one.lease.check()
                log.warning(
                    "The store is away; the outcome of a step waits.", operation=str(claim.operation.id)
                )
                await asyncio.sleep(random.uniform(0.2, 1.0))  # noqa: S311 - spreads load

    async def _save_once(self, one: _InFlight, claim: Claim, step: Next | Trouble | None) -> Claim | None:
        sent_at = time.monotonic()
        async with self._database.transaction() as tx:
            with_instance = step is None or stages.touches_instance(claim, step)
            held = await operations_queue.hold(tx, claim, with_instance=with_instance)
            if step is None:
                changes = await waiting.look(tx, held)
            else:
                changes = stages.advance(
                    held,
                    step,
                    undo_grace=self._options.undo_grace,
                    pace=self._pace(claim.operation.subscription),
                    spread=random.random(),  # noqa: S311 - spreads load
                )
            after = await operations_queue.save(
                tx,
                held,
                changes,
                lease=self._options.lease,
                meter=self._meter,
                halfway=lambda: self._failpoints.reached(Failpoints.IN_SAVE, claim.operation),
            )
            if isinstance(step, Trouble) and step.blocks_everybody and claim.operation.subscription:
                blocked_for = min(step.retry_after or _BLOCKED_FOR, _BLOCKED_AT_MOST)
                account = self._meter.account(claim.operation.subscription)
                await budgets.block(tx, account, until=tx.now + blocked_for)
        self._failpoints.reached(Failpoints.SAVED, claim.operation)
        self._told(claim, changes)
        if after is not None:
            one.lease.renewed(sent_at)
        elif not changes.operation.finished:
            self._mind(changes.delay)
        return after

    def _pace(self, subscription: str | None) -> timedelta:
        """Return how long a look has to wait for its turn among all that are looked at."""
        return budgets.pace(self._meter.active(subscription), self._meter.share)

    @property
    def _together(self) -> timedelta:
        """Of thousands that wait one is due at any moment: a transaction for each would be a waste."""
        return budgets.gathering(self._meter.crowd, self._meter.share)

    def _mind(self, delay: timedelta) -> None:
        """Wake the dispatcher early when something was put off to before it would look again."""
        if time.monotonic() + max(delay, self._together).total_seconds() < self._wakes_at:
            self._database.wakeups.wake()

    def _told(self, claim: Claim, changes: Changes) -> None:
        operation = changes.operation
        if operation.finished:
            plan = str(operation.inputs.get("plan_id"))
            self._observer.operation_finished(operation.kind.value, operation.status.value, plan)
        if not (operation.finished or changes.events):
            return
        log.info(
            "Operation has ended." if operation.finished else "Operation goes on.",
            operation=str(operation.id),
            kind=operation.kind.value,
            status=operation.status.value,
            stage=operation.stage.value,
            instance=operation.instance_id,
            binding=operation.binding_id,
            platform=operation.platform,
            description=operation.description,
            took=round((claim.now - operation.created_at).total_seconds(), 3),
            request_identity=operation.request_identity,
        )

    async def _renew_leases(self) -> None:
        pause = self._options.lease.total_seconds() / 3
        while True:
            await asyncio.sleep(pause)
            sent_at = time.monotonic()
            current = {one.claim.key: one for one in self._in_flight.values()}
            try:
                renewed = await operations_queue.renew(
                    self._database, current.keys(), owner=self._options.name, lease=self._options.lease
                )
            except StoreUnavailable:
                log.warning("Leases could not be renewed.", runner=self._options.name, leases=len(current))
                continue
            for key in renewed:
                current[key].lease.renewed(sent_at)

    async def _prune(self) -> None:
        while True:
            # Spread, so that replicas started together do not prune together.
            await asyncio.sleep(self._options.prune_every.total_seconds() * random.uniform(0.5, 1))  # noqa: S311 - likewise
            try:
                deleted = await prune(
                    self._database, keep=self._options.retention, keep_audit=self._options.audit_retention
                )
            except StoreUnavailable:
                log.warning("Old operations could not be pruned.")
                continue
            if deleted:
                log.info("Old operations were pruned.", deleted=deleted)

    async def _mind_the_clock(self) -> None:
        # The longest lease is one that was doubled four times.
        longest = max(self._options.longest_wait, self._options.lease * 16)
        while True:
            await asyncio.sleep(longest.total_seconds() / 15 * random.uniform(0.5, 1))  # noqa: S311 - likewise
            try:
                late = await clock_jumps.pull_in(self._database, longest=longest)
            except StoreUnavailable:
                continue
            if late:
                log.warning(
                    "The database's clock was set back; operations were made due again.", operations=late
                )

    async def _end_unhandled(self) -> None:
        """End at its deadline what no build carries on, so that nobody waits for it for ever."""
        by = self._options.unhandled_after
        while True:
            await asyncio.sleep(by.total_seconds() * random.uniform(0.5, 1))  # noqa: S311 - likewise
            try:
                claims = await unhandled.take(
                    self._database,
                    self._handlers,
                    owner=self._options.name,
                    lease=self._options.lease,
                    by=by,
                    undo_grace=self._options.undo_grace,
                )
                for claim in claims:
                    await self._end_one_unhandled(claim)
            except StoreUnavailable:
                log.warning("Operations that nobody carries on could not be ended.")

    async def _end_one_unhandled(self, claim: Claim) -> None:
        try:
            async with self._database.transaction() as tx:
                held = await operations_queue.hold(tx, claim, with_instance=True)
                changes = stages.unhandled(held)
                await operations_queue.save(tx, held, changes, lease=self._options.lease)
        except ClaimLost:
            return
        self._told(claim, changes)

    async def _drain(self) -> None:
        tasks = [one.task for one in self._in_flight.values() if one.task is not None]
        if not tasks:
            return
        log.info("Runner waits for its steps.", runner=self._options.name, steps=len(tasks))
        await asyncio.wait(tasks, timeout=max(0.0, self._drain_within.total_seconds()))
        left = list(self._in_flight.values())
        for one in left:
            if one.task is not None:
                one.task.cancel()
        await asyncio.gather(*(one.task for one in left if one.task is not None), return_exceptions=True)
        try:
            # What was cut off while it changed something is left to its lease: its call may yet be taken in.
            handed = await self._hand_back([one.claim for one in left if not one.changing])
        except StoreUnavailable:
            log.warning("Operations could not be handed back; their leases run out.", operations=len(left))
            return
        log.info(
            "Runner has handed back what it could not end.", runner=self._options.name, operations=handed
        )

    async def _hand_back(self, claims: Sequence[Claim]) -> int:
        """Give up claims whose steps have ended, or were stopped; what has superseded one of them may start."""
        handed = await operations_queue.hand_back(
            self._database, [claim.key for claim in claims], owner=self._options.name
        )
        for claim in claims:
            if claim.key not in handed:
                await operations_queue.make_way(self._database, claim)
        return len(handed)


def _method(provisioner: Provisioner, claim: Claim) -> Callable[[Work], Awaitable[Next]]:
    operation = claim.operation
    if operation.stage in {Stage.CLEARING, Stage.UNDOING}:
        return provisioner.unbind if operation.kind is OperationKind.BIND else provisioner.delete
    match operation.kind:
        case OperationKind.PROVISION:
            return provisioner.create
        case OperationKind.UPDATE:
            return provisioner.update
        case OperationKind.DEPROVISION:
            return provisioner.delete
        case OperationKind.BIND:
            return provisioner.bind
        case OperationKind.UNBIND:
            return provisioner.unbind
        case OperationKind.REFRESH:
            return provisioner.refresh
