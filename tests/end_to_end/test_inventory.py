"""What is in Azure without a record, and on record without a resource: found exactly, and repaired exactly."""

import asyncio
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from broker.azure.arm import Arm
from broker.azure.clouds import custom
from broker.azure.credentials import credential_for
from broker.azure.naming import tags
from broker.azure.transport import http_client
from broker.domain.instances import Configuration, InstanceState
from broker.domain.inventory import StrayKind
from broker.domain.operations import ExternalResource
from broker.domain.operators import Deed, Operator
from broker.domain.requests import BindRequest, Caller, UpdateRequest
from broker.errors import InstanceMissing, NotFound, WrongState
from broker.lifecycle.administration.inventory import InventoryAdministration
from broker.lifecycle.administration.operations import OperationAdministration
from broker.lifecycle.bindings import Bindings
from broker.lifecycle.instances import Instances
from broker.lifecycle.options import LifecycleOptions
from broker.operations.runner import Runner, RunnerOptions
from broker.operations.stocktaking import Stocktaker, StocktakingOptions
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.registry import registry
from broker.provisioners.survey import Survey
from broker.store import instances, inventories, operations, resources
from broker.store.database import Database
from tests.lifecycle.conftest import Shop
from tests.operations.engine import ended
from tests.osb.offerings import CATALOG, SERVICE, SMALL
from tests.simulated import SimulatedAzure
from tests.store.nouns import an_instance, an_operation

pytestmark = pytest.mark.anyio

ACCOUNTS, VERSION = "Microsoft.Storage/storageAccounts", "2026-09-01"
ALICE = Deed(Operator("alice", may_act=True), "A drill.")


@dataclass
class Yard:
    """A broker's store and its part of Azure, with nothing in either yet."""

    database: Database
    azure: SimulatedAzure
    arm: Arm
    group: str
    broker_id: str

    @property
    def options(self) -> ProvisionerOptions:
        return ProvisionerOptions(
            broker_id=self.broker_id,
            subscription=self.azure.access.subscription_id,
            location="westeurope",
            resource_group=self.group,
            poll_interval=timedelta(milliseconds=20),
        )

    def stocktaker(self, name: str = "one", arm: Arm | None = None, **options) -> Stocktaker:
        given = {"every": None, "pace": timedelta(0), "look_again": timedelta(0), **options}
        return Stocktaker(
            self.database, Survey(arm or self.arm, self.options), StocktakingOptions(name, **given)
        )

    async def take_stock(self):
        await inventories.plan(self.database, first_in=None)
        desk = InventoryAdministration(self.database)
        await desk.take(ALICE)
        assert await self.stocktaker().take_if_due()
        return await desk.read()

    def account(self, **changed_tags: str) -> str:
        """Plant a storage account with tags of an instance that nobody knows; its id."""
        mine = tags(self.broker_id, "kubernetes", f"i-{uuid4()}", 0)
        return self.planted({**mine, **changed_tags})

    def planted(self, its_tags: dict[str, str]) -> str:
        name = f"st{secrets.token_hex(8)}"
        path = f"{self.azure.subscription}/resourceGroups/{self.group}/providers/{ACCOUNTS}/{name}"
        self.azure.plant(
            id=path,
            location="westeurope",
            tags=its_tags,
            kind="StorageV2",
            sku={"name": "Standard_LRS"},
            properties={},
        )
        return path

    def is_there(self, path: str) -> bool:
        return self.azure.call("GET", path, version=VERSION).status_code == 200

    def nowhere(self) -> str:
        return f"{self.azure.subscription}/resourceGroups/{self.group}/providers/{ACCOUNTS}/st{secrets.token_hex(8)}"

    async def on_record(
        self, path: str, state: InstanceState = InstanceState.READY, *, creating: bool = False
    ):
        """Write an instance down whose main resource has this id."""
        main = {"id": path, "api_version": VERSION, "tagged": True}
        plan = Configuration(SMALL)
        instance = an_instance(
            service_offering_id=SERVICE,
            provisioner="arm_template",
            state=state,
            subscription=self.azure.access.subscription_id,
            applied=None if creating else plan,
            asked=plan if creating else None,
            record={"format": 1, "main": main, "tags": {}, "group": self.group, "deployments": []},
        )
        async with self.database.transaction() as tx:
            await instances.add(tx, instance)
            await resources.note(tx, [ExternalResource(instance.key, path, VERSION, 1)])
            if creating:
                await operations.add(tx, an_operation(instance))
        return instance


