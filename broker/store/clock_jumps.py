"""Times that no clock of today has written: the database's clock was set back, and what was due soon seems far away."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, or_, select, update

from broker.domain.operations import OperationStatus
from broker.store.database import Database
from broker.store.tables import arm_budgets, operations

_RUNNING = operations.c.status == OperationStatus.IN_PROGRESS.value


async def pull_in(database: Database, *, longest: timedelta) -> int:
    """
    Let no operation wait, nor any budget stay blocked, for longer than *longest* from now; return how many did.

    Nothing is leased for so long, and little is put off for so long, so what seems to be was written before the clock
    was set back; to look too early is harmless. No lease is made shorter than any lease is: whoever holds one renews it
    long before. A clock that jumps forward needs nothing: what becomes due early is looked at early. Any number of
    processes may do this at once.

    Raises:
        StoreUnavailable: The database does not answer.
    """
    async with database.transaction(read_only=True) as tx:
        latest = await tx.execute(select(func.max(operations.c.due_at)).where(_RUNNING))
        budgets = await tx.execute(
            select(func.max(arm_budgets.c.updated_at), func.max(arm_budgets.c.blocked_until))
        )
        times = [latest.scalar(), *budgets.one()]
        if all(time is None or time <= tx.now + longest for time in times):
            return 0
    async with database.transaction() as tx:
        limit = tx.now + longest
        late = select(operations.c.number).where(_RUNNING, operations.c.due_at > limit)
        numbers = list((await tx.execute(late.with_for_update(skip_locked=True))).scalars())
        await tx.execute(update(operations).where(operations.c.number.in_(numbers)).values(due_at=limit))
        ahead = or_(arm_budgets.c.updated_at > limit, arm_budgets.c.blocked_until > limit)
        await tx.execute(update(arm_budgets).where(ahead).values(updated_at=tx.now, blocked_until=None))
    return len(numbers)
