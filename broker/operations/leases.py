"""How long a claim may be trusted without asking the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from broker.provisioners.base import LeaseLost


class Lease:
    """
    The end of a claim, by this machine's steady clock, and a margin earlier.

    Azure cannot check a fence, so the only protection against a late call is not to make it: `check` is called
    right before every external call. The clock goes on while the process is frozen, and counting starts
    before the claim was sent, so this end is never later than the database's, unless that one's clock jumps.
    A step `bounds` itself by the lease: what is under way when nobody has renewed it in time is cut off.
    """

    def __init__(
        self, taken_at: float, length: timedelta, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._length = length
        self._end = 0.0
        self._step: asyncio.Timeout | None = None
        self._step_ends = 0.0
        self.renewed(taken_at)

    def renewed(self, at: float) -> None:
        """Count from *at*, a moment before the renewal was sent."""
        length = self._length.total_seconds()
        # A sixth of the lease (5 of 30 seconds) is left for the call that is made right after the check.
        self._end = max(self._end, at + length - length / 6)
        if self._step is not None and not self._step.expired():
            self._step.reschedule(self._loop_time_of(min(self._end, self._step_ends)))

    @property
    def over(self) -> bool:
        """Whether no call may pass any more."""
        return self._clock() >= self._end

    @asynccontextmanager
    async def bounding(self, limit: timedelta) -> AsyncIterator[None]:
        """
        Let the block last for *limit* and no longer than the lease, which may be renewed meanwhile.

        Raises:
            LeaseLost: The lease was over first. A call that was under way may have been taken in.
            TimeoutError: The limit was over first.
        """
        self._step_ends = self._clock() + limit.total_seconds()
        try:
            async with asyncio.timeout_at(self._loop_time_of(min(self._end, self._step_ends))) as self._step:
                yield
        except TimeoutError:
            if self._step is not None and self._step.expired() and self.over:
                raise LeaseLost from None
            raise
        finally:
            self._step = None

    def _loop_time_of(self, moment: float) -> float:
        return asyncio.get_running_loop().time() + moment - self._clock()

    def check(self) -> None:
        """
        Let a call pass.

        Raises:
            LeaseLost: The lease is over or nearly so.
        """
        if self.over:
            raise LeaseLost
