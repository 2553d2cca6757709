"""The audit, and what is gone, as operators look through them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, or_, select

from broker.domain.pages import Page, PageRequest
from broker.domain.summaries import AuditFilter, AuditRow, PastFilter, PastRecord, ResourceSummary
from broker.store.administration import cursors
from broker.store.database import Transaction
from broker.store.tables import audit, external_resources, history

_PAST = (
    "kind",
    "key",
    "platform",
    "instance_id",
    "binding_id",
    "generation",
    "reason",
    "created_at",
    "removed_at",
)


async def audit_page(tx: Transaction, wanted: AuditFilter, at: PageRequest) -> Page[AuditRow]:
    """
    Return a page of the audit, the newest first.

    Raises:
        MalformedRequest: The cursor is none of this list.
    """
    conditions = _equal(audit, wanted, "actor", "action")
    if wanted.object is not None:
        conditions.append(audit.c.object.icontains(wanted.object, autoescape=True))
    conditions += _ages(audit.c.at, wanted, tx.now)
    rows, following = await _numbered(tx, audit, conditions, at)
    return Page([AuditRow(**row) for row in rows], following)


async def page(tx: Transaction, wanted: PastFilter, at: PageRequest) -> Page[PastRecord]:
    """
    Return a page of what is gone, the latest first, without documents.

    Raises:
        MalformedRequest: The cursor is none of this list.
    """
    conditions = _equal(history, wanted, "platform", "instance_id", "binding_id", "kind")
    if wanted.search is not None:
        searched = (history.c.instance_id, history.c.binding_id, history.c.reason)
        conditions.append(or_(*(column.icontains(wanted.search, autoescape=True) for column in searched)))
    conditions += _ages(history.c.removed_at, wanted, tx.now)
    rows, following = await _numbered(tx, history, conditions, at)
    return Page([PastRecord(**{name: row[name] for name in _PAST}) for row in rows], following)


async def named(
    tx: Transaction, instance_id: str, binding_id: str | None, platform: str | None, *, at_most: int
) -> list[PastRecord]:
    """Return each life of an instance or binding id that has ended, the latest first."""
    query = (
        select(history)
        .where(history.c.instance_id == instance_id, history.c.binding_id == binding_id)
        .order_by(history.c.number.desc())
        .limit(at_most)
    )
    if platform is not None:
        query = query.where(history.c.platform == platform)
    rows = (await tx.execute(query)).mappings()
    return [PastRecord(**{name: row[name] for name in (*_PAST, "document")}) for row in rows]


async def resources_of(
    tx: Transaction, instance_key: UUID, *, binding_key: UUID | None = None, at_most: int
) -> list[ResourceSummary]:
    """Return what an instance (or one of its bindings), living or gone, has or had in Azure."""
    table = external_resources
    whose = (
        table.c.binding_key == binding_key
        if binding_key is not None
        else table.c.instance_key == instance_key
    )
    names = ("resource_id", "made_by_us", "created_at", "binding_key", "gone_at")
    query = select(*(table.c[name] for name in names)).where(whose).order_by(table.c.number).limit(at_most)
    return [ResourceSummary(**row) for row in (await tx.execute(query)).mappings()]


async def _numbered(
    tx: Transaction, table: Table, conditions: list[ColumnElement[bool]], at: PageRequest
) -> tuple[list[dict[str, Any]], str | None]:
    query = select(table).where(*conditions).order_by(table.c.number.desc())
    if at.cursor is not None:
        (number,) = cursors.decoded(at.cursor, int)
        query = query.where(table.c.number < number)
    rows, last = await cursors.rows_of(tx, query, at)
    following = cursors.encoded(last.number) if last is not None else None
    return [dict(row._mapping) for row in rows], following  # noqa: SLF001 - SQLAlchemy's public name for it


def _equal(table: Table, wanted: AuditFilter | PastFilter, *names: str) -> list[ColumnElement[bool]]:
    given = {name: getattr(wanted, name) for name in names}
    return [table.c[name] == value for name, value in given.items() if value is not None]


def _ages(
    column: ColumnElement[datetime], wanted: AuditFilter | PastFilter, now: datetime
) -> list[ColumnElement[bool]]:
    found = []
    if wanted.older_than is not None:
        found.append(column < now - wanted.older_than)
    if wanted.newer_than is not None:
        found.append(column > now - wanted.newer_than)
    return found
