"""The routes of Azure Resource Manager itself: subscription, groups, deployments, providers, resources."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from broker.azure_models import known
from broker.simulator.arm_errors import ArmError
from broker.simulator.clock import Clock
from broker.simulator.deployments import Deployment, Deployments
from broker.simulator.durations import Durations
from broker.simulator.filters import fits
from broker.simulator.resource_ids import ResourceId
from broker.simulator.resources import Resources
from broker.simulator.routes import Asked, Reply, Routes
from broker.simulator.state import LOCATIONS, Group, LongRunning, State, location_name

SUBSCRIPTION = "/subscriptions/{subscription}"
GROUP = SUBSCRIPTION + "/resourcegroups/{group}"
DEPLOYMENT = GROUP + "/providers/Microsoft.Resources/deployments/{deployment}"
GROUP_NAME = re.compile(r"[\w().-]{0,89}[\w()-]")
RESOURCES_VERSIONS = (
    "2026-06-01",
    "2025-04-01",
    "2025-03-01",
    "2024-11-01",
    "2024-07-01",
    "2024-03-01",
    "2023-07-01",
    "2022-12-01",
    "2022-09-01",
    "2022-04-01",
    "2021-04-01",
    "2020-06-01",
)
PAGE = 1000
LISTED = frozenset({"id", "name", "type", "location", "tags", "sku"})
DELETE_RETRY = timedelta(seconds=15)


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

    def routes(self) -> Routes:
        """The table; the first pattern that fits answers."""
        routes = Routes()
        add = routes.add
        add("GET", "/subscriptions", self.subscriptions)
        add("GET", SUBSCRIPTION, self.subscription)
        add("GET", SUBSCRIPTION + "/locations", self.locations)
        add("GET", SUBSCRIPTION + "/resources", self.all_resources)
        add("GET", SUBSCRIPTION + "/resourcegroups", self.groups)
        add("GET", SUBSCRIPTION + "/providers", self.providers)
        add("GET", SUBSCRIPTION + "/operationresults/{operation}", self.operation_result)
        add("PUT PATCH", GROUP, self.put_group)
        add("GET HEAD", GROUP, self.get_group)
        add("DELETE", GROUP, self.delete_group)
        add("GET", GROUP + "/resources", self.group_resources)
        add("GET", GROUP + "/providers/Microsoft.Authorization/permissions", self.permissions)
        add("GET", SUBSCRIPTION + "/providers/Microsoft.Authorization/permissions", self.permissions)
        add("GET", GROUP + "/providers/Microsoft.Resources/deployments", self.list_deployments)
        add("PUT", DEPLOYMENT, self.put_deployment)
        add("GET HEAD", DEPLOYMENT, self.get_deployment)
        add("DELETE", DEPLOYMENT, self.delete_deployment)
        add("POST", DEPLOYMENT + "/validate", self.validate_deployment)
        add("POST", DEPLOYMENT + "/cancel", self.cancel_deployment)
        add("GET", DEPLOYMENT + "/operationStatuses/{operation}", self.deployment_status)
        for place in (GROUP + "/deployments/{deployment}", DEPLOYMENT):
            add("GET", place + "/operations", self.deployment_steps)
            add("GET", place + "/operations/{operation}", self.deployment_step)
        add("GET", SUBSCRIPTION + "/providers/{namespace}", self.provider)
        add("POST", SUBSCRIPTION + "/providers/{namespace}/register", self.register)
        add(
            "GET",
            SUBSCRIPTION + "/providers/{namespace}/locations/{location}/azureAsyncOperation/{operation}",
            self.operation_status,
        )
        add(
            "GET",
            SUBSCRIPTION + "/providers/{namespace}/locations/{location}/operationResults/{operation}",
            self.operation_result,
        )
        check = "/checkNameAvailability"
        add("POST", SUBSCRIPTION + "/providers/{namespace}" + check, self.check_name)
        add("POST", SUBSCRIPTION + "/providers/{namespace}/locations/{location}" + check, self.check_name)
        add("GET", SUBSCRIPTION + "/providers/{namespace}/{type}", self.of_type)
        add("GET HEAD", GROUP + "/providers/{rest:path}", self.get_resource)
        add("PUT PATCH", GROUP + "/providers/{rest:path}", self.put_resource)
        add("DELETE", GROUP + "/providers/{rest:path}", self.delete_resource)
        add("POST", GROUP + "/providers/{rest:path}", self.act_on_resource)
        return routes

    # Subscription and providers.

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
                    for name, shown in LOCATIONS.items()
                ]
            },
        )

    async def permissions(self, asked: Asked) -> Reply:
        if "group" in asked.names:
            self._state.group(asked.names["group"])
        return Reply(200, {"value": self._state.permissions})

    async def providers(self, asked: Asked) -> Reply:
        del asked
        namespaces = sorted({name.partition("/")[0] for name in known()} | {"Microsoft.Resources"})
        return Reply(200, {"value": [self._provider(namespace) for namespace in namespaces]})

    async def provider(self, asked: Asked) -> Reply:
        return Reply(200, self._provider(asked.names["namespace"]))

    async def register(self, asked: Asked) -> Reply:
        provider = self._provider(asked.names["namespace"])
        self._state.unregistered.discard(provider["namespace"].lower())
        return Reply(200, self._provider(provider["namespace"]))

    def _provider(self, asked: str) -> dict[str, Any]:
        types: dict[str, tuple[str, ...]] = {
            name: versions
            for name, versions in known().items()
            if name.lower().startswith(asked.lower() + "/")
        }
        if asked.lower() == "microsoft.resources":
            types = {
                f"Microsoft.Resources/{t}": RESOURCES_VERSIONS for t in ("resourceGroups", "deployments")
            }
        if not types:
            raise ArmError(404, "InvalidResourceNamespace", f"The resource namespace '{asked}' is invalid.")
        namespace = next(iter(types)).partition("/")[0]
        registered = namespace.lower() not in self._state.unregistered
        return {
            "id": f"/subscriptions/{self._state.subscription}/providers/{namespace}",
            "namespace": namespace,
            "registrationPolicy": "RegistrationRequired",
            "registrationState": "Registered" if registered else "NotRegistered",
            "resourceTypes": [
                {
                    "resourceType": name.partition("/")[2],
                    "locations": list(LOCATIONS.values()),
                    "apiVersions": list(versions),
                }
                for name, versions in types.items()
            ],
        }

    async def check_name(self, asked: Asked) -> Reply:
        body = asked.body if isinstance(asked.body, dict) else {}
        name, kind = str(body.get("name", "")), str(body.get("type", ""))
        self._resources.model(_type_id(kind), asked.api_version)
        taken = self._state.is_taken(kind, name)
        reply: dict[str, Any] = {"name": name, "type": kind, "nameAvailable": not taken}
        if taken:
            reply |= {
                "reason": "AlreadyExists",
                "message": f"Specified server name '{name}' is already used.",
            }
        return Reply(200, reply)

    # Groups.

    async def groups(self, asked: Asked) -> Reply:
        shown = [self._group(group) for group in self._state.groups.values()]
        return self._page(asked, [each for each in shown if fits(each, asked.query.get("$filter"))])

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
        if not isinstance(location, str) or location_name(location) not in LOCATIONS:
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
        operation = self._state.begin("delete", self._group(group)["id"])
        if group.state != "Deleting":
            group.state = "Deleting"
            self._state.keep(asyncio.create_task(self._remove_group(group, operation, asked)))
        else:
            operation.end()
        location = asked.link(f"/subscriptions/{self._state.subscription}/operationresults/{operation.id}")
        return Reply(202, None, {"Location": location, **self._retry_after(DELETE_RETRY)})

    async def _remove_group(self, group: Group, operation: LongRunning, asked: Asked) -> None:
        if asked.fault is not None and asked.fault.kind == "stuck":
            await asked.fault.lifted.wait()
        self._deployments.forget_group(group.name)
        await self._resources.empty(group.name)
        await self._clock.sleep(self._durations.resource_group)
        self._deployments.forget_group(group.name)
        self._state.groups.pop(group.name.lower(), None)
        operation.end()

    # Deployments.

    async def list_deployments(self, asked: Asked) -> Reply:
        every = self._deployments.of_group(asked.names["group"])
        return self._page(asked, [deployment.as_json() for deployment in every])

    async def put_deployment(self, asked: Asked) -> Reply:
        deployment, new = self._deployments.put(
            asked.names["group"],
            asked.names["deployment"],
            asked.body,
            correlation_id=asked.correlation_id,
            fault=asked.fault,
        )
        status = asked.link(f"{deployment.id}/operationStatuses/{deployment.operation_id}")
        return Reply(201 if new else 200, deployment.as_json(), {"Azure-AsyncOperation": status})

    async def get_deployment(self, asked: Asked) -> Reply:
        if asked.method == "HEAD":
            try:
                self._deployment(asked)
            except ArmError:
                return Reply(404)
            return Reply(204)
        return Reply(200, self._deployment(asked).as_json())

    async def delete_deployment(self, asked: Asked) -> Reply:
        deployment = self._deployment(asked)
        self._deployments.forget(deployment.group.name, deployment.name)
        operation = self._state.begin("delete", deployment.id)
        operation.end()
        location = asked.link(f"/subscriptions/{self._state.subscription}/operationresults/{operation.id}")
        return Reply(202, None, {"Location": location, **self._retry_after(DELETE_RETRY)})

    async def validate_deployment(self, asked: Asked) -> Reply:
        names = asked.names
        shown = self._deployments.validate(
            names["group"], names["deployment"], asked.body, asked.correlation_id
        )
        return Reply(200, shown)

    async def cancel_deployment(self, asked: Asked) -> Reply:
        self._deployments.cancel(asked.names["group"], asked.names["deployment"])
        return Reply(204)

    async def deployment_status(self, asked: Asked) -> Reply:
        deployment = self._deployment(asked)
        if deployment.operation_id != asked.names["operation"].lower():
            raise ArmError(404, "OperationNotFound", "The operation of the deployment could not be found.")
        body: dict[str, Any] = {"status": deployment.state}
        if deployment.error is not None:
            body["error"] = deployment.error
        return Reply(200, body)

    async def deployment_steps(self, asked: Asked) -> Reply:
        deployment = self._deployment(asked)
        return self._page(asked, [step.as_json(deployment.id) for step in deployment.steps])

    async def deployment_step(self, asked: Asked) -> Reply:
        deployment = self._deployment(asked)
        wanted = asked.names["operation"].lower()
        for step in deployment.steps:
            if step.id.lower() == wanted:
                return Reply(200, step.as_json(deployment.id))
        raise ArmError(404, "DeploymentOperationNotFound", f"Operation '{wanted}' could not be found.")

    def _deployment(self, asked: Asked) -> Deployment:
        return self._deployments.find(asked.names["group"], asked.names["deployment"])

    # Resources.

    async def all_resources(self, asked: Asked) -> Reply:
        return self._listed(asked, None)

    async def group_resources(self, asked: Asked) -> Reply:
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
        return self._page(asked, [each for each in shown if fits(each, asked.query.get("$filter"))])

    async def of_type(self, asked: Asked) -> Reply:
        kind = f"{asked.names['namespace']}/{asked.names['type']}"
        self._resources.model(_type_id(kind), asked.api_version)
        found = [r for r in self._state.resources.values() if r.id.type.lower() == kind.lower()]
        return self._page(asked, [self._resources.shown(resource) for resource in found])

    async def get_resource(self, asked: Asked) -> Reply:
        parts = asked.names["rest"].strip("/").split("/")
        if len(parts) % 2 == 0:
            return self._list_at(asked, parts)
        identity = self._identity(asked, asked.names["rest"])
        self._resources.model(identity, asked.api_version)
        return Reply(200, self._resources.shown(self._resources.find(identity)))

    def _list_at(self, asked: Asked, parts: list[str]) -> Reply:
        group, namespace = asked.names["group"], parts[0]
        self._state.group(group)
        if len(parts) == 2:
            kind = f"{namespace}/{parts[1]}"
            self._resources.model(_type_id(kind), asked.api_version)
            found = [r for r in self._state.in_group(group) if r.id.type.lower() == kind.lower()]
        else:
            parent = self._identity(asked, "/".join(parts[:-1]))
            self._resources.model(_type_id(f"{parent.type}/{parts[-1]}"), asked.api_version)
            found = self._resources.children(parent, parts[-1])
        return self._page(asked, [self._resources.shown(resource) for resource in found])

    async def put_resource(self, asked: Asked) -> Reply:
        identity = self._identity(asked, asked.names["rest"])
        if not isinstance(asked.body, dict):
            raise ArmError(400, "InvalidRequestContent", "The request content was not a JSON object.")
        patch = asked.method == "PATCH"
        resource, _, operation = self._resources.put(
            identity, asked.api_version, asked.body, fault=asked.fault, patch=patch
        )
        return Reply(202, self._resources.shown(resource), self._follow(asked, resource.id, operation))

    async def delete_resource(self, asked: Asked) -> Reply:
        identity = self._identity(asked, asked.names["rest"])
        self._resources.model(identity, asked.api_version)
        operation = self._resources.delete(identity, fault=asked.fault)
        if operation is None:
            return Reply(204)
        return Reply(202, None, self._follow(asked, self._resources.canonical(identity), operation))

    async def act_on_resource(self, asked: Asked) -> Reply:
        path, _, action = asked.names["rest"].rpartition("/")
        identity = self._identity(asked, path)
        self._resources.model(identity, asked.api_version)
        return Reply(200, self._resources.action(identity, action))

    def _identity(self, asked: Asked, rest: str) -> ResourceId:
        text = f"/subscriptions/{self._state.subscription}/resourceGroups/{asked.names['group']}/providers/{rest}"
        try:
            return ResourceId.parse(text)
        except ValueError as error:
            raise ArmError(404, "InvalidResourceType", f"There is no resource at '{asked.path}'.") from error

    # Work that goes on.

    def _follow(self, asked: Asked, identity: ResourceId, operation: LongRunning) -> dict[str, str]:
        top = list(identity.ancestors())[-1] if identity.parent else identity
        resource = self._state.resources.get(top.key)
        location = location_name(resource.body.get("location", "westeurope")) if resource else "westeurope"
        root = (
            f"/subscriptions/{self._state.subscription}/providers/{identity.namespace}/locations/{location}"
        )
        return {
            "Azure-AsyncOperation": asked.link(f"{root}/azureAsyncOperation/{operation.id}"),
            "Location": asked.link(f"{root}/operationResults/{operation.id}"),
            **self._retry_after(DELETE_RETRY),
        }

    async def operation_status(self, asked: Asked) -> Reply:
        operation = self._operation(asked)
        body: dict[str, Any] = {
            "name": operation.id,
            "status": operation.status,
            "startTime": operation.started.isoformat(),
        }
        if operation.ended is not None:
            body["endTime"] = operation.ended.isoformat()
        if operation.error is not None:
            body["error"] = operation.error.error()
        headers = {} if operation.ended else self._retry_after(DELETE_RETRY)
        return Reply(200, body, headers)

    async def operation_result(self, asked: Asked) -> Reply:
        operation = self._operation(asked)
        if operation.ended is None:
            headers = {"Location": asked.link(asked.path), **self._retry_after(DELETE_RETRY)}
            return Reply(202, None, headers)
        if operation.error is not None:
            raise operation.error
        if operation.kind == "delete":
            return Reply(204 if "namespace" in asked.names else 200)
        return Reply(200, self._resources.shown(self._resources.find(ResourceId.parse(operation.target))))

    def _operation(self, asked: Asked) -> LongRunning:
        operation = self._state.operation(asked.names["operation"])
        if operation is None:
            raise ArmError(404, "OperationNotFound", "The operation could not be found.")
        return operation

    def _retry_after(self, wanted: timedelta) -> dict[str, str]:
        return {"Retry-After": str(self._clock.wall_seconds(wanted))}

    def _page(self, asked: Asked, items: Iterable[dict[str, Any]]) -> Reply:
        every = list(items)
        try:
            start = int(asked.query.get("$skiptoken", "0"))
            size = min(PAGE, int(asked.query.get("$top", str(PAGE))))
        except ValueError as error:
            raise ArmError(400, "InvalidQueryParameter", "$top and $skiptoken must be numbers.") from error
        body: dict[str, Any] = {"value": every[start : start + size]}
        if start + size < len(every):
            kept = {key: value for key, value in asked.query.items() if key.startswith("$")}
            body["nextLink"] = asked.link(asked.path, **{**kept, "$skiptoken": str(start + size)})
        return Reply(200, body)


def _type_id(kind: str) -> ResourceId:
    namespace, *types = kind.split("/")
    return ResourceId("", "", namespace, tuple(types), tuple("" for _ in types))
