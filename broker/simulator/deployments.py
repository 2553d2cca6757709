"""Deployments to a resource group: accepted at once, carried out in the order of their dependencies."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from typing import Any

import structlog

from broker.simulator.arm_errors import ArmError
from broker.simulator.clock import Clock
from broker.simulator.deployment_records import Deployment, Step, status_word
from broker.simulator.durations import Durations
from broker.simulator.faults import Fault
from broker.simulator.resource_ids import ResourceId
from broker.simulator.resources import Resources
from broker.simulator.state import Group, State
from broker.simulator.templates import Place, Planned, Template

log = structlog.get_logger(__name__)

LISTED = "Please see https://aka.ms/arm-deployment-operations for usage details."
# Microsoft's documentation of deployment history: from 775 on, the oldest go until 750 are left.
PRUNE_ABOVE, PRUNE_TO = 775, 750


class Deployments:
    """The deployments of all groups and the work they do."""

    def __init__(self, state: State, resources: Resources, clock: Clock, durations: Durations) -> None:
        self._state = state
        self._resources = resources
        self._clock = clock
        self._durations = durations
        self._all: dict[tuple[str, str], Deployment] = {}

    def find(self, group: str, name: str) -> Deployment:
        """
        Raises:
            ArmError: 404, there is no such group or deployment.
        """
        self._state.group(group)
        found = self._all.get((group.lower(), name.lower()))
        if found is None:
            raise ArmError(404, "DeploymentNotFound", f"Deployment '{name}' could not be found.")
        return found

    def of_group(self, group: str) -> list[Deployment]:
        self._state.group(group)
        return [each for (where, _), each in self._all.items() if where == group.lower()]

    def everywhere(self) -> list[Deployment]:
        return list(self._all.values())

    def validate(self, group_name: str, name: str, body: Any, correlation_id: str) -> dict[str, Any]:
        """
        What a PUT of the same would accept, without doing it.

        Raises:
            ArmError: What it would refuse.
        """
        group = self._state.group(group_name)
        template, properties = self._read(group, name, body)
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
        if group.state == "Deleting":
            raise ArmError(
                409,
                "ResourceGroupBeingDeleted",
                f"The resource group '{group.name}' is in deprovisioning state and cannot perform this "
                "operation.",
            )
        key = (group.name.lower(), name.lower())
        before = self._all.get(key)
        if before is not None and before.active:
            raise ArmError(
                409,
                "DeploymentActive",
                f"Unable to edit or replace deployment '{name}': previous deployment from "
                f"'{before.started.isoformat()}' is still active. Please see https://aka.ms/arm-deploy for usage "
                "details.",
            )
        template, properties = self._read(group, name, body)
        tags = body.get("tags") or {}
        deployment = self._described(group, name, template, properties, correlation_id, tags)
        self._all.pop(key, None)
        self._all[key] = deployment
        self._prune(group.name)
        work = self._run(deployment, template, fault)
        deployment.task = self._state.keep(asyncio.create_task(work))
        return deployment, before is None

    def cancel(self, group: str, name: str) -> None:
        """
        Start no more of its resources; what was begun goes on in its provider.

        Raises:
            ArmError: 409, it has ended.
        """
        deployment = self.find(group, name)
        if not deployment.active or deployment.task is None:
            raise ArmError(
                409,
                "DeploymentCannotBeCancelled",
                f"The deployment '{deployment.name}' cannot be cancelled because it is in the terminal state "
                f"'{deployment.state}'.",
            )
        deployment.task.cancel()
        for step in deployment.steps:
            if step.ended is None:
                step.state, step.ended = "Canceled", self._clock.now()
        _end(deployment, "Canceled", None)

    def forget(self, group: str, name: str) -> None:
        """
        Remove a deployment from the history; its resources stay.

        Raises:
            ArmError: 409, it is active.
        """
        deployment = self.find(group, name)
        if deployment.active:
            raise ArmError(
                409,
                "DeploymentCannotBeDeleted",
                f"The deployment '{deployment.name}' cannot be deleted while it is {deployment.state.lower()}.",
            )
        del self._all[group.lower(), name.lower()]

    def prune(self, group: str, name: str) -> None:
        """Drop a deployment from the history, running or not; its work goes on. An unknown one is no error."""
        self._all.pop((group.lower(), name.lower()), None)

    def forget_group(self, group: str) -> None:
        """Cancel and forget all deployments of a group that is going."""
        for deployment in self.of_group(group):
            if deployment.active:
                self.cancel(group, deployment.name)
            del self._all[group.lower(), deployment.name.lower()]

    def _read(self, group: Group, name: str, body: Any) -> tuple[Template, dict[str, Any]]:
        if len(name) > 64:
            raise ArmError(
                400, "InvalidDeploymentName", f"The deployment name '{name}' is above 64 characters."
            )
        properties = body.get("properties") if isinstance(body, dict) else None
        if not isinstance(properties, dict):
            raise ArmError(400, "InvalidRequestContent", "The request content has no 'properties'.")
        unsupported = properties.keys() & {"templateLink", "parametersLink", "onErrorDeployment"}
        if unsupported:
            listed = ", ".join(sorted(unsupported))
            raise ArmError(400, "InvalidRequestContent", f"This simulator does not support {listed}.")
        if properties.get("mode") != "Incremental":
            raise ArmError(400, "InvalidRequestContent", "This simulator knows the mode 'Incremental' only.")
        place = Place(
            subscription=self._state.subscription,
            tenant=self._state.tenant,
            group=group.name,
            location=group.location,
            deployment=name,
            environment=self._state.cloud.environment_in_templates(self._state.origin),
        )
        template = Template(properties.get("template"), properties.get("parameters"), place)
        self._preflight(template)
        return template, properties

    def _preflight(self, template: Template) -> None:
        """What the resource providers refuse before anything is begun."""
        details = []
        for planned in template.resources:
            if planned.existing:
                continue
            try:
                self._resources.check(planned.id, planned.api_version, template.body(planned, None))
            except ArmError as error:
                if error.code == "InvalidTemplate":
                    raise
                if error.status == 409:
                    raise
                target = str(self._resources.canonical(planned.id))
                details.append({"code": error.code, "target": target, "message": error.message})
        if details:
            raise ArmError(
                400,
                "InvalidTemplateDeployment",
                "The template deployment failed with error: 'The template resource is not valid: "
                f"{details[0]['message']}'.",
                details=details,
            )

    def _described(
        self,
        group: Group,
        name: str,
        template: Template,
        properties: dict[str, Any],
        correlation_id: str,
        tags: dict[str, str],
    ) -> Deployment:
        text = json.dumps(properties.get("template"), sort_keys=True)
        return Deployment(
            name=name,
            group=group,
            subscription=self._state.subscription,
            correlation_id=correlation_id,
            operation_id=str(uuid.uuid4()),
            template_hash=str(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")),
            parameters={key: each.as_stored() for key, each in template.parameters.items()},
            targets=[self._resources.canonical(p.id) for p in template.resources if not p.existing],
            tags=dict(tags),
            started=self._clock.now(),
        )

    def _prune(self, group: str) -> None:
        every = self.of_group(group)
        if len(every) > PRUNE_ABOVE:
            for deployment in [each for each in every if not each.active][: len(every) - PRUNE_TO]:
                del self._all[group.lower(), deployment.name.lower()]

    async def _run(self, deployment: Deployment, template: Template, fault: Fault | None) -> None:
        try:
            await self._carry_out(deployment, template, fault)
        except Exception:
            log.exception(
                "A simulated deployment ended in a fault of the simulator", deployment=deployment.name
            )
            fault_of_ours = ArmError(500, "InternalServerError", "The simulator failed; its log tells why.")
            _end(deployment, "Failed", _failed(fault_of_ours, frozenset()))

    async def _carry_out(self, deployment: Deployment, template: Template, fault: Fault | None) -> None:
        half = self._durations.deployment / 2
        stuck = fault if fault is not None and fault.kind == "stuck" and not fault.options.get("resource") else None
        if stuck is not None and stuck.options.get("at") == "Accepted":
            await stuck.lifted.wait()
        await self._clock.sleep(half)
        deployment.state = "Running"
        if stuck is not None:
            await stuck.lifted.wait()
        failing = fault if fault is not None and fault.kind == "deployment_failed" else None
        error = await self._all_resources(deployment, template, failing)
        await self._clock.sleep(half)
        if error is None:
            error = self._show_outputs(deployment, template)
        if error is None and failing is not None:
            error = _asked_for(failing)
        if error is not None:
            _end(deployment, "Failed", _failed(error, template.secrets()))
        else:
            _end(deployment, "Succeeded", None)

    async def _all_resources(
        self, deployment: Deployment, template: Template, failing: Fault | None
    ) -> ArmError | None:
        """Begin each resource when all it waits for is there; after the first failure begin no more."""
        order = [planned.key for planned in _in_order(template.resources)]
        fails_at = int(failing.options.get("after", len(order) - 1)) if failing is not None else len(order)
        doomed = order[fails_at] if failing is not None and fails_at < len(order) else None
        waiting = {planned.key: planned for planned in template.resources}
        running: dict[asyncio.Task[ArmError | None], str] = {}
        done: set[str] = set()
        first_error: ArmError | None = None
        while waiting or running:
            if first_error is None:
                for key in [key for key, planned in waiting.items() if planned.waits_for <= done]:
                    planned = waiting.pop(key)
                    asked = failing if key == doomed else None
                    work = self._one(deployment, template, planned, asked)
                    # A cancelled deployment leaves these behind: what was begun goes on.
                    running[self._state.keep(asyncio.create_task(work))] = key
            if not running:
                break
            ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                done.add(running.pop(task))
                first_error = first_error or task.result()
        return first_error

    async def _one(
        self, deployment: Deployment, template: Template, planned: Planned, failing: Fault | None
    ) -> ArmError | None:
        step = Step(uuid.uuid4().hex[:16].upper(), self._resources.canonical(planned.id), self._clock.now())
        step.provisioning = "Read" if planned.existing else "Create"
        deployment.steps.append(step)
        error: ArmError | None = None
        try:
            if failing is not None:
                raise _asked_for(failing)
            if planned.existing:
                self._resources.find(planned.id)
            else:
                body = template.body(planned, _Living(self._resources))
                _, _, operation = self._resources.put(planned.id, planned.api_version, body)
                await operation.finished.wait()
                error = _after_acceptance(operation.error, step.target) if operation.error else None
        except ArmError as refusal:
            error = refusal
        step.ended = self._clock.now()
        step.state = "Failed" if error else "Succeeded"
        step.error = _masked(error, template.secrets()) if error else None
        return error

    def _show_outputs(self, deployment: Deployment, template: Template) -> ArmError | None:
        try:
            outputs = template.output_values(_Living(self._resources))
        except ArmError as error:
            return error
        if outputs:
            deployment.outputs = outputs
        step = Step(uuid.uuid4().hex[:16].upper(), None, self._clock.now(), "EvaluateDeploymentOutput")
        step.state, step.ended = "Succeeded", self._clock.now()
        deployment.steps.append(step)
        return None


class _Living:
    """What expressions of a running deployment see of the resources."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def reference(self, resource: ResourceId, *, full: bool) -> Any:
        shown = self._resources.shown(self._resources.find(resource))
        return shown if full else shown.get("properties", {})

    def list_action(self, resource: ResourceId, action: str) -> Any:
        return self._resources.action(resource, action)


