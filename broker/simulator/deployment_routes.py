"""The routes of deployments to a resource group."""

from __future__ import annotations

from typing import Any

from broker.simulator.arm_errors import ArmError
from broker.simulator.deployment_records import Deployment
from broker.simulator.deployments import Deployments
from broker.simulator.lists import fits, page
from broker.simulator.long_running import LongRunningRoutes
from broker.simulator.routes import Asked, Reply, Routes
from broker.simulator.state import State

GROUP = "/subscriptions/{subscription}/resourcegroups/{group}"
EVERY = GROUP + "/providers/Microsoft.Resources/deployments"
ONE = EVERY + "/{deployment}"


class DeploymentRoutes:
    """Deployments, their status and their operations."""

    def __init__(self, state: State, deployments: Deployments, work: LongRunningRoutes) -> None:
        self._state = state
        self._deployments = deployments
        self._work = work

    def add_to(self, routes: Routes) -> None:
        add = routes.add
        add("GET", EVERY, self.list_all)
        add("PUT", ONE, self.put)
        add("GET HEAD", ONE, self.get)
        add("DELETE", ONE, self.delete)
        add("POST", ONE + "/validate", self.validate)
        add("POST", ONE + "/cancel", self.cancel)
        add("GET", ONE + "/operationStatuses/{operation}", self.status)
        # The SDKs ask for operations without the provider in the path.
        for place in (GROUP + "/deployments/{deployment}", ONE):
            add("GET", place + "/operations", self.steps)
            add("GET", place + "/operations/{operation}", self.step)

    async def list_all(self, asked: Asked) -> Reply:
        every = self._deployments.history.of_group(asked.names["group"])
        shown = [deployment.as_json() for deployment in every]
        return page(asked, [each for each in shown if fits(each, asked.query.get("$filter"))])

    async def put(self, asked: Asked) -> Reply:
        deployment, new = self._deployments.put(
            asked.names["group"],
            asked.names["deployment"],
            asked.body,
            correlation_id=asked.correlation_id,
            fault=asked.fault,
        )
        status = asked.link(f"{deployment.id}/operationStatuses/{deployment.operation_id}")
        return Reply(201 if new else 200, deployment.as_json(), {"Azure-AsyncOperation": status})

    async def get(self, asked: Asked) -> Reply:
        if asked.method == "HEAD":
            try:
                self._deployment(asked)
            except ArmError:
                return Reply(404)
            return Reply(204)
        return Reply(200, self._deployment(asked).as_json())

    async def delete(self, asked: Asked) -> Reply:
        try:
            deployment = self._deployment(asked)
        except ArmError as error:
            if error.code != "DeploymentNotFound":
                raise
            return Reply(204)
        self._deployments.forget(deployment.group.name, deployment.name)
        operation = self._state.begin("delete", deployment.id)
        operation.end()
        return self._work.deleting(asked, operation)

    async def validate(self, asked: Asked) -> Reply:
        names = asked.names
        shown = self._deployments.validate(
            names["group"], names["deployment"], asked.body, asked.correlation_id
        )
        return Reply(200, shown)

    async def cancel(self, asked: Asked) -> Reply:
        self._deployments.cancel(asked.names["group"], asked.names["deployment"])
        return Reply(204)

    async def status(self, asked: Asked) -> Reply:
        deployment = self._deployment(asked)
        if deployment.operation_id != asked.names["operation"].lower():
            raise ArmError(404, "OperationNotFound", "The operation of the deployment could not be found.")
        body: dict[str, Any] = {"status": deployment.state}
        if deployment.error is not None:
            body["error"] = deployment.error
        return Reply(200, body)

    async def steps(self, asked: Asked) -> Reply:
        deployment = self._deployment(asked)
        return page(asked, [step.as_json(deployment.id) for step in deployment.steps])

    async def step(self, asked: Asked) -> Reply:
        deployment = self._deployment(asked)
        wanted = asked.names["operation"].lower()
        for step in deployment.steps:
            if step.id.lower() == wanted:
                return Reply(200, step.as_json(deployment.id))
        raise ArmError(404, "DeploymentOperationNotFound", f"Operation '{wanted}' could not be found.")

    def _deployment(self, asked: Asked) -> Deployment:
        if asked.fault is not None and asked.fault.kind == "pruned":
            self._deployments.history.drop(asked.names["group"], asked.names["deployment"])
        return self._deployments.history.find(asked.names["group"], asked.names["deployment"])
