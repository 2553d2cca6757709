"""What a failure of Azure or of a database server means for the step that met it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from broker.azure.failures import AzureFailure, Throttled
from broker.data_planes.base import DataPlaneFailure, Refused, StatementFailed
from broker.domain.operations import Refusal
from broker.provisioners.base import StepFailed, Work

Answer = TypeVar("Answer")

_MOST_TRIES_OF_A_REFUSAL = 5

UNUSABLE = frozenset(
    {"failed", "disabled", "dropping", "deleting", "inaccessible", "stopped", "stopping", "canceled"}
)
"""States of a resource, of whatever type, in which nobody can work with it (properties.state, provisioningState)."""


NOT_POSSIBLE = Refusal("NotPossible", never=False)


class Impossible(Exception):
    """
    What was ordered cannot be made; the sentence is for the person who asked. Nothing was changed.

    A bind is refused with *refusal* once nothing is left of it; None: it has failed, which nobody who asks could mend.
    """

    def __init__(self, description: str, refusal: Refusal | None = NOT_POSSIBLE) -> None:
        super().__init__(description)
        self.description = description
        self.refusal = refusal


class Vanished(Impossible):
    """What was to be changed is no longer there: nothing can be done with it any more."""


class Contradiction(Impossible):
    """Parameters that contradict each other: refused when the order is accepted."""


async def from_azure(call: Awaitable[Answer]) -> Answer:
    """
    Await a call to Azure.

    Raises:
        StepFailed: For each of Azure's failures, with its sentence, and whether and when to try again.
    """
    try:
        return await call
    except AzureFailure as failure:
        raise of_azure(failure) from failure


def of_azure(failure: AzureFailure) -> StepFailed:
    return StepFailed(
        failure.describe(),
        retryable=failure.retryable,
        retry_after=failure.retry_after,
        blocks_everybody=isinstance(failure, Throttled),
        at_most=failure.at_most,
    )


def of_data_plane(failure: DataPlaneFailure, work: Work) -> StepFailed:
    """Name the database server's failure; a refused password may be one that is not known everywhere yet."""
    refused = isinstance(failure, Refused)
    state = f", SQLSTATE {failure.sqlstate}" if isinstance(failure, StatementFailed) else ""
    message = failure.message if failure.message.endswith(".") else f"{failure.message}."
    return StepFailed(
        f"{message} {failure.advice} (code {failure.code}{state}, operation {request_id(work)})",
        retryable=failure.retryable or refused,
        at_most=_MOST_TRIES_OF_A_REFUSAL if refused else None,
    )


def request_id(work: Work) -> str:
    """Return the id under which Azure's support finds all calls of this operation."""
    return str(work.operation.id)
