"""Published revisions of the catalog, and the files that they were merged from."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ColumnElement, Row, Select, Text, cast, delete, func, literal, select

from broker.domain.catalog_use import PublishedId
from broker.domain.json_values import JsonObject
from broker.domain.pages import Page, PageRequest
from broker.store import catalog_ids
from broker.store.administration import cursors
from broker.store.database import Transaction
from broker.store.tables import catalog_file_sets, catalog_files, catalog_revisions


@dataclass(frozen=True)
class CatalogRevision:
    """A revision as it is kept; `text` is its document in JSON, not read yet: that takes a while."""

    revision: int
    text: str
    digest: str
    published_at: datetime


@dataclass(frozen=True)
class RevisionHead:
    """All of a revision but its document; `sources` is None of what a release published that knew of none."""

    revision: int
    digest: str
    author: str
    reason: str
    published_at: datetime
    sources: JsonObject | None
    offerings: int | None
    plans: int | None


@dataclass(frozen=True)
class NewRevision:
    """What is to be published."""

    text: str
    digest: str
    sources: JsonObject
    ids: Mapping[str, PublishedId]
    """Every id in it."""
    offerings: int
    plans: int


@dataclass(frozen=True)
class FileSet:
    """A set of files that a start or a watch has proposed; the highest number was proposed last."""

    number: int
    accepted: bool


_HEAD = tuple(
    catalog_revisions.c[name]
    for name in ("revision", "digest", "author", "reason", "published_at", "sources", "offerings", "plans")
)


async def newest(tx: Transaction) -> CatalogRevision | None:
    """Return the newest published revision."""
    return await _read(tx, _whole().order_by(catalog_revisions.c.revision.desc()).limit(1))


async def revision(tx: Transaction, number: int) -> CatalogRevision | None:
    """Return one revision."""
    return await _read(tx, _whole().where(catalog_revisions.c.revision == number))


async def newest_number(tx: Transaction) -> int:
    """Return the number of the newest revision, 0 before the first: cheap enough to look often."""
    found = await tx.execute(select(func.max(catalog_revisions.c.revision)))
    return found.scalar_one() or 0


async def head(tx: Transaction, number: int) -> RevisionHead | None:
    """Return one revision without its document."""
    row = (await tx.execute(select(*_HEAD).where(catalog_revisions.c.revision == number))).first()
    return None if row is None else _head(row)


async def heads(tx: Transaction, at: PageRequest) -> Page[RevisionHead]:
    """
    Return a page of the revisions, the newest first.

    Raises:
        MalformedRequest: The cursor is none of this list.
    """
    query = select(*_HEAD).order_by(catalog_revisions.c.revision.desc())
    if at.cursor is not None:
        (number,) = cursors.decoded(at.cursor, int)
        query = query.where(catalog_revisions.c.revision < number)
    rows, last = await cursors.rows_of(tx, query, at)
    return Page([_head(row) for row in rows], cursors.encoded(last.revision) if last is not None else None)


async def newest_sources(tx: Transaction) -> JsonObject | None:
    """Return what the newest revision was merged from that has that on record."""
    column = catalog_revisions.c.sources
    known = select(column).where(column.is_not(None))
    found = await tx.execute(known.order_by(catalog_revisions.c.revision.desc()).limit(1))
    return found.scalar_one_or_none()


async def publish(tx: Transaction, new: NewRevision, author: str, reason: str, *, after: int) -> int:
    """
    Publish *new* as the revision that follows *after* (0: it is the first one), and return its number.

    Raises:
        Duplicate: Another replica has published meanwhile; look again.
    """
    number = after + 1
    await tx.execute(
        catalog_revisions.insert().values(
            revision=number,
            document=_as_json(tx, new.text),
            digest=new.digest,
            author=author,
            reason=reason,
            published_at=tx.now,
            sources=dict(new.sources),
            offerings=new.offerings,
            plans=new.plans,
        )
    )
    await catalog_ids.remember(tx, number, new.ids)
    tx.catalog_published = True
    return number


async def was_published(tx: Transaction, digest: str) -> bool:
    """Whether a revision with this digest was ever published."""
    found = await tx.execute(
        select(catalog_revisions.c.revision).where(catalog_revisions.c.digest == digest).limit(1)
    )
    return found.first() is not None


async def add_files(tx: Transaction, digest: str, files: Mapping[str, str]) -> None:
    """
    Keep the files of this digest; kept once, however often they are added.

    Raises:
        Duplicate: Another replica adds them at this moment; decide again in a new transaction.
    """
    known = select(catalog_files.c.digest).where(catalog_files.c.digest == digest)
    if (await tx.execute(known)).first() is None:
        text = json.dumps(dict(files), ensure_ascii=False)
        await tx.execute(
            catalog_files.insert().values(digest=digest, files=_as_json(tx, text), added_at=tx.now)
        )


async def files_of(tx: Transaction, digests: Collection[str]) -> dict[str, Mapping[str, str]]:
    """Return kept files, path by path, by their digest."""
    query = select(catalog_files.c.digest, catalog_files.c.files).where(catalog_files.c.digest.in_(digests))
    return {row.digest: row.files for row in await tx.execute(query)}


async def file_set(tx: Transaction, digest: str) -> FileSet | None:
    """Return what became of a set of files that was proposed before."""
    return await _file_set(tx, catalog_file_sets.c.digest == digest)


async def newest_file_set(tx: Transaction) -> FileSet | None:
    """Return what became of the set of files that was proposed last."""
    highest = select(func.max(catalog_file_sets.c.number)).scalar_subquery()
    return await _file_set(tx, catalog_file_sets.c.number == highest)


async def note_file_set(tx: Transaction, digest: str, *, accepted: bool) -> None:
    """
    Write down that a set of files was proposed, as the last one by now.

    Raises:
        Duplicate: Another replica has proposed at this moment; decide again in a new transaction.
    """
    highest = (await tx.execute(select(func.max(catalog_file_sets.c.number)))).scalar_one() or 0
    await tx.execute(delete(catalog_file_sets).where(catalog_file_sets.c.digest == digest))
    await tx.execute(
        catalog_file_sets.insert().values(
            number=highest + 1, digest=digest, accepted=accepted, proposed_at=tx.now
        )
    )


def _whole() -> Select[Any]:
    table = catalog_revisions.c
    return select(table.revision, cast(table.document, Text).label("text"), table.digest, table.published_at)


async def _read(tx: Transaction, query: Select[Any]) -> CatalogRevision | None:
    row = (await tx.execute(query)).first()
    return None if row is None else CatalogRevision(row.revision, row.text, row.digest, row.published_at)


async def _file_set(tx: Transaction, condition: ColumnElement[bool]) -> FileSet | None:
    columns = catalog_file_sets.c.number, catalog_file_sets.c.accepted
    row = (await tx.execute(select(*columns).where(condition))).first()
    return None if row is None else FileSet(row.number, row.accepted)


def _head(row: Row[Any]) -> RevisionHead:
    return RevisionHead(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


def _as_json(tx: Transaction, text: str) -> ColumnElement[Any]:
    """Write JSON that is text already: making it of a large document would hold everybody up."""
    said = literal(text, Text)
    return said if tx.database.kind == "sqlite" else cast(said, JSON)