@pytest.fixture
async def yard(database, simulator):
    access = simulator.access
    async with http_client(ca_file=Path(access.ca_file)) as client:
        cloud = custom(access.endpoint)
        credential = credential_for(
            "simulator", cloud=cloud, client=client, token_file=Path(access.token_file)
        )
        arm = Arm(cloud=cloud, credential=credential, client=client)
        yield Yard(database, simulator, arm, simulator.a_group(), f"b-{secrets.token_hex(6)}")


@pytest.fixture
async def at_work(yard):
    """A runner that carries deletions out."""
    provisioners = registry(yard.options, yard.arm)
    runner = Runner(yard.database, provisioners, RunnerOptions(name="runner"))
    async with AsyncExitStack() as stack:
        task = asyncio.create_task(runner.run())
        stack.push_async_callback(asyncio.wait_for, task, 20)
        stack.callback(runner.stop)
        yield runner


async def test_orphans_and_missing_are_found_and_nothing_else_is(yard):
    orphans = {yard.account() for _ in range(3)}
    foreign = [yard.planted({"owner": "somebody"}), yard.account(**{"osb-broker-id": "another"})]
    half_tagged = yard.planted({"osb-broker-id": yard.broker_id})
    living = await yard.on_record(yard.account())
    missing = [await yard.on_record(yard.nowhere()) for _ in range(2)]
    untagged = await yard.on_record(yard.planted({}))
    await yard.on_record(yard.account(), InstanceState.CREATING, creating=True)
    await yard.on_record(yard.nowhere(), InstanceState.CREATING, creating=True)
    failed = await yard.on_record(yard.nowhere(), InstanceState.CREATE_FAILED)

    found = await yard.take_stock()

    assert found.trouble is None
    assert {stray.resource_id for stray in found.strays} == orphans
    assert {stray.kind for stray in found.strays} == {StrayKind.ORPHAN}
    assert {one.instance_id for one in found.missing} == {one.instance_id for one in missing}
    assert not {one.instance_id for one in found.missing} & {
        one.instance_id for one in (living, untagged, failed)
    }
    assert all(yard.is_there(path) for path in [*foreign, half_tagged, *orphans])


async def test_the_repair_removes_the_orphans_and_nothing_else(yard, at_work):
    orphans = {yard.account() for _ in range(3)}
    others = [yard.planted({"owner": "somebody"}), yard.account(**{"osb-platform": "cf"})]
    living = yard.account()
    await yard.on_record(living)
    others_recorded = await yard.on_record(others[1])
    found = await yard.take_stock()
    desk = InventoryAdministration(yard.database)

    ordered = await desk.delete(ALICE, every_orphan=True)
    again = await desk.delete(replace(ALICE, reason="Once more."), every_orphan=True)
    ends = [await _end_of(yard.database, one) for one in ordered.operations]

    assert {stray.resource_id for stray in found.strays} == orphans
    assert ordered.operations == again.operations
    assert len(ordered.effects) == 3
    assert [end.status.value for end in ends] == ["succeeded"] * 3
    assert not any(yard.is_there(path) for path in orphans)
    assert all(yard.is_there(path) for path in [*others, living])
    assert others_recorded
    assert (await yard.take_stock()).strays == []


async def _end_of(database: Database, operation_id):
    async with database.transaction(read_only=True) as tx:
        operation = await operations.get(tx, operation_id)
    return await ended(database, operation)


async def test_an_orphan_whose_tags_change_before_it_is_deleted_is_left_alone(yard, at_work):
    orphan = yard.account()
    await yard.take_stock()
    yard.azure.retag(orphan, {"owner": "somebody"}, version=VERSION)

    ordered = await InventoryAdministration(yard.database).delete(ALICE, [orphan])
    end = await _end_of(yard.database, *ordered.operations)

    assert end.status.value == "failed"
    assert "does not carry this service instance's tags" in end.description
    assert yard.is_there(orphan)


