"""The queue of the operation engine: claim, hold, save, renew, hand back. Whoever does the work never sees SQL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, Row, and_, bindparam, case, func, literal, select, tuple_, update

from broker.domain import descriptions
from broker.domain.bindings import ServiceBinding
from broker.domain.handlers import Handlers
from broker.domain.instances import InstanceState, ServiceInstance
from broker.domain.operations import CHECK, ExternalResource, Operation, OperationKind, OperationStatus, Stage
from broker.store import bindings, instances, operations, resources
from broker.store.budgets import Budgets
from broker.store.call_meter import Account, CallCost, CallMeter
from broker.store.columns import UUID_KEY
from broker.store.database import Database, Transaction
from broker.store.errors import ClaimLost, SealBroken
from broker.store.tables import operations as table
from broker.store.tables import service_instances

log = structlog.get_logger(__name__)

FIRST_COST = CallCost(reads=2, writes=1)
"""What a step may cost that nobody has spoken about yet."""
RUNNING = table.c.status == OperationStatus.IN_PROGRESS.value
_DELETIONS = frozenset({OperationKind.DEPROVISION, OperationKind.UNBIND})
_ONLY_LOOKS = case((table.c.cost_writes + table.c.cost_deletes > 0, 0), else_=1)
_PUT_OFF = (
    update(table).where(table.c.number == bindparam("whose")).values(due_at=bindparam("then"), owner=None)
)
_DOUBLED_AT_MOST = 4
_TRY_TO_OPEN_AGAIN = timedelta(minutes=1)


@dataclass(frozen=True)
class Claim:
    """
    An operation that a runner holds, with all that its step may know, as of `now` (the database's time).

    `step` is what is being done, in words for people, and `step_since` when that began.
    """

    operation: Operation
    instance: ServiceInstance
    now: datetime
    binding: ServiceBinding | None = None
    parent: ServiceInstance | None = None
    predecessor: ServiceBinding | None = None
    resources: tuple[ExternalResource, ...] = ()
    step: str = ""
    step_since: datetime | None = None
    paid: CallCost = field(default_factory=CallCost)
    """What was debited from the shared budget for the step that comes now."""

    @property
    def unopened(self) -> bool:
        """Whether it was handed out without its sealed values, which is enough for a deletion and its like."""
        of_binding = self.binding is not None and self.binding.unopened is not None
        return of_binding or self.instance.unopened is not None

    @property
    def key(self) -> tuple[UUID, int]:
        """What a renewal names: the operation and the fence."""
        return self.operation.id, self.operation.fence


@dataclass(frozen=True)
class Claimed:
    """Claims, and when the next operation is due (None: nothing waits, or more is due already)."""

    claims: Sequence[Claim]
    next_due_in: timedelta | None
    full: bool
    """Whether there may be more that is due now."""
    late: Sequence[timedelta] = ()
    """How long each claimed operation had been due."""


@dataclass(frozen=True)
class Changes:
    """
    What a step changes, written in one transaction.

    `operation` is complete but for timer, owner and fence, which follow from `delay`: zero keeps the claim,
    anything else (with `release`, zero too) gives it back until then. An instance or binding that is None
    stays as it is; one with a reason in `removed` goes to the history.
    """

    operation: Operation
    delay: timedelta = timedelta(0)
    release: bool = False
    instance: ServiceInstance | None = None
    binding: ServiceBinding | None = None
    removed: str | None = None
    resources: Sequence[ExternalResource] = ()
    gone: Sequence[str] = ()
    all_gone: bool = False
    unmade: bool = False
    """The instance is forgotten without a trace in the history: nothing was made for it."""
    step: str = ""
    step_since: datetime | None = None
    cost: CallCost = FIRST_COST
    events: Sequence[tuple[str, str]] = field(default_factory=tuple)


def knows(handlers: Handlers) -> ColumnElement[bool]:
    """Return the condition that *handlers* can carry an operation on."""
    return tuple_(table.c.provisioner, table.c.kind, table.c.handler_version).in_(handlers.known())


async def claim(
    database: Database,
    *,
    owner: str,
    lease: timedelta,
    at_most: int,
    handlers: Handlers,
    meter: CallMeter | None = None,
) -> Claimed:
    """
    Take the operations that have been due longest and mark them as this runner's.

    Those that will change something in Azure come before those that only look how far it is. Two runners never
    hold one operation. The database's clock decides what is due and when a lease is over.
    A claim lasts for *lease* unless it is renewed; after that another runner may take the operation over.
    One whose holders died without a word gets twice the lease each time, so that it kills fewer runners.
    What the shared budget cannot pay for now is put off, not taken.

    Args:
        database: Where the queue is.
        owner: Name shown to operators; one per process.
        lease: How long this runner may be silent.
        at_most: How many operations to take.
        handlers: What this build can carry on; the rest is left to others.
        meter: What this process knows of its calls; without one it has made none.

    Raises:
        StoreUnavailable: The database did not answer. Nothing is known to be claimed.
    """
    meter = meter or CallMeter()
    async with database.transaction() as tx:
        workable = knows(handlers)
        rows = list(
            await tx.execute(
                select(table)
                .where(RUNNING, table.c.due_at <= tx.now, workable)
                .order_by(_ONLY_LOOKS, table.c.due_at)
                .limit(at_most)
                .with_for_update(skip_locked=True)
            )
        )
        paid = await _paid(tx, rows, meter)
        taken = [row for row in rows if row.number in paid]
        by_claims: dict[int, list[int]] = {}
        for row in taken:
            by_claims.setdefault(min(row.claims, _DOUBLED_AT_MOST), []).append(row.number)
        for claims, numbers in by_claims.items():
            await tx.execute(
                update(table)
                .where(table.c.number.in_(numbers))
                .values(
                    owner=owner,
                    fence=table.c.fence + 1,
                    claims=table.c.claims + 1,
                    due_at=tx.now + lease * 2**claims,
                )
            )
        for row in taken:
            if row.owner is not None:
                await operations.note(tx, row.id, "taken over", f"The lease of {row.owner} is over.", owner)
        next_due_in = None
        if len(rows) < at_most:
            soonest = await tx.execute(
                select(func.min(table.c.due_at)).where(RUNNING, table.c.due_at > tx.now, workable)
            )
            due_at = soonest.scalar_one()
            next_due_in = None if due_at is None else due_at - tx.now
        if meter.wants_a_count:
            meter.counted(await _active(tx))
        claims_made = [replace(claim, paid=paid[number]) for number, claim in await loaded(tx, taken, owner)]
        late = [tx.now - row.due_at for row in taken]
        return Claimed(claims_made, next_due_in, full=len(rows) == at_most, late=late)


async def hold(tx: Transaction, held: Claim, *, with_instance: bool) -> Claim:
    """
    Lock what a save will change and return it as it is now; requests may have changed some of it.

    *with_instance* locks the instance (and the parent) too, which every end of an operation needs.

    Raises:
        ClaimLost: The claim is another's by now; write nothing.
    """
    operation, instance, binding, parent = held.operation, held.instance, held.binding, held.parent
    tx.opens_all = not (held.unopened or operation.kind in _DELETIONS)
    # Everybody locks in this order: parent, instance, binding, operation.
    if with_instance:
        if instance.parent_key is not None and operation.stage is Stage.WAITING:
            parent = await instances.locked_by_key(tx, instance.parent_key)
        current = await instances.locked_by_key(tx, instance.key)
        if current is None:
            raise ClaimLost
        instance = current
    if operation.binding_key is not None:
        bound = await bindings.locked_by_key(tx, operation.binding_key)
        if bound is None:
            raise ClaimLost
        binding = bound
    found = await tx.execute(
        select(table.c.again, table.c.cancel_requested_at, table.c.deadline_at)
        .where(
            table.c.id == operation.id,
            table.c.fence == operation.fence,
            table.c.owner == operation.owner,
            RUNNING,
        )
        .with_for_update()
    )
    row = found.first()
    if row is None:
        raise ClaimLost
    operation = replace(
        operation, again=row.again, cancel_requested_at=row.cancel_requested_at, deadline_at=row.deadline_at
    )
    return replace(held, operation=operation, instance=instance, binding=binding, parent=parent, now=tx.now)


async def save(
    tx: Transaction,
    held: Claim,
    changes: Changes,
    *,
    lease: timedelta,
    meter: CallMeter | None = None,
    halfway: Callable[[], None] = lambda: None,
) -> Claim | None:
    """
    Write what a step has changed and return the claim to go on with, or None when it was given back.

    *held* comes from `hold` in the same transaction. The fence rises with each save: a save that is repeated
    because its outcome was unknown finds its claim lost instead of counting twice.
    """
    after = changes.operation
    # What was handed out without its values is claimed again for the next step: it may not be one that can do without.
    goes_on = (
        not after.finished and not changes.release and not held.unopened and changes.delay <= timedelta(0)
    )
    due_at = tx.now + (lease if goes_on else max(changes.delay, timedelta(0)))
    if goes_on:
        meter = meter or CallMeter()
        budgets = await Budgets.locked(tx, _spenders([(after.subscription, changes.cost)]), meter)
        wait = budgets.debit(_account(after.subscription, meter), changes.cost)
        await budgets.store()
        if wait > timedelta(0):
            goes_on, due_at = False, tx.now + wait
    after = replace(
        after,
        owner=after.owner if goes_on else None,
        fence=after.fence + 1,
        claims=0,
        due_at=due_at,
        finished_at=tx.now if after.finished else None,
    )
    await _write(tx, after, changes)
    halfway()
    await _write_rest(tx, held, changes)
    if held.operation.phase == CHECK and after.phase != CHECK:
        tx.finished(after.id)  # The request that waits for the check's end looks what came of it.
    if after.finished:
        tx.finished(after.id)
        await nudge(
            tx, after.instance_key, held.instance.parent_key, of_binding=after.binding_key is not None
        )
    elif not goes_on and due_at <= tx.now:
        tx.wake()
    if not goes_on:
        return None
    living = held.resources
    if changes.resources or changes.gone or changes.all_gone:
        living = tuple(await _resources_of(tx, after))
    return replace(
        held,
        operation=after,
        instance=changes.instance or held.instance,
        binding=changes.binding or held.binding,
        resources=living,
        step=changes.step,
        step_since=changes.step_since,
        paid=changes.cost,
        now=tx.now,
    )


async def renew(
    database: Database, claims: Collection[tuple[UUID, int]], *, owner: str, lease: timedelta
) -> set[tuple[UUID, int]]:
    """
    Extend the leases of the steps in flight in one statement and return those that were extended.

    One that is being saved at the moment is passed over: its save renews it, or ends it.
    """
    if not claims:
        return set()
    async with database.transaction() as tx:
        mine = (
            select(table.c.number)
            .where(tuple_(table.c.id, table.c.fence).in_(list(claims)), table.c.owner == owner, RUNNING)
            .with_for_update(skip_locked=True)
        )
        numbers = list((await tx.execute(mine)).scalars())
        renewed = await tx.execute(
            update(table)
            .where(table.c.number.in_(numbers))
            .values(due_at=tx.now + lease)
            .returning(table.c.id, table.c.fence)
        )
        return {(row.id, row.fence) for row in renewed}


async def hand_back(
    database: Database, claims: Collection[tuple[UUID, int]], *, owner: str
) -> set[tuple[UUID, int]]:
    """Give up claims whose steps were stopped, due at once for any runner; return those that were still held."""
    if not claims:
        return set()
    async with database.transaction() as tx:
        returned = await tx.execute(
            update(table)
            .where(tuple_(table.c.id, table.c.fence).in_(list(claims)), table.c.owner == owner, RUNNING)
            .values(owner=None, due_at=tx.now, fence=table.c.fence + 1, claims=0)
            .returning(table.c.id, table.c.fence)
        )
        tx.wake()
        return {(row.id, row.fence - 1) for row in returned}


async def recover(database: Database) -> int:
    """
    Give back at once what a former process held, where it is certain that it is dead.

    That is so on SQLite alone, whose file one process uses at a time; elsewhere leases have to run out. Only
    the first call on an opened database does anything. Returns how many there were.
    """
    if database.kind != "sqlite" or database.recovered:
        return 0
    async with database.transaction() as tx:
        returned = await tx.execute(
            update(table)
            .where(RUNNING, table.c.owner.is_not(None))
            .values(owner=None, due_at=tx.now, fence=table.c.fence + 1)
        )
    database.recovered = True
    return returned.rowcount


async def make_way(database: Database, lost: Claim) -> bool:
    """
    Let the successor of a superseded claim start at once, since the step that it waits for has ended.

    Nothing happens unless the claim was lost to `supersede` and to nobody before: were another runner's step in
    between, the fence would be higher by more than one, and the successor must await that runner's lease.
    """
    operation = lost.operation
    superseded = select(table.c.number).where(
        table.c.id == operation.id,
        table.c.fence == operation.fence + 1,
        table.c.status == OperationStatus.FAILED.value,
    )
    async with database.transaction() as tx:
        brought_forward = await tx.execute(
            update(table)
            .where(
                RUNNING,
                table.c.instance_key == operation.instance_key,
                table.c.binding_key == operation.binding_key
                if operation.binding_key is not None
                else table.c.binding_key.is_(None),
                table.c.fence == 0,
                table.c.due_at > tx.now,
                superseded.exists(),
            )
            .values(due_at=tx.now)
        )
        if brought_forward.rowcount:
            tx.wake()
        return bool(brought_forward.rowcount)


async def nudge(tx: Transaction, instance_key: UUID, parent_key: UUID | None, *, of_binding: bool) -> None:
    """
    Make due what waits for the end of an operation on an instance, or on one of its bindings, or for their end.

    That is the instance's own operation, its children's, or its parent's.
    """
    if of_binding:
        whose: Any = and_(table.c.instance_key == instance_key, table.c.binding_key.is_(None))
    else:
        relatives: Any = select(service_instances.c.key).where(service_instances.c.parent_key == instance_key)
        if parent_key is not None:
            # Not by OR, which would read all that is in progress.
            relatives = relatives.union_all(select(literal(parent_key, UUID_KEY)))
        whose = and_(table.c.instance_key.in_(relatives), table.c.binding_key.is_(None))
    waits = (RUNNING, table.c.stage == Stage.WAITING.value, whose)
    # One that is being put off at this moment has looked already, and too early: the update alone would not see it.
    await tx.execute(select(table.c.number).where(*waits).order_by(table.c.number).with_for_update())
    nudged = await tx.execute(update(table).where(*waits, table.c.owner.is_(None)).values(due_at=tx.now))
    if nudged.rowcount:
        tx.wake()


async def _paid(tx: Transaction, rows: Sequence[Row[Any]], meter: CallMeter) -> dict[int, CallCost]:
    """Return what was debited for each operation that is taken; the others are put off."""
    costs = {row.number: CallCost(row.cost_reads, row.cost_writes, row.cost_deletes) for row in rows}
    spenders = _spenders((row.subscription, costs[row.number]) for row in rows)
    budgets = await Budgets.locked(tx, spenders, meter)
    paid, put_off = {}, []
    for row in rows:
        left = row.deadline_at - tx.now
        if left <= timedelta(0) and row.stage != Stage.UNDOING.value:
            # It is only taken to be ended or undone, which is noted without a call.
            paid[row.number] = CallCost()
            continue
        wait = budgets.debit(_account(row.subscription, meter), costs[row.number])
        if wait > timedelta(0):
            # However little Azure lets through, the deadline is noticed when it comes.
            for_now = min(wait, left) if left > timedelta(0) else wait
            put_off.append({"whose": row.number, "then": tx.now + for_now})
        else:
            paid[row.number] = costs[row.number]
    if put_off:
        await tx.execute(_PUT_OFF, put_off)
    await budgets.store()
    return paid


async def _active(tx: Transaction) -> dict[str, int]:
    counted = await tx.execute(
        select(table.c.subscription, func.count().label("number"))
        .where(RUNNING, table.c.subscription.is_not(None))
        .group_by(table.c.subscription)
    )
    return {row.subscription: row.number for row in counted}


def _account(subscription: str | None, meter: CallMeter) -> Account | None:
    return None if subscription is None else meter.account(subscription)


def _spenders(costs: Iterable[tuple[str | None, CallCost]]) -> set[str]:
    return {subscription for subscription, cost in costs if subscription is not None and not cost.nothing}


async def loaded(tx: Transaction, rows: Sequence[Row[Any]], owner: str) -> list[tuple[int, Claim]]:
    """Load what the operations work on; one whose values do not open is put off and holds up no other."""
    if not rows:
        return []
    try:
        return await _opened(tx, rows, owner)
    except SealBroken as fault:
        if len(rows) > 1:
            return [one for row in rows for one in await loaded(tx, [row], owner)]
        if _goes_by_the_record(rows[0], tx.now):
            tx.opens_all = False
            try:
                return await _opened(tx, rows, owner)
            finally:
                tx.opens_all = True
        await _unopened(tx, rows[0], fault)
        return []


def _goes_by_the_record(row: Row[Any], now: datetime) -> bool:
    """Whether the next step needs nothing that is sealed: it deletes, cleans up, or notes that time is over."""
    undoing = row.stage == Stage.UNDOING.value and not row.again
    return undoing or row.kind in _DELETIONS or row.deadline_at <= now


async def _opened(tx: Transaction, rows: Sequence[Row[Any]], owner: str) -> list[tuple[int, Claim]]:
    homes = await instances.by_keys(tx, {row.instance_key for row in rows})
    parents = await instances.by_keys(
        tx, {home.parent_key for home in homes.values() if home.parent_key is not None}
    )
    bound = await bindings.by_keys(tx, {row.binding_key for row in rows if row.binding_key is not None})
    recorded: dict[UUID, list[ExternalResource]] = {}
    for resource in await resources.of_instances(tx, sorted(homes)):
        recorded.setdefault(resource.instance_key, []).append(resource)
    claims = []
    for row in rows:
        instance = homes.get(row.instance_key)
        binding = bound.get(row.binding_key) if row.binding_key else None
        if instance is None or (row.binding_key and binding is None):
            await _abandoned(tx, row)
            continue
        operation = replace(
            operations.operation_of(row), owner=owner, fence=row.fence + 1, claims=row.claims + 1
        )
        predecessor = None
        if binding is not None and binding.predecessor_id is not None:
            predecessor = await bindings.get(tx, instance.key, binding.predecessor_id)
        claim = Claim(
            operation=operation,
            instance=instance,
            now=tx.now,
            binding=binding,
            parent=parents.get(instance.parent_key) if instance.parent_key else None,
            predecessor=predecessor,
            resources=tuple(
                resource
                for resource in recorded.get(instance.key, [])
                if row.binding_key is None or resource.binding_key == row.binding_key
            ),
            step=row.step,
            step_since=row.step_since,
        )
        claims.append((row.number, claim))
    return claims


async def _resources_of(tx: Transaction, operation: Operation) -> list[ExternalResource]:
    if operation.binding_key is not None:
        return await resources.of_binding(tx, operation.binding_key)
    return await resources.of_instance(tx, operation.instance_key)


async def _unopened(tx: Transaction, row: Row[Any], fault: SealBroken) -> None:
    log.error(
        "An operation is put off: what it works on cannot be opened.",
        operation=str(row.id),
        instance=row.instance_id,
        binding=row.binding_id,
        reason=str(fault),
    )
    await tx.execute(
        update(table)
        .where(table.c.number == row.number)
        .values(
            description=(
                "Its stored values cannot be opened with the keys at hand; it goes on once an operator has put "
                f"the right key back. The log tells more under operation {row.id}."
            ),
            last_error=str(fault),
            owner=None,
            claims=row.claims,
            # Its deadline is noticed when it comes: nothing has to be opened for that.
            due_at=min(tx.now + _TRY_TO_OPEN_AGAIN, max(row.deadline_at, tx.now)),
        )
    )


async def _abandoned(tx: Transaction, row: Row[Any]) -> None:
    await tx.execute(
        update(table)
        .where(table.c.number == row.number)
        .values(
            status=OperationStatus.FAILED.value,
            description=(
                f"An operator has removed the service instance '{row.instance_id}', or its binding, that this was "
                f"about. Order again if it is still wanted. (operation {row.id})"
            ),
            finished_at=tx.now,
            owner=None,
        )
    )
    tx.finished(row.id)


async def _write(tx: Transaction, after: Operation, changes: Changes) -> None:
    written = await tx.execute(
        update(table)
        .where(table.c.id == after.id, table.c.fence == after.fence - 1, RUNNING)
        .values(
            status=after.status.value,
            stage=after.stage.value,
            phase=after.phase,
            description=after.description,
            step=changes.step,
            step_since=changes.step_since,
            state=dict(after.state),
            failure=after.failure,
            again=after.again,
            cancel_requested_at=after.cancel_requested_at,
            subscription=after.subscription,
            instance_usable=after.instance_usable,
            update_repeatable=after.update_repeatable,
            due_at=after.due_at,
            deadline_at=after.deadline_at,
            fence=after.fence,
            owner=after.owner,
            claims=after.claims,
            errors=after.errors,
            last_error=after.last_error,
            finished_at=after.finished_at,
            cost_reads=changes.cost.reads,
            cost_writes=changes.cost.writes,
            cost_deletes=changes.cost.deletes,
        )
    )
    if written.rowcount != 1:
        raise ClaimLost


async def _end_children(tx: Transaction, unmade: ServiceInstance, why: str) -> None:
    """
    End what was ordered on an instance while it was asked whether that can be made: it waits, and has nothing yet.

    It stays until it is deleted, without its parent: the platform was told that it is accepted.
    """
    tx.opens_all = False
    for found in await instances.children(tx, unmade.key):
        child = await instances.locked_by_key(tx, found.key)
        if child is None:
            continue
        running = await operations.running_on_instance(tx, child.key)
        if running is not None and running.kind is OperationKind.PROVISION:
            said = (
                f"The parent '{unmade.alias or unmade.instance_id}' cannot be made: {why} Delete this, too."
            )
            await operations.supersede(tx, running, descriptions.failure(said, running.id))
            child = replace(child, state=InstanceState.CREATE_FAILED)
        await instances.save(tx, replace(child, parent_key=None))


async def _write_rest(tx: Transaction, held: Claim, changes: Changes) -> None:
    operation = changes.operation
    await resources.note(tx, changes.resources)
    if changes.gone:
        await resources.gone(tx, operation.instance_key, changes.gone)
    if changes.all_gone:
        await resources.all_gone(tx, operation.instance_key, operation.binding_key)
    if changes.unmade:
        await _end_children(tx, held.instance, operation.description)
        await instances.forget(tx, held.instance)
    elif changes.removed is not None and held.binding is not None:
        await bindings.remove(tx, changes.binding or held.binding, held.instance, reason=changes.removed)
    elif changes.removed is not None:
        await instances.remove(tx, changes.instance or held.instance, reason=changes.removed)
    else:
        if changes.instance is not None:
            await instances.save(tx, changes.instance)
        if changes.binding is not None:
            await bindings.save(tx, changes.binding)
    for what, detail in changes.events:
        await operations.note(tx, operation.id, what, detail, held.operation.owner)
