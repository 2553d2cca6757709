"""What operators are shown of instances, bindings and operations: nothing that is sealed, nothing that is secret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from broker.domain.json_values import JsonObject
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
    missing_since: datetime | None = None
    """Since when it is not there in Azure, as far as the last look has found."""
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
    `missing`: it is not there in Azure.
    """

    platform: str | None = None
    states: frozenset[str] = frozenset()
    plans: frozenset[str] | None = None
    search: str | None = None
    stuck: bool = False
    failed: bool = False
    missing: bool = False
    older_than: timedelta | None = None
    newer_than: timedelta | None = None


@dataclass(frozen=True)
class OperationFilter:
    """Which operations; everything that is given must hold."""

    platform: str | None = None
    instance_id: str | None = None
    binding_id: str | None = None
    kinds: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()
    stuck: bool = False
    older_than: timedelta | None = None
    newer_than: timedelta | None = None


@dataclass(frozen=True)
class OperationEvent:
    """Something that happened to an operation; `by` is a runner or an operator."""

    at: datetime
    what: str
    detail: str
    by: str | None = None


@dataclass(frozen=True)
class OperationHistory:
    """One operation with all that happened to it, the oldest first."""

    operation: OperationSummary
    events: Sequence[OperationEvent] = ()


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


@dataclass(frozen=True)
class BindingSummary:
    """
    One service binding; `operation` is what is in progress on it. Credentials are never shown to an operator.

    `keys_checked_at`: when keys of Azure's in its credentials were last compared, if it has any; `stale_since`: since
    when they are known to be others there.
    """

    platform: str
    instance_id: str
    binding_id: str
    key: UUID
    state: str
    service_plan_id: str
    created_at: datetime
    predecessor_id: str | None = None
    expires_at: datetime | None = None
    renew_before: datetime | None = None
    keys_checked_at: datetime | None = None
    stale_since: datetime | None = None
    operation: OperationSummary | None = None


@dataclass(frozen=True)
class BindingFilter:
    """
    Which bindings; everything that is given must hold. `failed`: creation or deletion has failed. `stale`: Azure's keys
    are known to be others than those that were handed out.
    """

    platform: str | None = None
    instance_id: str | None = None
    states: frozenset[str] = frozenset()
    stuck: bool = False
    failed: bool = False
    stale: bool = False


@dataclass(frozen=True)
class KeyCheck:
    """What the last comparison of keys with Azure's has found; `trouble`: why not everything could be compared."""

    due_at: datetime | None = None
    running_since: datetime | None = None
    finished_at: datetime | None = None
    trouble: str | None = None
    looked_at: int = 0
    stale: int = 0


@dataclass(frozen=True)
class ResourceSummary:
    """One resource in Azure that an instance or binding made or was about to make; `gone_at`: seen to be gone."""

    resource_id: str
    made_by_us: bool
    created_at: datetime
    binding_key: UUID | None = None
    gone_at: datetime | None = None


@dataclass(frozen=True)
class InstanceDetails:
    """
    One service instance with everything that may be shown of it.

    `parameters` are without the sensitive ones, whose names are in `hidden`. Without its plan in the catalog nobody
    knows which these are, and without the sealing key `missing_key` nothing of them: then `parameters` is None.
    `terms` is what tenant rules gave it, each with the rule's name.
    """

    instance: InstanceSummary
    context: JsonObject
    terms: JsonObject = field(default_factory=dict)
    parameters: JsonObject | None = None
    hidden: Sequence[str] = ()
    missing_key: str | None = None
    dashboard_url: str | None = None
    children: Sequence[str] = ()
    bindings: Sequence[BindingSummary] = ()
    resources: Sequence[ResourceSummary] = ()
    operations: Sequence[OperationSummary] = ()


@dataclass(frozen=True)
class BindingDetails:
    """One service binding with its latest operations and what it has in Azure."""

    binding: BindingSummary
    resources: Sequence[ResourceSummary] = ()
    operations: Sequence[OperationSummary] = ()


@dataclass(frozen=True)
class AuditRow:
    """Who did what, when and why; `originating_identity` as the platform sent it."""

    number: int
    at: datetime
    actor: str
    action: str
    object: str
    reason: str | None = None
    originating_identity: str | None = None


@dataclass(frozen=True)
class AuditFilter:
    """Which audit rows. `actor` is a platform's name or `operator NAME`; `object` a part of what it was done to."""

    actor: str | None = None
    action: str | None = None
    object: str | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None


@dataclass(frozen=True)
class PastRecord:
    """
    One instance or binding that is gone, and why.

    `document` holds what was known of it; `resources` what it had in Azure, `operations` its latest operations with
    their ends, for as long as these are kept.
    """

    kind: str
    key: UUID
    platform: str
    instance_id: str
    generation: int
    reason: str
    created_at: datetime
    removed_at: datetime
    binding_id: str | None = None
    document: JsonObject | None = None
    resources: Sequence[ResourceSummary] = ()
    operations: Sequence[OperationHistory] = ()


@dataclass(frozen=True)
class PastFilter:
    """Which of those that are gone; `kind` is `instance` or `binding`."""

    platform: str | None = None
    instance_id: str | None = None
    binding_id: str | None = None
    kind: str | None = None
    search: str | None = None
    older_than: timedelta | None = None
    newer_than: timedelta | None = None
