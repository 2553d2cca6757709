"""What operators are shown of instances, bindings and operations: nothing that is sealed, nothing that is secret."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from broker.domain.operations import OperationStatus

ERRORS_OF_THE_STUCK = 3
CLAIMS_OF_THE_STUCK = 2
LATE = timedelta(minutes=1)
"""How long after its time an operation is not taken up before that is worth an operator's look."""
STILL = timedelta(minutes=30)
"""How long one step may take before that is worth an operator's look; Azure's slowest take about 20 minutes."""


@dataclass(frozen=True)
class OperationSummary:
    """One operation; `stuck` says why it does not get on, if it does not."""

    id: UUID
    kind: str
    status: str
    platform: str
    instance_id: str
    binding_id: str | None
    stage: str
    step: str
    step_since: datetime | None
    description: str
    created_at: datetime
    due_at: datetime
    deadline_at: datetime
    finished_at: datetime | None
    owner: str | None
    claims: int
    errors: int
    last_error: str | None
    cancel_requested_at: datetime | None
    stuck: str | None = None


@dataclass(frozen=True)
class InstanceSummary:
    """One service instance, and the operation in progress on it; `offering` and `plan` are names, from the catalog."""

    platform: str
    instance_id: str
    key: UUID
    state: str
    service_offering_id: str
    service_plan_id: str | None
    created_at: datetime
    generation: int
    offering: str | None = None
    plan: str | None = None
    cluster: str | None = None
    namespace: str | None = None
    organization: str | None = None
    space: str | None = None
    instance_name: str | None = None
    alias: str | None = None
    parent: str | None = None
    subscription: str | None = None
    region: str | None = None
    resource_group: str | None = None
    bindings: int = 0
    operation: OperationSummary | None = None


@dataclass(frozen=True)
class InstanceFilter:
    """
    Which instances; everything that is given must hold.

    `plans` are plan ids. `search` is a part of an id, a name, a namespace, space, organization, cluster or alias, in
    whatever case. `stuck`: with an operation that does not get on. `failed`: creation or deletion has failed.
    """

    platform: str | None = None
    states: frozenset[str] = frozenset()
    plans: frozenset[str] | None = None
    search: str | None = None
    stuck: bool = False
    failed: bool = False
    older_than: timedelta | None = None
    newer_than: timedelta | None = None


def stuck_because(operation: OperationSummary, now: datetime) -> str | None:
    """
    Say why an operation does not get on, or None while it does.

    `store.administration.operations.is_stuck` asks the same of the database; a test compares the two.
    """
    if operation.status != OperationStatus.IN_PROGRESS.value:
        return None
    if operation.deadline_at < now:
        return "it is past its deadline"
    if operation.claims >= CLAIMS_OF_THE_STUCK:
        return f"{operation.claims} runners took it up one after another without a word"
    if operation.due_at < now - LATE:
        return "nobody takes it up: is there a runner?"
    if operation.errors >= ERRORS_OF_THE_STUCK:
        return f"{operation.errors} errors in a row"
    if operation.step_since is not None and operation.step_since < now - STILL:
        return f"at the same step for {round((now - operation.step_since).total_seconds() / 60)} minutes"
    return None
