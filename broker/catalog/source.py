"""Hands the newest published catalog to whoever serves requests."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog

from broker.catalog.revisions import from_text
from broker.domain.catalog import Catalog, ServiceOffering
from broker.errors import StoreUnavailable
from broker.store import catalogs
from broker.store.catalogs import CatalogRevision
from broker.store.database import Database

log = structlog.get_logger(__name__)

Prepare = Callable[[Catalog], None]
_NEVER = 1_000_000
_TURN_S = 0.0005
_LET_GO_AFTER_S = 0.5


class CatalogSource:
    """
    The catalog of this process; `current` is what is served now, without asking the database.

    `refresh` looks once for a newer revision, `run` does so whenever one is announced, and every *interval* besides,
    until it is cancelled. A new one is read and prepared beside the event loop, and served only then.
    """

    def __init__(
        self, db: Database, catalog: Catalog | None = None, *, interval: timedelta = timedelta(seconds=5)
    ) -> None:
        self._db = db
        self._catalog = catalog or Catalog(())
        self._interval = interval
        self._prepare: list[Prepare] = []
        self._turn = asyncio.Lock()
        self._letting_go: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._thresholds = gc.get_threshold()
        self._switch_interval = sys.getswitchinterval()

    def current(self) -> Catalog:
        """Return what is served now; an empty catalog of revision 0 before the first publication."""
        return self._catalog

    def prepare(self, prepare: Prepare) -> None:
        """Have something made at once of what is served now, and in a thread of each catalog before it is served."""
        prepare(self._catalog)
        self._prepare.append(prepare)

    async def refresh(self) -> bool:
        """
        Look for a newer revision; tell whether there was one.

        Raises:
            StoreUnavailable: The database did not answer; the last one is served on.
        """
        async with self._turn:
            async with self._db.transaction(read_only=True) as tx:
                number = await catalogs.newest_number(tx)
            if number <= self._catalog.revision:
                return False
            with self.much_to_do():
                async with self._db.transaction(read_only=True) as tx:
                    newest = await catalogs.newest(tx)
                assert newest is not None, "revisions are never deleted"
                await self._adopt(await catalog_of(newest))
            return True

    async def serve(self, catalog: Catalog) -> None:
        """Serve what this process has just published, unless there is something newer."""
        async with self._turn:
            if catalog.revision > self._catalog.revision:
                await self._adopt(catalog)

    @contextmanager
    def much_to_do(self) -> Iterator[None]:
        """
        Let others have their turn often in the block, and keep Python from looking through all objects for garbage.

        A large catalog is a million objects that live long: that would stop everything for a third of a second, several
        times while they are made. Young objects are looked through as ever. And whoever serves requests waits for the
        interpreter several times in each: 5 milliseconds each time, if nobody says otherwise.
        """
        self._busy += 1
        if self._busy == 1:
            self._thresholds = gc.get_threshold()
            gc.set_threshold(*self._thresholds[:2], _NEVER)
            sys.setswitchinterval(_TURN_S)
        try:
            yield
        finally:
            self._busy -= 1
            if self._busy == 0:
                gc.freeze()
                gc.set_threshold(*self._thresholds)
                sys.setswitchinterval(self._switch_interval)

    async def _adopt(self, catalog: Catalog) -> None:
        await asyncio.to_thread(self._prepared, catalog)
        former, self._catalog = self._catalog, catalog
        if former.offerings:
            letting_go = asyncio.create_task(_let_go(weakref.ref(former), list(former.offerings)))
            self._letting_go.add(letting_go)
            letting_go.add_done_callback(self._letting_go.discard)
        log.info("A newer catalog is served.", revision=catalog.revision, digest=catalog.digest)

    def _prepared(self, catalog: Catalog) -> None:
        for prepare in self._prepare:
            prepare(catalog)

    async def run(self) -> None:
        """Keep up with what is published; a database that is away is asked again later."""
        wakeups = self._db.wakeups
        while True:
            seen = wakeups.catalogs
            try:
                await self.refresh()
            except StoreUnavailable:
                log.warning("The catalog could not be refreshed; the last one is served on.")
            await wakeups.catalog(self._interval, after=seen)


async def _let_go(former: weakref.ref[Catalog], offerings: list[ServiceOffering]) -> None:
    """
    Free the offerings of a catalog one by one, once nobody else has it.

    Freed as a whole a large one would stop everything for a fifth of a second.
    """
    while former() is not None:  # noqa: ASYNC110 - nobody is told when an object goes
        await asyncio.sleep(_LET_GO_AFTER_S)
    await asyncio.to_thread(_freed, offerings)


def _freed(offerings: list[ServiceOffering]) -> None:
    while offerings:
        offerings.pop()


async def newest_catalog(db: Database) -> Catalog:
    """Return the newest published revision; an empty catalog of revision 0 if nothing was published."""
    async with db.transaction(read_only=True) as tx:
        newest = await catalogs.newest(tx)
    return Catalog(()) if newest is None else await catalog_of(newest)


async def catalog_of(kept: CatalogRevision) -> Catalog:
    """Read a revision beside the event loop."""
    return await asyncio.to_thread(
        from_text, kept.text, revision=kept.revision, digest=kept.digest, published_at=kept.published_at
    )
