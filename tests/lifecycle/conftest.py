"""The lifecycle on both databases, with the real runner and a system outside that does what a test says."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from broker.domain.catalog import Catalog, ServiceOffering
from broker.domain.instances import Context
from broker.domain.requests import BindRequest, Caller, DeprovisionRequest, ProvisionRequest, UnbindRequest
from broker.lifecycle.bindings import Bindings
from broker.lifecycle.instances import Instances
from broker.lifecycle.options import LifecycleOptions
from broker.lifecycle.polling import Polling
from broker.operations.runner import Runner, RunnerOptions
from broker.store.database import Database
from tests.osb.external import External, ExternalProvisioner
from tests.osb.offerings import CATALOG, SERVICE, SMALL

PARENTS, PARENT, CHILDREN, CHILD = "parents", "parent", "children", "child"
FOSTER, FOSTER_PARENT = "foster-parents", "foster-parent"
PATIENCE = timedelta(seconds=20)


@dataclass
class Shop:
    """A catalog that a test may change while it is served."""

    catalog: Catalog

    def current(self) -> Catalog:
        return self.catalog

    def withdraw_everything(self) -> None:
        self.catalog = Catalog(())


def catalog_with_children() -> Catalog:
    small = replace(
        CATALOG.plan(SERVICE, SMALL)[1], create_schema=None, update_schema=None, maintenance_info=None
    )
    parents = ServiceOffering(
        id=PARENTS,
        name="parents",
        description="Have children.",
        bindable=True,
        plans=(replace(small, id=PARENT, name="parent", takes_alias=True),),
    )
    children = ServiceOffering(
        id=CHILDREN,
        name="children",
        description="Have parents.",
        bindable=True,
        plans=(replace(small, id=CHILD, name="child", parent=PARENTS, other_parents=(FOSTER,)),),
    )
    foster_parents = replace(
        parents, id=FOSTER, name="foster-parents", plans=(replace(parents.plans[0], id=FOSTER_PARENT),)
    )
    return Catalog((*CATALOG.offerings, parents, foster_parents, children), revision=1)


@dataclass
class Desk:
    """The lifecycle as one platform meets it."""

    database: Database
    shop: Shop
    external: External
    options: LifecycleOptions
    caller: Caller = field(default_factory=lambda: Caller("cf"))

    def of(self, platform: str) -> "Desk":
        return replace(self, caller=Caller(platform))

    async def order(self, instance_id, service=SERVICE, plan=SMALL, **changes):
        request = ProvisionRequest(
            caller=self.caller,
            instance_id=instance_id,
            service_offering_id=service,
            service_plan_id=plan,
            accepts_incomplete=True,
        )
        return await Instances(self.database, self.shop, self.options).provision(replace(request, **changes))

    async def delete(self, instance_id, service=SERVICE, plan=SMALL):
        request = DeprovisionRequest(self.caller, instance_id, service, plan, accepts_incomplete=True)
        return await Instances(self.database, self.shop, self.options).deprovision(request)

    async def bind(self, instance_id, binding_id, **changes):
        request = BindRequest(self.caller, instance_id, binding_id, SERVICE, SMALL)
        return await Bindings(self.database, self.shop, self.options).bind(replace(request, **changes))

    async def unbind(self, instance_id, binding_id, **changes):
        request = UnbindRequest(self.caller, instance_id, binding_id, SERVICE, SMALL)
        return await Bindings(self.database, self.shop, self.options).unbind(replace(request, **changes))

    async def poll(self, instance_id, binding_id=None):
        polling = Polling(self.database, self.options)
        return await polling.last_operation(self.caller.platform, instance_id, binding_id, None)

    async def ended(self, instance_id, binding_id=None):
        """Poll until it is no longer in progress."""
        async with asyncio.timeout(PATIENCE.total_seconds()):
            while True:
                answer = await self.poll(instance_id, binding_id)
                if answer.state != "in progress":
                    return answer
                await asyncio.sleep(0.01)

    async def ready(self, instance_id, service=SERVICE, plan=SMALL, **changes):
        await self.order(instance_id, service, plan, **changes)
        assert (await self.ended(instance_id)).state == "succeeded"


def in_namespace(name: str) -> Context:
    return Context(
        platform_kind="kubernetes",
        cluster="c",
        namespace=name,
        whole={"platform": "kubernetes", "clusterid": "c", "namespace": name},
    )


QUICK = LifecycleOptions(
    request_wait=timedelta(seconds=5),
    quick_wait=timedelta(seconds=2),
    look_again=timedelta(milliseconds=20),
)


@pytest.fixture
async def desk(database):
    external = External()
    runner = Runner(database, {"external": ExternalProvisioner(external)}, RunnerOptions(name="test"))
    async with asyncio.TaskGroup() as group:
        group.create_task(runner.run())
        yield Desk(database, Shop(catalog_with_children()), external, QUICK)
        runner.stop()
