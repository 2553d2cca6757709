"""All that would change the catalog is a proposal: merged, looked at by the guard, and published or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from broker.catalog.faults import Fault, refused
from broker.catalog.file_sets import content_digest
from broker.catalog.guard import refusals
from broker.catalog.guard.identities import published_ids
from broker.catalog.reader import read_sources
from broker.catalog.revisions import digest_of, to_text
from broker.catalog.source import CatalogSource
from broker.catalog.sources import Source
from broker.domain.catalog import Catalog
from broker.domain.catalog_sources import Composition, from_document, to_document, withdraw
from broker.domain.catalog_use import CatalogUse
from broker.errors import CatalogBusy, CatalogChanged
from broker.store import audit, catalog_use, catalogs
from broker.store.catalogs import NewRevision
from broker.store.database import Database, Transaction
from broker.store.errors import Duplicate

log = structlog.get_logger(__name__)

_ATTEMPTS = 20
"""How often others may be faster, before it is left to whoever asked to try again."""

_AT_MOST_WARNINGS = 50
"""Of one publication that are logged; whoever publishes by hand is told all."""

Check = Callable[[Catalog], Sequence[Fault]]
Change = Callable[[Composition, Catalog, datetime], Composition]
"""Makes of what the published revision was merged from what the next one shall be; the time is the database's."""


@dataclass(frozen=True)
class Proposal:
    """
    What somebody wants the catalog to be.

    `change` is made anew of what is published whenever somebody else was faster, and may raise a BrokerError.
    `brings` are the sources that it names and that may not be kept yet. With `expected` it is for that revision only.
    """

    change: Change
    author: str
    reason: str
    action: str
    """For the audit: `register`, `withdraw`."""
    object: str
    brings: Sequence[Source] = ()
    expected: int | None = None
    dry_run: bool = False
    in_transaction: Callable[[Transaction], Awaitable[None]] | None = None
    """Done in the transaction of the publication, and not if there is none."""
    unless_published: bool = False
    """Not if this very document was published before."""


@dataclass(frozen=True)
class Answer:
    """
    What became of a proposal.

    Published, it is `revision`; refused, `faults` tell why; neither, it changes nothing. `revision` is else the one in
    force. Warnings are among `faults` in each case.
    """

    revision: int
    published: bool
    before: Catalog
    proposed: Catalog
    faults: tuple[Fault, ...] = field(default=())

    @property
    def refused(self) -> bool:
        """Whether it must not be published."""
        return bool(refused(self.faults))


