"""Role assignments at any scope of the subscription. They are kept, and give nobody any power here."""

from __future__ import annotations

import re
from typing import Any

from broker.simulator.arm_errors import ArmError
from broker.simulator.clock import Clock
from broker.simulator.lists import page
from broker.simulator.resource_ids import ResourceId
from broker.simulator.resources import Resources
from broker.simulator.routes import Asked, Reply, Routes
from broker.simulator.state import State

TYPE = "Microsoft.Authorization/roleAssignments"
# Of one subscription (https://learn.microsoft.com/azure/role-based-access-control/troubleshoot-limits).
MOST = 4000
SUBSCRIPTION = "/subscriptions/{subscription}"
GROUP = SUBSCRIPTION + "/resourcegroups/{group}"
GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
DEFINITION = re.compile(r"(?:/.*)?/providers/Microsoft\.Authorization/roleDefinitions/([^/]+)", re.IGNORECASE)


class RoleAssignments:
    """One assignment of a role to a principal on a scope; what it stands on has to be there."""

    def __init__(self, state: State, resources: Resources) -> None:
        self._state = state
        self._resources = resources

    def add_to(self, routes: Routes) -> None:
        """Add before the resources: their patterns would take these paths for resources in a group."""
        for scope in (GROUP + "/providers/{of:path}", GROUP, SUBSCRIPTION):
            path = f"{scope}/providers/{TYPE}"
            routes.add("GET", path, self.listed)
            routes.add("GET", path + "/{name}", self.get)
            routes.add("PUT", path + "/{name}", self.put)
            routes.add("DELETE", path + "/{name}", self.delete)

    async def listed(self, asked: Asked) -> Reply:
        scope = self._scope(asked).lower()
        living = self._state.role_assignments.values()
        found = [each for each in living if (_at(each) + "/").startswith(scope + "/")]
        return page(asked, found)

    async def get(self, asked: Asked) -> Reply:
        self._scope(asked)
        found = self._state.role_assignments.get(asked.path.lower())
        if found is None:
            raise ArmError(
                404, "RoleAssignmentNotFound", f"The role assignment '{asked.names['name']}' is not found."
            )
        return Reply(200, found)

    async def put(self, asked: Asked) -> Reply:
        scope, name = self._scope(asked), asked.names["name"]
        problems = self._state.types.model(TYPE, asked.api_version).problems(asked.body)
        if problems:
            raise ArmError(400, "InvalidRequestContent", "; ".join(map(str, problems)) + ".")
        properties = dict(asked.body["properties"])
        role = DEFINITION.fullmatch(properties["roleDefinitionId"])
        if not GUID.fullmatch(name):
            raise ArmError(400, "InvalidRoleAssignmentId", f"The role assignment ID '{name}' must be a GUID.")
        if role is None or not GUID.fullmatch(role[1]):
            raise ArmError(400, "InvalidRoleDefinitionId", "The role definition ID is not valid.")
        if not GUID.fullmatch(properties["principalId"]):
            raise ArmError(400, "InvalidPrincipalId", "The principal ID must be a GUID.")
        present = self._state.role_assignments.get(asked.path.lower())
        mine = (scope.lower(), properties["principalId"].lower(), role[1].lower())
        if present is not None and _identity(present) != mine:
            raise ArmError(
                403,
                "RoleAssignmentUpdateNotPermitted",
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated.",
            )
        others = (each for key, each in self._state.role_assignments.items() if key != asked.path.lower())
        if any(_identity(each) == mine for each in others):
            raise ArmError(409, "RoleAssignmentExists", "The role assignment already exists.")
        if present is None and len(self._state.role_assignments) >= MOST:
            raise ArmError(400, "RoleAssignmentLimitExceeded", "No more role assignments can be created.")
        whole: dict[str, Any] = {
            "id": asked.path,
            "name": name,
            "type": TYPE,
            "properties": {
                "principalType": "User",
                **properties,
                "scope": scope,
                "createdOn": Clock.now().isoformat(),
            },
        }
        self._state.role_assignments[asked.path.lower()] = present or whole
        return Reply(200 if present else 201, present or whole)

    async def delete(self, asked: Asked) -> Reply:
        self._scope(asked)
        found = self._state.role_assignments.pop(asked.path.lower(), None)
        return Reply(204) if found is None else Reply(200, found)

    def _scope(self, asked: Asked) -> str:
        """
        Raises:
            ArmError: 404, there is nothing at this scope.
        """
        self._state.types.model(TYPE, asked.api_version)
        scope = asked.path[: asked.path.lower().rindex(f"/providers/{TYPE.lower()}")]
        if "group" in asked.names:
            self._state.group(asked.names["group"])
        if "of" in asked.names:
            try:
                identity = ResourceId.parse(scope)
            except ValueError as error:
                raise ArmError(404, "InvalidResourceType", f"There is no resource at '{scope}'.") from error
            if identity.key not in self._state.resources:
                # What stood on a resource went with it.
                self.forget(scope)
            self._resources.find(identity)
        return scope

    def forget(self, scope: str) -> None:
        """Drop what stood on a resource that is gone, or on what was below it."""
        prefix = scope.lower() + "/"
        for key in [key for key in self._state.role_assignments if key.startswith(prefix)]:
            self._state.role_assignments.pop(key)


def _at(assignment: dict[str, Any]) -> str:
    return str(assignment["properties"]["scope"]).lower()


def _identity(assignment: dict[str, Any]) -> tuple[str, str, str]:
    properties = assignment["properties"]
    role = str(properties["roleDefinitionId"]).rpartition("/")[2].lower()
    return _at(assignment), str(properties["principalId"]).lower(), role