async def test_what_was_not_found_as_a_stray_is_refused(yard):
    living = yard.account()
    await yard.on_record(living)
    await yard.take_stock()

    with pytest.raises(NotFound, match="has not found"):
        await InventoryAdministration(yard.database).delete(ALICE, [living])


async def test_an_orphan_that_came_on_record_meanwhile_is_refused(yard):
    orphan = yard.account()
    await yard.take_stock()
    await yard.on_record(orphan)

    with pytest.raises(WrongState, match="living service instance"):
        await InventoryAdministration(yard.database).delete(ALICE, [orphan])


async def _failed_deletion_of(yard: Yard, orphan: str) -> UUID:
    """Order the deletion of an orphan that Azure does not let go; its operation, once that has failed."""
    yard.azure.fault(
        "error", path=orphan.rsplit("/", 1)[-1], method="DELETE", status=409, code="ScopeLocked", count=None
    )
    ordered = await InventoryAdministration(yard.database).delete(ALICE, [orphan])
    end = await _end_of(yard.database, *ordered.operations)
    yard.azure.lift()
    assert end.status.value == "failed"
    return end.id


async def test_an_orphan_that_its_service_instance_takes_up_is_not_deleted_by_a_repeated_order(yard, at_work):
    orphan = yard.account()
    await yard.take_stock()
    await _failed_deletion_of(yard, orphan)
    await yard.on_record(orphan)

    with pytest.raises(WrongState, match="living service instance"):
        await InventoryAdministration(yard.database).delete(ALICE, [orphan])

    assert yard.is_there(orphan)


async def test_an_orphan_that_its_service_instance_takes_up_is_not_deleted_by_a_retry(yard, at_work):
    orphan = yard.account()
    await yard.take_stock()
    failed = await _failed_deletion_of(yard, orphan)
    await yard.on_record(orphan)

    retried = await OperationAdministration(yard.database, Shop(CATALOG)).retry(failed, ALICE)
    end = await _end_of(yard.database, *retried.operations)

    assert end.status.value == "succeeded"
    assert yard.is_there(orphan)


async def test_what_an_operator_abandoned_is_told_apart_and_deleted_only_by_name(yard, at_work):
    abandoned = yard.account()
    instance = await yard.on_record(abandoned)
    async with yard.database.transaction() as tx:
        await instances.remove(tx, instance, reason="Abandoned.")
    desk = InventoryAdministration(yard.database)
    found = await yard.take_stock()

    all_orphans = await desk.delete(ALICE, every_orphan=True)
    dry = await desk.delete(replace(ALICE, dry_run=True), [abandoned])
    named = await desk.delete(ALICE, [abandoned])
    end = await _end_of(yard.database, *named.operations)

    assert [stray.kind for stray in found.strays] == [StrayKind.ABANDONED]
    assert (all_orphans.operations, dry.operations) == ([], ())
    assert dry.effects == named.effects
    assert end.status.value == "succeeded"
    assert not yard.is_there(abandoned)
    assert (await yard.take_stock()).strays == []


async def test_a_missing_instance_gives_no_bindings_and_takes_no_updates_until_it_is_back(yard):
    path = yard.nowhere()
    instance = await yard.on_record(path)
    lifecycle = Bindings(
        yard.database,
        Shop(CATALOG),
        LifecycleOptions(request_wait=timedelta(milliseconds=100), quick_wait=timedelta(milliseconds=100)),
    )
    request = BindRequest(Caller("kubernetes"), instance.instance_id, "b", SERVICE, SMALL)
    first = await yard.take_stock()
    second = await yard.take_stock()

    with pytest.raises(InstanceMissing, match="missing in Azure since"):
        await lifecycle.bind(request)
    update = UpdateRequest(
        Caller("kubernetes"), instance.instance_id, SERVICE, parameters={"size": 3}, accepts_incomplete=True
    )
    with pytest.raises(InstanceMissing, match="missing in Azure since"):
        await Instances(yard.database, Shop(CATALOG)).update(update)
    yard.azure.plant(id=path, location="westeurope", tags={}, properties={})
    back = await yard.take_stock()

    assert [one.resource_id for one in first.missing] == [path]
    assert second.missing == first.missing, "it is missing since it was found to be, not since the last look"
    assert back.missing == []


