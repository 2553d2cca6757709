"""What an operator can see and do about the catalog: register, withdraw, and bring older revisions back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from broker.catalog.differences import Difference, differences
from broker.catalog.faults import CatalogRefused, Fault, refused
from broker.catalog.file_sets import set_of
from broker.catalog.publishing import Answer, Proposal, Publisher
from broker.catalog.source import CatalogSource, catalog_of
from broker.catalog.sources import Source
from broker.catalog.watching import FileWatch
from broker.domain.catalog import Catalog
from broker.domain.catalog_sources import (
    CatalogSet,
    Composition,
    SourceKind,
    Withdrawal,
    from_document,
)
from broker.domain.operators import Deed
from broker.domain.pages import Page, PageRequest
from broker.errors import NotFound, WrongState, shown
from broker.store import catalogs
from broker.store.catalogs import RevisionHead
from broker.store.database import Database


@dataclass(frozen=True)
class Proposed:
    """
    What a proposal comes to: published as `revision`, or refused for its `faults`, or neither since it changes nothing.

    `revision` is else the one in force. A dry run publishes nothing; its `effects` tell what would change, its
    `differences` how, one by one.
    """

    revision: int
    published: bool
    refused: bool
    effects: Sequence[str]
    faults: Sequence[Fault]
    dry_run: bool = False
    differences: Sequence[Difference] = ()


@dataclass(frozen=True)
class RevisionSummary:
    """A published revision; what an older release published can be shown, but not be brought back."""

    revision: int
    published_at: datetime
    author: str
    reason: str
    digest: str
    in_force: bool
    can_be_brought_back: bool
    offerings: int | None = None
    plans: int | None = None


@dataclass(frozen=True)
class PublishedPlan:
    """A plan of a revision."""

    id: str
    name: str
    withdrawn: bool


@dataclass(frozen=True)
class PublishedOffering:
    """An offering of a revision."""

    id: str
    name: str
    withdrawn: bool
    plans: Sequence[PublishedPlan]


@dataclass(frozen=True)
class RevisionDetails:
    """A revision with what it was merged from, and what it offers."""

    summary: RevisionSummary
    sources: Sequence[CatalogSet]
    withdrawn: Sequence[Withdrawal]
    offerings: Sequence[PublishedOffering]


@dataclass(frozen=True)
class CatalogState:
    """What this process serves, and why its own files are not in it, if they are not."""

    revision: int
    published_at: datetime | None
    offerings: int
    plans: int
    note: str | None
    faults: Sequence[Fault]


@dataclass(frozen=True)
class SourceFiles:
    """A source of the revision in force, with the text of each file."""

    source: CatalogSet
    files: Mapping[str, str]


class CatalogAdministration:
    """Shows operators what is published, and proposes what they want."""

    def __init__(
        self,
        database: Database,
        catalog: CatalogSource,
        publisher: Publisher,
        files: FileWatch | None = None,
    ) -> None:
        self._db = database
        self._catalog = catalog
        self._publisher = publisher
        self._files = files

    async def state(self) -> CatalogState:
        """Return what this process serves."""
        catalog = self._catalog.current()
        return CatalogState(
            revision=catalog.revision,
            published_at=catalog.published_at,
            offerings=len(catalog.offerings),
            plans=sum(len(offering.plans) for offering in catalog.offerings),
            note=await self._files.note() if self._files else None,
            faults=self._files.refused if self._files else (),
        )

    async def revisions(self, at: PageRequest) -> Page[RevisionSummary]:
        """
        Return a page of the published revisions, the newest first.

        Raises:
            MalformedRequest: The cursor is none of this list.
        """
        async with self._db.transaction(read_only=True) as tx:
            page = await catalogs.heads(tx, at)
            newest = await catalogs.newest_number(tx)
        return page.of(lambda head: _summary(head, newest))

    async def revision(self, number: int) -> RevisionDetails:
        """
        Show one revision.

        Raises:
            NotFound: There is none.
        """
        async with self._db.transaction(read_only=True) as tx:
            head = await catalogs.head(tx, number)
            kept = await catalogs.revision(tx, number)
            newest = await catalogs.newest_number(tx)
        if head is None or kept is None:
            raise NotFound(f"There is no revision {number} of the catalog.")
        catalog = await catalog_of(kept)
        composition = from_document(head.sources) if head.sources is not None else Composition()
        return RevisionDetails(
            summary=_summary(head, newest),
            sources=composition.sets,
            withdrawn=composition.withdrawn,
            offerings=[
                PublishedOffering(
                    offering.id,
                    offering.name,
                    offering.withdrawn,
                    [PublishedPlan(plan.id, plan.name, plan.withdrawn) for plan in offering.plans],
                )
                for offering in catalog.offerings
            ],
        )

    async def sources(self) -> Sequence[CatalogSet]:
        """Return what the revision in force is merged from, in the order in which it is laid over one another."""
        return (await self._composition()).sets

    async def source(self, name: str) -> SourceFiles:
        """
        Return a source of the revision in force with its files.

        Raises:
            NotFound: There is none.
        """
        found = next((one for one in (await self._composition()).sets if one.name == name), None)
        if found is None:
            raise NotFound(f"The catalog in force has no source {shown(name)}.")
        async with self._db.transaction(read_only=True) as tx:
            kept = await catalogs.files_of(tx, [found.digest])
        return SourceFiles(found, kept[found.digest])

    async def register(
        self, deed: Deed, name: str, files: Mapping[str, str], *, expected: int | None = None
    ) -> Proposed:
        """
        Propose that these files, by their paths, are a source of the catalog; one of this name is replaced.

        Raises:
            WrongState: The name is that of built-in offerings or of an overlay folder.
            BrokerError: As `Publisher.propose` says.
        """
        try:
            source = Source(name, {path: text.encode() for path, text in files.items()})
        except CatalogRefused as unread:
            return await self._unread(deed, unread.faults)
        if not source.offerings:
            return await self._unread(deed, [Fault(name, 0, "", "holds no <family>/<offering>.yaml")])

        def change(before: Composition, _catalog: Catalog, now: datetime) -> Composition:
            if any(one.name == name for one in before.of_files):
                raise WrongState(
                    f"{shown(name)} is the name of files that the broker brings itself; register these under another."
                )
            new = set_of(
                SourceKind.REGISTERED,
                source,
                author=deed.operator.actor,
                reason=deed.reason,
                since=now,
            )
            return before.with_registered(new)

        return await self._propose(deed, "register", f"catalog source {name}", change, [source], expected)

    async def unregister(self, deed: Deed, name: str, *, expected: int | None = None) -> Proposed:
        """
        Propose that a registered source goes, with all that it adds or changes.

        Raises:
            NotFound: No source of this name was registered.
            BrokerError: As `Publisher.propose` says.
        """

        def change(before: Composition, _catalog: Catalog, _now: datetime) -> Composition:
            if all(one.name != name for one in before.registered):
                raise NotFound(f"No catalog source {shown(name)} is registered.")
            return before.without_registered(name)

        return await self._propose(deed, "unregister", f"catalog source {name}", change, (), expected)

    async def withdraw(self, deed: Deed, what: str, *, expected: int | None = None) -> Proposed:
        """
        Propose that OFFERING, or OFFERING/PLAN, is not offered any more; who has an instance goes on with it.

        Raises:
            NotFound: There is no such thing in the catalog.
            BrokerError: As `Publisher.propose` says.
        """

        def change(before: Composition, catalog: Catalog, now: datetime) -> Composition:
            return before.with_withdrawn(
                Withdrawal(*_meant(catalog, what), deed.operator.actor, deed.reason, now)
            )

        return await self._propose(deed, "withdraw", f"catalog {what}", change, (), expected)

    async def restore(self, deed: Deed, what: str, *, expected: int | None = None) -> Proposed:
        """
        Propose that OFFERING, or OFFERING/PLAN, is offered again.

        Raises:
            NotFound: There is no such thing in the catalog.
            WrongState: No operator has withdrawn it.
            BrokerError: As `Publisher.propose` says.
        """

        def change(before: Composition, catalog: Catalog, _now: datetime) -> Composition:
            ids = _meant(catalog, what)
            if all(one.what != ids for one in before.withdrawn):
                raise WrongState(
                    f"{shown(what)} was not withdrawn by an operator. If it is not offered, its offering was "
                    "withdrawn, or an overlay hides it."
                )
            return before.without_withdrawn(ids)

        return await self._propose(deed, "restore", f"catalog {what}", change, (), expected)

    async def roll_back(self, deed: Deed, number: int, *, expected: int | None = None) -> Proposed:
        """
        Propose what an older revision was merged from, files and withdrawals, as a new revision.

        Raises:
            NotFound: There is no such revision.
            WrongState: A release published it that did not keep what it was merged from.
            BrokerError: As `Publisher.propose` says.
        """
        async with self._db.transaction(read_only=True) as tx:
            head = await catalogs.head(tx, number)
        if head is None:
            raise NotFound(f"There is no revision {number} of the catalog.")
        if head.sources is None:
            raise WrongState(
                f"Revision {number} was published by a release that did not keep the files; it cannot be brought back."
            )
        older = from_document(head.sources)
        return await self._propose(
            deed, "roll back", f"catalog revision {number}", lambda *_: older, (), expected
        )

    async def _composition(self) -> Composition:
        async with self._db.transaction(read_only=True) as tx:
            known = await catalogs.newest_sources(tx)
        return Composition() if known is None else from_document(known)

    async def _propose(
        self,
        deed: Deed,
        action: str,
        object: str,  # noqa: A002 - the audit's own word
        change: Callable[[Composition, Catalog, datetime], Composition],
        brings: Sequence[Source],
        expected: int | None,
    ) -> Proposed:
        answer = await self._publisher.propose(
            Proposal(
                change=change,
                author=deed.operator.actor,
                reason=deed.reason,
                action=action,
                object=object,
                brings=brings,
                expected=expected,
                dry_run=deed.dry_run,
            )
        )
        found = await asyncio.to_thread(_changes, answer)
        return Proposed(
            revision=answer.revision,
            published=answer.published,
            refused=answer.refused,
            effects=[_effect(one) for one in found],
            faults=answer.faults,
            dry_run=deed.dry_run,
            differences=found if deed.dry_run else (),
        )

    async def _unread(self, deed: Deed, faults: Sequence[Fault]) -> Proposed:
        revision = self._catalog.current().revision
        return Proposed(revision, False, bool(refused(faults)), (), sorted(faults), deed.dry_run)


def _changes(answer: Answer) -> list[Difference]:
    return [] if answer.refused else differences(answer.before, answer.proposed)


def _effect(one: Difference) -> str:
    return f"{one.thing}, {one.field}: {one.text}" if one.field else f"{one.thing}: {one.text}"


def _meant(catalog: Catalog, what: str) -> tuple[str, str | None]:
    """
    Return the ids of an offering, and of its plan if one is named; both by name or by id.

    Raises:
        NotFound: There is no such thing.
    """
    wanted, _, plan_wanted = what.partition("/")
    for offering in catalog.offerings:
        if wanted not in {offering.name, offering.id}:
            continue
        if not plan_wanted and "/" not in what:
            return offering.id, None
        for plan in offering.plans:
            if plan_wanted in {plan.name, plan.id}:
                return offering.id, plan.id
    raise NotFound(f"The catalog has no {shown(what)}; give OFFERING or OFFERING/PLAN.")


def _summary(head: RevisionHead, newest: int) -> RevisionSummary:
    return RevisionSummary(
        revision=head.revision,
        published_at=head.published_at,
        author=head.author,
        reason=head.reason,
        digest=head.digest,
        in_force=head.revision == newest,
        can_be_brought_back=head.sources is not None,
        offerings=head.offerings,
        plans=head.plans,
    )
