"""How an operator's deed is done: one transaction with its audit row in it, or, as a dry run, none of it."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from broker.domain.instances import ServiceInstance
from broker.domain.operators import Deed
from broker.errors import Ambiguous, NotFound, WrongState, shown
from broker.lifecycle.waiting import Patience, decided
from broker.store import audit, instances
from broker.store.administration import instances as listed
from broker.store.database import Database, Transaction


@dataclass(frozen=True)
class Done:
    """
    What a deed comes to: its effects as sentences, and the operations that it has begun or hurried.

    After a dry run `foretold` stands for these effects, see `Deed`.
    """

    effects: Sequence[str]
    operations: Sequence[UUID] = ()
    dry_run: bool = False
    foretold: str | None = None


async def done(database: Database, deed: Deed, act: Callable[[Transaction], Awaitable[Done]]) -> Done:
    """
    Do what *act* does in one transaction; in a dry run all of it is checked and done, and then rolled back.

    Another operator or platform may be faster at any point: *act* locks, looks, and decides on what there is.

    Raises:
        BrokerError: As *act* says; nothing has changed.
        WrongState: It would not come to what was foretold.
        StoreUnavailable: The database does not answer. Look before repeating it: it may have been done.
    """

    async def once() -> Done:
        try:
            async with database.transaction() as tx:
                # Whatever an operator does here goes by the record: it helps where a sealing key is lost, too.
                tx.opens_all = False
                result = await act(tx)
                if deed.dry_run:
                    raise _NothingOfIt(result)
                if deed.only_if is not None and deed.only_if != _foretold(result):
                    raise WrongState(
                        "What this would do has changed since it was foretold. Nothing was done; have it foretold anew."
                    )
                return result
        except _NothingOfIt as nothing:
            # An operation that would have begun has no id yet.
            return replace(nothing.result, operations=(), dry_run=True, foretold=_foretold(nothing.result))

    return await decided(once, patience=Patience(timedelta(0)), look_again=timedelta(0))


def _foretold(result: Done) -> str:
    return hashlib.sha256("\n".join(result.effects).encode()).hexdigest()[:32]


async def note(tx: Transaction, deed: Deed, action: str, object: str) -> None:  # noqa: A002 - the audit's own word
    """Write the audit row of a deed."""
    await audit.add(tx, deed.operator.actor, None, action, object, deed.reason)


def whose(instance: ServiceInstance) -> str:
    """Name an instance for the audit: an id is unique only among one platform's."""
    return f"service instance {instance.instance_id} of {instance.platform}"


async def instance_of(tx: Transaction, instance_id: str, platform: str | None) -> ServiceInstance:
    """
    Return the living instance that an operator means, locked.

    Raises:
        NotFound: There is none.
        Ambiguous: Several platforms have one of that id, and none is named.
    """
    if platform is None:
        platforms = await listed.platforms_of(tx, instance_id)
        if len(platforms) > 1:
            raise Ambiguous(f"Service instance {shown(instance_id)}", platforms)
        platform = platforms[0] if platforms else ""
    found = await instances.locked(tx, platform, instance_id)
    if found is None:
        raise NotFound(
            f"There is no living service instance {shown(instance_id)}; the history may know what became of it."
        )
    return found


class _NothingOfIt(Exception):
    """Rolls a dry run back."""

    def __init__(self, result: Done) -> None:
        super().__init__()
        self.result = result
