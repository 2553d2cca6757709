"""Rounds through Azure that are due from time to time, and that one process at a time makes."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog

from broker.errors import StoreUnavailable
from broker.provisioners.base import StepFailed
from broker.provisioners.survey import PACE
from broker.store import inventories
from broker.store.database import Database
from broker.store.errors import ClaimLost
from broker.store.inventories import Taking

log = structlog.get_logger(__name__)

_AFTER_TROUBLE = timedelta(minutes=10)
_FIRST_IN = timedelta(minutes=1)


@dataclass(frozen=True)
class RoundsOptions:
    """
    How rounds are made.

    `name` is the process's. `every` is the time between two; None: only when an operator asks. A process that is silent
    for `lease` is taken to be dead. `look_every` is how often each process sees whether it is due, `pace` the time
    between single reads of Azure.
    """

    name: str
    every: timedelta | None = timedelta(hours=1)
    lease: timedelta = timedelta(minutes=5)
    look_every: timedelta = timedelta(seconds=5)
    pace: timedelta = PACE


class Doubts:
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


class Rounds(ABC):
    """Makes a round whenever it is due; a second process that wants to finds it taken."""

    def __init__(self, database: Database, name: str, options: RoundsOptions) -> None:
        self._database = database
        self._name = name
        self._options = options

    async def run(self) -> None:
        """Go on until cancelled; no fault of Azure's or of the database's ends it."""
        planned = False
        while True:
            try:
                if not planned:
                    first = None if self._options.every is None else min(_FIRST_IN, self._options.every)
                    await inventories.plan(self._database, first_in=first, name=self._name)
                    planned = True
                await self.take_if_due()
            except StoreUnavailable:
                log.warning("Whether a round is due cannot be read.", round=self._name)
            await asyncio.sleep(self._options.look_every.total_seconds() * random.uniform(0.5, 1))  # noqa: S311 - spreads load

    async def take_if_due(self) -> bool:
        """
        Make a round if it is due and nobody else does; whether this process did.

        Raises:
            StoreUnavailable: The database is away; it is done again when the lease is over.
        """
        options = self._options
        taking = await inventories.claim(
            self._database, owner=options.name, lease=options.lease, every=options.every, name=self._name
        )
        if taking is None:
            return False
        try:
            await self._take(taking)
        except ClaimLost:
            log.warning(
                "Somebody else makes this round by now; this look at Azure is dropped.", round=self._name
            )
        except StepFailed as failed:
            await self._failed(taking, failed.description, after=failed.retry_after)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("A round failed in a way that nobody foresaw.", round=self._name)
            await self._failed(taking, "Something unforeseen went wrong in the broker; its log tells more.")
        return True

    @abstractmethod
    async def _take(self, taking: Taking) -> None:
        """Make the round, and finish it; hold *taking* before each write."""

    async def _failed(self, taking: Taking, trouble: str, *, after: timedelta | None = None) -> None:
        log.warning("A round could not be made.", round=self._name, reason=trouble)
        every = self._options.every
        pause = None if every is None else min(every, max(after or timedelta(0), _AFTER_TROUBLE))
        try:
            async with self._database.transaction() as tx:
                await inventories.finish(tx, taking, next_in=pause, found=None, trouble=trouble)
        except ClaimLost:
            log.warning("Somebody else makes this round by now.", round=self._name)

    async def _paced(self, taking: Taking) -> None:
        await asyncio.sleep(self._options.pace.total_seconds())
        await self._hold(taking)

    async def _hold(self, taking: Taking) -> None:
        async with self._database.transaction() as tx:
            await inventories.hold(tx, taking)
