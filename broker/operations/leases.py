"""How long a claim may be trusted without asking the database."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from broker.provisioners.base import LeaseLost


class Lease:
    """
    The end of a claim, by this machine's steady clock, and a margin earlier.

    Azure cannot check a fence, so the only protection against a late call is not to make it: `check` is called
    right before every external call. The clock goes on while the process is frozen, and counting starts
    before the claim was sent, so this end is never later than the database's.
    """

    def __init__(
        self, taken_at: float, length: timedelta, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._length = length
        self._end = 0.0
        self.renewed(taken_at)

    def renewed(self, at: float) -> None:
        """Count from *at*, a moment before the renewal was sent."""
        length = self._length.total_seconds()
        # A sixth of the lease (5 of 30 seconds) is left for the call that is made right after the check.
        self._end = max(self._end, at + length - length / 6)

    def check(self) -> None:
        """
        Let a call pass.

        Raises:
            LeaseLost: The lease is over or nearly so.
        """
        if self._clock() >= self._end:
            raise LeaseLost
