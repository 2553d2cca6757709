"""ARM's token buckets: per principal and kind of call, refilled in simulated time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from broker.simulator.clock import Clock

Kind = Literal["reads", "writes", "deletes"]

# All principals of a subscription together.
GLOBAL_FACTOR = 15


@dataclass(frozen=True, slots=True)
class Limit:
    """
    How many calls at once, and how many more each second, for one principal.

    *together* is how many all principals may make at once; 15 times *size* unless it is given.
    """

    size: float
    per_second: float
    together: float | None = None

    @property
    def of_all(self) -> Limit:
        """The limit for all principals together."""
        size = self.size * GLOBAL_FACTOR if self.together is None else self.together
        return Limit(size, self.per_second * GLOBAL_FACTOR)


# Microsoft's documentation of Resource Manager's throttling, subscription scope, one region.
LIMITS: dict[Kind, Limit] = {
    "reads": Limit(250, 25),
    "writes": Limit(200, 10),
    "deletes": Limit(200, 10),
}


def kind_of(method: str) -> Kind:
    """POST counts as a write, listKeys too."""
    if method in {"GET", "HEAD"}:
        return "reads"
    return "deletes" if method == "DELETE" else "writes"


class _Bucket:
    def __init__(self, limit: Limit, now: timedelta) -> None:
        self.limit = limit
        self.left = limit.size
        self.at = now

    def refill(self, now: timedelta) -> None:
        gained = (now - self.at).total_seconds() * self.limit.per_second
        self.left = min(self.limit.size, self.left + gained)
        self.at = now

    @property
    def wait(self) -> timedelta:
        return timedelta(seconds=max(0.0, 1 - self.left) / self.limit.per_second)


@dataclass(frozen=True, slots=True)
class Taken:
    """The outcome of one call: what is left, and how long to wait when it was refused."""

    kind: Kind
    allowed: bool
    left: int
    left_global: int
    wait: timedelta


class RateLimits:
    """The buckets of every principal; a call takes one token from its own and one from the global bucket."""

    def __init__(self, clock: Clock, limits: dict[Kind, Limit] | None = None) -> None:
        self._clock = clock
        self._limits = {**LIMITS, **(limits or {})}
        self._buckets: dict[tuple[str, Kind], _Bucket] = {}

    def set_limit(self, kind: Kind, limit: Limit) -> None:
        """Put other limits in force; every principal starts with full buckets of this kind."""
        self._limits[kind] = limit
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if key[1] != kind}

    def take(self, principal: str, method: str) -> Taken:
        """Take a token for one call, from both buckets or from none."""
        kind = kind_of(method)
        limit = self._limits[kind]
        own = self._bucket(principal, kind, limit)
        everyone = self._bucket("*", kind, limit.of_all)
        allowed = own.left >= 1 and everyone.left >= 1
        if allowed:
            own.left -= 1
            everyone.left -= 1
        return Taken(kind, allowed, int(own.left), int(everyone.left), max(own.wait, everyone.wait))

    def _bucket(self, principal: str, kind: Kind, limit: Limit) -> _Bucket:
        now = self._clock.elapsed
        bucket = self._buckets.setdefault((principal, kind), _Bucket(limit, now))
        bucket.refill(now)
        return bucket
