"""Published revisions of the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from broker.domain.json_values import JsonObject
from broker.store import catalog_ids
from broker.store.database import Transaction
from broker.store.tables import catalog_revisions


@dataclass(frozen=True)
class CatalogRevision:
    revision: int
    document: JsonObject
    digest: str
    published_at: datetime


async def newest(tx: Transaction) -> CatalogRevision | None:
    """Return the newest published revision."""
    found = await tx.execute(select(catalog_revisions).order_by(catalog_revisions.c.revision.desc()).limit(1))
    row = found.first()
    return None if row is None else CatalogRevision(row.revision, row.document, row.digest, row.published_at)


async def newest_number(tx: Transaction) -> int:
    """Return the number of the newest revision, 0 before the first: cheap enough to look often."""
    found = await tx.execute(select(func.max(catalog_revisions.c.revision)))
    return found.scalar_one() or 0


async def publish(tx: Transaction, document: JsonObject, digest: str, author: str, reason: str) -> int:
    """
    Publish *document* as the newest revision and return its number, counted from 1.

    Raises:
        Duplicate: Another replica has published meanwhile; look again.
    """
    revision = await newest_number(tx) + 1
    await tx.execute(
        catalog_revisions.insert().values(
            revision=revision,
            document=dict(document),
            digest=digest,
            author=author,
            reason=reason,
            published_at=tx.now,
        )
    )
    await catalog_ids.remember(tx)
    return revision


async def was_published(tx: Transaction, digest: str) -> bool:
    """Whether a revision with this digest was ever published."""
    found = await tx.execute(
        select(catalog_revisions.c.revision).where(catalog_revisions.c.digest == digest).limit(1)
    )
    return found.first() is not None
