"""An operation: the one way in which the broker does work. Its row is the queue, the timer and the answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from broker.domain.json_values import JsonObject

ABANDON = "abandon"
"""The input of a deletion whose record goes even if it fails; its value says who wanted that, and why."""


class OperationKind(StrEnum):
    """What is being done."""

    PROVISION = "provision"
    UPDATE = "update"
    DEPROVISION = "deprovision"
    BIND = "bind"
    UNBIND = "unbind"
    REFRESH = "refresh"
    """Of a binding: its credentials are made anew, of the keys as they are in Azure now. Operators order it."""


class OperationStatus(StrEnum):
    """The words of the specification ("Polling Last Operation")."""

    IN_PROGRESS = "in progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Stage(StrEnum):
    """
    The part of an operation that the engine knows; within a stage the provisioner names its own phases.

    provision: waiting -> (clearing ->) working -> done, or working -> undoing -> failed
    update:    waiting -> working -> done or failed
    deprovision: waiting (running binds undone, living bindings unbound) -> working -> done or failed
    bind:      waiting -> working -> done, or working -> undoing -> failed
    unbind:    working -> done or failed
    refresh:   working -> done or failed; the binding stays what it was
    """

    WAITING = "waiting"
    CLEARING = "clearing"
    WORKING = "working"
    UNDOING = "undoing"


CHECK = "check"
"""The first phase of a provision whose plan wants a pre-flight: the request awaits its end, nothing is made in it."""
EXPECTED = "expected_duration"
"""In an operation's inputs: how many seconds it usually takes."""
DRY_RUN = "dry_run"
"""In the state of an operation that stays in the phase CHECK to its end."""
REFUSAL = "refusal"
"""In the state of an operation that was refused."""


@dataclass(frozen=True)
class Refusal:
    """
    Why what was ordered cannot be made, found before anything was.

    `code` is the error word for the platform. `never`: the same order can never work, else an operator can mend it.
    """

    code: str
    never: bool


@dataclass(frozen=True)
class Operation:
    """
    One operation on a service instance or, with `binding_key`, on one of its service bindings.

    While it waits, `due_at` is its timer; while a runner holds it, the end of the lease. Every claim
    raises `fence`, and only the holder of the highest fence may write. `inputs` are frozen at acceptance
    (plan recipe and the like), `state` is the provisioner's note to itself; neither may hold a secret.
    `again` asks a failed creation to start afresh, under the next generation, once its clean-up has ended.
    """

    id: UUID
    kind: OperationKind
    platform: str
    instance_id: str
    instance_key: UUID
    created_at: datetime
    due_at: datetime
    deadline_at: datetime
    provisioner: str = "arm_template"
    handler_version: int | None = None
    """None until it is accepted: then it is the newest of the build that accepts it (`broker.domain.handlers`)."""
    binding_id: str | None = None
    binding_key: UUID | None = None
    status: OperationStatus = OperationStatus.IN_PROGRESS
    stage: Stage = Stage.WAITING
    phase: str = ""
    description: str = "Accepted."
    inputs: JsonObject = field(default_factory=dict)
    state: JsonObject = field(default_factory=dict)
    failure: str | None = None
    """The sentence of a failure whose clean-up is still going on; becomes the description at the end."""
    again: bool = False
    cancel_requested_at: datetime | None = None
    subscription: str | None = None
    request_identity: str | None = None
    trace: str | None = None
    """The `traceparent` (W3C Trace Context) of the request that ordered it, where traces are kept."""
    instance_usable: bool | None = None
    update_repeatable: bool | None = None
    fence: int = 0
    owner: str | None = None
    claims: int = 0
    errors: int = 0
    last_error: str | None = None
    finished_at: datetime | None = None

    @property
    def expected_duration(self) -> timedelta | None:
        """How long the plan says that it usually takes; None if it does not say, or if this deletes or binds."""
        seconds = self.inputs.get(EXPECTED)
        return None if seconds is None or self.binding_key is not None else timedelta(seconds=seconds)

    @property
    def abandons(self) -> str | None:
        """Who ordered, and why, that a deletion drop its record even if it fails; None: it does not."""
        given = self.inputs.get(ABANDON)
        return given if isinstance(given, str) else None

    @property
    def dry_run(self) -> bool:
        """Whether it only asks what an order would come to: it makes nothing, and leaves nothing however it ends."""
        return bool(self.state.get(DRY_RUN))

    @property
    def refusal(self) -> Refusal | None:
        """Why a pre-flight has refused the order, or a step the bind, if one has; of a bind something may be left."""
        said = self.state.get(REFUSAL)
        return Refusal(said["code"], never=said["never"]) if said else None

    @property
    def finished(self) -> bool:
        """Whether it succeeded or failed; a finished operation never changes."""
        return self.status is not OperationStatus.IN_PROGRESS


@dataclass(frozen=True)
class ExternalResource:
    """
    A resource in Azure that an instance or binding made, is about to make, or found.

    Written down before it is created. Deletion goes by these rows alone, in reverse order of `position`,
    and touches only those `made_by_us`. `gone_at` is set when the resource was seen to be gone.
    """

    instance_key: UUID
    resource_id: str
    api_version: str
    position: int
    made_by_us: bool = True
    binding_key: UUID | None = None
    created_at: datetime | None = None
    gone_at: datetime | None = None
