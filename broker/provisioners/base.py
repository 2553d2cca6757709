"""
What a provisioner is: the law between the operation engine and whatever makes the resources.

Each method is one short step: a few calls, no waiting inside, safe to repeat after a crash at any point
(creating what exists and deleting what is gone are no errors). What is about to be created is first
returned in `Next.resources` or `Next.secrets` with another phase: the engine commits it, then calls again.
One contract test suite runs against every provisioner.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from broker.domain.bindings import ServiceBinding
from broker.domain.handlers import Handlers
from broker.domain.instances import ServiceInstance
from broker.domain.json_values import JsonObject
from broker.domain.operations import ExternalResource, Operation, OperationKind, Refusal

NO_DELAY = timedelta(0)
FIRST_VERSION: Mapping[OperationKind, frozenset[int]] = dict.fromkeys(OperationKind, frozenset({1}))
"""What a provisioner knows whose operations have not changed since its first release."""


class Outcome(StrEnum):
    """What a step came to."""

    GO_ON = "go on"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Cost:
    """How many management calls the next step may make at most; debited from the shared budget at the claim."""

    reads: int = 0
    writes: int = 0
    deletes: int = 0


@dataclass(frozen=True)
class Work:
    """
    Everything a step may know. Values are unsealed; nothing of it may be logged.

    `now` is the database's time. `guard` must be called right before every external call that only reads: it raises
    `LeaseLost` when the lease is nearly over, since nobody but this guard stops a late call. `before_change` must be
    awaited right before every external call that makes, changes or removes something: it asks the database too
    whether the operation is still this runner's, for a lease can end early for others, when the database's clock is
    set forward, and a deletion can take the operation's place.
    `parent` is the parent instance of a child. `clearing` is true in `delete` when what is deleted is the
    leftover of a failed creation of the same order.
    """

    operation: Operation
    instance: ServiceInstance
    now: datetime
    guard: Callable[[], None]
    before_change: Callable[[], Awaitable[None]]
    binding: ServiceBinding | None = None
    parent: ServiceInstance | None = None
    predecessor: ServiceBinding | None = None
    resources: Sequence[ExternalResource] = ()
    clearing: bool = False


@dataclass(frozen=True)
class Next:
    """
    What a step came to and what to write down, in one fenced transaction, before the next one.

    `phase` is the provisioner's next phase within the engine's stage ("" is the first one). `delay` of zero means
    that the next step follows at once under the same claim. `state` and `record` replace what was there when
    given; `secrets` likewise (instance secrets in `create` and `update`, binding secrets in `bind`). `resources`
    are written down (again is harmless), `gone` are ids seen to be gone. `credentials` and `endpoints` are a
    bind's answer. `progress` is false when this step only looked and saw nothing new.
    On FAILED, `description` says why, for the person who asked.
    """

    outcome: Outcome = Outcome.GO_ON
    phase: str = ""
    delay: timedelta = NO_DELAY
    description: str = ""
    state: JsonObject | None = None
    record: JsonObject | None = None
    secrets: JsonObject | None = None
    resources: Sequence[ExternalResource] = ()
    gone: Sequence[str] = ()
    credentials: JsonObject | None = None
    endpoints: Sequence[JsonObject] = ()
    keys_read: bool = False
    """The credentials hold keys that were read from Azure just now."""
    generation: int | None = None
    """Of a creation: the generation under which it goes on, when that is not the instance's own."""
    region: str | None = None
    resource_group: str | None = None
    subscription: str | None = None
    dashboard_url: str | None = None
    progress: bool = True
    number: int = 0
    of: int = 0
    cost: Cost = field(default_factory=Cost)
    """What the step after this one may cost."""
    instance_usable: bool | None = None
    update_repeatable: bool | None = None
    unmade: bool = False
    """The operation ends here and nothing was made: the instance is forgotten. Only before anything is made."""
    refusal: Refusal | None = None
    """With FAILED: why an `unmade` order is refused, or a bind, whose undo has to leave nothing."""


class StepFailed(Exception):
    """
    A step could not do its work.

    `retryable` failures are tried again with back-off until the deadline, `retry_after` at the earliest;
    others end the operation. `blocks_everybody` says that the shared budget is used up (HTTP 429).
    """

    def __init__(
        self,
        description: str,
        *,
        retryable: bool,
        retry_after: timedelta | None = None,
        blocks_everybody: bool = False,
        at_most: int | None = None,
    ) -> None:
        super().__init__(description)
        self.description = description
        self.retryable = retryable
        self.retry_after = retry_after
        self.blocks_everybody = blocks_everybody
        self.at_most = at_most
        """How often this may be tried at most; None: until the deadline."""


class LeaseLost(Exception):
    """The lease of this claim is over or nearly so: make no further call and write nothing."""


class Provisioner(Protocol):
    """
    Carries out plans of one kind. One object serves all operations at once.

    `delete` serves deprovision, the clean-up of a failed creation, and `clearing`; it reads only the instance's
    record and its recorded resources. `unbind` serves unbind and the clean-up of a failed bind, likewise.
    """

    handler_versions: Mapping[OperationKind, frozenset[int]]
    """
    The versions of operations that it can carry on, those that older builds accepted included. A version is raised
    when phases, inputs or state change in a way that an older build could not go on with; what was accepted in
    an older version is carried on as that version says, for an older build may take it over.
    """

    async def create(self, work: Work) -> Next:
        """Take one step towards a new instance."""
        ...

    async def update(self, work: Work) -> Next:
        """Take one step towards `work.instance.asked`."""
        ...

    async def delete(self, work: Work) -> Next:
        """Take one step towards nothing being left; DONE when everything was seen to be gone."""
        ...

    async def bind(self, work: Work) -> Next:
        """Take one step towards `credentials`."""
        ...

    async def unbind(self, work: Work) -> Next:
        """Take one step towards the binding's credentials being refused."""
        ...

    async def refresh(self, work: Work) -> Next:
        """Take one step towards `credentials` with the keys as they are now; making and removing nothing."""
        ...


def handlers_of(provisioners: Mapping[str, Provisioner]) -> Handlers:
    """Return what a build with these provisioners can carry on."""
    return Handlers(
        {
            (name, kind): versions
            for name, provisioner in provisioners.items()
            for kind, versions in provisioner.handler_versions.items()
        }
    )
