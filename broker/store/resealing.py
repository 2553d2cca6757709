"""Sealing stored values anew under the newest key, while everybody else goes on working."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import Column, ColumnElement, Select, and_, func, select, update

from broker.store.database import Transaction
from broker.store.errors import SealBroken
from broker.store.sealing import key_name
from broker.store.tables import metadata

log = structlog.get_logger(__name__)

_SUFFIX = "_sealed"
COLUMNS: Mapping[str, Column[bytes]] = {
    f"{table.name}.{column.name}": column
    for table in metadata.sorted_tables
    for column in table.columns
    if column.name.endswith(_SUFFIX)
}
"""Every column that holds sealed values; the row of each has its own `key`, which is a part of the seal."""


UNREADABLE = "(unreadable)"
"""Stands for the key of values that no release of the broker has written."""


@dataclass(frozen=True)
class Position:
    """How far a pass over all sealed values has come: the column, and the last row that was looked at."""

    column: str
    key: UUID

    def __str__(self) -> str:
        return f"{self.column}:{self.key.hex}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """
        Read a position from its text.

        Raises:
            ValueError: It is none.
        """
        column, _, key = text.partition(":")
        if column not in COLUMNS:
            raise ValueError("There is no such column of sealed values.")
        return cls(column, UUID(hex=key))


@dataclass(frozen=True)
class Resealed:
    """
    What one batch has come to.

    `unopened` counts values whose key is not in the ring, or which were changed: they stay as they are. `after` is
    where the next batch goes on; None at the end.
    """

    resealed: int
    unopened: int
    after: Position | None


async def in_use(tx: Transaction) -> dict[str, int]:
    """Return how many stored values each key has sealed; a key that is not in it may leave the ring."""
    counts: dict[str, int] = {}
    for column in COLUMNS.values():
        heads: dict[str, bytes] = {}
        while True:
            # One look per key: whatever value is of none that is known so far names the next.
            others = and_(func.length(column) > 2, *(~_begins(column, head) for head in heads.values()))
            found = (await tx.execute(select(column).where(others).limit(1))).scalar()
            if found is None:
                break
            try:
                heads[key_name(found)] = found[: 2 + found[1]]
            except SealBroken:
                heads[UNREADABLE] = found[:1]
        for name, head in heads.items():
            number = await tx.execute(select(func.count()).where(_begins(column, head)))
            counts[name] = counts.get(name, 0) + number.scalar_one()
    return counts


async def reseal(tx: Transaction, *, at_most: int, after: Position | None = None) -> Resealed:
    """
    Seal the next *at_most* values that another key than the newest has sealed.

    A row that somebody writes at this moment is passed over: its writer seals it under the newest key of its own
    ring, and the next pass sees whether that is the newest here. So nobody ever waits for this or loses a write to it.
    A pass that was broken off can begin again: what is done is not found any more.
    """
    names = list(COLUMNS)
    start = names.index(after.column) if after is not None else 0
    resealed = unopened = 0
    position = after
    for name in names[start:]:
        column = COLUMNS[name]
        key = column.table.c.key
        wanted = _stale(column, tx).order_by(key).limit(at_most - resealed - unopened)
        if position is not None and position.column == name:
            wanted = wanted.where(key > position.key)
        for row in list(await tx.execute(wanted.with_for_update(skip_locked=True))):
            position = Position(name, row.key)
            place = f"{name}:{row.key.hex}"
            try:
                opened = tx.sealing.unseal(row.sealed, place=place)
            except SealBroken as fault:
                log.warning("A sealed value cannot be opened and stays as it is.", reason=str(fault))
                unopened += 1
                continue
            await tx.execute(
                update(column.table)
                .where(key == row.key)
                .values({column: tx.sealing.seal(opened, place=place)})
            )
            resealed += 1
        if resealed + unopened >= at_most:
            return Resealed(resealed, unopened, position)
    return Resealed(resealed, unopened, None)


def _stale(column: Column[bytes], tx: Transaction) -> Select[tuple[UUID, bytes]]:
    newest = tx.sealing.newest_head
    return select(column.table.c.key, column.label("sealed")).where(
        column.is_not(None), ~_begins(column, newest)
    )


def _begins(column: Column[bytes], head: bytes) -> ColumnElement[bool]:
    return func.substr(column, 1, len(head)) == head
