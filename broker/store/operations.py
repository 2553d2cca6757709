"""Operations as platforms and requests see them; runners see them through `operations_queue`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, case, select, update

from broker.domain.operations import Operation, OperationKind, OperationStatus, Stage
from broker.store.columns import loaded
from broker.store.database import Database, Transaction
from broker.store.plain_query import PlainQuery
from broker.store.tables import operation_events
from broker.store.tables import operations as table

_RUNNING = table.c.status == OperationStatus.IN_PROGRESS.value


async def add(tx: Transaction, operation: Operation) -> None:
    """
    Accept an operation; runners are woken by the commit.

    Raises:
        Duplicate: One is in progress already on this instance or binding; decide again in a new transaction.
    """
    await tx.execute(
        table.insert(),
        {
            "id": operation.id,
            "kind": operation.kind.value,
            "provisioner": operation.provisioner,
            "handler_version": operation.handler_version
            or tx.database.handlers.newest(operation.provisioner, operation.kind),
            "platform": operation.platform,
            "instance_id": operation.instance_id,
            "binding_id": operation.binding_id,
            "instance_key": operation.instance_key,
            "binding_key": operation.binding_key,
            "service_plan_id": operation.inputs.get("plan_id"),
            "status": operation.status.value,
            "stage": operation.stage.value,
            "phase": operation.phase,
            "description": operation.description,
            "inputs": dict(operation.inputs),
            "state": dict(operation.state),
            "failure": operation.failure,
            "again": operation.again,
            "cancel_requested_at": operation.cancel_requested_at,
            "subscription": operation.subscription,
            "request_identity": operation.request_identity,
            "trace": operation.trace,
            "instance_usable": operation.instance_usable,
            "update_repeatable": operation.update_repeatable,
            "due_at": operation.due_at,
            "deadline_at": operation.deadline_at,
            "fence": operation.fence,
            "owner": operation.owner,
            "claims": operation.claims,
            "errors": operation.errors,
            "last_error": operation.last_error,
            "created_at": operation.created_at,
            "finished_at": operation.finished_at,
        },
    )
    tx.wake()


async def get(tx: Transaction, operation_id: UUID) -> Operation | None:
    """Return an operation, running or finished."""
    return _first(await _rows(tx, table.c.id == operation_id))


async def running_on_instance(tx: Transaction, instance_key: UUID) -> Operation | None:
    """Return the operation in progress on the instance itself; those on its bindings do not count."""
    return _first(
        await _rows(tx, _RUNNING, table.c.instance_key == instance_key, table.c.binding_key.is_(None))
    )


async def running_on_binding(tx: Transaction, binding_key: UUID) -> Operation | None:
    """Return the operation in progress on the binding."""
    return _first(await _rows(tx, _RUNNING, table.c.binding_key == binding_key))


async def running_on_bindings(tx: Transaction, instance_key: UUID) -> list[Operation]:
    """Return the operations in progress on any binding of the instance."""
    rows = await _rows(tx, _RUNNING, table.c.instance_key == instance_key, table.c.binding_key.is_not(None))
    return [operation_of(row) for row in rows]


async def running_binds(tx: Transaction, instance_key: UUID) -> list[Operation]:
    """Return the binds in progress on the instance."""
    running = await running_on_bindings(tx, instance_key)
    return [operation for operation in running if operation.kind is OperationKind.BIND]


async def last_of_instance(tx: Transaction, platform: str, instance_id: str) -> Operation | None:
    """Return the latest operation on the instance itself, also after the instance is gone."""
    return _first(
        await _rows(
            tx,
            table.c.platform == platform,
            table.c.instance_id == instance_id,
            table.c.binding_id.is_(None),
            limit=1,
        )
    )


async def last_of_binding(
    tx: Transaction, platform: str, instance_id: str, binding_id: str
) -> Operation | None:
    """Return the latest operation on the binding, also after the binding is gone."""
    return _first(
        await _rows(
            tx,
            table.c.platform == platform,
            table.c.instance_id == instance_id,
            table.c.binding_id == binding_id,
            limit=1,
        )
    )


async def supersede(tx: Transaction, operation: Operation, description: str) -> Operation:
    """
    End a running operation as failed because another one takes its place.

    Its holder, if any, can write nothing from now on, but may be in the middle of a call: a successor may
    start when that lease is over, so what is returned keeps the `due_at` and `owner` of the moment. A second
    call changes nothing. Lock the instance first.
    """
    row = _first_row(await _rows(tx, table.c.id == operation.id, lock=True))
    current = operation_of(row)
    if current.finished:
        return current
    ended = replace(
        current,
        status=OperationStatus.FAILED,
        description=description,
        fence=current.fence + 1,
        finished_at=tx.now,
    )
    await tx.execute(
        update(table)
        .where(table.c.id == operation.id)
        .values(
            status=ended.status.value,
            description=description,
            fence=ended.fence,
            finished_at=tx.now,
            owner=None,
        )
    )
    await note(tx, operation.id, "superseded", description)
    tx.finished(operation.id)
    return ended


async def locked(tx: Transaction, operation_id: UUID) -> Operation | None:
    """Return an operation and keep others from changing it; lock its instance and binding first."""
    return _first(await _rows(tx, table.c.id == operation_id, lock=True))


async def hurry(tx: Transaction, operation: Operation, *, deadline_at: datetime) -> None:
    """
    Make a running operation that is locked and not being worked on due now, with a clean slate.

    What counted against it (errors, runners that died over it) begins at nothing.
    """
    await tx.execute(
        update(table)
        .where(table.c.id == operation.id, _RUNNING)
        .values(due_at=tx.now, errors=0, claims=0, deadline_at=deadline_at)
    )
    tx.wake()


async def save_request(tx: Transaction, operation: Operation) -> None:
    """
    Write what a request may change on a running operation: `again`, `cancel_requested_at`, `deadline_at`, `due_at`.

    While a runner holds it, `due_at` is the end of the lease and stays; the runner sees the rest at its
    next save. Lock the instance first.
    """
    await tx.execute(
        update(table)
        .where(table.c.id == operation.id, _RUNNING)
        .values(
            again=operation.again,
            cancel_requested_at=operation.cancel_requested_at,
            deadline_at=operation.deadline_at,
            due_at=case((table.c.owner.is_(None), operation.due_at), else_=table.c.due_at),
        )
    )
    tx.wake()


async def note(tx: Transaction, operation_id: UUID, what: str, detail: str, owner: str | None = None) -> None:
    """Write down an event for the operator; never a secret."""
    await tx.execute(
        operation_events.insert(),
        {"operation_id": operation_id, "at": tx.now, "what": what, "detail": detail[:2000], "owner": owner},
    )


class PollAnswer(NamedTuple):
    """What a platform that polls is told."""

    status: OperationStatus
    kind: OperationKind
    description: str
    instance_usable: bool | None
    update_repeatable: bool | None
    finished_at: datetime | None
    due_at: datetime
    held: bool
    """Whether a step is being taken right now; `due_at` is the end of its lease then."""


_POLLED = (
    "SELECT status, kind, description, instance_usable, update_repeatable, finished_at, due_at, "
    "owner IS NOT NULL FROM operations "
)
_POLL = PlainQuery(
    _POLLED + "WHERE id = %s AND platform = %s AND instance_id = %s AND binding_id IS NOT DISTINCT FROM %s"
)
_POLL_INSTANCE = PlainQuery(
    _POLLED + "WHERE platform = %s AND instance_id = %s AND binding_id IS NULL ORDER BY number DESC LIMIT 1"
)
_POLL_BINDING = PlainQuery(
    # What operators order of a binding is no answer to its platform.
    _POLLED + "WHERE platform = %s AND instance_id = %s AND binding_id = %s AND kind != 'refresh' "
    "ORDER BY number DESC LIMIT 1"
)
_STATUS = {status.value: status for status in OperationStatus}
_KIND = {kind.value: kind for kind in OperationKind}


async def poll(
    database: Database,
    platform: str,
    instance_id: str,
    binding_id: str | None = None,
    operation_id: UUID | None = None,
) -> PollAnswer | None:
    """
    Return the state of that operation, or of the latest one, in one SELECT without locks.

    None: there is no such operation on this instance or binding of this platform.

    Raises:
        StoreUnavailable: The database does not answer; nothing is known.
    """
    if operation_id is not None:
        row = await database.fetch_one(_POLL, operation_id, platform, instance_id, binding_id)
    elif binding_id is None:
        row = await database.fetch_one(_POLL_INSTANCE, platform, instance_id)
    else:
        row = await database.fetch_one(_POLL_BINDING, platform, instance_id, binding_id)
    if row is None:
        return None
    status, kind, description, usable, repeatable, finished_at, due_at, held = row
    if isinstance(due_at, str):  # as SQLite holds it
        usable, repeatable = _truth(usable), _truth(repeatable)
        finished_at, due_at = finished_at and loaded(finished_at), loaded(due_at)
    return PollAnswer(
        _STATUS[status], _KIND[kind], description, usable, repeatable, finished_at, due_at, bool(held)
    )


def _truth(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def operation_of(row: Row[Any]) -> Operation:
    """Read an operation's row."""
    return Operation(
        id=row.id,
        kind=_KIND[row.kind],
        platform=row.platform,
        instance_id=row.instance_id,
        instance_key=row.instance_key,
        created_at=row.created_at,
        due_at=row.due_at,
        deadline_at=row.deadline_at,
        provisioner=row.provisioner,
        handler_version=row.handler_version,
        binding_id=row.binding_id,
        binding_key=row.binding_key,
        status=_STATUS[row.status],
        stage=Stage(row.stage),
        phase=row.phase,
        description=row.description,
        inputs=row.inputs,
        state=row.state,
        failure=row.failure,
        again=row.again,
        cancel_requested_at=row.cancel_requested_at,
        subscription=row.subscription,
        request_identity=row.request_identity,
        trace=row.trace,
        instance_usable=row.instance_usable,
        update_repeatable=row.update_repeatable,
        fence=row.fence,
        owner=row.owner,
        claims=row.claims,
        errors=row.errors,
        last_error=row.last_error,
        finished_at=row.finished_at,
    )


async def _rows(
    tx: Transaction, *conditions: Any, limit: int | None = None, lock: bool = False
) -> list[Row[Any]]:
    query = select(table).where(*conditions).order_by(table.c.number.desc()).limit(limit)
    return list(await tx.execute(query.with_for_update() if lock else query))


def _first(rows: list[Row[Any]]) -> Operation | None:
    return operation_of(rows[0]) if rows else None


def _first_row(rows: list[Row[Any]]) -> Row[Any]:
    if not rows:
        raise LookupError("The operation to be superseded is not on record.")
    return rows[0]