async def test_of_two_processes_that_find_it_due_one_takes_stock(yard):
    yard.account()
    await inventories.plan(yard.database, first_in=None)
    await InventoryAdministration(yard.database).take(ALICE)

    took = await asyncio.gather(*(yard.stocktaker(name).take_if_due() for name in ("one", "two", "three")))

    assert sorted(took) == [False, False, True]


async def test_one_whose_taker_died_is_taken_up_by_another_and_the_dead_one_writes_nothing(yard):
    orphan = yard.account()
    await inventories.plan(yard.database, first_in=None)
    await InventoryAdministration(yard.database).take(ALICE)
    lease = timedelta(milliseconds=100)
    dead = await inventories.claim(yard.database, owner="dead", lease=lease)

    async with asyncio.timeout(20):
        while not await yard.stocktaker().take_if_due():
            await asyncio.sleep(0.02)
    async with yard.database.transaction() as tx:
        with pytest.raises(inventories.ClaimLost):
            await inventories.finish(tx, dead, next_in=None, found=None, trouble="late")

    found = await InventoryAdministration(yard.database).read()
    assert [stray.resource_id for stray in found.strays] == [orphan]
    assert found.trouble is None


async def test_one_404_is_not_taken_for_a_missing_instance(yard):
    path = yard.planted({})
    await yard.on_record(path)
    yard.azure.fault("error", path=path.rsplit("/", 1)[-1], status=404, code="ResourceNotFound", count=1)

    found = await yard.take_stock()

    assert found.missing == []


async def test_a_fault_of_azure_changes_no_mark_and_is_told(yard):
    instance = await yard.on_record(yard.nowhere())
    name = instance.record["main"]["id"].rsplit("/", 1)[-1]
    yard.azure.fault("error", path=name, status=403, code="AuthorizationFailed", count=None)

    untold = await yard.take_stock()
    yard.azure.lift()
    known = await yard.take_stock()
    yard.azure.fault("error", path=name, status=400, code="InvalidRequest", count=None)
    still = await yard.take_stock()

    assert "AuthorizationFailed" in untold.trouble
    assert untold.missing == []
    assert [one.instance_id for one in known.missing] == [instance.instance_id]
    assert "InvalidRequest" in still.trouble
    assert still.missing == known.missing


async def test_a_subscription_that_cannot_be_listed_hides_nothing_of_the_others_and_changes_no_mark(yard):
    orphan, gone = yard.account(), yard.nowhere()
    lost, denied = (gone.replace(yard.azure.access.subscription_id, str(uuid4())) for _ in range(2))
    yard.azure.fault("error", path=denied.split("/")[2], status=403, code="AuthorizationFailed", count=None)
    await yard.on_record(gone)
    await yard.on_record(lost)
    await yard.on_record(denied)

    found = await yard.take_stock()

    assert [stray.resource_id for stray in found.strays] == [orphan]
    assert [one.resource_id for one in found.missing] == [gone]
    assert found.trouble.startswith("2 resources or subscriptions could not be looked at.")


async def test_an_orphan_that_cannot_be_looked_at_again_stays_in_the_list(yard):
    orphan = yard.account()
    before = await yard.take_stock()
    name = orphan.rsplit("/", 1)[-1]
    yard.azure.fault("error", path=name, status=403, code="AuthorizationFailed", count=None)

    after = await yard.take_stock()

    assert after.strays == before.strays
    assert "AuthorizationFailed" in after.trouble


async def test_stock_is_taken_from_time_to_time_without_being_asked(yard):
    orphan = yard.account()
    every = timedelta(milliseconds=50)
    task = asyncio.create_task(yard.stocktaker(every=every, look_every=timedelta(milliseconds=20)).run())
    desk = InventoryAdministration(yard.database)

    async with asyncio.timeout(20):
        while (first := await desk.read()).finished_at is None:
            await asyncio.sleep(0.02)
        while (await desk.read()).finished_at == first.finished_at:
            await asyncio.sleep(0.02)
    task.cancel()

    assert [stray.resource_id for stray in first.strays] == [orphan]
