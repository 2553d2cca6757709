"""Carrying out a deployment: its resources in the order of their dependencies, then its outputs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from broker.simulator.arm_errors import ArmError
from broker.simulator.clock import Clock
from broker.simulator.deployment_errors import after_acceptance, failed, masked
from broker.simulator.deployment_history import History
from broker.simulator.deployment_records import Deployment, Step, a_step
from broker.simulator.durations import Durations
from broker.simulator.faults import Fault, asked_for
from broker.simulator.resource_ids import ResourceId, is_deployment
from broker.simulator.resources import Resources
from broker.simulator.state import State
from broker.simulator.templates import Nested, Planned, Template

log = structlog.get_logger(__name__)


class Begin(Protocol):
    """Accepts a nested deployment and begins it; raises ArmError."""

    def __call__(self, within: Deployment, nested: Nested, fault: Fault | None) -> Deployment: ...


class DeploymentWork:
    """What a deployment does once it was accepted."""

    def __init__(
        self,
        state: State,
        resources: Resources,
        clock: Clock,
        durations: Durations,
        history: History,
        begin_nested: Begin,
    ) -> None:
        self._state = state
        self._resources = resources
        self._clock = clock
        self._durations = durations
        self._living = Living(resources, history)
        self._begin_nested = begin_nested

    async def run(self, deployment: Deployment, template: Template, fault: Fault | None) -> None:
        """Carry it out to its end; nothing is raised."""
        try:
            await self._carry_out(deployment, template, fault)
        except Exception:
            log.exception(
                "A simulated deployment ended in a fault of the simulator", deployment=deployment.name
            )
            fault_of_ours = ArmError(500, "InternalServerError", "The simulator failed; its log tells why.")
            deployment.end("Failed", failed(fault_of_ours, frozenset()))

    async def _carry_out(self, deployment: Deployment, template: Template, fault: Fault | None) -> None:
        half = self._durations.deployment / 2
        whole = fault if fault is not None and "resource" not in fault.options else None
        stuck = whole if whole is not None and whole.kind == "stuck" else None
        if stuck is not None and stuck.options.get("at") == "Accepted":
            await stuck.lifted.wait()
        await self._clock.sleep(half)
        deployment.state = "Running"
        if stuck is not None:
            await stuck.lifted.wait()
        error = await self._all_resources(deployment, template, fault)
        await self._clock.sleep(half)
        if error is None:
            error = self._show_outputs(deployment, template)
        if error is None and whole is not None and whole.kind == "deployment_failed":
            error = asked_for(whole)
        if error is not None:
            deployment.end("Failed", failed(error, template.secrets()))
        else:
            deployment.end("Succeeded", None)

    async def _all_resources(
        self, deployment: Deployment, template: Template, fault: Fault | None
    ) -> ArmError | None:
        """Begin each resource when all it waits for is there; after the first failure begin no more."""
        struck = _struck(fault, _in_order(template.resources))
        waiting = {planned.key: planned for planned in template.resources}
        running: dict[asyncio.Task[ArmError | None], str] = {}
        done: set[str] = set()
        first_error: ArmError | None = None
        while waiting or running:
            if first_error is None:
                for key in [key for key, planned in waiting.items() if planned.waits_for <= done]:
                    planned = waiting.pop(key)
                    befallen = fault if struck(planned) else None
                    work = self._one(deployment, template, planned, befallen, fault)
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
        self,
        deployment: Deployment,
        template: Template,
        planned: Planned,
        befallen: Fault | None,
        fault: Fault | None,
    ) -> ArmError | None:
        step = a_step(self._resources.canonical(planned.id))
        step.provisioning = "Read" if planned.existing else "Create"
        deployment.steps.append(step)
        error: ArmError | None = None
        try:
            if (
                befallen is not None
                and befallen.kind == "deployment_failed"
                and not befallen.options.get("accepted")
            ):
                raise asked_for(befallen)
            if planned.existing:
                self._living.reference(planned.id, full=True)
            elif planned.nested:
                below = fault if fault is not None and "resource" in fault.options else None
                error = await self._nested(deployment, template, planned, step, below)
            else:
                error = await self._write(template, planned, step, befallen)
        except ArmError as refusal:
            error = refusal
        step.ended = self._clock.now()
        step.state = "Failed" if error else "Succeeded"
        step.error = masked(error, template.secrets()) if error else None
        return error

    async def _write(
        self, template: Template, planned: Planned, step: Step, befallen: Fault | None
    ) -> ArmError | None:
        body = template.body(planned, self._living)
        _, _, operation = self._resources.put(planned.id, planned.api_version, body, fault=befallen)
        await operation.finished.wait()
        return after_acceptance(operation.error.error(), step.target) if operation.error else None

    async def _nested(
        self, deployment: Deployment, template: Template, planned: Planned, step: Step, fault: Fault | None
    ) -> ArmError | None:
        nested = template.nested(planned, self._living)
        inner = self._begin_nested(deployment, nested, fault)
        deployment.children.append(inner)
        await inner.finished.wait()
        if inner.state == "Succeeded":
            return None
        cause = inner.error or {
            "code": "DeploymentCanceled",
            "message": f"The deployment '{inner.name}' was canceled.",
        }
        return after_acceptance({**cause, "target": inner.id}, step.target)

    def _show_outputs(self, deployment: Deployment, template: Template) -> ArmError | None:
        step = a_step(None)
        step.provisioning = "EvaluateDeploymentOutput"
        error = None
        try:
            deployment.outputs = template.output_values(self._living) or None
        except ArmError as refusal:
            error = refusal
        step.ended = self._clock.now()
        step.state = "Failed" if error else "Succeeded"
        step.error = masked(error, template.secrets()) if error else None
        deployment.steps.append(step)
        return error


class Living:
    """What expressions of a running deployment see of the resources and of other deployments."""

    def __init__(self, resources: Resources, history: History) -> None:
        self._resources = resources
        self._history = history

    def reference(self, resource: ResourceId, *, full: bool) -> Any:
        if is_deployment(resource.type):
            shown = self._history.find(resource.group, resource.name).as_json()
        else:
            shown = self._resources.shown(self._resources.find(resource))
        return shown if full else shown.get("properties", {})

    def list_action(self, resource: ResourceId, action: str, body: Any) -> Any:
        return self._resources.action(resource, action, body if isinstance(body, dict) else None)


def _struck(fault: Fault | None, order: list[Planned]) -> Callable[[Planned], bool]:
    """Which resources a fault is for: those it names, or the one at a place in the order."""
    doomed: set[str] = set()
    if fault is not None and "resource" in fault.options:
        doomed = {each.key for each in order if not each.nested and fault.means(str(each.id))}
    elif fault is not None and fault.kind == "deployment_failed":
        at = int(fault.options.get("after", len(order) - 1))
        doomed = {order[at].key} if 0 <= at < len(order) else set()
    return lambda planned: planned.key in doomed


def _in_order(resources: list[Planned]) -> list[Planned]:
    ordered: list[Planned] = []
    done: set[str] = set()
    while len(ordered) < len(resources):
        ready = [each for each in resources if each.key not in done and each.waits_for <= done]
        ordered += ready
        done |= {each.key for each in ready}
    return ordered
