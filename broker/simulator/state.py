"""What lives in the simulated cloud; all of it in memory."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from broker.simulator.arm_errors import ArmError, group_not_found
from broker.simulator.clock import Clock
from broker.simulator.clouds import PUBLIC, PlayedCloud
from broker.simulator.providers import Providers
from broker.simulator.resource_ids import ResourceId
from broker.simulator.resource_types import ResourceTypes

T = TypeVar("T")

# The most that stands on one page of a list.
PAGE = 1000


def location_name(text: str) -> str:
    """`West Europe` and `westeurope` are one place."""
    return text.replace(" ", "").lower()


@dataclass(slots=True)
class LongRunning:
    """Work that goes on after its request was answered."""

    id: str
    kind: str
    target: str
    started: datetime
    status: str = "InProgress"
    ended: datetime | None = None
    error: ArmError | None = None
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, error: ArmError | None = None) -> None:
        self.status = "Failed" if error else "Succeeded"
        self.error = error
        self.ended = Clock.now()
        self.finished.set()


@dataclass(slots=True)
class Group:
    name: str
    location: str
    tags: dict[str, str]
    state: str = "Succeeded"
    going: LongRunning | None = None


@dataclass(slots=True)
class Resource:
    """
    A resource; *body* is what a GET shows, without secrets.

    *busy* is the operation that holds it; a *foreign* one was planted and has no database behind it; one
    that was never *made* is still being created, or could not be.
    """

    id: ResourceId
    api_version: str
    body: dict[str, Any]
    created: datetime
    changed: datetime
    state: str = "Succeeded"
    busy: LongRunning | None = None
    foreign: bool = False
    made: bool = True

    @property
    def tracked(self) -> bool:
        """Tracked resources have a location and tags and stand in lists; children usually do not."""
        return "location" in self.body


_VAULTS = "microsoft.keyvault/vaults"


class State:
    """Groups, resources, names that are taken elsewhere, and work under way."""

    def __init__(
        self,
        subscription: str | None = None,
        tenant: str | None = None,
        *,
        cloud: PlayedCloud = PUBLIC,
        types: ResourceTypes | None = None,
    ) -> None:
        self.cloud = cloud
        self.types = types or ResourceTypes()
        self.origin = "https://simulated.invalid"
        self.subscription = subscription or str(uuid.uuid4())
        self.tenant = tenant or str(uuid.uuid4())
        self.client_id = str(uuid.uuid4())
        self.groups: dict[str, Group] = {}
        self.resources: dict[str, Resource] = {}
        self.taken_elsewhere: set[tuple[str, str]] = set()
        self.providers = Providers()
        self.role_assignments: dict[str, dict[str, Any]] = {}
        self.access_keys: dict[str, dict[str, str]] = {}
        self.account_keys: dict[str, dict[str, str]] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.deleted_vaults: dict[str, Any] = {}
        self.storage_base = ""
        self.page_size = PAGE
        self.permissions: list[dict[str, Any]] = [
            {"actions": ["*"], "notActions": [], "dataActions": [], "notDataActions": []}
        ]
        self._operations: dict[str, LongRunning] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def group(self, name: str) -> Group:
        """
        Raises:
            ArmError: 404, there is no such group.
        """
        found = self.groups.get(name.lower())
        if found is None:
            raise group_not_found(name)
        return found

    def is_taken(self, kind: str, name: str) -> bool:
        """Whether a name that must be unique in the whole cloud is in use, in any group or subscription."""
        wanted = (kind.lower(), name.lower())
        here = any((r.id.type.lower(), r.id.name.lower()) == wanted for r in self.resources.values())
        deleted = kind.lower() == _VAULTS and name.lower() in self.deleted_vaults
        return here or deleted or wanted in self.taken_elsewhere

    def storage_endpoint(self, account: str, service: str) -> str:
        """Where an account's service is reached: in the path style of local storage servers, or in the cloud."""
        if not self.storage_base:
            return f"https://{account}.{service}.{self.cloud.suffixes['storage']}/"
        base = self.storage_base
        return f"{base}/{account}/" if service == "blob" else f"{base}/{service}/{account}/"

    def below(self, resource: ResourceId) -> list[Resource]:
        """The children and their children."""
        prefix = resource.key + "/"
        return [child for key, child in self.resources.items() if key.startswith(prefix)]

    def in_group(self, group: str) -> list[Resource]:
        return [r for r in self.resources.values() if r.id.group.lower() == group.lower()]

    def begin(self, kind: str, target: str) -> LongRunning:
        operation = LongRunning(str(uuid.uuid4()), kind, target, Clock.now())
        self._operations[operation.id] = operation
        return operation

    def operation(self, operation_id: str) -> LongRunning | None:
        return self._operations.get(operation_id.lower())

    def keep(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        """Hold a task until it ends: the event loop alone would let it be collected."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """End all work under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
