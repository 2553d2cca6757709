"""Revisions of the catalog that nobody has proposed."""

from broker.catalog.file_sets import FileSet
from broker.catalog.guard.identities import published_ids
from broker.catalog.revisions import digest_of, to_text
from broker.domain.catalog import Catalog
from broker.domain.catalog_sources import Composition, to_document
from broker.store import catalogs
from broker.store.database import Database


async def publish(database: Database, catalog: Catalog, *, of: FileSet | None = None) -> int:
    """Publish *catalog* past the guard, as what these files came to; a broker with them goes on with it."""
    text = to_text(catalog)
    composition = Composition() if of is None else Composition().with_files(of.digest, of.sets)
    new = catalogs.NewRevision(
        text, digest_of(text), to_document(composition), published_ids(catalog), len(catalog.offerings), 0
    )
    async with database.transaction() as tx:
        if of is not None:
            for _, source in of.sources:
                (kept,) = (one for one in of.sets if one.name == source.name)
                files = {path: content.decode() for path, content in source.files.items()}
                await catalogs.add_files(tx, kept.digest, files)
            await catalogs.note_file_set(tx, of.digest, accepted=True)
        before = await catalogs.newest_number(tx)
        return await catalogs.publish(tx, new, "a test", "A test.", after=before)
