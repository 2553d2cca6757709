"""Creating, changing and deleting resources: checks at once, the work itself over simulated time."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from broker.azure_models import ResourceModel
from broker.simulator.arm_errors import ArmError, resource_not_found
from broker.simulator.clock import Clock
from broker.simulator.faults import Fault, asked_for
from broker.simulator.kinds import Kind
from broker.simulator.resource_ids import DEPLOYMENTS, ResourceId, is_deployment
from broker.simulator.resource_models import (
    check_against,
    merged,
    secrets_in,
    without_secrets,
)
from broker.simulator.state import LongRunning, Resource, State

log = structlog.get_logger(__name__)


class Resources:
    """All resources of all types; a type without a behaviour of its own is only stored."""

    def __init__(self, state: State, clock: Clock, kinds: Iterable[Kind], plain: Kind) -> None:
        self._state = state
        self._clock = clock
        self._kinds = {kind.type.lower(): kind for kind in kinds}
        self._plain = plain

    def canonical(self, identity: ResourceId) -> ResourceId:
        """The id as it is echoed: types as the model spells them, names as they were first given."""
        existing = self._state.resources.get(identity.key)
        if existing is not None:
            return existing.id
        group = self._state.groups.get(identity.group.lower())
        namespace, *types = self._spelt(identity).split("/")
        names = identity.names
        parent = identity.parent
        above = self._state.resources.get(parent.key) if parent else None
        if above is not None:
            names = (*above.id.names, identity.name)
        return ResourceId(
            self._state.subscription,
            group.name if group else identity.group,
            namespace,
            tuple(types),
            names,
        )

    def _spelt(self, identity: ResourceId) -> str:
        # Deployments have an id like resources, and no model.
        return DEPLOYMENTS if is_deployment(identity.type) else self._state.types.spelt(identity.type)

    def kind(self, identity: ResourceId) -> Kind:
        return self._kinds.get(identity.type.lower(), self._plain)

    def find(self, identity: ResourceId) -> Resource:
        """
        Raises:
            ArmError: 404, it is not there.
        """
        self._state.group(identity.group)
        found = self._state.resources.get(identity.key)
        if found is not None and (found.made or not self.kind(identity).unseen_until_made):
            return found
        body = self.kind(identity).absent(identity)
        if body is None:
            canonical = self.canonical(identity)
            raise resource_not_found(canonical.type, canonical.full_name, canonical.group)
        return Resource(self.canonical(identity), "", body, self._clock.now(), self._clock.now())

    def children(self, parent: ResourceId, child_type: str) -> list[Resource]:
        """The children of one type of a living parent."""
        self.find(parent)
        wanted = f"{parent.type}/{child_type}".lower()
        made = [child for child in self._state.below(parent) if child.id.type.lower() == wanted]
        names = self._kinds[wanted].always(parent) if wanted in self._kinds else ()
        known = {child.id.name.lower() for child in made}
        types = (*parent.types, child_type)
        ids = [replace(parent, types=types, names=(*parent.names, name)) for name in names]
        return [self.find(one) for one in ids if one.name.lower() not in known] + made

    def shown(self, resource: Resource) -> dict[str, Any]:
        """The resource as a GET gives it."""
        body = self.kind(resource.id).shown(resource)
        envelope = {"id": str(resource.id), "name": resource.id.name, "type": resource.id.type}
        times = {"createdAt": resource.created.isoformat(), "lastModifiedAt": resource.changed.isoformat()}
        system = {**times, "createdByType": "Application", "lastModifiedByType": "Application"}
        return {**envelope, **body, "systemData": system}

    def check(self, identity: ResourceId, api_version: str, body: Any, *, patch: bool = False) -> None:
        """
        Everything that can be refused without looking at who is busy; values may be UNKNOWN.

        Raises:
            ArmError: What the resource provider would refuse.
        """
        model = self._state.types.model(identity.type, api_version)
        if self._state.providers.state(identity.namespace, self._clock.elapsed) != "Registered":
            raise ArmError(
                409,
                "MissingSubscriptionRegistration",
                f"The subscription is not registered to use namespace '{identity.namespace}'. See "
                "https://aka.ms/rps-not-found for how to register subscriptions.",
            )
        existing = self._state.resources.get(identity.key)
        check_against(model, body, existing, patch=patch)
        self.kind(identity).check_body(identity, body, existing)

    def put(
        self,
        asked: ResourceId,
        api_version: str,
        body: Any,
        *,
        fault: Fault | None = None,
        patch: bool = False,
    ) -> tuple[Resource, bool, LongRunning]:
        """
        Begin to create or change a resource: (resource, whether it is new, the work under way).

        Raises:
            ArmError: Refused; nothing was changed.
        """
        group = self._state.group(asked.group)
        if group.state == "Deleting":
            raise _being_deleted(group.name)
        identity = self.canonical(asked)
        existing = self._state.resources.get(identity.key)
        if patch and existing is None:
            raise resource_not_found(identity.type, identity.full_name, identity.group)
        self.check(identity, api_version, body, patch=patch)
        parent = identity.parent
        if parent is not None and not self._is_there(parent):
            raise ArmError(
                404,
                "ParentResourceNotFound",
                f"Failed to perform 'write' on resource(s) of type '{identity.type}', because the parent "
                f"resource '{parent}' could not be found.",
            )
        kind = self.kind(identity)
        self._check_idle(identity, kind)
        kind.check_place(identity, existing)
        model = self._state.types.model(identity.type, api_version)
        whole = merged(existing.body, body) if patch and existing else body
        sent = {key: value for key, value in whole.items() if key not in {"id", "name", "type", "systemData"}}
        settled = kind.settled(identity, without_secrets(model, sent), existing)
        now = self._clock.now()
        resource = existing or Resource(identity, api_version, settled, now, now, made=False)
        if existing is None:
            self._state.resources[identity.key] = resource
        what = "update" if resource.made else "create"
        operation = self._hold(resource, kind, what)
        work = self._write(resource, kind, sent, settled, operation, what=what, fault=fault, model=model)
        self._state.keep(asyncio.create_task(work))
        return resource, existing is None, operation

    async def _write(
        self,
        resource: Resource,
        kind: Kind,
        sent: Mapping[str, Any],
        settled: dict[str, Any],
        operation: LongRunning,
        *,
        what: str,
        fault: Fault | None,
        model: ResourceModel,
    ) -> None:
        before = resource.body
        try:
            if fault is not None and fault.kind == "stuck":
                await fault.lifted.wait()
            await self._clock.sleep(kind.duration(what))
            resource.body = settled
            if fault is not None and fault.kind == "deployment_failed":
                # What Azure had accepted and could not finish stays, for whoever wants to delete it.
                self._release(resource, kind, operation, asked_for(fault), state="Failed")
                return
            await kind.apply(resource, sent, created=what == "create")
        except Exception as error:  # noqa: BLE001  whatever the real server says becomes the failure
            resource.body = before
            if what == "create":
                self._state.resources.pop(resource.id.key, None)
            self._release(resource, kind, operation, _failure(error, secrets_in(model, sent)))
            return
        resource.made = True
        resource.changed = self._clock.now()
        self._release(resource, kind, operation, None)

    def delete(self, asked: ResourceId, *, fault: Fault | None = None) -> LongRunning | None:
        """
        Begin to delete a resource and its children; None when it is not there.

        Raises:
            ArmError: Refused: busy, or the type has no DELETE.
        """
        self._state.group(asked.group)
        resource = self._state.resources.get(asked.key)
        kind = self.kind(asked)
        if not kind.deletable:
            raise ArmError(405, "MethodNotAllowed", f"'{asked.type}' cannot be deleted.")
        if resource is None:
            return None
        self._check_idle(resource.id, kind)
        kind.check_delete(resource)
        operation = self._hold(resource, kind, "delete")
        self._state.keep(asyncio.create_task(self._delete(resource, kind, operation, fault)))
        return operation

    async def _delete(
        self, resource: Resource, kind: Kind, operation: LongRunning, fault: Fault | None
    ) -> None:
        try:
            if fault is not None and fault.kind == "stuck":
                await fault.lifted.wait()
            await self._clock.sleep(kind.duration("delete"))
            await kind.remove(resource)
        except Exception as error:  # noqa: BLE001  likewise
            self._release(resource, kind, operation, _failure(error, frozenset()))
            return
        for child in self._state.below(resource.id):
            self._state.resources.pop(child.id.key, None)
        self._state.resources.pop(resource.id.key, None)
        self._release(resource, kind, operation, None)

    async def empty(self, group: str) -> None:
        """Delete all that a group holds, what is busy after its work has ended."""
        while tops := [each for each in self._state.in_group(group) if each.id.parent is None]:
            await asyncio.gather(*(self._delete_when_idle(each) for each in tops))

    async def _delete_when_idle(self, resource: Resource) -> None:
        while resource.busy is not None:
            await resource.busy.finished.wait()
        if resource.id.key in self._state.resources:
            operation = self.delete(resource.id)
            if operation is not None:
                await operation.finished.wait()

    def action(
        self, identity: ResourceId, name: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """
        Answer a POST action.

        Raises:
            ArmError: It is not there, is still being created, or has no such action.
        """
        resource = self._ready(identity)
        return self.kind(identity).action(resource, name.lower(), body)

    def begin_action(
        self, identity: ResourceId, name: str, body: Mapping[str, Any] | None
    ) -> LongRunning | None:
        """
        Begin a POST action that takes long; None for one that is answered at once.

        Raises:
            ArmError: As `action`, or the resource is busy.
        """
        kind = self.kind(identity)
        if name.lower() not in kind.long_actions:
            return None
        resource = self._ready(identity)
        self._check_idle(identity, kind)
        kind.check_action(resource, name.lower(), body)
        operation = self._state.begin("action", str(resource.id))
        resource.busy, resource.state = operation, kind.working["update"]
        self._state.keep(asyncio.create_task(self._act(resource, kind, operation, name.lower(), body)))
        return operation

    async def _act(
        self,
        resource: Resource,
        kind: Kind,
        operation: LongRunning,
        name: str,
        body: Mapping[str, Any] | None,
    ) -> None:
        error = None
        try:
            await self._clock.sleep(kind.duration("action"))
            kind.action(resource, name, body)
            await kind.acted(resource, name)
        except Exception as failed:  # noqa: BLE001  likewise
            error = _failure(failed, frozenset())
        self._release(resource, kind, operation, error)

    def _ready(self, identity: ResourceId) -> Resource:
        resource = self.find(identity)
        kind = self.kind(identity)
        if resource.state in {kind.working["create"], kind.working["delete"]}:
            raise ArmError(
                409, "ResourceNotReady", f"'{resource.id.name}' is {resource.state.lower()}; try again later."
            )
        return resource

    def plant(self, identity: ResourceId, body: Mapping[str, Any]) -> Resource:
        """Put a resource of somebody else's, in any `state`: without checks, at once, with no database behind it."""
        canonical = self.canonical(identity)
        now = self._clock.now()
        given = copy.deepcopy(dict(body))
        state = given.pop("state", None)
        resource = Resource(canonical, "", given, now, now, foreign=True)
        resource.body.setdefault("location", "West Europe")
        resource.state = str(state or self.kind(canonical).working["done"])
        self._state.resources[canonical.key] = resource
        return resource

    def _is_there(self, identity: ResourceId) -> bool:
        return identity.key in self._state.resources or self.kind(identity).absent(identity) is not None

    def _check_idle(self, identity: ResourceId, kind: Kind) -> None:
        for holder in self._family(identity, kind):
            if holder.busy is not None:
                raise ArmError(
                    409,
                    "ServerIsBusy",
                    f"Cannot complete operation while server '{holder.id.name}' is busy processing another "
                    "operation. Please try again later.",
                )

    def _family(self, identity: ResourceId, kind: Kind) -> list[Resource]:
        """Who is held by work on this resource: itself, and its ancestors where the kind says so."""
        ids = [identity, *(identity.ancestors() if kind.holds_family else ())]
        return [self._state.resources[each.key] for each in ids if each.key in self._state.resources]

    def _hold(self, resource: Resource, kind: Kind, what: str) -> LongRunning:
        operation = self._state.begin(what, str(resource.id))
        for holder in self._family(resource.id, kind):
            holder.busy = operation
            above = holder is not resource
            holder.state = self.kind(holder.id).working["update" if above else what]
        return operation

    def _release(
        self,
        resource: Resource,
        kind: Kind,
        operation: LongRunning,
        error: ArmError | None,
        *,
        state: str | None = None,
    ) -> None:
        for holder in [resource, *self._family(resource.id, kind)]:
            if holder.busy is operation:
                holder.busy = None
                holder.state = self.kind(holder.id).working["done"]
        resource.state = state or resource.state
        if error is not None:
            log.warning("Simulated work failed", resource=str(resource.id), code=error.code)
        operation.end(error)


def _being_deleted(group: str) -> ArmError:
    return ArmError(
        409,
        "ResourceGroupBeingDeleted",
        f"The resource group '{group}' is in deprovisioning state and cannot perform this operation.",
    )


def _failure(error: Exception, secrets: frozenset[str]) -> ArmError:
    if isinstance(error, ArmError):
        return error
    text = f"{type(error).__name__}: {error}"
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return ArmError(500, "InternalServerError", text)
