"""How a client follows work that outlasts its request."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from broker.simulator.arm_errors import ArmError
from broker.simulator.clock import Clock
from broker.simulator.resource_ids import ResourceId
from broker.simulator.resources import Resources
from broker.simulator.routes import Asked, Reply, Routes
from broker.simulator.state import LongRunning, State, location_name

RETRY_AFTER = timedelta(seconds=15)
OF_PROVIDER = "/subscriptions/{subscription}/providers/{namespace}/locations/{location}"


class LongRunningRoutes:
    """Status and result of each piece of work, at the URLs that its 202 named."""

    def __init__(self, state: State, clock: Clock, resources: Resources) -> None:
        self._state = state
        self._clock = clock
        self._resources = resources

    def add_to(self, routes: Routes) -> None:
        routes.add("GET", "/subscriptions/{subscription}/operationresults/{operation}", self.result)
        routes.add("GET", OF_PROVIDER + "/azureAsyncOperation/{operation}", self.status)
        routes.add("GET", OF_PROVIDER + "/operationResults/{operation}", self.result)

    def deleting(self, asked: Asked, operation: LongRunning) -> Reply:
        """The 202 of a deletion by Resource Manager itself: of a group or a deployment."""
        location = asked.link(f"/subscriptions/{self._state.subscription}/operationresults/{operation.id}")
        return Reply(202, None, {"Location": location, **self._retry_after()})

    def follow(self, asked: Asked, identity: ResourceId, operation: LongRunning) -> dict[str, str]:
        """Headers of a 202 for work on a resource."""
        top = list(identity.ancestors())[-1] if identity.parent else identity
        resource = self._state.resources.get(top.key)
        location = location_name(resource.body.get("location", "westeurope")) if resource else "westeurope"
        root = (
            f"/subscriptions/{self._state.subscription}/providers/{identity.namespace}/locations/{location}"
        )
        return {
            "Azure-AsyncOperation": asked.link(f"{root}/azureAsyncOperation/{operation.id}"),
            "Location": asked.link(f"{root}/operationResults/{operation.id}"),
            **self._retry_after(),
        }

    async def status(self, asked: Asked) -> Reply:
        operation = self._asked_for(asked)
        body: dict[str, Any] = {
            "name": operation.id,
            "status": operation.status,
            "startTime": operation.started.isoformat(),
        }
        if operation.ended is not None:
            body["endTime"] = operation.ended.isoformat()
        if operation.error is not None:
            body["error"] = operation.error.error()
        headers = {} if operation.ended else self._retry_after()
        return Reply(200, body, headers)

    async def result(self, asked: Asked) -> Reply:
        operation = self._asked_for(asked)
        if operation.ended is None:
            headers = {"Location": asked.link(asked.path), **self._retry_after()}
            return Reply(202, None, headers)
        if operation.error is not None:
            raise operation.error
        if operation.kind == "delete":
            return Reply(204 if "namespace" in asked.names else 200)
        if operation.kind == "action":
            return Reply(200)
        return Reply(200, self._resources.shown(self._resources.find(ResourceId.parse(operation.target))))

    def _asked_for(self, asked: Asked) -> LongRunning:
        operation = self._state.operation(asked.names["operation"])
        if operation is None:
            raise ArmError(404, "OperationNotFound", "The operation could not be found.")
        return operation

    def _retry_after(self) -> dict[str, str]:
        return {"Retry-After": str(self._clock.wall_seconds(RETRY_AFTER))}
