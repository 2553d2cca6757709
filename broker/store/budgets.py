"""How many management calls are left: one budget per account and kind of call, shared by all replicas."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Row, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from broker.store.call_meter import LONGEST_QUEUE, Account, CallCost, CallMeter
from broker.store.database import Transaction
from broker.store.tables import arm_budgets as table

KINDS = ("delete", "read", "write")
BURST = {"read": 250.0, "write": 200.0, "delete": 200.0}
"""Azure Resource Manager's own buckets per subscription, principal and region."""
REFILL_PER_SECOND = {"read": 25.0, "write": 10.0, "delete": 10.0}
KEPT_FROM_POLLS = 0.3
"""The part of the read budget that mere polls may not touch, or a flood of them would starve creations."""
GATHERED_AT_MOST = timedelta(milliseconds=250)

_WHOSE = (table.c.subscription, table.c.principal, table.c.region)


@dataclass
class _Bucket:
    tokens: float
    blocked_until: datetime | None
    size: float
    """How many calls it holds when it is full: as documented, or fewer, as far as Azure's answers tell."""
    promised: float = 0.0
    """Calls of those that were sent away in this transaction: the next one has to come after them."""


class Budgets:
    """The budgets of some accounts, locked until the transaction ends; `store` writes what was debited."""

    def __init__(self, tx: Transaction, meter: CallMeter) -> None:
        self._tx = tx
        self._meter = meter
        self._share = meter.share
        self._buckets: dict[tuple[Account, str], _Bucket] = {}
        self._changed: set[tuple[Account, str]] = set()

    @classmethod
    async def locked(cls, tx: Transaction, subscriptions: Collection[str], meter: CallMeter) -> Budgets:
        """
        Refill and lock the budgets of this process's accounts in these subscriptions; new ones are full.

        What the meter has counted and heard since is put in: calls beyond what was debited, and what Azure says
        is left, where that is less.
        """
        budgets = cls(tx, meter)
        if not subscriptions:
            return budgets
        await _recall_regions(tx, [one for one in subscriptions if not meter.knows(one)], meter)
        accounts = sorted({meter.account(subscription) for subscription in subscriptions})
        rows = await _rows(tx, accounts)
        if len(rows) < len(accounts) * len(KINDS):
            await _make(tx, accounts, meter.share)
            rows = await _rows(tx, accounts)
        for row in rows:
            account = _account(row)
            size, told = BURST[row.kind] * meter.share, meter.most(account, row.kind)
            bucket = _Bucket(
                _refilled(row, tx.now, meter.share),
                row.blocked_until,
                size if told is None else min(size, told),
            )
            budgets._buckets[account, row.kind] = bucket
            news = meter.news(account, row.kind)
            tx.undone.append(partial(meter.unheard, account, row.kind, news))
            if news.owed or (news.remaining is not None and news.remaining < bucket.tokens - news.owed):
                tokens = min(size, bucket.tokens - news.owed)
                bucket.tokens = tokens if news.remaining is None else min(tokens, news.remaining)
                budgets._changed.add((account, row.kind))
        return budgets

    def debit(self, account: Account | None, cost: CallCost) -> timedelta:
        """
        Take *cost* out and return zero, or take nothing and return when to come again.

        Those that are sent away one after another are told ever later times: they are not to come back together. Mere
        looks get turns that are kept from one transaction to the next, or thousands would ask again every few seconds.
        """
        if account is None or cost.nothing:
            return timedelta(0)
        wanted = {"read": cost.reads, "write": cost.writes, "delete": cost.deletes}
        only_reads = not (cost.writes or cost.deletes)
        wait = 0.0
        for kind, calls in wanted.items():
            bucket = self._buckets.get((account, kind))
            if bucket is None or not calls:
                continue
            refill = REFILL_PER_SECOND[kind] * self._share
            if bucket.blocked_until is not None and bucket.blocked_until > self._tx.now:
                blocked = (bucket.blocked_until - self._tx.now).total_seconds()
                wait = max(wait, blocked + bucket.promised / refill)
            kept = KEPT_FROM_POLLS * bucket.size if only_reads else 0.0
            # What costs more than a full budget is done when it is full.
            missing = min(calls, bucket.size - kept) + kept - bucket.tokens + bucket.promised
            wait = max(wait, missing / refill)
        if wait > 0 and only_reads:
            every = cost.reads / ((1 - KEPT_FROM_POLLS) * REFILL_PER_SECOND["read"] * self._share)
            earliest = self._tx.now + timedelta(seconds=wait)
            return self._meter.turn(account, earliest, timedelta(seconds=every)) - self._tx.now
        for kind, calls in wanted.items():
            if calls and (account, kind) in self._buckets:
                if wait > 0:
                    self._buckets[account, kind].promised += calls
                else:
                    self._buckets[account, kind].tokens -= calls
                    self._changed.add((account, kind))
        return timedelta(seconds=max(0.0, wait))

    async def store(self) -> None:
        """Write what was debited."""
        if not self._changed:
            return
        insert = _insert(self._tx).values(
            [
                _columns(account, kind, self._buckets[account, kind].tokens, self._tx.now)
                for account, kind in sorted(self._changed)
            ]
        )
        await self._tx.execute(
            insert.on_conflict_do_update(
                index_elements=[*_WHOSE, table.c.kind],
                set_={"tokens": insert.excluded.tokens, "updated_at": insert.excluded.updated_at},
            )
        )
        self._changed.clear()


