"""The routes of Azure Resource Manager: subscription, groups, providers, and the table of all."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from broker.simulator.arm_errors import ArmError
from broker.simulator.clock import Clock
from broker.simulator.deployment_routes import DeploymentRoutes
from broker.simulator.deployments import Deployments
from broker.simulator.durations import Durations
from broker.simulator.key_vault import DeletedVaultRoutes
from broker.simulator.lists import fits, page
from broker.simulator.long_running import LongRunningRoutes
from broker.simulator.provider_routes import ProviderRoutes
from broker.simulator.resource_routes import ResourceRoutes
from broker.simulator.resources import Resources
from broker.simulator.role_assignments import RoleAssignments
from broker.simulator.routes import Asked, Reply, Routes
from broker.simulator.state import Group, LongRunning, State, location_name
from broker.simulator.tags import TagRoutes

SUBSCRIPTION = "/subscriptions/{subscription}"
GROUP = SUBSCRIPTION + "/resourcegroups/{group}"
GROUP_NAME = re.compile(r"[\w().-]{0,89}[\w()-]")


class Arm:
    """Answers what a client may ask of Resource Manager."""

    def __init__(
        self,
        state: State,
        clock: Clock,
        durations: Durations,
        resources: Resources,
        deployments: Deployments,
    ) -> None:
        self._state = state
        self._clock = clock
        self._durations = durations
        self._resources = resources
        self._deployments = deployments
        self._work = LongRunningRoutes(state, clock, resources)

    def routes(self) -> Routes:
        """The table; the first pattern that fits answers."""
        routes = Routes()
        add = routes.add
        add("GET", "/subscriptions", self.subscriptions)
        add("GET", SUBSCRIPTION, self.subscription)
        add("GET", SUBSCRIPTION + "/locations", self.locations)
        add("GET", SUBSCRIPTION + "/resourcegroups", self.groups)
        add("PUT PATCH", GROUP, self.put_group)
        add("GET HEAD", GROUP, self.get_group)
        add("DELETE", GROUP, self.delete_group)
        add("GET", GROUP + "/providers/Microsoft.Authorization/permissions", self.permissions)
        add("GET", SUBSCRIPTION + "/providers/Microsoft.Authorization/permissions", self.permissions)
        ProviderRoutes(self._state, self._clock, self._durations).add_to(routes)
        self._work.add_to(routes)
        DeploymentRoutes(self._state, self._deployments, self._work).add_to(routes)
        DeletedVaultRoutes(self._state, self._clock).add_to(routes)
        RoleAssignments(self._state, self._resources).add_to(routes)
        TagRoutes(self._state, self._resources).add_to(routes)
        ResourceRoutes(self._state, self._resources, self._work).add_to(routes)
        return routes

    # Subscription.

    async def subscriptions(self, asked: Asked) -> Reply:
        del asked
        return Reply(200, {"value": [self._subscription()]})

    async def subscription(self, asked: Asked) -> Reply:
        del asked
        return Reply(200, self._subscription())

    def _subscription(self) -> dict[str, Any]:
        return {
            "id": f"/subscriptions/{self._state.subscription}",
            "subscriptionId": self._state.subscription,
            "tenantId": self._state.tenant,
            "displayName": "Simulated subscription",
            "state": "Enabled",
        }

    async def locations(self, asked: Asked) -> Reply:
        del asked
        root = f"/subscriptions/{self._state.subscription}/locations"
        return Reply(
            200,
            {
                "value": [
                    {"id": f"{root}/{name}", "name": name, "type": "Region", "displayName": shown}
                    for name, shown in self._state.cloud.locations.items()
                ]
            },
        )

    async def permissions(self, asked: Asked) -> Reply:
        if "group" in asked.names:
            self._state.group(asked.names["group"])
        return Reply(200, {"value": self._state.permissions})

    # Groups.

    async def groups(self, asked: Asked) -> Reply:
        shown = [self._group(group) for group in self._state.groups.values()]
        return page(asked, [each for each in shown if fits(each, asked.query.get("$filter"))])

    async def put_group(self, asked: Asked) -> Reply:
        name, body = asked.names["group"], asked.body if isinstance(asked.body, dict) else {}
        present = self._state.groups.get(name.lower())
        tags = body.get("tags")
        if present is not None:
            if present.state == "Deleting":
                raise ArmError(
                    409, "ResourceGroupBeingDeleted", f"The resource group '{name}' is being deleted."
                )
            location = body.get("location")
            if isinstance(location, str) and location_name(location) != present.location:
                raise ArmError(
                    409,
                    "InvalidResourceGroupLocation",
                    f"Invalid resource group location '{location}'. The Resource group already exists in "
                    f"location '{present.location}'.",
                )
            if asked.method == "PUT" or tags is not None:
                present.tags = dict(tags or {})
            return Reply(200, self._group(present))
        if asked.method == "PATCH":
            self._state.group(name)
        if not GROUP_NAME.fullmatch(name):
            raise ArmError(400, "InvalidResourceGroup", f"The resource group name '{name}' is not valid.")
        location = body.get("location")
        if not isinstance(location, str) or location_name(location) not in self._state.cloud.locations:
            raise ArmError(
                400, "LocationNotAvailableForResourceGroup", f"The location '{location}' is not available."
            )
        group = Group(name, location_name(location), dict(tags or {}))
        self._state.groups[name.lower()] = group
        return Reply(201, self._group(group))

    async def get_group(self, asked: Asked) -> Reply:
        if asked.method == "HEAD":
            return Reply(204 if asked.names["group"].lower() in self._state.groups else 404)
        return Reply(200, self._group(self._state.group(asked.names["group"])))

    def _group(self, group: Group) -> dict[str, Any]:
        return {
            "id": f"/subscriptions/{self._state.subscription}/resourceGroups/{group.name}",
            "name": group.name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": group.location,
            "tags": group.tags,
            "properties": {"provisioningState": group.state},
        }

    async def delete_group(self, asked: Asked) -> Reply:
        group = self._state.group(asked.names["group"])
        operation = group.going
        if operation is None:
            operation = group.going = self._state.begin("delete", self._group(group)["id"])
            group.state = "Deleting"
            self._state.keep(asyncio.create_task(self._remove_group(group, operation, asked)))
        return self._work.deleting(asked, operation)

    async def _remove_group(self, group: Group, operation: LongRunning, asked: Asked) -> None:
        if asked.fault is not None and asked.fault.kind == "stuck":
            await asked.fault.lifted.wait()
        self._deployments.forget_group(group.name)
        await self._resources.empty(group.name)
        await self._clock.sleep(self._durations.resource_group)
        self._deployments.forget_group(group.name)
        self._state.groups.pop(group.name.lower(), None)
        operation.end()
