"""Whether a claim still holds, by the database's own word: asked right before something outside is changed."""

from __future__ import annotations

from datetime import timedelta

from broker.domain.operations import Operation
from broker.store.columns import loaded
from broker.store.database import Database
from broker.store.plain_query import PlainQuery

_LEFT = PlainQuery(
    "SELECT due_at, clock_timestamp() FROM operations "
    "WHERE id = %s AND fence = %s AND owner = %s AND status = 'in progress'"
)


async def time_left(database: Database, held: Operation) -> timedelta | None:
    """
    Return how long the lease of *held* lasts yet, in one round trip and without a lock; None when it is another's.

    It may be negative: the lease is over by the database's clock, which may have been set forward, and nobody has
    taken the operation over yet.

    Raises:
        StoreUnavailable: The database does not answer; nothing is known.
    """
    row = await database.fetch_one(_LEFT, held.id, held.fence, held.owner)
    if row is None:
        return None
    due_at, now = (loaded(time) if isinstance(time, str) else time for time in row)
    left: timedelta = due_at - now
    return left
