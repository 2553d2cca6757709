"""Tags of a resource as a resource of their own: they change without the resource being written."""

from __future__ import annotations

from typing import Any

from broker.simulator.arm_errors import ArmError
from broker.simulator.clock import Clock
from broker.simulator.resource_ids import ResourceId
from broker.simulator.resources import Resources
from broker.simulator.routes import Asked, Reply, Routes
from broker.simulator.state import Resource, State

PATH = (
    "/subscriptions/{subscription}/resourcegroups/{group}/providers/{of:path}"
    "/providers/Microsoft.Resources/tags/default"
)
MOST = 50
"""Of one resource (Azure, "Use tags to organize your Azure resources")."""


class TagRoutes:
    """Reading the tags of a resource, and merging, replacing or deleting some."""

    def __init__(self, state: State, resources: Resources) -> None:
        self._state = state
        self._resources = resources

    def add_to(self, routes: Routes) -> None:
        """Add before the resources: their patterns would take these paths for resources in a group."""
        routes.add("GET", PATH, self.get)
        routes.add("PATCH", PATH, self.patch)

    async def get(self, asked: Asked) -> Reply:
        return Reply(200, _shown(asked, self._found(asked)))

    async def patch(self, asked: Asked) -> Reply:
        resource = self._found(asked)
        body = asked.body if isinstance(asked.body, dict) else {}
        tags = (body.get("properties") or {}).get("tags")
        if body.get("operation") not in {"Merge", "Delete", "Replace"} or not _are_tags(tags):
            raise ArmError(
                400, "InvalidTagsPatchRequest", "The operation or the tags of the request are invalid."
            )
        assert isinstance(tags, dict)
        changed = _changed(dict(resource.body.get("tags") or {}), str(body["operation"]), tags)
        if len(changed) > MOST:
            raise ArmError(400, "TooManyTags", f"A resource can have {MOST} tags at most.")
        resource.body = {**resource.body, "tags": changed}
        resource.changed = Clock.now()
        return Reply(200, _shown(asked, resource))

    def _found(self, asked: Asked) -> Resource:
        scope = asked.path[: asked.path.lower().rindex("/providers/microsoft.resources/tags")]
        try:
            identity = ResourceId.parse(scope)
        except ValueError as error:
            raise ArmError(404, "InvalidResourceType", f"There is no resource at '{scope}'.") from error
        resource = self._resources.find(identity)
        if not resource.tracked:
            raise ArmError(400, "ResourceTypeNotSupported", f"'{identity.type}' does not support tags.")
        return resource


def _are_tags(given: object) -> bool:
    return isinstance(given, dict) and all(isinstance(value, str) for value in given.values())


def _changed(before: dict[str, str], operation: str, given: dict[str, str]) -> dict[str, str]:
    """Azure keeps no case in the names of tags."""
    named = {name.lower() for name in given}
    others = {name: value for name, value in before.items() if name.lower() not in named}
    match operation:
        case "Replace":
            return dict(given)
        case "Merge":
            return others | given
    values = {name.lower(): value for name, value in given.items()}
    return {
        name: value
        for name, value in before.items()
        if name.lower() not in named or values[name.lower()] not in {"", value}
    }


def _shown(asked: Asked, resource: Resource) -> dict[str, Any]:
    return {
        "id": asked.path,
        "name": "default",
        "type": "Microsoft.Resources/tags",
        "properties": {"tags": dict(resource.body.get("tags") or {})},
    }
