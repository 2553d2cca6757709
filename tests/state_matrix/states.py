"""
The states in which a request can find a service instance and its bindings, written into the store as the engine would.

No runner works on them: what is there stays there, so that a request's own answer and its own change are seen.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import update

from broker.domain.bindings import BindingState, ServiceBinding
from broker.domain.instances import Configuration, InstanceState, ServiceInstance
from broker.domain.operations import ExternalResource, Operation, OperationKind, OperationStatus, Stage
from broker.store import bindings, instances, operations, resources
from broker.store.database import Transaction
from broker.store.tables import service_instances
from tests.lifecycle.conftest import CHILD, CHILDREN, PARENT, PARENTS
from tests.osb.offerings import SERVICE, SMALL

PLATFORM = "kubernetes"
PARAMETERS = {"size": 1}
OTHER_PARAMETERS = {"size": 2}

I, B, K, S = InstanceState, BindingState, OperationKind, OperationStatus  # noqa: E741 - one letter each, for the tables
FULL, NO_PLAN, NO_OFFERING, NOTHING = "full", "plan withdrawn", "offering withdrawn", "empty"
"""The catalogs that a broker serves."""


@dataclass
class Scene:
    """What was written, and how to ask for it."""

    tx: Transaction
    instance_id: str = field(default_factory=lambda: str(uuid4()))
    binding_id: str = field(default_factory=lambda: str(uuid4()))
    service_id: str = SERVICE
    plan_id: str = SMALL
    parameters: dict = field(default_factory=lambda: dict(PARAMETERS))
    catalog: str = FULL
    instance: ServiceInstance | None = None
    operation: Operation | None = None
    """The last one on what the state is about."""

    async def add(self, state: InstanceState, **changes) -> ServiceInstance:
        made = Configuration(self.plan_id, self.parameters)
        applied = state not in {I.CREATING, I.CREATE_FAILED}
        self.instance = ServiceInstance(
            key=uuid4(),
            instance_id=self.instance_id,
            **{
                "platform": PLATFORM,
                "generation": 0,
                "state": state,
                "service_offering_id": self.service_id,
                "created_at": self.tx.now,
                "provisioner": "external",
                "applied": made if applied else None,
                "asked": None if applied else made,
                **changes,
            },
        )
        await instances.add(self.tx, self.instance)
        return self.instance

    async def run(self, kind: OperationKind, binding: ServiceBinding | None = None, **changes) -> Operation:
        """Put an operation in progress, or with another status one that has ended."""
        if changes.pop("in_flight", False):
            changes |= {"owner": "another-runner", "fence": 1, "due_at": self.tx.now + timedelta(minutes=1)}
        if changes.get("status", S.IN_PROGRESS) is not S.IN_PROGRESS:
            changes |= {"finished_at": self.tx.now}
        self.operation = Operation(
            **{
                "id": uuid4(),
                "kind": kind,
                "platform": self.instance.platform,
                "instance_id": self.instance_id,
                "instance_key": self.instance.key,
                "binding_id": binding.binding_id if binding else None,
                "binding_key": binding.key if binding else None,
                "created_at": self.tx.now,
                "due_at": self.tx.now,
                "deadline_at": self.tx.now + timedelta(hours=1),
                "provisioner": "external",
                "stage": Stage.WORKING,
                **changes,
            }
        )
        await operations.add(self.tx, self.operation)
        return self.operation

    async def bound(self, state: BindingState, **changes) -> ServiceBinding:
        there = state in {B.BOUND, B.UNBINDING, B.UNBIND_FAILED}
        made = ServiceBinding(
            key=uuid4(),
            instance_key=self.instance.key,
            binding_id=self.binding_id,
            state=state,
            service_plan_id=self.plan_id,
            created_at=self.tx.now,
            credentials={"uri": "kept://here"} if there else None,
            **changes,
        )
        await bindings.add(self.tx, made)
        return made

    async def child(self, state: InstanceState) -> None:
        """Give the instance a child."""
        child = Scene(self.tx, service_id=CHILDREN, plan_id=CHILD)
        await child.add(state, parent_key=self.instance.key)
        if state is I.CREATING:
            await child.run(K.PROVISION, stage=Stage.WAITING)

    async def below(self, parent_state: InstanceState, **operation) -> None:
        """Make a parent and become a child of it."""
        parent = Scene(self.tx, service_id=PARENTS, plan_id=PARENT)
        await parent.add(parent_state)
        if parent_state is I.CREATING:
            await parent.run(K.PROVISION)
        elif parent_state is I.DELETING:
            await parent.run(K.DEPROVISION)
        self.service_id, self.plan_id = CHILDREN, CHILD
        self.parameters = {**PARAMETERS, "parentAlias": parent.instance_id}
        state = operation.pop("state")
        await self.add(state, parent_key=parent.instance.key)
        await self.run(K.PROVISION, **operation)

    async def left(self) -> None:
        """Leave a resource behind."""
        await resources.note(
            self.tx, [ExternalResource(self.instance.key, f"left-{self.instance_id}", "1", 1)]
        )


Write = Callable[[Scene], Awaitable[object]]
OF_INSTANCES: dict[str, Write] = {}
OF_BINDINGS: dict[str, Write] = {}


def state(name: str, where: dict[str, Write] = OF_INSTANCES) -> Callable[[Write], Write]:
    def named(write: Write) -> Write:
        where[name] = write
        return write

    return named


def of_binding(name: str) -> Callable[[Write], Write]:
    return state(name, OF_BINDINGS)


@state("nothing")
async def _(scene):
    pass


@state("another platform's")
async def _(scene):
    await scene.add(I.READY, platform="cloudfoundry")
    await scene.run(K.PROVISION, status=S.SUCCEEDED)


@state("deleted")
async def _(scene):
    await scene.add(I.DELETING)
    await scene.run(K.DEPROVISION, status=S.SUCCEEDED)
    await instances.remove(scene.tx, scene.instance, reason="Deprovisioned.")


@state("creating, accepted")
async def _(scene):
    await scene.add(I.CREATING)
    await scene.run(K.PROVISION, stage=Stage.WAITING)


for phase in ("", "group", "submit", "wait", "database"):

    @state(f"creating, a step in flight at '{phase or 'look'}'")
    async def _(scene, phase=phase):
        await scene.add(I.CREATING)
        await scene.run(K.PROVISION, phase=phase, in_flight=True)


@state("creating, clearing what an earlier try left")
async def _(scene):
    await scene.add(I.CREATING)
    await scene.left()
    await scene.run(K.PROVISION, stage=Stage.CLEARING)


@state("creating, failed and cleaning up")
async def _(scene):
    await scene.add(I.CREATING)
    await scene.left()
    await scene.run(K.PROVISION, stage=Stage.UNDOING, failure="No quota.")


@state("creating, cleaning up and ordered again")
async def _(scene):
    await scene.add(I.CREATING)
    await scene.left()
    await scene.run(K.PROVISION, stage=Stage.UNDOING, failure="No quota.", again=True)


@state("creating, cancelled by an operator")
async def _(scene):
    await scene.add(I.CREATING)
    await scene.run(K.PROVISION, cancel_requested_at=scene.tx.now)


@state("creating, its plan withdrawn")
async def _(scene):
    scene.catalog = NO_PLAN
    await scene.add(I.CREATING)
    await scene.run(K.PROVISION)


@state("creating, waiting for its parent")
async def _(scene):
    await scene.below(I.CREATING, state=I.CREATING, stage=Stage.WAITING)


@state("creating, its parent failed")
async def _(scene):
    await scene.below(I.CREATE_FAILED, state=I.CREATING, stage=Stage.WAITING)


@state("creation failed, nothing left")
async def _(scene):
    await scene.add(I.CREATE_FAILED)
    await scene.run(K.PROVISION, status=S.FAILED, description="There is no quota.")


@state("creation failed, something left")
async def _(scene):
    await scene.add(I.CREATE_FAILED)
    await scene.left()
    await scene.run(K.PROVISION, status=S.FAILED, description="There is no quota.")


@state("creation failed, quarantined")
async def _(scene):
    await scene.add(I.CREATE_FAILED)
    await scene.left()
    await scene.run(K.PROVISION, status=S.FAILED, claims=6, description="The broker stopped over it.")


@state("creation failed, its parent failed")
async def _(scene):
    await scene.below(I.CREATE_FAILED, state=I.CREATE_FAILED, status=S.FAILED)


@state("creation failed, catalog empty")
async def _(scene):
    scene.catalog = NOTHING
    await scene.add(I.CREATE_FAILED)
    await scene.run(K.PROVISION, status=S.FAILED)


@state("ready")
async def _(scene):
    await scene.add(I.READY)
    await scene.run(K.PROVISION, status=S.SUCCEEDED)


@state("ready, missing in Azure")
async def _(scene):
    instance = await scene.add(I.READY)
    await scene.run(K.PROVISION, status=S.SUCCEEDED)
    whose = service_instances.c.key == instance.key
    await scene.tx.execute(update(service_instances).where(whose).values(missing_since=scene.tx.now))


@state("ready, its history pruned")
async def _(scene):
    await scene.add(I.READY)


@state("ready, below a ready parent")
async def _(scene):
    await scene.below(I.READY, state=I.READY, status=S.SUCCEEDED)


@state("ready, below a parent that failed to be deleted")
async def _(scene):
    await scene.below(I.DELETE_FAILED, state=I.READY, status=S.SUCCEEDED)


@state("ready, its plan withdrawn")
async def _(scene):
    scene.catalog = NO_PLAN
    await scene.add(I.READY)
    await scene.run(K.PROVISION, status=S.SUCCEEDED)


@state("ready, its offering withdrawn")
async def _(scene):
    scene.catalog = NO_OFFERING
    await scene.add(I.READY)
    await scene.run(K.PROVISION, status=S.SUCCEEDED)


@state("ready, catalog empty")
async def _(scene):
    scene.catalog = NOTHING
    await scene.add(I.READY)
    await scene.run(K.PROVISION, status=S.SUCCEEDED)


@state("updating, to other parameters")
async def _(scene):
    await scene.add(I.READY, asked=Configuration(SMALL, OTHER_PARAMETERS))
    await scene.run(K.UPDATE)


@state("updating, a step in flight")
async def _(scene):
    await scene.add(I.READY, asked=Configuration(SMALL, OTHER_PARAMETERS))
    await scene.run(K.UPDATE, in_flight=True, phase="wait")


@state("update failed")
async def _(scene):
    await scene.add(I.READY)
    await scene.run(
        K.UPDATE, status=S.FAILED, description="No.", instance_usable=True, update_repeatable=True
    )


for child in (I.CREATING, I.READY, I.CREATE_FAILED, I.DELETE_FAILED):

    @state(f"ready, with a child whose state is '{child}'")
    async def _(scene, child=child):
        scene.service_id, scene.plan_id = PARENTS, PARENT
        await scene.add(I.READY)
        await scene.run(K.PROVISION, status=S.SUCCEEDED)
        await scene.child(child)


@state("deleting, accepted")
async def _(scene):
    await scene.add(I.DELETING)
    await scene.run(K.DEPROVISION, stage=Stage.WAITING)


@state("deleting, a step in flight")
async def _(scene):
    await scene.add(I.DELETING)
    await scene.run(K.DEPROVISION, in_flight=True, phase="remove")


@state("deleting, catalog empty")
async def _(scene):
    scene.catalog = NOTHING
    await scene.add(I.DELETING)
    await scene.run(K.DEPROVISION)


@state("deleting, with its children")
async def _(scene):
    scene.service_id, scene.plan_id = PARENTS, PARENT
    await scene.add(I.DELETING)
    await scene.child(I.DELETING)
    await scene.run(K.DEPROVISION, stage=Stage.WAITING)


@state("deletion failed")
async def _(scene):
    await scene.add(I.DELETE_FAILED)
    await scene.run(K.DEPROVISION, status=S.FAILED, description="A lock.", instance_usable=False)


@state("deletion failed, quarantined")
async def _(scene):
    await scene.add(I.DELETE_FAILED)
    await scene.run(K.DEPROVISION, status=S.FAILED, errors=20, description="The broker stopped over it.")


@state("deletion failed, catalog empty")
async def _(scene):
    scene.catalog = NOTHING
    await scene.add(I.DELETE_FAILED)
    await scene.run(K.DEPROVISION, status=S.FAILED, description="A lock.")


for living in B:

    @state(f"ready, with a binding whose state is '{living}'")
    async def _(scene, living=living):
        await scene.add(I.READY)
        await _with_binding(scene, living)
        await scene.run(K.PROVISION, status=S.SUCCEEDED)


async def _with_binding(scene, living, **changes):
    bound = await scene.bound(living)
    match living:
        case B.BINDING:
            await scene.run(K.BIND, bound, **changes)
        case B.UNBINDING:
            await scene.run(K.UNBIND, bound, **changes)
        case B.BOUND:
            await scene.run(K.BIND, bound, status=S.SUCCEEDED)
        case B.BIND_FAILED:
            await scene.run(K.BIND, bound, status=S.FAILED, description="No connection.")
        case B.UNBIND_FAILED:
            await scene.run(K.UNBIND, bound, status=S.FAILED, description="No connection.")


@of_binding("nothing")
async def _(scene):
    await scene.add(I.READY)


@of_binding("unbound")
async def _(scene):
    await scene.add(I.READY)
    bound = await scene.bound(B.UNBINDING)
    await scene.run(K.UNBIND, bound, status=S.SUCCEEDED)
    await bindings.remove(scene.tx, bound, scene.instance, reason="Unbound.")


for living in B:

    @of_binding(f"{living}")
    async def _(scene, living=living):
        await scene.add(I.READY)
        await _with_binding(scene, living)


@of_binding("binding, a step in flight")
async def _(scene):
    await scene.add(I.READY)
    await _with_binding(scene, B.BINDING, in_flight=True, phase="verbs")


@of_binding("binding, being undone")
async def _(scene):
    await scene.add(I.READY)
    await _with_binding(scene, B.BINDING, stage=Stage.UNDOING, failure="No connection.")


@of_binding("unbinding, a step in flight")
async def _(scene):
    await scene.add(I.READY)
    await _with_binding(scene, B.UNBINDING, in_flight=True)


@of_binding("bound, its instance updating")
async def _(scene):
    await scene.add(I.READY, asked=Configuration(SMALL, OTHER_PARAMETERS))
    update = await scene.run(K.UPDATE)
    await _with_binding(scene, B.BOUND)
    assert update


@of_binding("bound, its instance deleting")
async def _(scene):
    await scene.add(I.DELETING)
    await scene.run(K.DEPROVISION, stage=Stage.WAITING)
    await _with_binding(scene, B.BOUND)


@of_binding("unbinding, its instance deleting")
async def _(scene):
    await scene.add(I.DELETING)
    await scene.run(K.DEPROVISION, stage=Stage.WAITING)
    await _with_binding(scene, B.UNBINDING)


@of_binding("bound, its instance's deletion failed")
async def _(scene):
    await scene.add(I.DELETE_FAILED)
    await scene.run(K.DEPROVISION, status=S.FAILED)
    await _with_binding(scene, B.BOUND)


for catalog in (NO_PLAN, NO_OFFERING, NOTHING):

    @of_binding(f"bound, catalog: {catalog}")
    async def _(scene, catalog=catalog):
        scene.catalog = catalog
        await scene.add(I.READY)
        await _with_binding(scene, B.BOUND)


@of_binding("bind failed, catalog: empty")
async def _(scene):
    scene.catalog = NOTHING
    await scene.add(I.READY)
    await _with_binding(scene, B.BIND_FAILED)


@of_binding("unbind failed, catalog: empty")
async def _(scene):
    scene.catalog = NOTHING
    await scene.add(I.READY)
    await _with_binding(scene, B.UNBIND_FAILED)
