"""Taking stock from time to time: what is in Azure without a record, and what is on record but not in Azure."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from broker.domain.inventory import Holding, Inventory, Stray, StrayKind, Tagged, unrecorded, unseen
from broker.errors import StoreUnavailable
from broker.provisioners.base import StepFailed
from broker.provisioners.survey import PACE, Survey
from broker.store import inventories
from broker.store.database import Database
from broker.store.errors import ClaimLost
from broker.store.inventories import Taking

log = structlog.get_logger(__name__)

_AFTER_TROUBLE = timedelta(minutes=10)
_FIRST_IN = timedelta(minutes=1)


@dataclass(frozen=True)
class StocktakingOptions:
    """
    How stock is taken.

    `name` is the process's. `every` is the time between two; None: only when an operator asks. A process that is silent
    for `lease` is taken to be dead. `look_every` is how often each process sees whether it is due, `pace` the time
    between single reads of Azure, and `look_again` how long after one read in vain the second one is made.
    """

    name: str
    every: timedelta | None = timedelta(hours=1)
    lease: timedelta = timedelta(minutes=5)
    look_every: timedelta = timedelta(seconds=5)
    pace: timedelta = PACE
    look_again: timedelta = timedelta(seconds=10)


class _Doubts:
    """What Azure would not tell of single resources or subscriptions: no reason not to look at the others."""

    def __init__(self) -> None:
        self._first = ""
        self.untold: set[str] = set()

    @contextmanager
    def about(self, resource_id: str) -> Iterator[None]:
        try:
            yield
        except StepFailed as failed:
            if failed.retryable and failed.at_most is None:
                # Throttled or out of reach: it will be another answer later, for this one as for all others.
                raise
            self.untold.add(resource_id)
            self._first = self._first or f"{resource_id}: {failed.description}"

    @property
    def told(self) -> str | None:
        if not self.untold:
            return None
        return (
            f"{len(self.untold)} resources or subscriptions could not be looked at. The first: {self._first}"
        )


class Stocktaker:
    """
    Takes stock whenever it is due; of any number of processes one does it at a time.

    It reads only, and marks instances. It repairs nothing: that is an operator's decision.
    """

    def __init__(self, database: Database, survey: Survey, options: StocktakingOptions) -> None:
        self._database = database
        self._survey = survey
        self._options = options

    async def run(self) -> None:
        """Go on until cancelled; no fault of Azure's or of the database's ends it."""
        planned = False
        while True:
            try:
                if not planned:
                    first = None if self._options.every is None else min(_FIRST_IN, self._options.every)
                    await inventories.plan(self._database, first_in=first)
                    planned = True
                await self.take_if_due()
            except StoreUnavailable:
                log.warning("Whether stock is to be taken cannot be read.")
            await asyncio.sleep(self._options.look_every.total_seconds() * random.uniform(0.5, 1))  # noqa: S311 - spreads load

    async def take_if_due(self) -> bool:
        """
        Take stock if it is due and nobody else does; whether this process did.

        Raises:
            StoreUnavailable: The database is away; it is done again when the lease is over.
        """
        options = self._options
        taking = await inventories.claim(
            self._database, owner=options.name, lease=options.lease, every=options.every
        )
        if taking is None:
            return False
        try:
            await self._take(taking)
        except ClaimLost:
            log.warning("Somebody else takes stock by now; this look at Azure is dropped.")
        except StepFailed as failed:
            await self._failed(taking, failed.description, after=failed.retry_after)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("Stock could not be taken, in a way that nobody foresaw.")
            await self._failed(taking, "Something unforeseen went wrong in the broker; its log tells more.")
        return True

    async def _take(self, taking: Taking) -> None:
        async with self._database.transaction(read_only=True) as tx:
            subscriptions = sorted(await inventories.subscriptions(tx) | {self._survey.subscription.lower()})
            before = await inventories.read(tx)
        doubts = _Doubts()
        found: list[Tagged] = []
        for subscription in subscriptions:
            with doubts.about(f"/subscriptions/{subscription}"):
                found += await self._survey.tagged(subscription)
            await self._hold(taking)
        # After Azure was asked: whatever was made by then was on record before it was made.
        async with self._database.transaction(read_only=True) as tx:
            recorded = await inventories.recorded(tx)
            holdings = await inventories.holdings(tx)
            now = tx.now
        # Of a subscription that cannot be listed, what was found before still stands.
        unlisted = set(doubts.untold)
        strays = [
            stray
            for stray in before.strays
            if _subscription(stray.resource_id) in unlisted and not recorded.get(stray.resource_id.lower())
        ]
        holdings = [one for one in holdings if _subscription(one.resource_id) not in unlisted]
        strays += await self._strays(taking, unrecorded(found, recorded), before, now, doubts)
        await self._mark(taking, holdings, {one.resource_id.lower() for one in found}, doubts)
        async with self._database.transaction() as tx:
            report = Inventory(subscriptions=subscriptions, looked_at=len(found), strays=strays)
            await inventories.finish(
                tx, taking, next_in=self._options.every, found=report, trouble=doubts.told
            )
            missing = len((await inventories.read(tx)).missing)
        log.info("Stock was taken.", resources=len(found), strays=len(strays), missing=missing)

    async def _strays(
        self,
        taking: Taking,
        candidates: list[tuple[Tagged, StrayKind]],
        before: Inventory,
        now: datetime,
        doubts: _Doubts,
    ) -> list[Stray]:
        known = {stray.resource_id.lower(): stray for stray in before.strays}
        strays = []
        for tagged, kind in candidates:
            former = known.get(tagged.resource_id.lower())
            await self._paced(taking)
            with doubts.about(tagged.resource_id):
                version = await self._survey.api_version(tagged)
                if not await self._survey.is_still(tagged, version):
                    continue
                if former is None:
                    log.warning(
                        "A resource of ours belongs to no service instance.",
                        resource=tagged.resource_id,
                        kind=kind.value,
                    )
                first_seen_at = former.first_seen_at if former else now
                strays.append(Stray.of(tagged, kind, api_version=version, first_seen_at=first_seen_at))
            if former is not None and tagged.resource_id in doubts.untold:
                strays.append(former)
        return strays

    async def _mark(self, taking: Taking, holdings: list[Holding], seen: set[str], doubts: _Doubts) -> None:
        doubtful = unseen(holdings, seen)
        absent = await self._absent(taking, doubtful, doubts)
        if absent:
            # Azure may answer 404 for what was made a moment ago: what one read did not find is looked for again.
            await self._hold(taking)
            await asyncio.sleep(self._options.look_again.total_seconds())
            absent = await self._absent(taking, absent, doubts)
        missing, untold = {holding.key for holding in absent}, doubts.untold
        for holding in holdings:
            there = holding.key not in missing
            if there is (holding.missing_since is None) or holding.resource_id in untold:
                continue
            async with self._database.transaction() as tx:
                await inventories.hold(tx, taking)
                marked = await inventories.mark(tx, holding.key, missing=not there)
            if marked:
                log.warning(
                    "A service instance is there again in Azure."
                    if there
                    else "A service instance is missing in Azure.",
                    platform=holding.platform,
                    instance=holding.instance_id,
                    resource=holding.resource_id,
                )

    async def _absent(self, taking: Taking, holdings: list[Holding], doubts: _Doubts) -> list[Holding]:
        absent = []
        for holding in holdings:
            await self._paced(taking)
            with doubts.about(holding.resource_id):
                if await self._survey.find(holding.resource_id, holding.api_version) is None:
                    absent.append(holding)
        return absent

    async def _failed(self, taking: Taking, trouble: str, *, after: timedelta | None = None) -> None:
        log.warning("Stock could not be taken.", reason=trouble)
        every = self._options.every
        pause = None if every is None else min(every, max(after or timedelta(0), _AFTER_TROUBLE))
        try:
            async with self._database.transaction() as tx:
                await inventories.finish(tx, taking, next_in=pause, found=None, trouble=trouble)
        except ClaimLost:
            log.warning("Somebody else takes stock by now.")

    async def _paced(self, taking: Taking) -> None:
        await asyncio.sleep(self._options.pace.total_seconds())
        await self._hold(taking)

    async def _hold(self, taking: Taking) -> None:
        async with self._database.transaction() as tx:
            await inventories.hold(tx, taking)


def _subscription(resource_id: str) -> str:
    return "/".join(resource_id.lower().split("/")[:3])
