"""The queue in numbers, for metrics and readiness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select

from broker.domain.operations import OperationStatus
from broker.store import budgets
from broker.store.database import Database
from broker.store.tables import operations as table


@dataclass(frozen=True)
class Overview:
    """
    The operations as of now.

    `operations` counts by kind, plan and status. `oldest` is the age of the oldest one in progress, `lag` how
    long the most overdue one has been due, `calls_left` the budget by subscription and kind of call.
    """

    operations: Mapping[tuple[str, str | None, str], int]
    oldest: timedelta
    lag: timedelta
    calls_left: Mapping[tuple[str, str], float]


async def overview(database: Database) -> Overview:
    """
    Count.

    Raises:
        StoreUnavailable: The database does not answer.
    """
    async with database.transaction(read_only=True) as tx:
        counted = await tx.execute(
            select(
                table.c.kind, table.c.service_plan_id, table.c.status, func.count().label("number")
            ).group_by(table.c.kind, table.c.service_plan_id, table.c.status)
        )
        running = await tx.execute(
            select(
                func.min(table.c.created_at).label("created_at"), func.min(table.c.due_at).label("due_at")
            ).where(table.c.status == OperationStatus.IN_PROGRESS.value)
        )
        first = running.mappings().one()
        created_at, due_at = first["created_at"], first["due_at"]
        nothing = timedelta(0)
        return Overview(
            operations={
                (row["kind"], row["service_plan_id"], row["status"]): row["number"]
                for row in counted.mappings()
            },
            oldest=nothing if created_at is None else tx.now - created_at,
            lag=nothing if due_at is None else max(nothing, tx.now - due_at),
            calls_left=await budgets.left(tx),
        )
