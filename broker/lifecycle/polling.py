"""What a platform sees when it asks how far an operation is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from broker.domain.operations import OperationKind, OperationStatus
from broker.errors import Gone, NotFound, StoreUnavailable, shown
from broker.lifecycle.options import LifecycleOptions
from broker.lifecycle.waiting import Patience, patiently
from broker.store import operations
from broker.store.database import Database

_DELETIONS = {OperationKind.DEPROVISION, OperationKind.UNBIND}
_SOONEST, _LATEST = timedelta(seconds=1), timedelta(seconds=60)


@dataclass(frozen=True)
class LastOperation:
    """The state of an operation as it was last written down; the flags only where the specification wants them."""

    state: OperationStatus
    description: str
    instance_usable: bool | None = None
    update_repeatable: bool | None = None
    retry_after: timedelta | None = None


class Polling:
    """Answers `last_operation` from the operation's row, and from nothing else."""

    def __init__(
        self,
        database: Database,
        options: LifecycleOptions | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._db = database
        self._options = options or LifecycleOptions()
        # Only for the hint when to ask again; what is due is decided by the database's clock.
        self._clock = clock

    async def last_operation(
        self, platform: str, instance_id: str, binding_id: str | None, operation: str | None
    ) -> LastOperation:
        """
        Tell how far *operation* is, or without one the newest of the instance or binding.

        While the store is away the request waits: a passing fault must not look like an answer.

        Raises:
            NotFound: There is (or was) no such operation.
            Gone: It was a deletion and it is complete.
            StoreUnavailable: The store was away for as long as the request could wait.
        """
        operation_id = _operation_id(operation)
        try:
            found = await operations.poll(self._db, platform, instance_id, binding_id, operation_id)
        except StoreUnavailable:
            found = await patiently(
                lambda: operations.poll(self._db, platform, instance_id, binding_id, operation_id),
                patience=Patience(self._options.request_wait),
                look_again=self._options.look_again,
            )
        if found is None:
            what = (
                f"service binding {shown(binding_id)}"
                if binding_id
                else f"service instance {shown(instance_id)}"
            )
            raise NotFound(f"There is no such operation of the {what}.")
        if found.status is OperationStatus.IN_PROGRESS:
            due_in = _SOONEST if found.held else found.due_at - self._clock()
            wait = min(max(due_in, _SOONEST), _LATEST)
            return LastOperation(found.status, found.description, retry_after=wait)
        if found.status is OperationStatus.SUCCEEDED:
            if found.kind in _DELETIONS:
                raise Gone("The deletion is complete.")
            return LastOperation(found.status, found.description)
        return LastOperation(
            found.status,
            found.description,
            instance_usable=_flag(
                found.instance_usable, found.kind, OperationKind.UPDATE, OperationKind.DEPROVISION
            ),
            update_repeatable=_flag(found.update_repeatable, found.kind, OperationKind.UPDATE),
        )


def _flag(value: bool | None, kind: OperationKind, *where: OperationKind) -> bool | None:  # noqa: FBT001 - a flag as stored
    return value if kind in where else None


def _operation_id(text: str | None) -> UUID | None:
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("There is no such operation; send the one that the broker has given.") from None
