"""Files are proposals: a start publishes them as a revision in SQL, and the newest revision is what counts."""

from __future__ import annotations

from dataclasses import replace

import structlog

from broker.catalog.faults import CatalogRefused, refused
from broker.catalog.guard import refusals
from broker.catalog.revisions import digest_of, from_document, to_document
from broker.domain.catalog import Catalog
from broker.domain.catalog_use import UNKNOWN_USE
from broker.store import catalogs
from broker.store.catalogs import CatalogRevision
from broker.store.database import Database
from broker.store.errors import Duplicate

log = structlog.get_logger(__name__)


async def publish(db: Database, proposed: Catalog, *, author: str, reason: str) -> Catalog:
    """
    Publish *proposed* unless it was published before, and return the newest published revision.

    A set that was published before is not published again: otherwise a replica of the last release that starts
    during a rolling upgrade would take the new catalog back. Two replicas that start at once publish it once.

    Raises:
        CatalogRefused: An id or a name that was published has changed or vanished. Nothing was published.
        StoreUnavailable: The database did not answer.
    """
    document = to_document(proposed)
    digest = digest_of(document)
    try:
        async with db.transaction() as tx:
            if not await catalogs.was_published(tx, digest):
                newest = await catalogs.newest(tx)
                if newest is not None:
                    _refuse_changes(_catalog(newest), proposed)
                revision = await catalogs.publish(tx, document, digest, author, reason)
                log.info("A catalog was published.", revision=revision, digest=digest)
    except Duplicate:
        log.info("Another replica published the same catalog.", digest=digest)
    served = await newest_catalog(db)
    if served.digest != digest:
        log.warning(
            "The catalog files are older than the published revision, which is served.",
            revision=served.revision,
            digest=served.digest,
        )
    return served


async def newest_catalog(db: Database) -> Catalog:
    """Return the newest published revision; an empty catalog of revision 0 if nothing was published."""
    async with db.transaction(read_only=True) as tx:
        newest = await catalogs.newest(tx)
    return Catalog(()) if newest is None else _catalog(newest)


def _catalog(published: CatalogRevision) -> Catalog:
    catalog = from_document(published.document, revision=published.revision, digest=published.digest)
    return replace(catalog, published_at=published.published_at)


def _refuse_changes(published: Catalog, proposed: Catalog) -> None:
    faults = refused(refusals(published, proposed, UNKNOWN_USE))
    if faults:
        raise CatalogRefused(faults)
