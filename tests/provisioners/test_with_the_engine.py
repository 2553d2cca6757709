"""Orders through lifecycle, store, runner and provisioner, on both databases, against the simulated Azure."""

import asyncio
import uuid
from datetime import timedelta

import psycopg
import pytest

from broker.azure.naming import LOWER_AND_DIGITS, NameRule, external_name, tags
from broker.domain.catalog import Catalog
from broker.domain.requests import (
    BindRequest,
    Caller,
    DeprovisionRequest,
    ProvisionRequest,
    UnbindRequest,
    UpdateRequest,
)
from broker.errors import Gone, InvalidParameters, NotPossibleNow
from broker.lifecycle.bindings import Bindings
from broker.lifecycle.instances import Instances
from broker.lifecycle.options import LifecycleOptions
from broker.lifecycle.polling import Polling
from broker.operations.runner import Runner, RunnerOptions
from broker.provisioners.foresight import foreseeing
from broker.store.pruning import prune
from tests.descriptions import faults_of
from tests.provisioners.conftest import OFFERINGS
from tests.provisioners.engine import calls_in, resources_in

pytestmark = pytest.mark.anyio

CALLER = Caller("kubernetes")
STORAGE = "2026-09-01"
PATIENCE = 60
"""Seconds; many times what anything takes in scaled time on a busy machine."""


class Served:
    """The catalog of the checkout."""

    def current(self):
        return Catalog(tuple(OFFERINGS.values()), revision=1)