async def block(tx: Transaction, account: Account, *, until: datetime) -> None:
    """Let nobody call before *until*: Azure has answered that the budget is used up."""
    await _make(tx, [account], 1.0)
    await tx.execute(
        update(table)
        .where(
            tuple_(*_WHOSE).in_([_key(account)]),
            table.c.blocked_until.is_(None) | (table.c.blocked_until < until),
        )
        .values(blocked_until=until)
    )


async def left(tx: Transaction, share: float = 1.0) -> dict[tuple[str, str], float]:
    """Return the calls left by subscription and kind, as of now, of the account that has least; for metrics."""
    found: dict[tuple[str, str], float] = {}
    for row in await tx.execute(select(table)):
        key = row.subscription, row.kind
        tokens = _refilled(row, tx.now, share)
        found[key] = min(tokens, found.get(key, tokens))
    return found


def pace(active: int, share: float) -> timedelta:
    """Return how long to wait at least between two looks when *active* operations are looked at in turn."""
    seconds = active / ((1 - KEPT_FROM_POLLS) * REFILL_PER_SECOND["read"] * share)
    return min(timedelta(seconds=seconds), LONGEST_QUEUE)


def gathering(active: int, share: float) -> timedelta:
    """Return for how long looks may be gathered before they are taken up together: no time that anybody notices."""
    return min(GATHERED_AT_MOST, pace(active, share) / 20)


async def _recall_regions(tx: Transaction, subscriptions: Collection[str], meter: CallMeter) -> None:
    """Take up the region that answered last, before a restart or to another replica."""
    if not subscriptions:
        return
    found = await tx.execute(
        select(table.c.subscription, table.c.region)
        .where(table.c.subscription.in_(sorted(subscriptions)), table.c.principal == meter.principal)
        .order_by(table.c.updated_at)
    )
    latest = {row.subscription: row.region for row in found}
    for subscription in subscriptions:
        meter.begins(subscription, latest.get(subscription, ""))


async def _rows(tx: Transaction, accounts: Iterable[Account]) -> list[Row[tuple[object, ...]]]:
    found = await tx.execute(
        select(table)
        .where(tuple_(*_WHOSE).in_([_key(account) for account in accounts]), table.c.kind.in_(KINDS))
        .order_by(*_WHOSE, table.c.kind)
        .with_for_update()
    )
    return list(found)


async def _make(tx: Transaction, accounts: Collection[Account], share: float) -> None:
    """Fill the budgets of new accounts; calls that were made before their region was known count in it."""
    nowhere = [_key(Account(one.subscription, one.principal)) for one in accounts if one.region]
    former: dict[tuple[str, str, str], float] = {}
    if nowhere:
        rows = await tx.execute(select(table).where(tuple_(*_WHOSE).in_(nowhere)))
        former = {(row.subscription, row.principal, row.kind): _refilled(row, tx.now, share) for row in rows}
    values = [
        _columns(account, kind, former.get((*_key(account)[:2], kind), BURST[kind] * share), tx.now)
        for account in sorted(accounts)
        for kind in KINDS
    ]
    await tx.execute(_insert(tx).values(values).on_conflict_do_nothing())


def _refilled(row: Row[tuple[object, ...]], now: datetime, share: float) -> float:
    passed: float = max(0.0, (now - row.updated_at).total_seconds())
    gained: float = row.tokens + passed * REFILL_PER_SECOND[row.kind] * share
    return min(BURST[row.kind] * share, gained)


def _columns(account: Account, kind: str, tokens: float, now: datetime) -> dict[str, object]:
    subscription, principal, region = _key(account)
    return {
        "subscription": subscription,
        "principal": principal,
        "region": region,
        "kind": kind,
        "tokens": tokens,
        "updated_at": now,
    }


def _key(account: Account) -> tuple[str, str, str]:
    return account.subscription, account.principal, account.region


def _account(row: Row[tuple[object, ...]]) -> Account:
    return Account(row.subscription, row.principal, row.region)


def _insert(tx: Transaction) -> postgresql.Insert | sqlite.Insert:
    if tx.database.kind == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
