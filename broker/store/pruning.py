"""Forgetting what is finished and old."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, select

from broker.store import history
from broker.store.database import Database
from broker.store.tables import audit, operation_events, operations


async def prune(database: Database, *, keep: timedelta, keep_audit: timedelta) -> int:
    """
    Delete finished operations with their events, and history, older than *keep*, and audit rows than *keep_audit*.

    The latest operation of an instance that still lives may go too: a poll for it is months late. Returns
    the number of operations deleted; running any number of times at once is harmless.
    """
    async with database.transaction() as tx:
        before = tx.now - keep
        old = select(operations.c.id).where(operations.c.finished_at < before)
        await tx.execute(delete(operation_events).where(operation_events.c.operation_id.in_(old)))
        deleted = await tx.execute(delete(operations).where(operations.c.finished_at < before))
        await history.forget(tx, before=before)
        await tx.execute(delete(audit).where(audit.c.at < tx.now - keep_audit))
        return deleted.rowcount
