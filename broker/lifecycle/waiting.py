"""Waiting inside a request, bounded, and without holding a database connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from broker.domain.operations import CHECK, Operation
from broker.errors import SealingKeyMissing, StoreUnavailable
from broker.store import operations
from broker.store.database import Database
from broker.store.errors import Duplicate, SealBroken

T = TypeVar("T")

_ENDED_IS_READ_WITHIN = timedelta(seconds=5)
_LOOK_AGAIN = timedelta(milliseconds=250)


class Patience:
    """How much of a request's waiting time is left, by this process's steady clock."""

    def __init__(self, total: timedelta) -> None:
        self._end = time.monotonic() + total.total_seconds()

    @property
    def left(self) -> timedelta:
        """The time that is left, never negative."""
        return timedelta(seconds=max(0.0, self._end - time.monotonic()))

    @property
    def over(self) -> bool:
        """Whether no time is left."""
        return not self.left


async def ended(db: Database, operation_id: UUID, *, patience: Patience) -> Operation | None:
    """
    Wait until an operation has ended and return it; None when *patience* ended first.

    The subscription begins before the first look, so an end is never missed; a lost notification costs
    a quarter of a second. A database that is away for a moment is waited for too.
    """
    with db.wakeups.finished(operation_id) as announced:
        # The first look costs one small query, and is the only one if the end came before the subscription.
        if not await announced.wait(timedelta(0)) and not await announced.wait(patience.left):
            return None
        return await patiently(
            lambda: _read(db, operation_id), patience=Patience(_ENDED_IS_READ_WITHIN), look_again=_LOOK_AGAIN
        )


async def checked(db: Database, operation_id: UUID, *, patience: Patience) -> Operation | None:
    """
    Wait until a pre-flight is over, one way or the other, and return its operation; None when *patience* ended first.

    Raises:
        StoreUnavailable: It was away until *patience* ended.
    """
    with db.wakeups.finished(operation_id) as announced:
        while True:
            operation = await patiently(
                lambda: _read(db, operation_id), patience=patience, look_again=_LOOK_AGAIN
            )
            if operation is None or operation.finished or operation.phase != CHECK:
                return operation
            if patience.over:
                return None
            await announced.told(patience.left)


async def _read(db: Database, operation_id: UUID) -> Operation | None:
    async with db.transaction(read_only=True) as tx:
        return await operations.get(tx, operation_id)


async def patiently(ask: Callable[[], Awaitable[T]], *, patience: Patience, look_again: timedelta) -> T:
    """
    Ask the store, and ask again while it is away, until *patience* ends.

    Raises:
        StoreUnavailable: It was away all the time.
        SealingKeyMissing: What was asked for is sealed with a key that the broker does not have.
    """
    while True:
        try:
            return await ask()
        except SealBroken as broken:
            raise SealingKeyMissing(broken.key) from broken
        except StoreUnavailable:
            if patience.over:
                raise
            await asyncio.sleep(min(patience.left, look_again).total_seconds())


async def decided(decide: Callable[[], Awaitable[T]], *, patience: Patience, look_again: timedelta) -> T:
    """
    Run one deciding transaction; when a concurrent request was faster, decide once more on what it left.

    While the store is away it is tried again: a 5xx makes platforms delete what they asked for. That is safe
    also when a commit got through unseen, since the same request then joins what it has started itself.

    Raises:
        StoreUnavailable: It was away until *patience* ended.
    """

    async def decide_on_what_is() -> T:
        for _ in range(3):
            try:
                return await decide()
            except Duplicate:
                # The winner has committed by now, or has rolled back: either way the next look is a fresh one.
                continue
        return await decide()

    return await patiently(decide_on_what_is, patience=patience, look_again=look_again)
