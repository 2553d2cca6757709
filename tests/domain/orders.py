"""Requests and a little engine without I/O: what the lifecycle and the runner do to one instance, in memory."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from broker.domain.catalog import Catalog, MaintenanceInfo, ServiceOffering, ServicePlan
from broker.domain.decisions import AlreadyDone, Change, Create, CreateAfresh, CreateAgain, Join, Remove
from broker.domain.instance_rules import check_order, decide_deprovision, decide_provision, decide_update
from broker.domain.instances import Configuration, InstanceState, ServiceInstance
from broker.domain.operations import Operation, OperationKind, OperationStatus, Stage
from broker.domain.requests import Caller, DeprovisionRequest, ProvisionRequest, UpdateRequest
from broker.errors import BrokerError

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
CALLER = Caller("cf")

SCHEMA = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "type": "object",
    "additionalProperties": False,
    "required": ["storageGB"],
    "properties": {
        "storageGB": {"type": "integer", "minimum": 32, "maximum": 1024},
        "tier": {"enum": ["Hot", "Cool"]},
        "location": {"type": "string"},
        "password": {"type": "string", "pattern": "^[a-z]+$"},
        "rules": {
            "type": "array",
            "items": {"type": "object", "properties": {"from": {"type": "string", "format": "ipv4"}}},
        },
    },
}
UPDATE = {
    **{name: value for name, value in SCHEMA.items() if name != "required"},
    "properties": {name: value for name, value in SCHEMA["properties"].items() if name != "location"},
}


def a_plan(plan_id: str = "small", **changes) -> ServicePlan:
    values = {
        "name": plan_id,
        "description": "A plan.",
        "free": False,
        "bindable": True,
        "maximum_polling_duration": timedelta(hours=1),
        "plan_updateable": True,
        "maintenance_info": MaintenanceInfo("1.0.0"),
        "create_schema": SCHEMA,
        "update_schema": UPDATE,
        "grows_only": ("storageGB",),
    }
    return ServicePlan(id=plan_id, **(values | changes))


CATALOG = Catalog(
    (
        ServiceOffering(
            id="offering",
            name="things",
            description="Things.",
            bindable=True,
            plan_updateable=True,
            plans=(a_plan(), a_plan("large"), a_plan("fixed", plan_updateable=False)),
        ),
    )
)


def an_order(**changes) -> ProvisionRequest:
    values = {"service_plan_id": "small", "parameters": {"storageGB": 32}, "accepts_incomplete": True}
    return ProvisionRequest(
        caller=CALLER, instance_id="i", service_offering_id="offering", **(values | changes)
    )


def an_update(**changes) -> UpdateRequest:
    return UpdateRequest(caller=CALLER, instance_id="i", service_offering_id="offering", **changes)


def a_deletion(**changes) -> DeprovisionRequest:
    values = {"service_offering_id": "offering", "service_plan_id": "small"}
    return DeprovisionRequest(caller=CALLER, instance_id="i", **(values | changes))


def an_instance(state: InstanceState = InstanceState.READY, **changes) -> ServiceInstance:
    made = Configuration("small", {"storageGB": 32}, maintenance_version="1.0.0")
    ready = state in {InstanceState.READY, InstanceState.DELETING, InstanceState.DELETE_FAILED}
    values = {"applied": made if ready else None, "asked": None if ready else made}
    return ServiceInstance(
        key=uuid4(),
        platform="cf",
        instance_id="i",
        generation=0,
        state=state,
        service_offering_id="offering",
        created_at=NOON,
        **(values | changes),
    )


def an_operation(kind: OperationKind, instance: ServiceInstance, **changes) -> Operation:
    return Operation(
        id=uuid4(),
        kind=kind,
        platform="cf",
        instance_id="i",
        instance_key=instance.key,
        created_at=NOON,
        due_at=NOON,
        deadline_at=NOON + timedelta(hours=1),
        **changes,
    )


@dataclass
class World:
    """One instance id of one platform, with everything that ever ran on it."""

    instance: ServiceInstance | None = None
    operations: list[Operation] = field(default_factory=list)

    @property
    def running(self) -> Operation | None:
        return next((each for each in self.operations if not each.finished), None)

    def ask(self, request) -> object:
        """Decide and write down, as the lifecycle does; refusals rise."""
        match request:
            case ProvisionRequest():
                decision = decide_provision(self.instance, self.running, request)
                if isinstance(decision, Create | CreateAfresh):
                    _, plan = CATALOG.plan(request.service_offering_id, request.service_plan_id)
                    check_order(plan, request)
                    asked = Configuration(plan.id, request.parameters, maintenance_version="1.0.0")
                    self.instance = an_instance(InstanceState.CREATING, asked=asked)
                    self._begin(OperationKind.PROVISION)
                elif isinstance(decision, CreateAgain):
                    self._change(decision.operation, again=True)
            case UpdateRequest():
                decision = decide_update(self.instance, self.running, request, CATALOG)
                if isinstance(decision, Change):
                    self.instance = replace(self.instance, asked=decision.asked)
                    self._begin(OperationKind.UPDATE)
            case DeprovisionRequest():
                decision = decide_deprovision(self.instance, self.running, request, CATALOG)
                if isinstance(decision, Remove):
                    if decision.running is not None:
                        self._change(decision.running, status=OperationStatus.FAILED)
                    self.instance = replace(self.instance, state=InstanceState.DELETING)
                    self._begin(OperationKind.DEPROVISION)
        assert isinstance(
            decision, Create | CreateAfresh | CreateAgain | Change | Remove | Join | AlreadyDone
        )
        return decision

    def refusal_of(self, request) -> BrokerError | None:
        """Ask, and return the refusal if there is one."""
        try:
            self.ask(request)
        except BrokerError as refusal:
            return refusal
        return None

    def work(self, *, well: bool) -> None:
        """Let the running operation take its next turn, as the engine does."""
        running = self.running
        if running is None:
            return
        if running.kind is OperationKind.PROVISION and running.stage is Stage.UNDOING:
            if running.again:
                self._change(running, stage=Stage.WORKING, again=False)
            else:
                self._change(running, status=OperationStatus.FAILED)
                self.instance = replace(self.instance, state=InstanceState.CREATE_FAILED)
        elif running.kind is OperationKind.PROVISION and not well:
            self._change(running, stage=Stage.UNDOING)
        else:
            self._change(running, status=OperationStatus.SUCCEEDED if well else OperationStatus.FAILED)
            self._ended(running.kind, well=well)

    def _ended(self, kind: OperationKind, *, well: bool) -> None:
        if kind is OperationKind.DEPROVISION:
            self.instance = None if well else replace(self.instance, state=InstanceState.DELETE_FAILED)
        elif well:
            self.instance = replace(
                self.instance, state=InstanceState.READY, applied=self.instance.asked, asked=None
            )
        else:
            self.instance = replace(self.instance, asked=None)

    def _begin(self, kind: OperationKind) -> None:
        self.operations.append(an_operation(kind, self.instance))

    def _change(self, operation: Operation, **changes) -> None:
        place = self.operations.index(operation)
        self.operations[place] = replace(operation, **changes)
