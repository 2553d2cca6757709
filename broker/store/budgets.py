"""How many management calls are left: one budget per subscription and kind of call, shared by all replicas."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite

from broker.store.database import Transaction
from broker.store.tables import arm_budgets as table

KINDS = ("delete", "read", "write")
BURST = {"read": 250.0, "write": 200.0, "delete": 200.0}
"""Azure Resource Manager's own buckets per subscription, principal and region."""
REFILL_PER_SECOND = {"read": 25.0, "write": 10.0, "delete": 10.0}
KEPT_FROM_POLLS = 0.3
"""The part of the read budget that mere polls may not touch, or a flood of them would starve creations."""


@dataclass(frozen=True)
class CallCost:
    """How many calls a step may make at most."""

    reads: int = 0
    writes: int = 0
    deletes: int = 0

    @property
    def nothing(self) -> bool:
        return not (self.reads or self.writes or self.deletes)


@dataclass
class _Bucket:
    tokens: float
    blocked_until: datetime | None


class Budgets:
    """The budgets of some subscriptions, locked until the transaction ends; `store` writes what was debited."""

    def __init__(self, tx: Transaction, buckets: dict[tuple[str, str], _Bucket]) -> None:
        self._tx = tx
        self._buckets = buckets
        self._changed: set[tuple[str, str]] = set()

    @classmethod
    async def locked(cls, tx: Transaction, subscriptions: Collection[str]) -> Budgets:
        """Refill and lock the budgets of these subscriptions; those seen for the first time are full."""
        buckets: dict[tuple[str, str], _Bucket] = {}
        if not subscriptions:
            return cls(tx, buckets)
        rows = await cls._rows(tx, subscriptions)
        if len(rows) < len(subscriptions) * len(KINDS):
            await _make(tx, subscriptions)
            rows = await cls._rows(tx, subscriptions)
        for row in rows:
            passed = max(0.0, (tx.now - row.updated_at).total_seconds())
            tokens = min(BURST[row.kind], row.tokens + passed * REFILL_PER_SECOND[row.kind])
            buckets[row.subscription, row.kind] = _Bucket(tokens, row.blocked_until)
        return cls(tx, buckets)

    def debit(self, subscription: str | None, cost: CallCost) -> timedelta:
        """Take *cost* out and return zero, or take nothing and return when to come again."""
        if subscription is None or cost.nothing:
            return timedelta(0)
        wanted = {"read": cost.reads, "write": cost.writes, "delete": cost.deletes}
        only_reads = not (cost.writes or cost.deletes)
        wait = 0.0
        for kind, calls in wanted.items():
            bucket = self._buckets.get((subscription, kind))
            if bucket is None or not calls:
                continue
            if bucket.blocked_until is not None:
                wait = max(wait, (bucket.blocked_until - self._tx.now).total_seconds())
            kept = KEPT_FROM_POLLS * BURST[kind] if only_reads else 0.0
            missing = min(calls, BURST[kind] - kept) + kept - bucket.tokens
            wait = max(wait, missing / REFILL_PER_SECOND[kind])
        if wait > 0:
            return timedelta(seconds=wait)
        for kind, calls in wanted.items():
            if calls and (subscription, kind) in self._buckets:
                self._buckets[subscription, kind].tokens -= calls
                self._changed.add((subscription, kind))
        return timedelta(0)

    async def store(self) -> None:
        """Write what was debited."""
        if not self._changed:
            return
        insert = _insert(self._tx).values(
            [
                {
                    "subscription": subscription,
                    "principal": "",
                    "region": "",
                    "kind": kind,
                    "tokens": self._buckets[subscription, kind].tokens,
                    "updated_at": self._tx.now,
                }
                for subscription, kind in sorted(self._changed)
            ]
        )
        await self._tx.execute(
            insert.on_conflict_do_update(
                index_elements=[table.c.subscription, table.c.principal, table.c.region, table.c.kind],
                set_={"tokens": insert.excluded.tokens, "updated_at": insert.excluded.updated_at},
            )
        )
        self._changed.clear()

    @staticmethod
    async def _rows(tx: Transaction, subscriptions: Collection[str]) -> list[_Row]:
        found = await tx.execute(
            select(
                table.c.subscription, table.c.kind, table.c.tokens, table.c.updated_at, table.c.blocked_until
            )
            .where(table.c.subscription.in_(sorted(subscriptions)), table.c.kind.in_(KINDS))
            .order_by(table.c.subscription, table.c.kind)
            .with_for_update()
        )
        return [
            _Row(row.subscription, row.kind, row.tokens, row.updated_at, row.blocked_until) for row in found
        ]


@dataclass(frozen=True)
class _Row:
    subscription: str
    kind: str
    tokens: float
    updated_at: datetime
    blocked_until: datetime | None


async def block(tx: Transaction, subscription: str, *, until: datetime) -> None:
    """Let nobody call before *until*: Azure has answered that the budget is used up."""
    await _make(tx, [subscription])
    await tx.execute(
        update(table)
        .where(
            table.c.subscription == subscription,
            table.c.blocked_until.is_(None) | (table.c.blocked_until < until),
        )
        .values(blocked_until=until)
    )


async def left(tx: Transaction) -> dict[tuple[str, str], float]:
    """Return the calls left by subscription and kind, as of now; for metrics."""
    rows = await tx.execute(select(table))
    return {
        (row.subscription, row.kind): min(
            BURST[row.kind],
            row.tokens + max(0.0, (tx.now - row.updated_at).total_seconds()) * REFILL_PER_SECOND[row.kind],
        )
        for row in rows
    }


async def _make(tx: Transaction, subscriptions: Collection[str]) -> None:
    await tx.execute(
        _insert(tx)
        .values(
            [
                {
                    "subscription": subscription,
                    "principal": "",
                    "region": "",
                    "kind": kind,
                    "tokens": BURST[kind],
                    "updated_at": tx.now,
                }
                for subscription in sorted(subscriptions)
                for kind in KINDS
            ]
        )
        .on_conflict_do_nothing()
    )


def _insert(tx: Transaction) -> postgresql.Insert | sqlite.Insert:
    if tx.database.kind == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