class Publisher:
    """Publishes what is proposed to this process, one proposal after another."""

    def __init__(self, database: Database, catalog: CatalogSource, *, also: Check | None = None) -> None:
        self._db = database
        self._catalog = catalog
        self._also = also
        self._turn = asyncio.Lock()

    async def propose(self, proposal: Proposal) -> Answer:
        """
        Publish a proposal, unless it has a fault or changes nothing; the same one again changes nothing.

        Who is slower than another process merges again, with what that one has published, so that nothing is lost. No
        database connection is held while files are read.

        Raises:
            CatalogChanged: Another revision is in force than the expected one.
            CatalogBusy: Others were faster each time.
            BrokerError: As the proposal's own change says.
            StoreUnavailable: The database does not answer.
        """
        async with self._turn:
            for _ in range(_ATTEMPTS):
                with self._catalog.much_to_do():
                    answer = await self._once(proposal)
                if answer is not None:
                    return answer
            raise CatalogBusy

    async def _once(self, proposal: Proposal) -> Answer | None:
        await self._catalog.refresh()
        published = self._catalog.current()
        if proposal.expected not in {None, published.revision}:
            raise CatalogChanged(published.revision, proposal.expected)
        async with self._db.transaction(read_only=True) as tx:
            if await catalogs.newest_number(tx) != published.revision:
                return None
            known = await catalogs.newest_sources(tx)
            now = tx.now
        before = Composition() if known is None else from_document(known)
        wanted = proposal.change(before, published, now)
        if known is not None and wanted.same_as(before) and not proposal.unless_published:
            return Answer(published.revision, published=False, before=published, proposed=published)
        sources = await self._sources(wanted, proposal.brings)
        proposed, faults = await asyncio.to_thread(self._merged, sources, wanted)
        if refused(faults):
            return self._refused(published, proposed, faults)
        async with self._db.transaction(read_only=True) as tx:
            use = await catalog_use.of_proposal(tx, published, proposed)
        found = await asyncio.to_thread(refusals, published, proposed, use)
        if refused(found) or proposal.dry_run:
            return self._refused(published, proposed, [*faults, *found])
        new = await asyncio.to_thread(_written, proposed, wanted)
        try:
            return await self._publish(proposal, published, proposed, new, use, [*faults, *found])
        except Duplicate:
            return None

    async def _sources(self, wanted: Composition, brings: Sequence[Source]) -> list[Source]:
        at_hand = {content_digest(source.files): source.files for source in brings}
        missing = {one.digest for one in wanted.sets} - at_hand.keys()
        if missing:
            async with self._db.transaction(read_only=True) as tx:
                kept = await catalogs.files_of(tx, missing)
            for digest, files in kept.items():
                at_hand[digest] = {path: text.encode() for path, text in files.items()}
        return [Source(one.name, at_hand[one.digest]) for one in wanted.sets]

    def _merged(self, sources: Sequence[Source], wanted: Composition) -> tuple[Catalog, list[Fault]]:
        # An overlay folder may be empty, and so may a new broker's catalog.
        catalog, faults = read_sources([source for source in sources if source.files])
        if self._also is not None and not refused(faults):
            faults = [*faults, *self._also(catalog)]
        return withdraw(catalog, wanted.withdrawn), faults

    @staticmethod
    def _refused(published: Catalog, proposed: Catalog, faults: Sequence[Fault]) -> Answer:
        return Answer(published.revision, False, published, proposed, tuple(sorted(faults)))

    async def _publish(
        self,
        proposal: Proposal,
        published: Catalog,
        proposed: Catalog,
        new: NewRevision,
        use: CatalogUse,
        faults: Sequence[Fault],
    ) -> Answer | None:
        async with self._db.transaction() as tx:
            if await catalogs.newest_number(tx) != published.revision:
                return None
            if proposal.unless_published and await catalogs.was_published(tx, new.digest):
                return self._refused(published, proposed, faults)
            used = await catalog_use.of_proposal(tx, published, proposed)
            if used != use:
                # Ordered in the meantime.
                faults = [*faults, *await asyncio.to_thread(refusals, published, proposed, used)]
                if refused(faults):
                    return self._refused(published, proposed, faults)
            for source in proposal.brings:
                texts = {path: content.decode() for path, content in source.files.items()}
                await catalogs.add_files(tx, content_digest(source.files), texts)
            if proposal.in_transaction is not None:
                await proposal.in_transaction(tx)
            revision = await catalogs.publish(
                tx, new, proposal.author, proposal.reason, after=published.revision
            )
            await audit.add(tx, proposal.author, None, proposal.action, proposal.object, proposal.reason)
        log.info("A catalog was published.", revision=revision, digest=new.digest, author=proposal.author)
        for warning in [fault for fault in faults if fault.severity == "warning"][:_AT_MOST_WARNINGS]:
            log.warning("Of a published catalog this was told.", revision=revision, fault=str(warning))
        served = replace(proposed, revision=revision, digest=new.digest, published_at=tx.now, origins={})
        await self._catalog.serve(served)
        return Answer(revision, True, published, served, tuple(sorted(set(faults))))


def _written(catalog: Catalog, wanted: Composition) -> NewRevision:
    text = to_text(catalog)
    return NewRevision(
        text=text,
        digest=digest_of(text),
        sources=to_document(wanted),
        ids=published_ids(catalog),
        offerings=len(catalog.offerings),
        plans=sum(len(offering.plans) for offering in catalog.offerings),
    )
