"""The routes of resources of any type."""

from __future__ import annotations

from typing import Any

from broker.simulator.arm_errors import ArmError
from broker.simulator.lists import fits, page
from broker.simulator.long_running import LongRunningRoutes
from broker.simulator.resource_ids import ResourceId
from broker.simulator.resources import Resources
from broker.simulator.routes import Asked, Reply, Routes
from broker.simulator.state import LongRunning, State

SUBSCRIPTION = "/subscriptions/{subscription}"
GROUP = SUBSCRIPTION + "/resourcegroups/{group}"
LISTED = frozenset({"id", "name", "type", "location", "tags", "sku"})


class ResourceRoutes:
    """Reading, writing and listing resources, and their POST actions."""

    def __init__(self, state: State, resources: Resources, work: LongRunningRoutes) -> None:
        self._state = state
        self._resources = resources
        self._work = work

    def add_to(self, routes: Routes) -> None:
        """Add last: these patterns take what no other takes."""
        add = routes.add
        add("GET", SUBSCRIPTION + "/resources", self.of_subscription)
        add("GET", GROUP + "/resources", self.of_group)
        add("GET", SUBSCRIPTION + "/providers/{namespace}/{type}", self.of_type)
        add("GET HEAD", GROUP + "/providers/{rest:path}", self.get)
        add("PUT PATCH", GROUP + "/providers/{rest:path}", self.put)
        add("DELETE", GROUP + "/providers/{rest:path}", self.delete)
        add("POST", GROUP + "/providers/{rest:path}", self.act)

    async def of_subscription(self, asked: Asked) -> Reply:
        return self._listed(asked, None)

    async def of_group(self, asked: Asked) -> Reply:
        self._state.group(asked.names["group"])
        return self._listed(asked, asked.names["group"].lower())

    def _listed(self, asked: Asked, group: str | None) -> Reply:
        living = [
            resource
            for resource in self._state.resources.values()
            if resource.tracked and group in {None, resource.id.group.lower()}
        ]
        shown = []
        for resource in living:
            whole = self._resources.shown(resource)
            item: dict[str, Any] = {key: value for key, value in whole.items() if key in LISTED}
            if "$expand" in asked.query:
                item["createdTime"] = resource.created.isoformat()
                item["changedTime"] = resource.changed.isoformat()
                item["provisioningState"] = whole["properties"].get("provisioningState", "Succeeded")
            shown.append(item)
        return page(asked, [each for each in shown if fits(each, asked.query.get("$filter"))])

    async def of_type(self, asked: Asked) -> Reply:
        kind = f"{asked.names['namespace']}/{asked.names['type']}"
        self._state.types.model(kind, asked.api_version)
        found = [r for r in self._state.resources.values() if r.id.type.lower() == kind.lower()]
        return page(asked, [self._resources.shown(resource) for resource in found])

    async def get(self, asked: Asked) -> Reply:
        parts = asked.names["rest"].strip("/").split("/")
        if len(parts) % 2 == 0:
            return self._list_at(asked, parts)
        identity = self._identity(asked, asked.names["rest"])
        self._state.types.model(identity.type, asked.api_version)
        found = self._resources.find(identity)
        return Reply(204) if asked.method == "HEAD" else Reply(200, self._resources.shown(found))

    def _list_at(self, asked: Asked, parts: list[str]) -> Reply:
        group, namespace = asked.names["group"], parts[0]
        self._state.group(group)
        if len(parts) == 2:
            kind = f"{namespace}/{parts[1]}"
            self._state.types.model(kind, asked.api_version)
            found = [r for r in self._state.in_group(group) if r.id.type.lower() == kind.lower()]
        else:
            parent = self._identity(asked, "/".join(parts[:-1]))
            self._state.types.model(f"{parent.type}/{parts[-1]}", asked.api_version)
            found = self._resources.children(parent, parts[-1])
        return page(asked, [self._resources.shown(resource) for resource in found])

    async def put(self, asked: Asked) -> Reply:
        identity = self._identity(asked, asked.names["rest"])
        if not isinstance(asked.body, dict):
            raise ArmError(400, "InvalidRequestContent", "The request content was not a JSON object.")
        patch = asked.method == "PATCH"
        resource, _, operation = self._resources.put(
            identity, asked.api_version, asked.body, fault=asked.fault, patch=patch
        )
        headers = await self._followed(asked, resource.id, operation)
        kind = self._resources.kind(identity)
        if kind.unseen_until_made and operation.ended is None:
            return Reply(202, {"status": "Enqueued"}, headers)
        return Reply(kind.begun[operation.kind], self._resources.shown(resource), headers)

    async def _followed(self, asked: Asked, identity: ResourceId, operation: LongRunning) -> dict[str, str]:
        """Where to follow the work; nowhere when it is done before the answer."""
        stuck = asked.fault is not None and asked.fault.kind == "stuck"
        if stuck or operation.kind not in self._resources.kind(identity).at_once:
            return self._work.follow(asked, identity, operation)
        await operation.finished.wait()
        if operation.error is not None:
            raise operation.error
        return {}

    async def delete(self, asked: Asked) -> Reply:
        identity = self._identity(asked, asked.names["rest"])
        self._state.types.model(identity.type, asked.api_version)
        canonical = self._resources.canonical(identity)
        operation = self._resources.delete(identity, fault=asked.fault)
        if operation is None:
            return Reply(204)
        headers = await self._followed(asked, canonical, operation)
        return Reply(202 if headers else self._resources.kind(identity).begun["delete"], None, headers)

    async def act(self, asked: Asked) -> Reply:
        path, _, action = asked.names["rest"].rpartition("/")
        identity = self._identity(asked, path)
        self._state.types.model(identity.type, asked.api_version)
        body = asked.body if isinstance(asked.body, dict) else None
        operation = self._resources.begin_action(identity, action, body)
        if operation is not None:
            canonical = self._resources.canonical(identity)
            return Reply(202, None, self._work.follow(asked, canonical, operation))
        return Reply(200, self._resources.action(identity, action, body))

    def _identity(self, asked: Asked, rest: str) -> ResourceId:
        text = f"/subscriptions/{self._state.subscription}/resourceGroups/{asked.names['group']}/providers/{rest}"
        try:
            return ResourceId.parse(text)
        except ValueError as error:
            raise ArmError(404, "InvalidResourceType", f"There is no resource at '{asked.path}'.") from error
