"""Deployments to a resource group: accepted at once, carried out afterwards, cancelled, forgotten."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

from broker.simulator.arm_errors import ArmError
from broker.simulator.clock import Clock
from broker.simulator.deployment_history import History
from broker.simulator.deployment_records import Deployment, dependencies_of
from broker.simulator.deployment_requests import Requests
from broker.simulator.deployment_work import DeploymentWork
from broker.simulator.durations import Durations
from broker.simulator.faults import Fault
from broker.simulator.resources import Resources
from broker.simulator.state import Group, State
from broker.simulator.templates import Nested, Template


class Deployments:
    """Accepts deployments and ends them early."""

    def __init__(self, state: State, resources: Resources, clock: Clock, durations: Durations) -> None:
        self._state = state
        self._resources = resources
        self._clock = clock
        self.history = History(state)
        self._requests = Requests(state, resources)
        self._work = DeploymentWork(state, resources, clock, durations, self.history, self._begin_nested)

    def validate(self, group_name: str, name: str, body: Any, correlation_id: str) -> dict[str, Any]:
        """
        What a PUT of the same would accept, without doing it; prunes the history like one.

        Raises:
            ArmError: What it would refuse.
        """
        group = self._state.group(group_name)
        template, properties = self._requests.read(group, name, body)
        self.history.make_room(group.name, name)
        deployment = self._described(group, name, template, properties, correlation_id, {})
        shown = deployment.as_json()
        shown["properties"]["provisioningState"] = "Succeeded"
        shown["properties"]["validatedResources"] = [{"id": str(each)} for each in deployment.targets]
        return shown

    def put(
        self, group_name: str, name: str, body: Any, *, correlation_id: str, fault: Fault | None
    ) -> tuple[Deployment, bool]:
        """
        Accept a deployment and begin it: (deployment, whether its name is new).

        Raises:
            ArmError: Refused; nothing was changed.
        """
        group = self._state.group(group_name)
        before = self._refuse_if_busy(group, name)
        template, properties = self._requests.read(group, name, body)
        tags = body.get("tags") or {}
        deployment = self._described(group, name, template, properties, correlation_id, tags)
        self._begin(deployment, template, fault)
        return deployment, before is None

    def _begin_nested(self, within: Deployment, nested: Nested, fault: Fault | None) -> Deployment:
        group = self._state.group(nested.group)
        self._refuse_if_busy(group, nested.name)
        template = self._requests.read_nested(nested, within.place)
        self._requests.check(template)
        properties = dict(nested.properties)
        deployment = self._described(group, nested.name, template, properties, within.correlation_id, {})
        self._begin(deployment, template, fault)
        return deployment

    def _refuse_if_busy(self, group: Group, name: str) -> Deployment | None:
        """The earlier deployment of this name, if there is one and it has ended."""
        if group.state == "Deleting":
            raise ArmError(
                409,
                "ResourceGroupBeingDeleted",
                f"The resource group '{group.name}' is in deprovisioning state and cannot perform this "
                "operation.",
            )
        before = self.history.get(group.name, name)
        if before is not None and before.active:
            raise ArmError(
                409,
                "DeploymentActive",
                f"Unable to edit or replace deployment '{name}': previous deployment from "
                f"'{before.started.isoformat()}' is still active. Please see https://aka.ms/arm-deploy for usage "
                "details.",
            )
        return before

    def _begin(self, deployment: Deployment, template: Template, fault: Fault | None) -> None:
        self.history.make_room(deployment.group.name, deployment.name)
        self.history.keep(deployment)
        work = self._work.run(deployment, template, fault)
        deployment.task = self._state.keep(asyncio.create_task(work))

    def cancel(self, group: str, name: str) -> None:
        """
        Start no more of its resources; what was begun goes on in its provider, nested deployments end too.

        Raises:
            ArmError: 409, it has ended.
        """
        deployment = self.history.find(group, name)
        if not deployment.active or deployment.task is None:
            raise ArmError(
                409,
                "DeploymentCannotBeCancelled",
                f"The deployment '{deployment.name}' cannot be cancelled because it is in the terminal state "
                f"'{deployment.state}'.",
            )
        self._cancel(deployment)

    def _cancel(self, deployment: Deployment) -> None:
        if deployment.task is not None:
            deployment.task.cancel()
        for step in deployment.steps:
            if step.ended is None:
                step.state, step.ended = "Canceled", self._clock.now()
        deployment.end("Canceled", None)
        for nested in deployment.children:
            if nested.active:
                self._cancel(nested)

    def forget(self, group: str, name: str) -> None:
        """
        Remove a deployment from the history; its resources stay.

        Raises:
            ArmError: 409, it is active.
        """
        deployment = self.history.find(group, name)
        if deployment.active:
            raise ArmError(
                409,
                "DeploymentCannotBeDeleted",
                f"The deployment '{deployment.name}' cannot be deleted while it is {deployment.state.lower()}.",
            )
        self.history.drop(group, name)

    def forget_group(self, group: str) -> None:
        """Cancel and forget all deployments of a group that is going."""
        for deployment in self.history.of_group(group):
            if deployment.active:
                self._cancel(deployment)
            self.history.drop(group, deployment.name)

    def _described(
        self,
        group: Group,
        name: str,
        template: Template,
        properties: Mapping[str, Any],
        correlation_id: str,
        tags: Mapping[str, str],
    ) -> Deployment:
        text = json.dumps(properties.get("template"), sort_keys=True)
        written = [planned for planned in template.resources if not planned.existing]
        return Deployment(
            name=name,
            group=group,
            subscription=self._state.subscription,
            place=template.place,
            correlation_id=correlation_id,
            operation_id=str(uuid.uuid4()),
            template_hash=str(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")),
            parameters={key: each.as_stored() for key, each in template.parameters.items()},
            targets=[self._resources.canonical(planned.id) for planned in written],
            dependencies=dependencies_of(template.resources, self._resources.canonical),
            tags=dict(tags),
            started=self._clock.now(),
        )
