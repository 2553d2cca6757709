"""Deployments and their steps, as the history shows them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from broker.simulator.arm_errors import ArmError
from broker.simulator.clock import Clock
from broker.simulator.resource_ids import ResourceId, is_deployment
from broker.simulator.state import Group
from broker.simulator.template_resources import Planned
from broker.simulator.template_scopes import Place

ACTIVE = frozenset({"Accepted", "Running"})


@dataclass(slots=True)
class Step:
    """What a deployment did to one resource, as its operations list shows it."""

    id: str
    target: ResourceId | None
    started: datetime
    provisioning: str = "Create"
    state: str = "Running"
    ended: datetime | None = None
    error: ArmError | None = None

    def as_json(self, deployment_id: str) -> dict[str, Any]:
        ended = self.ended or Clock.now()
        properties: dict[str, Any] = {
            "provisioningOperation": self.provisioning,
            "provisioningState": self.state,
            "timestamp": ended.isoformat(),
            "duration": duration_text(ended - self.started),
            "trackingId": self.id,
            "statusCode": status_word(self.error) if self.error else "OK",
        }
        if self.target is not None:
            properties["targetResource"] = {
                "id": str(self.target),
                "resourceType": self.target.type,
                "resourceName": self.target.full_name,
            }
        if self.error is not None:
            properties["statusMessage"] = {"error": self.error.error()}
        return {
            "id": f"{deployment_id}/operations/{self.id}",
            "operationId": self.id,
            "properties": properties,
        }


@dataclass(slots=True)
class Deployment:
    """One deployment; secrets are in the template object alone, which it does not keep."""

    name: str
    group: Group
    subscription: str
    place: Place
    correlation_id: str
    operation_id: str
    template_hash: str
    parameters: dict[str, Any]
    targets: list[ResourceId]
    dependencies: list[dict[str, Any]]
    tags: dict[str, str]
    started: datetime
    state: str = "Accepted"
    ended: datetime | None = None
    outputs: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    steps: list[Step] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    children: list[Deployment] = field(default_factory=list)
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, state: str, error: dict[str, Any] | None) -> None:
        """Succeeded, Failed or Canceled, for good."""
        self.state = state
        self.error = error
        self.ended = Clock.now()
        self.finished.set()

    @property
    def made(self) -> list[ResourceId]:
        """What it made, through nested deployments too."""
        own = [each for each in self.targets if not is_deployment(each.type)]
        return own + [each for child in self.children for each in child.made]

    @property
    def id(self) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group.name}"
            f"/providers/Microsoft.Resources/deployments/{self.name}"
        )

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    def as_json(self) -> dict[str, Any]:
        ended = self.ended or Clock.now()
        properties: dict[str, Any] = {
            "templateHash": self.template_hash,
            "parameters": self.parameters,
            "mode": "Incremental",
            "provisioningState": self.state,
            "timestamp": ended.isoformat(),
            "duration": duration_text(ended - self.started),
            "correlationId": self.correlation_id,
            "providers": _providers(self.targets),
            "dependencies": self.dependencies,
        }
        if self.outputs is not None:
            properties["outputs"] = self.outputs
        if self.state == "Succeeded":
            properties["outputResources"] = [{"id": str(each)} for each in self.made]
        if self.error is not None:
            properties["error"] = self.error
        body: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "type": "Microsoft.Resources/deployments",
            "properties": properties,
        }
        return {**body, "tags": self.tags} if self.tags else body


def a_step(target: ResourceId | None) -> Step:
    """A step that begins now."""
    return Step(uuid.uuid4().hex[:16].upper(), target, Clock.now())


def dependencies_of(
    planned: Iterable[Planned], canonical: Callable[[ResourceId], ResourceId]
) -> list[dict[str, Any]]:
    """Who waits for whom, as a deployment shows it."""
    every = {each.key: each for each in planned}

    def shown(identity: ResourceId) -> dict[str, Any]:
        whole = canonical(identity)
        return {"id": str(whole), "resourceType": whole.type, "resourceName": whole.full_name}

    return [
        {"dependsOn": [shown(every[key].id) for key in sorted(each.waits_for)], **shown(each.id)}
        for each in every.values()
        if each.waits_for
    ]


def duration_text(length: timedelta) -> str:
    """ISO 8601, as ARM writes it."""
    seconds = max(0.0, length.total_seconds())
    minutes, seconds = divmod(seconds, 60)
    return f"PT{int(minutes)}M{seconds:.3f}S" if minutes else f"PT{seconds:.3f}S"


def _providers(targets: Iterable[ResourceId]) -> list[dict[str, Any]]:
    found: dict[str, list[str]] = {}
    for target in targets:
        types = found.setdefault(target.namespace, [])
        if "/".join(target.types) not in types:
            types.append("/".join(target.types))
    return [
        {
            "namespace": namespace,
            "resourceTypes": [{"resourceType": each, "locations": [None]} for each in types],
        }
        for namespace, types in found.items()
    ]


def status_word(error: ArmError) -> str:
    words = {400: "BadRequest", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 429: "TooManyRequests"}
    return words.get(error.status, "InternalServerError")