class Customer:
    """One who orders PostgreSQL."""

    def __init__(self, database, options):
        self.instances = Instances(database, Served(), options)
        self.bindings = Bindings(database, Served(), options)
        self.polling = Polling(database, options)

    async def order(self, name, instance_id, plan=0, **parameters):
        offering = OFFERINGS[name]
        return await self.instances.provision(
            ProvisionRequest(
                CALLER, instance_id, offering.id, offering.plans[plan].id, parameters, accepts_incomplete=True
            )
        )

    async def update(self, name, instance_id, **parameters):
        request = UpdateRequest(
            CALLER, instance_id, OFFERINGS[name].id, parameters=parameters, accepts_incomplete=True
        )
        return await self.instances.update(request)

    async def delete(self, name, instance_id, plan=0):
        offering = OFFERINGS[name]
        request = DeprovisionRequest(
            CALLER, instance_id, offering.id, offering.plans[plan].id, accepts_incomplete=True
        )
        return await self.instances.deprovision(request)

    async def bind(self, name, instance_id, binding_id, **more):
        offering = OFFERINGS[name]
        request = BindRequest(CALLER, instance_id, binding_id, offering.id, offering.plans[0].id, **more)
        return await self.bindings.bind(request)

    async def unbind(self, name, instance_id, binding_id):
        offering = OFFERINGS[name]
        request = UnbindRequest(CALLER, instance_id, binding_id, offering.id, offering.plans[0].id)
        return await self.bindings.unbind(request)

    async def ended(self, instance_id):
        """Poll until it is no longer in progress; None when it is gone."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    answer = await self.polling.last_operation(CALLER.platform, instance_id, None, None)
                except Gone:
                    return None
                if answer.state != "in progress":
                    return answer
                await asyncio.sleep(0.02)


def told(options, arm):
    return LifecycleOptions(
        request_wait=timedelta(seconds=30),
        look_again=timedelta(milliseconds=20),
        foresee=foreseeing(options, arm.cloud),
    )


@pytest.fixture
async def customer(database, provisioner, options, arm):
    runner = Runner(database, {"arm_template": provisioner}, RunnerOptions(name="test"))
    async with asyncio.TaskGroup() as group:
        group.create_task(runner.run())
        yield Customer(database, told(options, arm))
        runner.stop()


async def test_the_life_of_a_database_leaves_nothing(azure, group, customer):
    server, database = str(uuid.uuid4()), str(uuid.uuid4())
    accepted = await customer.order("azure-postgresql-server", server, alias="main")
    assert (await customer.ended(server)).state == "succeeded"
    await customer.order("azure-postgresql-database", database, parentAlias="main")
    assert (await customer.ended(database)).state == "succeeded"

    name = "azure-postgresql-database"
    first = await customer.bind(name, database, "first")
    second = await customer.bind(name, database, "second", predecessor_binding_id="first")
    await customer.unbind(name, database, "first")

    old, new = first.credentials, second.credentials
    trusted = {"sslmode": "verify-full", "sslrootcert": azure.access.ca_file}
    assert accepted.dashboard_url is None or "flexibleServers" in accepted.dashboard_url
    assert old["username"] != new["username"]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await psycopg.AsyncConnection.connect(old["uri"], **trusted)
    async with await psycopg.AsyncConnection.connect(new["uri"], **trusted) as connection:
        await connection.execute("CREATE TABLE kept (id int)")

    for offering, instance_id in ((name, database), ("azure-postgresql-server", server)):
        await customer.delete(offering, instance_id)
        assert await customer.ended(instance_id) is None
    assert resources_in(azure, group) == []


async def test_the_life_of_a_container_leaves_nothing(azure, group, customer):
    account, container, principal = (str(uuid.uuid4()) for _ in range(3))
    await customer.order("azure-storage-account", account, alias="files")
    assert (await customer.ended(account)).state == "succeeded"
    name = "azure-storage-blob-container"
    await customer.order(name, container, parentAlias="files")
    assert (await customer.ended(container)).state == "succeeded"

    key = await customer.bind(name, container, "key")
    first = await customer.bind(name, container, "first", parameters={"auth": "sas"})
    second = await customer.bind(name, container, "second", predecessor_binding_id="first")
    role = await customer.bind(
        name, container, "role", parameters={"auth": "entra", "principalId": principal}
    )
    with pytest.raises(InvalidParameters, match="'principalId' is needed"):
        await customer.bind(name, container, "nobody", parameters={"auth": "entra"})
    with pytest.raises(NotPossibleNow, match="has this role here already"):
        await customer.bind(name, container, "again", parameters={"auth": "entra", "principalId": principal})

    def put(uri):
        return azure.client.put(uri.replace("?", "/one?"), content=b"1").status_code

    assert [put(one.credentials["uri"]) for one in (first, second)] == [201, 201]
    assert len(key.credentials["accessKey"]) == 88
    assert role.credentials["resourceId"] == azure.state()["role_assignments"][-1]["properties"]["scope"]
    await customer.unbind(name, container, "first")
    assert [put(one.credentials["uri"]) for one in (first, second)] == [403, 201]

    for offering, instance_id in ((name, container), ("azure-storage-account", account)):
        await customer.delete(offering, instance_id)
        assert await customer.ended(instance_id) is None
    assert resources_in(azure, group) == []
    assert principal not in str(azure.state()["role_assignments"])


async def test_a_deletion_while_azure_creates_leaves_nothing(azure, group, customer):
    instance_id = str(uuid.uuid4())
    azure.clock(speed=20)
    await customer.order("azure-postgresql-server", instance_id)
    async with asyncio.timeout(PATIENCE):
        while not calls_in(azure, group, "PUT", "/deployments/"):
            await asyncio.sleep(0.02)

    await customer.delete("azure-postgresql-server", instance_id)
    azure.clock(speed=azure.speed)

    assert await customer.ended(instance_id) is None
    assert resources_in(azure, group) == []


async def test_an_order_that_azure_refused_can_be_repeated_under_the_same_id(azure, group, customer):
    instance_id = str(uuid.uuid4())
    azure.fault("deployment_failed", path=group, code="SkuNotAvailable", message="Not offered here.")
    await customer.order("azure-postgresql-server", instance_id)
    failed = await customer.ended(instance_id)
    left = resources_in(azure, group)

    await customer.order("azure-postgresql-server", instance_id)
    again = await customer.ended(instance_id)

    assert failed.state == "failed"
    assert "SkuNotAvailable" in failed.description
    assert left == []
    assert again.state == "succeeded", again.description

    await customer.delete("azure-postgresql-server", instance_id)
    await customer.ended(instance_id)


async def test_contradicting_firewall_rules_are_refused_in_orders_and_updates(azure, group, customer):
    instance_id = str(uuid.uuid4())
    wrong = [{"name": "office", "startIPAddress": "192.0.2.9", "endIPAddress": "192.0.2.1"}]
    with pytest.raises(InvalidParameters):
        await customer.order("azure-postgresql-server", instance_id, firewallRules=wrong)
    await customer.order("azure-postgresql-server", instance_id)
    assert (await customer.ended(instance_id)).state == "succeeded"

    with pytest.raises(InvalidParameters):
        await customer.update("azure-postgresql-server", instance_id, firewallRules=wrong)
    await customer.update("azure-postgresql-server", instance_id, storageGB=64)

    assert (await customer.ended(instance_id)).state == "succeeded"

    await customer.delete("azure-postgresql-server", instance_id)
    await customer.ended(instance_id)


async def test_the_generation_that_a_restored_store_took_up_is_never_used_again(
    database, azure, group, customer
):
    name, instance_id = "azure-storage-account", str(uuid.uuid4())
    identity = ("broker-under-test", CALLER.platform, instance_id, 3)
    account_name = external_name(NameRule("st", 24, LOWER_AND_DIGITS), *identity)
    path = f"/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{account_name}"
    made = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": {}}
    azure.call("PUT", path, {**made, "tags": tags(*identity)}, STORAGE).raise_for_status()

    generations = []
    for _ in range(2):
        await customer.order(name, instance_id)
        assert (await customer.ended(instance_id)).state == "succeeded"
        (account,) = (one for one in azure.state()["resources"] if f"/{group}/" in one["id"])
        generations.append(account["tags"]["osb-generation"])
        await customer.delete(name, instance_id)
        assert await customer.ended(instance_id) is None
        await prune(database, keep=timedelta(seconds=-5), keep_audit=timedelta(days=1))

    assert generations == ["3", "4"]


async def test_an_update_that_fails_half_way_leaves_plan_parameters_and_bindings_as_they_were(
    azure, group, customer
):
    name, instance_id = "azure-postgresql", str(uuid.uuid4())
    await customer.order(name, instance_id, backupRetentionDays=8)
    assert (await customer.ended(instance_id)).state == "succeeded"
    before = await customer.instances.fetch(CALLER.platform, instance_id)
    (server,) = [one for one in resources_in(azure, group) if one.count("/") == 8]
    azure.fault("deployment_failed", path=group, code="QuotaExceeded", message="No.", after=1)

    await customer.update(name, instance_id, backupRetentionDays=21)
    failed = await customer.ended(instance_id)

    assert (failed.state, failed.instance_usable, failed.update_repeatable) == ("failed", True, True)
    assert not faults_of(failed.description)
    assert await customer.instances.fetch(CALLER.platform, instance_id) == before
    days = azure.call("GET", server, version="2026-10-01").json()["properties"]["backup"]
    assert days["backupRetentionDays"] == 21, "a part was changed"
    bound = await customer.bind(name, instance_id, "after")
    trusted = {"sslmode": "verify-full", "sslrootcert": azure.access.ca_file}
    async with await psycopg.AsyncConnection.connect(bound.credentials["uri"], **trusted) as connection:
        await connection.execute("SELECT 1")

    await customer.update(name, instance_id, backupRetentionDays=8)
    taken_back = await customer.ended(instance_id)

    assert taken_back.state == "succeeded"
    days = azure.call("GET", server, version="2026-10-01").json()["properties"]["backup"]
    assert days["backupRetentionDays"] == 8


async def test_an_order_comes_through_whatever_azure_tells_on_the_way(azure, group, customer):
    instance_id, deployments = str(uuid.uuid4()), f"{group}/.*/deployments/"
    azure.fault("expired_token", path=group)
    azure.fault("truncated", method="PUT", path=deployments)
    azure.fault("unseen", method="GET", path=deployments)
    azure.fault("pruned", method="GET", path=f"{deployments}.*")
    azure.fault("error", method="GET", path=f"{group}/.*/flexibleServers/", status=502, html=True)
    azure.fault("truncated", method="DELETE", path=f"{group}/.*/flexibleServers/")

    await customer.order("azure-postgresql-server", instance_id)
    made = await customer.ended(instance_id)
    servers = [each for each in resources_in(azure, group) if each.split("/")[-2] == "flexibleServers"]
    await customer.delete("azure-postgresql-server", instance_id)

    assert made.state == "succeeded", made.description
    assert len(servers) == 1
    assert await customer.ended(instance_id) is None
    assert resources_in(azure, group) == []
    struck = {call["fault"] for call in azure.ledger() if group in call["path"] and call["fault"]}
    assert struck == {"expired_token", "truncated", "unseen", "pruned", "error"}


async def test_an_order_ends_when_azure_goes_on_refusing_the_brokers_token(azure, group, customer):
    instance_id = str(uuid.uuid4())
    # Three tries, each met once with a token asked for anew.
    azure.fault("expired_token", path=f"{group}/.*/deployments/", count=6)

    await customer.order("azure-postgresql-server", instance_id)
    failed = await customer.ended(instance_id)

    assert failed.state == "failed"
    assert "ExpiredAuthenticationToken" in failed.description
    assert "operator" in failed.description
    assert resources_in(azure, group) == []


async def test_a_deletion_ends_when_azure_has_lost_the_whole_group(azure, group, customer):
    instance_id = str(uuid.uuid4())
    await customer.order("azure-storage-account", instance_id)
    assert (await customer.ended(instance_id)).state == "succeeded"
    await customer.bind("azure-storage-account", instance_id, "a-binding")
    role = {"auth": "entra", "principalId": str(uuid.uuid4())}
    await customer.bind("azure-storage-account", instance_id, "a-role", parameters=role)

    azure.call("DELETE", f"/resourceGroups/{group}").raise_for_status()
    async with asyncio.timeout(PATIENCE):
        while azure.call("GET", f"/resourceGroups/{group}").status_code != 404:
            await asyncio.sleep(0.02)
    await customer.delete("azure-storage-account", instance_id)

    assert await customer.ended(instance_id) is None
