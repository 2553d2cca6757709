"""Taking stock from time to time: what is in Azure without a record, and what is on record but not in Azure."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from broker.domain.inventory import Holding, Inventory, Stray, StrayKind, Tagged, unrecorded, unseen
from broker.operations.rounds import Doubts, Rounds, RoundsOptions
from broker.provisioners.survey import Survey
from broker.store import inventories
from broker.store.database import Database
from broker.store.inventories import Taking

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class StocktakingOptions(RoundsOptions):
    """How stock is taken. `look_again` is how long after one read in vain the second one is made."""

    look_again: timedelta = timedelta(seconds=10)


class Stocktaker(Rounds):
    """
    Takes stock whenever it is due; of any number of processes one does it at a time.

    It reads only, and marks instances. It repairs nothing: that is an operator's decision.
    """

    def __init__(self, database: Database, survey: Survey, options: StocktakingOptions) -> None:
        super().__init__(database, inventories.AZURE, options)
        self._survey = survey
        self._look_again = options.look_again

    async def _take(self, taking: Taking) -> None:
        async with self._database.transaction(read_only=True) as tx:
            subscriptions = sorted(await inventories.subscriptions(tx) | {self._survey.subscription.lower()})
            before = await inventories.read(tx)
        doubts = Doubts()
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
        doubts: Doubts,
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

    async def _mark(self, taking: Taking, holdings: list[Holding], seen: set[str], doubts: Doubts) -> None:
        doubtful = unseen(holdings, seen)
        absent = await self._absent(taking, doubtful, doubts)
        if absent:
            # Azure may answer 404 for what was made a moment ago: what one read did not find is looked for again.
            await self._hold(taking)
            await asyncio.sleep(self._look_again.total_seconds())
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

    async def _absent(self, taking: Taking, holdings: list[Holding], doubts: Doubts) -> list[Holding]:
        absent = []
        for holding in holdings:
            await self._paced(taking)
            with doubts.about(holding.resource_id):
                if await self._survey.find(holding.resource_id, holding.api_version) is None:
                    absent.append(holding)
        return absent


def _subscription(resource_id: str) -> str:
    return "/".join(resource_id.lower().split("/")[:3])
