"""What each id that was ever published stands for: it never stands for anything else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping

from sqlalchemy import func, select, update

from broker.domain.catalog_use import PublishedId
from broker.domain.json_values import JsonObject
from broker.store.database import Transaction
from broker.store.tables import catalog_ids as table
from broker.store.tables import catalog_revisions

_AT_ONCE = 500


async def published(tx: Transaction) -> dict[str, PublishedId]:
    """Return every id that any revision has published, with what it was first published for."""
    rows = await tx.execute(select(table))
    found = {row.id: PublishedId(row.name, row.service_offering_id) for row in rows}
    async for _, document in _unread(tx):
        found = {**dict(_ids(document)), **found}
    return found


async def remember(tx: Transaction, revision: int, ids: Mapping[str, PublishedId]) -> None:
    """
    Remember the *ids* of the *revision* that is being published, and those of what was not looked through yet.

    That is what a release published that knew no such table.

    Raises:
        Duplicate: Another replica does the same at this moment; decide again in a new transaction.
    """
    known = {row.id for row in await tx.execute(select(table.c.id))}
    unread = [(number, dict(_ids(document))) async for number, document in _unread(tx, before=revision)]
    for number, said_ids in [*unread, (revision, ids)]:
        new = [
            {
                "id": one,
                "name": said.name,
                "service_offering_id": said.service_offering_id,
                "last_revision": number,
            }
            for one, said in said_ids.items()
            if one not in known
        ]
        old = sorted(known & said_ids.keys())
        for start in range(0, len(old), _AT_ONCE):
            some = old[start : start + _AT_ONCE]
            await tx.execute(update(table).where(table.c.id.in_(some)).values(last_revision=number))
        if new:
            await tx.execute(table.insert(), new)
        known |= said_ids.keys()


async def _unread(tx: Transaction, *, before: int | None = None) -> AsyncIterator[tuple[int, JsonObject]]:
    """Yield the revisions that are newer than any whose ids are remembered, one at a time: they may be large."""
    last = (await tx.execute(select(func.max(table.c.last_revision)))).scalar_one() or 0
    newer = select(catalog_revisions.c.revision).where(catalog_revisions.c.revision > last)
    if before is not None:
        newer = newer.where(catalog_revisions.c.revision < before)
    for number in (await tx.execute(newer.order_by(catalog_revisions.c.revision))).scalars().all():
        document = select(catalog_revisions.c.document).where(catalog_revisions.c.revision == number)
        yield number, (await tx.execute(document)).scalar_one()


def _ids(document: JsonObject) -> Iterator[tuple[str, PublishedId]]:
    for offering in document["offerings"]:
        yield offering["id"], PublishedId(offering["name"], offering["id"])
        for plan in offering["plans"]:
            yield plan["id"], PublishedId(plan["name"], offering["id"])
