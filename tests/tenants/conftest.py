"""The lifecycle under tenant rules, on both databases, with the real runner and a system outside instead of Azure."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from broker.domain.requests import UpdateRequest
from broker.domain.tenant_rules import NO_RULES, Rule, TenantRules
from broker.lifecycle.instances import Instances
from broker.operations.runner import Runner, RunnerOptions
from broker.store import instances, operations
from tests.lifecycle.conftest import QUICK, Desk, Shop
from tests.osb.external import External, ExternalProvisioner
from tests.osb.offerings import SERVICE
from tests.tenants.tables import THINGS


@dataclass
class Table:
    """Rules that a test may change while they are in force."""

    rules: TenantRules = field(default=NO_RULES)

    def current(self) -> TenantRules:
        return self.rules

    def says(self, *table: Rule) -> None:
        self.rules = TenantRules(table)


class Counter(Desk):
    """A desk whose platform tells where its orders come from."""

    @property
    def table(self) -> Table:
        return self.options.tenants

    async def update(self, instance_id, **changes):
        request = UpdateRequest(self.caller, instance_id, SERVICE, accepts_incomplete=True)
        return await Instances(self.database, self.shop, self.options).update(replace(request, **changes))

    async def changed(self, instance_id, **changes):
        await self.update(instance_id, **changes)
        assert (await self.ended(instance_id)).state == "succeeded"

    async def kept(self, instance_id):
        """The instance, and the recipe that its latest operation was accepted with."""
        async with self.database.transaction(read_only=True) as tx:
            instance = await instances.get(tx, self.caller.platform, instance_id)
            last = await operations.last_of_instance(tx, self.caller.platform, instance_id)
        return instance, last.inputs.get("recipe", {})

    async def written(self, instance_id):
        """Wait until something stands under this id."""
        async with asyncio.timeout(20):
            while True:
                async with self.database.transaction(read_only=True) as tx:
                    if await instances.get(tx, self.caller.platform, instance_id) is not None:
                        return
                await asyncio.sleep(0.01)

    async def gone(self, instance_id, **ids):
        await self.delete(instance_id, **ids)
        async with asyncio.timeout(20):
            while (await self.kept(instance_id))[0] is not None:
                await asyncio.sleep(0.01)


@pytest.fixture
async def desk(database):
    external = External()
    runner = Runner(database, {"external": ExternalProvisioner(external)}, RunnerOptions(name="test"))
    options = replace(QUICK, tenants=Table())
    async with asyncio.TaskGroup() as group:
        group.create_task(runner.run())
        yield Counter(database, Shop(THINGS), external, options)
        runner.stop()
