"""
A small engine for provisioners under test: it applies each step to what is remembered, as the real one does.

`repeat` calls every step twice and keeps the second answer: that is a crash after the call and before the save.
"""

import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio

from broker.domain.bindings import BindingState, ServiceBinding
from broker.domain.instances import Configuration, InstanceState, ServiceInstance
from broker.domain.operations import ExternalResource, Operation, OperationKind
from broker.provisioners.base import Next, Outcome, Provisioner, StepFailed, Work
from tests.simulated import SimulatedAzure

PATIENCE = timedelta(seconds=40)
"""Many times what anything takes in scaled time on a busy machine."""


class Killed(Exception):
    """The runner died here; nothing of its step was saved."""


@dataclass
class Order:
    """One service instance, with all that a store would remember of it."""

    provisioner: Provisioner
    plan: Any
    offering_id: str
    parameters: dict[str, Any] = field(default_factory=dict)
    instance_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    platform: str = "kubernetes"
    parent: "Order | None" = None
    repeat: bool = False
    secrets: dict[str, Any] = field(default_factory=dict)
    instance: ServiceInstance = field(init=False)
    bindings: dict[str, ServiceBinding] = field(default_factory=dict)
    resources: dict[str, ExternalResource] = field(default_factory=dict)
    steps: list[tuple[str, str, Next | None]] = field(default_factory=list)
    failures: list[StepFailed] = field(default_factory=list)
    operation: Operation | None = None

    def __post_init__(self) -> None:
        self.instance = ServiceInstance(
            key=uuid.uuid4(),
            platform=self.platform,
            instance_id=self.instance_id,
            generation=0,
            state=InstanceState.CREATING,
            service_offering_id=self.offering_id,
            created_at=datetime.now(UTC),
            asked=Configuration(self.plan.id, self.parameters),
        )

    async def create(self) -> Next:
        ended = await self.carry_out(OperationKind.PROVISION, "create")
        if ended.outcome is Outcome.DONE:
            self.instance = replace(
                self.instance, applied=self.instance.asked, asked=None, state=InstanceState.READY
            )
        return ended

    async def update(self, plan: Any = None, **parameters: Any) -> Next:
        applied = self.instance.applied
        self.plan = plan or self.plan
        asked = replace(
            applied, service_plan_id=self.plan.id, parameters={**applied.parameters, **parameters}
        )
        self.instance = replace(self.instance, asked=asked)
        ended = await self.carry_out(OperationKind.UPDATE, "update")
        self.instance = replace(
            self.instance,
            applied=self.instance.asked if ended.outcome is Outcome.DONE else self.instance.applied,
            asked=None,
        )
        return ended

    async def carry_out_until(self, phase: str, **parameters: Any) -> Next:
        """Begin an update and take its steps until the next one is *phase*."""
        applied = self.instance.applied
        asked = replace(applied, parameters={**applied.parameters, **parameters})
        self.instance = replace(self.instance, asked=asked)
        return await self.carry_out(OperationKind.UPDATE, "update", until=phase)

    async def delete(self, *, within: Operation | None = None) -> Next:
        """Deprovision, or, *within* a failed creation, clean up under its operation."""
        return await self.carry_out(OperationKind.DEPROVISION, "delete", operation=within)

    async def bind(
        self, expires_at: datetime | None = None, **parameters: Any
    ) -> tuple[ServiceBinding, Next]:
        binding = ServiceBinding(
            key=uuid.uuid4(),
            instance_key=self.instance.key,
            binding_id=str(uuid.uuid4()),
            state=BindingState.BINDING,
            service_plan_id=self.plan.id,
            created_at=datetime.now(UTC),
            expires_at=expires_at,
            parameters=parameters,
        )
        self.bindings[binding.binding_id] = binding
        ended = await self.carry_out(OperationKind.BIND, "bind", binding=binding.binding_id)
        return self.bindings[binding.binding_id], ended

    async def unbind(self, binding: ServiceBinding) -> Next:
        return await self.carry_out(OperationKind.UNBIND, "unbind", binding=binding.binding_id)

    async def carry_out(
        self,
        kind: OperationKind,
        method: str,
        *,
        binding: str | None = None,
        operation: Operation | None = None,
        until: str | None = None,
    ) -> Next:
        """Take steps to the end of the operation, or until its next phase is *until*."""
        self.operation = replace(operation, phase="", state={}) if operation else self.an_operation(kind)
        return await self.go_on(method, binding=binding, until=until)

    async def go_on(self, method: str, *, binding: str | None = None, until: str | None = None) -> Next:
        deadline = datetime.now(UTC) + PATIENCE
        while datetime.now(UTC) < deadline:
            try:
                step = await self.take_step(method, binding=binding)
            except StepFailed as failed:
                self.failures.append(failed)
                if not failed.retryable:
                    return Next(Outcome.FAILED, description=failed.description)
                await anyio.sleep(0.05)
                continue
            if step.outcome is not Outcome.GO_ON or (until is not None and step.phase == until):
                return step
            await anyio.sleep(step.delay.total_seconds())
        raise AssertionError(f"in vain: {self.steps[-3:]} {self.failures[-3:]}")

    def an_operation(self, kind: OperationKind) -> Operation:
        now = datetime.now(UTC)
        return Operation(
            id=uuid.uuid4(),
            kind=kind,
            platform=self.platform,
            instance_id=self.instance_id,
            instance_key=self.instance.key,
            created_at=now,
            due_at=now,
            deadline_at=now + PATIENCE,
            inputs={"recipe": self.plan.recipe, "plan_id": self.plan.id},
        )

    async def before_change(self) -> None:
        """Nobody else works on it."""

    def work(self, *, binding: str | None = None) -> Work:
        return Work(
            operation=self.operation,
            instance=self.instance,
            now=datetime.now(UTC),
            guard=lambda: None,
            before_change=self.before_change,
            binding=self.bindings.get(binding) if binding else None,
            parent=self.parent.instance if self.parent else None,
            resources=list(self.resources.values()),
        )

    async def take_step(self, method: str, *, binding: str | None = None, save: bool = True) -> Next:
        """Take one step; with *save* false it is forgotten, as after a crash."""
        call = getattr(self.provisioner, method)
        for _ in range(2 if self.repeat else 1):
            step = await call(self.work(binding=binding))
        if save:
            self.save(method, step, binding)
        return step

    def save(self, method: str, step: Next, binding: str | None = None) -> None:
        self.steps.append((method, step.phase, step))
        state = self.operation.state if step.state is None else step.state
        self.operation = replace(self.operation, phase=step.phase, state=state)
        if binding:
            changes = {
                name: value
                for name, value in (
                    ("record", step.record),
                    ("secrets", step.secrets),
                    ("credentials", step.credentials),
                )
                if value is not None
            }
            self.bindings[binding] = replace(
                self.bindings[binding], **changes, endpoints=tuple(step.endpoints)
            )
            self._save_resources(step)
        else:
            self._save_instance(step)

    def _save_instance(self, step: Next) -> None:
        if step.record is not None:
            self.instance = replace(self.instance, record=step.record)
        if step.secrets is not None:
            self.instance = replace(self.instance, asked=replace(self.instance.asked, secrets=step.secrets))
        self._save_resources(step)

    def _save_resources(self, step: Next) -> None:
        self.resources.update({resource.resource_id: resource for resource in step.resources})
        for resource_id in step.gone:
            self.resources[resource_id] = replace(self.resources[resource_id], gone_at=datetime.now(UTC))

    @property
    def living(self) -> list[str]:
        return [r.resource_id for r in self.resources.values() if r.gone_at is None]


def resources_in(azure: SimulatedAzure, group: str) -> list[str]:
    """What lives in a resource group."""
    return sorted(r["id"] for r in azure.state()["resources"] if f"/{group}/".lower() in r["id"].lower())


def calls_in(azure: SimulatedAzure, group: str, method: str, what: str = "") -> list[dict[str, Any]]:
    """The calls of one method that touched a resource group."""
    return [
        call
        for call in azure.ledger()
        if call["method"] == method and f"/{group}/".lower() in call["path"].lower() and what in call["path"]
    ]