def _in_order(resources: list[Planned]) -> list[Planned]:
    ordered: list[Planned] = []
    done: set[str] = set()
    while len(ordered) < len(resources):
        ready = [each for each in resources if each.key not in done and each.waits_for <= done]
        ordered += ready
        done |= {each.key for each in ready}
    return ordered


def _asked_for(fault: Fault) -> ArmError:
    return ArmError(
        int(fault.options.get("status", 409)),
        str(fault.options.get("code", "ResourceQuotaExceeded")),
        str(fault.options.get("message", "The quota of the subscription is used up.")),
    )


def _after_acceptance(error: ArmError, target: ResourceId | None) -> ArmError:
    """A provider that accepted a write and then failed is reported one level deeper than a refusal."""
    return ArmError(
        409,
        "ResourceDeploymentFailure",
        "The resource write operation failed to complete successfully, because it reached terminal provisioning "
        "state 'Failed'.",
        target=str(target),
        details=[error.error()],
    )


def _failed(error: ArmError, secrets: frozenset[str]) -> dict[str, Any]:
    """The error of a failed deployment: the cause nested below it, a refusal as JSON within a string."""
    error = _masked(error, secrets)
    if error.code == "ResourceDeploymentFailure":
        cause = error.error()
    else:
        inner = json.dumps({"error": error.error()}, indent=2).replace("\n", "\r\n")
        cause = {"code": status_word(error), "message": inner}
    return {
        "code": "DeploymentFailed",
        "message": "At least one resource deployment operation failed. Please list deployment operations for "
        f"details. {LISTED}",
        "details": [cause],
    }


def _masked(error: ArmError, secrets: frozenset[str]) -> ArmError:
    def mask(value: Any) -> Any:
        if isinstance(value, str):
            for secret in sorted(secrets, key=len, reverse=True):
                value = value.replace(secret, "***")
            return value
        if isinstance(value, dict):
            return {key: mask(item) for key, item in value.items()}
        return [mask(item) for item in value] if isinstance(value, list) else value

    details = [mask(dict(detail)) for detail in error.details]
    return ArmError(error.status, error.code, mask(error.message), target=error.target, details=details)


def _end(deployment: Deployment, state: str, error: dict[str, Any] | None) -> None:
    deployment.state = state
    deployment.error = error
    deployment.ended = Clock.now()
