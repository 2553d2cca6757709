"""Time that can run faster than the wall's, stand still, or jump."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Clock:
    """
    Simulated time: how long Azure's work takes runs *speed* times as fast as the wall clock.

    Speed 0 stands still: whatever is under way stays so until the speed or the time is changed.
    Time stamps in replies are the wall clock's, so that they can be compared with other logs.
    """

    def __init__(self, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._speed = speed
        self._since = monotonic()
        self._before = 0.0
        self._changed = asyncio.Event()

    @property
    def speed(self) -> float:
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        if not (math.isfinite(speed) and speed >= 0):
            raise ValueError("the speed must be a number from 0 upward")
        self._rebase()
        self._speed = speed
        self._wake()

    @property
    def elapsed(self) -> timedelta:
        """Simulated time since the start."""
        return timedelta(seconds=self._before + (self._monotonic() - self._since) * self._speed)

    @staticmethod
    def now() -> datetime:
        """The wall clock's time, for time stamps."""
        return datetime.now(UTC)

    def advance(self, by: timedelta) -> None:
        """
        Jump forward by simulated time; whatever became due goes on at once.

        Raises:
            ValueError: It would be a jump back.
        """
        if by < timedelta(0):
            raise ValueError("time cannot go back")
        self._before += by.total_seconds()
        self._wake()

    async def sleep(self, duration: timedelta) -> None:
        """Wait for simulated time; follows changes of the speed while it waits."""
        due = self.elapsed + duration
        while (left := (due - self.elapsed).total_seconds()) > 0:
            changed = self._changed
            try:
                async with asyncio.timeout(left / self._speed if self._speed else None):
                    await changed.wait()
            except TimeoutError:
                continue

    def wall_seconds(self, duration: timedelta) -> int:
        """For a Retry-After header: whole seconds of the wall clock, at least 1 (SDKs take 0 for absent)."""
        return max(1, math.ceil(duration.total_seconds() / self._speed)) if self._speed else 1

    def _rebase(self) -> None:
        now = self._monotonic()
        self._before += (now - self._since) * self._speed
        self._since = now

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
