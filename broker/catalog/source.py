"""Hands the newest published catalog to whoever serves requests."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog

from broker.catalog.publishing import newest_catalog
from broker.domain.catalog import Catalog
from broker.errors import StoreUnavailable
from broker.store import catalogs
from broker.store.database import Database

log = structlog.get_logger(__name__)


class CatalogSource:
    """
    The catalog of this process; `current` is what is served now, without asking the database.

    `refresh` looks once for a newer revision, `run` does so every *interval* until it is cancelled.
    """

    def __init__(
        self, db: Database, catalog: Catalog, *, interval: timedelta = timedelta(seconds=10)
    ) -> None:
        self._db = db
        self._catalog = catalog
        self._interval = interval

    def current(self) -> Catalog:
        return self._catalog

    async def refresh(self) -> bool:
        """Look for a newer revision; tell whether there was one."""
        async with self._db.transaction(read_only=True) as tx:
            number = await catalogs.newest_number(tx)
        if number <= self._catalog.revision:
            return False
        newest = await newest_catalog(self._db)
        self._catalog = newest
        log.info("A newer catalog is served.", revision=newest.revision, digest=newest.digest)
        return True

    async def run(self) -> None:
        """Keep up with what is published; a database that is away is asked again later."""
        while True:
            await asyncio.sleep(self._interval.total_seconds())
            try:
                await self.refresh()
            except StoreUnavailable:
                log.warning("The catalog could not be refreshed; the last one is served on.")
