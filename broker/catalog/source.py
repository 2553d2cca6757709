"""Hands the newest published catalog to whoever serves requests."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from datetime import timedelta

import structlog

from broker.catalog.revisions import from_text
from broker.domain.catalog import Catalog
from broker.errors import StoreUnavailable
from broker.store import catalogs
from broker.store.catalogs import CatalogRevision
from broker.store.database import Database

log = structlog.get_logger(__name__)

Prepare = Callable[[Catalog], None]


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

    def current(self) -> Catalog:
        """Return what is served now; an empty catalog of revision 0 before the first publication."""
        return self._catalog

    def prepare(self, prepare: Prepare) -> None:
        """Have something made, in a thread of its own, of each catalog before it is served."""
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
                newest = await catalogs.newest(tx)
            assert newest is not None, "revisions are never deleted"
            await self._adopt(await catalog_of(newest))
            return True

    async def serve(self, catalog: Catalog) -> None:
        """Serve what this process has just published, unless there is something newer."""
        async with self._turn:
            if catalog.revision > self._catalog.revision:
                await self._adopt(catalog)

    async def _adopt(self, catalog: Catalog) -> None:
        await asyncio.to_thread(self._prepared, catalog)
        self._catalog = catalog
        # A large catalog is millions of objects that live long: looking through them again and again for garbage would
        # stop everything for a third of a second each time.
        gc.freeze()
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
