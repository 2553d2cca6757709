"""Proposes what this process brings: at its start, and whenever its files have changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from broker.catalog.faults import CatalogRefused, Fault, refused
from broker.catalog.file_sets import Files, FileSet
from broker.catalog.publishing import Answer, Proposal, Publisher
from broker.catalog.source import CatalogSource
from broker.domain.catalog_sources import from_document
from broker.errors import CatalogBusy, StoreUnavailable
from broker.store import catalogs
from broker.store.database import Database, Transaction
from broker.store.errors import Duplicate

log = structlog.get_logger(__name__)

AUTHOR = "osb serve"
_AGAIN_AFTER_S = 60.0
"""When what was refused is proposed again: what stood in its way may be gone."""
_SHOWN = 3


class FileWatch:
    """
    Looks at the files of one process every *interval*, and has them published.

    At a start only what was never proposed before is: a replica of the last release that starts during an upgrade does
    not take the new catalog back. A change while the process runs is somebody's deed and always proposed. What is
    refused leaves the published revision in force; `refused` tells why until it is mended.
    """

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        catalog: CatalogSource,
        files: Files,
        *,
        interval: timedelta = timedelta(seconds=10),
        settles: timedelta = timedelta(seconds=1),
        refusals_counted: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._db = database
        self._publisher = publisher
        self._catalog = catalog
        self._files = files
        self._interval = interval
        self._settles = settles
        self._count = refusals_counted
        self.refused: tuple[Fault, ...] = ()
        self._digest: str | None = None
        self._proposed_at = 0.0
        self._left_aside = False
        self._unread = False
        self._answered: tuple[Fault, ...] = ()
        """Why what was proposed last was refused."""

    async def start(self) -> None:
        """
        Propose what was never proposed before.

        Raises:
            CatalogRefused: It is refused, and there is no published revision that could be served instead.
            StoreUnavailable: The database does not answer.
        """
        await self._catalog.refresh()
        try:
            files = await asyncio.to_thread(self._files.read)
        except CatalogRefused as unread:
            self._unread = True
            self._note_refusal(unread.faults)
        else:
            self._digest = files.digest
            await self._propose_at_start(files)
        if self.refused and self._catalog.current().revision == 0:
            raise CatalogRefused(self.refused)

    async def run(self) -> None:
        """Look again and again until it is cancelled; a database that is away is asked again later."""
        while True:
            await asyncio.sleep(self._interval.total_seconds())
            try:
                await self.look()
            except (StoreUnavailable, CatalogBusy, Duplicate) as fault:
                log.warning("The catalog's files could not be proposed; they will be.", reason=str(fault))

    async def look(self) -> None:
        """Look at the files once; propose them if they have changed, or if it is time to try again."""
        try:
            files = await self._settled()
        except CatalogRefused as unread:
            self._unread = True
            self._note_refusal(unread.faults)
            return
        if files is None:
            return
        late = self._answered and time.monotonic() - self._proposed_at > _AGAIN_AFTER_S
        if self._digest is None:
            # Not readable until now: nobody has changed them, this is the start.
            await self._propose_at_start(files)
        elif files.digest != self._digest:
            await self._propose(files, reason="The catalog's files have changed.")
        elif late:
            # Others may have been published by now: those of a process that is about to go are not to follow them.
            await self._propose_at_start(files, reason="What was refused is tried again.")
        elif self._unread:
            # As they were before. To propose them anew could undo what operators did since.
            self._note_refusal(self._answered)
        self._digest, self._unread = files.digest, False

    async def note(self) -> str | None:
        """Tell an operator what is not as he may expect it."""
        revision = self._catalog.current().revision
        if self.refused:
            shown = "; ".join(str(fault) for fault in self.refused[:_SHOWN])
            more = f"; and {len(self.refused) - _SHOWN} more" if len(self.refused) > _SHOWN else ""
            return f"The files were refused, revision {revision} goes on: {shown}{more}"
        if self._left_aside:
            return (
                f"Revision {revision} goes on: the files here were published before and replaced since. "
                "`osb catalog rollback` brings an older revision back."
            )
        if not any(offering.offered for offering in self._catalog.current().offerings):
            return "The catalog is empty: nothing can be ordered until something is registered."
        return None

    async def _settled(self) -> FileSet | None:
        """Read the files; None while they are being changed, of which one half must not be published."""
        files = await asyncio.to_thread(self._files.read)
        if files.digest == self._digest:
            return files
        await asyncio.sleep(self._settles.total_seconds())
        again = await asyncio.to_thread(self._files.read)
        return files if files.digest == again.digest else None

    async def _propose_at_start(self, files: FileSet, reason: str = "Start of the broker.") -> None:
        async with self._db.transaction(read_only=True) as tx:
            mine = await catalogs.file_set(tx, files.digest)
            last = await catalogs.newest_file_set(tx)
            known = await catalogs.newest_sources(tx)
        in_force = known is not None and from_document(known).file_set == files.digest
        if mine is None or (mine == last and not mine.accepted):
            await self._propose(files, reason=reason)
        elif in_force:
            # This release may make another catalog of them; one that was published before stays replaced.
            await self._propose(files, reason=reason, unless_published=True)
        else:
            self._left_aside = True
            self._answered = ()
            self._note_refusal(())
            log.warning(
                "The catalog's files were published before and replaced since; they are left aside.",
                revision=self._catalog.current().revision,
            )

    async def _propose(self, files: FileSet, *, reason: str, unless_published: bool = False) -> None:
        async def written_down(tx: Transaction) -> None:
            await catalogs.note_file_set(tx, files.digest, accepted=True)

        answer = await self._publisher.propose(
            Proposal(
                change=lambda before, _catalog, _now: before.with_files(files.digest, files.sets),
                author=AUTHOR,
                reason=reason,
                action="publish catalog",
                object="files",
                brings=[source for _, source in files.sources],
                in_transaction=written_down,
                unless_published=unless_published,
            )
        )
        self._proposed_at = time.monotonic()
        self._left_aside = False
        self._answered = tuple(refused(answer.faults))
        self._note_refusal(self._answered)
        if not answer.published and not unless_published:
            await self._write_down(files, answer)

    async def _write_down(self, files: FileSet, answer: Answer) -> None:
        try:
            async with self._db.transaction() as tx:
                mine = await catalogs.file_set(tx, files.digest)
                if (
                    mine is None
                    or mine != await catalogs.newest_file_set(tx)
                    or mine.accepted == answer.refused
                ):
                    await catalogs.note_file_set(tx, files.digest, accepted=not answer.refused)
        except Duplicate:
            log.info("Another replica proposes the same files.", digest=files.digest)

    def _note_refusal(self, faults: tuple[Fault, ...]) -> None:
        found = tuple(refused(faults))
        if found and found != self.refused:
            for fault in found:
                log.error(
                    "A fault of the catalog's files; what was published goes on.",
                    file=fault.file,
                    line=fault.line,
                    path=fault.path,
                    fault=fault.message,
                )
        elif self.refused and not found:
            log.info("The catalog's files are as they should be again.")
        self.refused = found
        self._count(len(found))
