"""Instances, bindings and operations that tests remember."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from broker.domain.bindings import BindingState, ServiceBinding
from broker.domain.handlers import Handlers
from broker.domain.instances import Configuration, Context, InstanceState, ServiceInstance
from broker.domain.operations import Operation, OperationKind, Stage

NOON = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)


def an_instance(**changes) -> ServiceInstance:
    made = ServiceInstance(
        key=uuid4(),
        platform="kubernetes",
        instance_id=f"instance-{uuid4()}",
        generation=0,
        state=InstanceState.CREATING,
        service_offering_id="an-offering",
        provisioner="imagined",
        created_at=NOON,
        asked=Configuration("a-plan", {"size": 10, "name": "Äpfel\0"}, {"admin": "only-sealed"}, "1.0.0"),
        context=Context("kubernetes", "c1", "ns1", None, None, "db", {"namespace": "ns1", "odd": "\0"}),
        scope="c1/ns1",
        record={"resource_group": "rg"},
    )
    return replace(made, **changes)


def handlers(*versions: int) -> Handlers:
    """What a build knows whose imagined provisioner has these versions."""
    return Handlers({("imagined", kind): frozenset(versions) for kind in OperationKind})


def a_binding(instance: ServiceInstance, **changes) -> ServiceBinding:
    made = ServiceBinding(
        key=uuid4(),
        instance_key=instance.key,
        binding_id=f"binding-{uuid4()}",
        state=BindingState.BINDING,
        service_plan_id="a-plan",
        created_at=NOON,
        parameters={"role": "reader"},
        secrets={"password": "only-sealed"},
        bind_resource={"app_guid": "app"},
        record={"login": "b1"},
        expires_at=NOON + timedelta(days=1),
    )
    return replace(made, **changes)


def an_operation(
    instance: ServiceInstance, kind: OperationKind = OperationKind.PROVISION, **changes
) -> Operation:
    made = Operation(
        id=uuid4(),
        kind=kind,
        platform=instance.platform,
        instance_id=instance.instance_id,
        instance_key=instance.key,
        created_at=NOON,
        due_at=NOON,
        deadline_at=datetime.now(UTC) + timedelta(minutes=30),
        provisioner=instance.provisioner,
        handler_version=1,
        stage=Stage.WAITING,
        inputs={"plan_id": "a-plan", "recipe": {"steps": 2}},
    )
    return replace(made, **changes)
