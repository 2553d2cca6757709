"""
Operations that nobody carries on: due for long, of a handler that the asking build does not know.

A later build accepted them and has gone since, or was never started where runners are. A build cannot know what others
know; it sees that none has claimed them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from broker.domain.handlers import Handlers
from broker.domain.operations import Stage
from broker.store import operations_queue
from broker.store.database import Database
from broker.store.operations_queue import RUNNING, Claim, knows
from broker.store.tables import operations as table


@dataclass(frozen=True)
class Unhandled:
    """How many operations wait for one version of a handler, and since when the first of them has been due."""

    provisioner: str
    kind: str
    handler_version: int
    number: int
    due_at: datetime


async def overdue(database: Database, handlers: Handlers, *, by: timedelta) -> Sequence[Unhandled]:
    """
    Count what has been due for longer than *by* and is not in *handlers*.

    Raises:
        StoreUnavailable: The database does not answer.
    """
    which = (table.c.provisioner, table.c.kind, table.c.handler_version)
    async with database.transaction(read_only=True) as tx:
        counted = await tx.execute(
            select(*which, func.count().label("number"), func.min(table.c.due_at).label("due_at"))
            .where(_left_alone(handlers, tx.now - by))
            .group_by(*which)
            .order_by(*which)
        )
        return [Unhandled(**row) for row in counted.mappings()]


async def take(
    database: Database,
    handlers: Handlers,
    *,
    owner: str,
    lease: timedelta,
    by: timedelta,
    undo_grace: timedelta,
    at_most: int = 100,
) -> list[Claim]:
    """
    Claim those that are past their deadline as well, by the same time: nobody who knows them has ended them.

    They are claimed to be ended, not to be worked on.

    Raises:
        StoreUnavailable: The database does not answer. Nothing is known to be claimed.
    """
    async with database.transaction() as tx:
        before = tx.now - by
        undoing = table.c.stage == Stage.UNDOING.value
        too_late = or_(
            and_(~undoing, table.c.deadline_at <= before),
            and_(undoing, table.c.deadline_at <= before - undo_grace),
        )
        rows = list(
            await tx.execute(
                select(table)
                .where(_left_alone(handlers, before), too_late)
                .limit(at_most)
                .with_for_update(skip_locked=True)
            )
        )
        await tx.execute(
            update(table)
            .where(table.c.number.in_([row.number for row in rows]))
            .values(owner=owner, fence=table.c.fence + 1, claims=table.c.claims + 1, due_at=tx.now + lease)
        )
        return [claim for _, claim in await operations_queue.loaded(tx, rows, owner)]


def _left_alone(handlers: Handlers, before: datetime) -> ColumnElement[bool]:
    return and_(RUNNING, table.c.due_at <= before, ~knows(handlers))
