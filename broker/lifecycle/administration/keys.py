"""What an operator can see and do about the keys that seal what is stored."""

from __future__ import annotations

from dataclasses import dataclass

from broker.domain.operators import Deed
from broker.errors import MalformedRequest
from broker.lifecycle.administration.deeds import note
from broker.store import resealing
from broker.store.database import Database
from broker.store.resealing import Position

BATCH = 500
"""Values that are sealed anew in one transaction, which takes a fraction of a second."""


@dataclass(frozen=True)
class KeyUsage:
    """
    One sealing key: how many stored values it has sealed, and whether this process has it.

    `seals` is the one that seals whatever is written. A key of 0 values may be taken out of every process.
    """

    key_id: str
    values: int
    at_hand: bool
    seals: bool


@dataclass(frozen=True)
class Resealing:
    """What one batch has come to; `after` is what the next one is asked with, None at the end."""

    resealed: int
    unopened: int
    after: str | None
    key_id: str
    """The key that seals now."""


class KeyAdministration:
    """Shows which keys are needed, and seals anew what old ones have sealed."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def usage(self) -> list[KeyUsage]:
        """
        Return the keys that this process has, the one that seals first, and those that stored values need besides.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._db.transaction(read_only=True) as tx:
            counts = await resealing.in_use(tx)
        ring = self._db.sealing.names
        return [KeyUsage(name, counts.get(name, 0), at_hand=True, seals=name == ring[0]) for name in ring] + [
            KeyUsage(name, count, at_hand=False, seals=False)
            for name, count in sorted(counts.items())
            if name not in ring
        ]

    async def reseal(self, deed: Deed, *, after: str | None = None) -> Resealing:
        """
        Seal the next batch of values under the newest key; in a dry run tell how many values there are in all.

        Begin without *after*, and go on with what the answer says. Broken off at any point it may begin again: what is
        done is done. The audit has a row for the beginning, and for each batch that has changed anything.

        Raises:
            MalformedRequest: *after* is no position that was answered; or `only_if` is given, which nothing foretells.
            StoreUnavailable: The database does not answer; the same request may be repeated.
        """
        if deed.only_if is not None:
            raise MalformedRequest("There is no field 'only_if' here: what a batch comes to is not foretold.")
        newest = self._db.sealing.names[0]
        if deed.dry_run:
            others = [one for one in await self.usage() if not one.seals]
            return Resealing(
                resealed=sum(one.values for one in others if one.at_hand),
                unopened=sum(one.values for one in others if not one.at_hand),
                after=None,
                key_id=newest,
            )
        try:
            position = None if after is None else Position.parse(after)
        except ValueError:
            raise MalformedRequest("after must be what the answer to the batch before has said.") from None
        async with self._db.transaction() as tx:
            batch = await resealing.reseal(tx, at_most=BATCH, after=position)
            if position is None or batch.resealed:
                await note(tx, deed, "reseal", f"all sealed values, under the key {newest}")
        return Resealing(
            batch.resealed, batch.unopened, None if batch.after is None else str(batch.after), newest
        )
