"""What one process knows of its management calls: how many it made, and what Azure said of the rest."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

CROWD_COUNTED_EVERY = timedelta(seconds=5)
"""How old the number of operations in progress may be: it only spreads polls."""


LONGEST_QUEUE = timedelta(minutes=10)
"""How far ahead turns are given away; after that the queue begins anew beside the first one."""


@dataclass(frozen=True, order=True)
class Account:
    """
    Whom Azure counts calls for: a principal in a subscription, as one of Azure's regions sees it.

    `region` is the one in which Resource Manager answers, not a resource's; "" while nothing was heard of it.
    All principals of a subscription together have fifteen times as much: that is never short before one's own is,
    unless others spend it, which Azure's answers tell.
    """

    subscription: str
    principal: str = ""
    region: str = ""


@dataclass(frozen=True)
class CallCost:
    """How many calls a step may make at most."""

    reads: int = 0
    writes: int = 0
    deletes: int = 0

    @property
    def nothing(self) -> bool:
        return not (self.reads or self.writes or self.deletes)


@dataclass(frozen=True)
class News:
    """`owed` calls were made beyond those debited (negative: fewer); `remaining` is the least that Azure said."""

    owed: float = 0.0
    remaining: int | None = None


class CallMeter:
    """
    Counts the calls of one process; budgets take in what it knows whenever they are locked.

    Args:
        principal: Whom Azure knows this process as; the same for all replicas with the same credential.
        share: The part of Azure's documented limits that may be used: less than 1 leaves room for other users of
            the same principal.
    """

    def __init__(self, principal: str = "", share: float = 1.0) -> None:
        self.principal = principal
        self.share = share
        self._regions: dict[str, str] = {}
        self._owed: dict[tuple[Account, str], float] = {}
        self._remaining: dict[tuple[Account, str], int] = {}
        self._most: dict[tuple[Account, str], int] = {}
        self._turns: dict[Account, datetime] = {}
        self._active: Mapping[str, int] = {}
        self._counted_at: float | None = None

    def account(self, subscription: str) -> Account:
        """Return the account that calls in that subscription are charged to at present."""
        return Account(subscription, self.principal, self._regions.get(subscription, ""))

    def knows(self, subscription: str) -> bool:
        """Tell whether the region that answers is known, or is known to be unknown."""
        return subscription in self._regions

    def begins(self, subscription: str, region: str) -> None:
        """Begin with the region that answered last; what was heard since counts more."""
        self._regions.setdefault(subscription, region)

    def called(
        self, subscription: str | None, kind: str, *, region: str | None, remaining: int | None
    ) -> None:
        """Count one call and keep what its answer told; *remaining* is 0 for a refusal."""
        if subscription is None:
            return
        if region:
            self._regions[subscription] = region
        account = self.account(subscription)
        self._owe(account, kind, 1)
        if remaining is not None:
            self._remaining[account, kind] = min(remaining, self._remaining.get((account, kind), remaining))
            self._most[account, kind] = max(remaining, self._most.get((account, kind), remaining))

    def settle(self, subscription: str | None, paid: CallCost) -> None:
        """Give back what was debited for a step that has ended: its calls were counted one by one."""
        if subscription is None:
            return
        account = self.account(subscription)
        for kind, calls in (("read", paid.reads), ("write", paid.writes), ("delete", paid.deletes)):
            self._owe(account, kind, -calls)

    def news(self, account: Account, kind: str) -> News:
        """Return, and forget, what was learnt of an account since it was asked last."""
        return News(self._owed.pop((account, kind), 0.0), self._remaining.pop((account, kind), None))

    def unheard(self, account: Account, kind: str, news: News) -> None:
        """Take news back: what was made of them was rolled back, or may have been."""
        self._owe(account, kind, news.owed)
        if news.remaining is not None:
            since = self._remaining.get((account, kind), news.remaining)
            self._remaining[account, kind] = min(news.remaining, since)

    def most(self, account: Account, kind: str) -> int | None:
        """Return the most that Azure ever said to be left: its bucket is no larger by much. None: it never said."""
        return self._most.get((account, kind))

    def turn(self, account: Account, earliest: datetime, every: timedelta) -> datetime:
        """
        Return when a look that cannot be paid for now gets its turn: *every* after the one before, or *earliest*.

        This process's looks alone: with others they come too densely, and some are sent away once more.
        """
        turn = self._turns.get(account, earliest)
        if not earliest <= turn <= earliest + LONGEST_QUEUE:
            turn = earliest
        self._turns[account] = turn + every
        return turn

    @property
    def wants_a_count(self) -> bool:
        """Whether the operations in progress should be counted again."""
        age = None if self._counted_at is None else time.monotonic() - self._counted_at
        return age is None or age > CROWD_COUNTED_EVERY.total_seconds()

    def counted(self, active: Mapping[str, int]) -> None:
        """Take over how many operations are in progress by subscription."""
        self._active, self._counted_at = dict(active), time.monotonic()

    @property
    def crowd(self) -> int:
        """How many operations were in progress in the subscription that has most."""
        return max(self._active.values(), default=0)

    def active(self, subscription: str | None) -> int:
        """Return how many operations were in progress in that subscription when they were counted last."""
        return self._active.get(subscription, 0) if subscription is not None else 0

    def _owe(self, account: Account, kind: str, calls: float) -> None:
        if calls:
            self._owed[account, kind] = self._owed.get((account, kind), 0.0) + calls
