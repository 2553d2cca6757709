"""What is asked of Azure before an order is accepted, and what becomes of the order; through store and runner."""

import asyncio
import secrets
import uuid
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from broker.app import create_admin_app
from broker.azure.naming import LOWER_DIGITS_HYPHEN, NameRule, external_name
from broker.domain.catalog import Catalog
from broker.domain.requests import ProvisionRequest
from broker.errors import Gone, InvalidParameters, NeverPossible, NotFound, NotPossibleNow
from broker.lifecycle.instances import Instances
from broker.lifecycle.options import LifecycleOptions
from broker.operations.runner import Runner, RunnerOptions
from broker.provisioners.foresight import foreseeing
from broker.provisioners.registry import registry
from broker.setting_values import OperatorCredentials
from broker.store import history, instances, operations
from tests.descriptions import faults_of
from tests.provisioners.conftest import OFFERINGS
from tests.provisioners.engine import calls_in, resources_in
from tests.provisioners.test_with_the_engine import CALLER, Customer

pytestmark = pytest.mark.anyio

NAME = "azure-postgresql-server"
TYPE = "Microsoft.DBforPostgreSQL/flexibleServers"
NAMESPACE = "Microsoft.DBforPostgreSQL"
A_WHILE = timedelta(seconds=30)


@pytest.fixture
def azure(simulator):
    return simulator


@pytest.fixture
def catalog():
    """The shipped catalog, and the same with Azure's own check."""
    return {NAME: OFFERINGS[NAME]}


class Served:
    def __init__(self, offering, preflight):
        plans = tuple(
            replace(plan, recipe={**plan.recipe, "preflight": preflight}) for plan in offering.plans
        )
        self._catalog = Catalog((replace(offering, plans=plans),), revision=1)

    def current(self):
        return self._catalog


class Asking(Customer):
    """One who orders, with a pre-flight of a certain kind."""

    def __init__(self, database, options, preflight):
        super().__init__(database, options)
        self.instances = Instances(database, Served(OFFERINGS[NAME], preflight), options)

    def request(self, instance_id, **parameters):
        offering = OFFERINGS[NAME]
        return ProvisionRequest(
            CALLER, instance_id, offering.id, offering.plans[0].id, parameters, accepts_incomplete=True
        )

    async def place(self, instance_id, **parameters):
        return await self.instances.provision(self.request(instance_id, **parameters))

    async def try_out(self, instance_id=None, **parameters):
        return await self.instances.try_out(self.request(instance_id or str(uuid.uuid4()), **parameters))


@pytest.fixture
def asking(database, options, arm):
    """Make a broker with a runner at work, and a customer of it."""

    @asynccontextmanager
    async def made(preflight="reads", *, silent_after=timedelta(seconds=20), runs=True, **changes):
        changed = replace(options, **changes)
        told = LifecycleOptions(
            request_wait=A_WHILE,
            preflight_wait=silent_after,
            look_again=timedelta(milliseconds=20),
            foresee=foreseeing(changed, arm.cloud),
        )
        runner = Runner(database, registry(changed, arm), RunnerOptions(name="test"))
        async with asyncio.TaskGroup() as group:
            if runs:
                group.create_task(runner.run())
            yield Asking(database, told, preflight)
            runner.stop()

    return made


def unregistered(azure, _instance_id):
    azure.client.post("/_simulator/providers", json={"namespace": NAMESPACE, "registered": False})


def powerless(azure, _instance_id):
    azure.client.post("/_simulator/permissions", json={"actions": ["*/read"]})


def refused_by_azure(status, code):
    def arm_it(azure, _instance_id):
        azure.fault("error", method="POST", path="/validate", status=status, code=code, message="So it is.")

    return arm_it


def unknown_to_azure(azure, _instance_id):
    azure.fault("error", method="GET", path=f"/providers/{NAMESPACE}", status=401, code="AuthenticationFailed",
                message="Who?", count=None)  # fmt: skip


def nothing(azure, _instance_id):
    pass


def all_names_taken(azure, instance_id):
    for generation in range(3):
        azure.plant(type=TYPE, name=name_of(instance_id, generation))


def name_of(instance_id, generation):
    rule = NameRule("pg-", 40, LOWER_DIGITS_HYPHEN)
    return external_name(rule, "broker-under-test", CALLER.platform, instance_id, generation)


REFUSALS = {
    "provider": ("reads", unregistered, {}, {}, NotPossibleNow, "ProviderNotRegistered"),
    "permission": ("reads", powerless, {}, {}, NotPossibleNow, "PermissionMissing"),
    "region": ("reads", nothing, {"location": "eastmoon"}, {}, NeverPossible, "RegionNotOffered"),
    "group": ("reads", nothing, {}, {"resource_group": "rg-nowhere"}, NotPossibleNow, "ResourceGroupMissing"),
    "no group": ("reads", nothing, {}, {"resource_group": None}, NotPossibleNow, "NotPossible"),
    "name": ("reads", all_names_taken, {}, {}, NeverPossible, "NameTaken"),
    "sign-in": ("reads", unknown_to_azure, {}, {}, NotPossibleNow, "SignInRefused"),
    "quota": ("validate", refused_by_azure(400, "ResourceQuotaExceeded"), {}, {}, NotPossibleNow, "QuotaExceeded"),
    "policy": ("validate", refused_by_azure(403, "RequestDisallowedByPolicy"), {}, {}, NotPossibleNow, "PolicyDenied"),
    "size": ("validate", refused_by_azure(409, "SkuNotAvailable"), {}, {}, NeverPossible, "NotOffered"),
    "unauthorized": ("validate", refused_by_azure(403, "AuthorizationFailed"), {}, {}, NotPossibleNow,
                     "PermissionMissing"),
    "subscription": ("validate", refused_by_azure(403, "ReadOnlyDisabledSubscription"), {}, {}, NotPossibleNow,
                     "NotOffered"),
}  # fmt: skip


def changing(calls):
    """The calls that could have changed something."""
    return [
        call
        for call in calls
        if call["method"] != "GET"
        and not call["path"].lower().endswith(("/validate", "/checknameavailability"))
    ]


@pytest.mark.parametrize("kind", REFUSALS)
async def test_an_order_that_azure_would_refuse_is_refused_and_leaves_nothing(
    database, azure, group, asking, kind
):
    preflight, prepare, parameters, changes, refusal, word = REFUSALS[kind]
    instance_id, before = str(uuid.uuid4()), len(azure.ledger())
    prepare(azure, instance_id)

    async with asking(preflight, **changes) as customer:
        with pytest.raises(refusal) as refused:
            await customer.place(instance_id, **parameters)

    assert (refused.value.code, refused.value.status) == (word, 400 if refusal is NeverPossible else 422)
    assert not faults_of(refused.value.description), refused.value.description
    assert changing(azure.ledger(before)) == []
    assert resources_in(azure, group) == []
    async with database.transaction(read_only=True) as tx:
        assert await instances.get(tx, CALLER.platform, instance_id) is None
        assert await history.of_instance(tx, instance_id) == []
        assert (await operations.last_of_instance(tx, CALLER.platform, instance_id)).finished


@pytest.mark.parametrize("kind", [kind for kind in REFUSALS if kind != "name"])
async def test_a_dry_run_says_the_same_and_makes_nothing(database, azure, group, asking, kind):
    preflight, prepare, parameters, changes, refusal, word = REFUSALS[kind]
    before = len(azure.ledger())
    prepare(azure, None)

    async with asking(preflight, **changes) as customer:
        told = await customer.try_out(**parameters)

    assert (told.refusal.code, told.refusal.never) == (word, refusal is NeverPossible)
    assert not faults_of(told.description)
    assert changing(azure.ledger(before)) == []
    assert resources_in(azure, group) == []


@pytest.mark.parametrize("preflight", ["none", "reads", "validate"])
async def test_a_dry_run_of_what_can_be_made_says_so_and_makes_nothing(
    database, azure, group, asking, preflight
):
    instance_id, before = str(uuid.uuid4()), len(azure.ledger())

    async with asking(preflight) as customer:
        told = await customer.try_out(instance_id)
        with pytest.raises(InvalidParameters):
            await customer.try_out(storageGB="much")

    assert told.refusal is None
    assert "Nothing was made." in told.description
    calls = azure.ledger(before)
    assert changing(calls) == []
    assert any(call["path"].lower().endswith("/validate") for call in calls) is (preflight == "validate")
    assert resources_in(azure, group) == []
    async with database.transaction(read_only=True) as tx:
        assert await instances.get(tx, CALLER.platform, instance_id) is None


async def test_an_order_that_passes_is_accepted_and_made_once(database, azure, group, asking):
    instance_id = str(uuid.uuid4())

    async with asking("validate") as customer:
        accepted = await customer.place(instance_id)
        assert not accepted.checking
        assert (await customer.ended(instance_id)).state == "succeeded"

    assert len(calls_in(azure, group, "PUT", "/deployments/")) == 1
    assert any(name_of(instance_id, 0) in each for each in resources_in(azure, group))


async def test_a_name_that_is_taken_is_passed_over_before_anything_is_made(database, azure, group, asking):
    instance_id = str(uuid.uuid4())
    azure.plant(type=TYPE, name=name_of(instance_id, 0))

    async with asking() as customer:
        await customer.place(instance_id)
        ended = await customer.ended(instance_id)

    assert ended.state == "succeeded", ended.description
    assert any(name_of(instance_id, 1) in each for each in resources_in(azure, group))
    async with database.transaction(read_only=True) as tx:
        assert (await instances.get(tx, CALLER.platform, instance_id)).generation == 1


async def test_who_may_not_ask_whether_a_name_is_free_finds_out_by_trying(database, azure, group, asking):
    instance_id = str(uuid.uuid4())
    azure.fault("error", method="POST", path="/checkNameAvailability", status=403, code="AuthorizationFailed",
                message="Not on the subscription.", count=None)  # fmt: skip

    async with asking() as customer:
        await customer.place(instance_id)
        assert (await customer.ended(instance_id)).state == "succeeded"

    assert any(name_of(instance_id, 0) in each for each in resources_in(azure, group))


async def test_what_an_operator_has_mended_can_be_ordered_under_the_same_id(database, azure, group, asking):
    instance_id = str(uuid.uuid4())
    unregistered(azure, instance_id)

    async with asking() as customer:
        for _ in range(3):
            with pytest.raises(NotPossibleNow):
                await customer.place(instance_id)
        azure.client.post("/_simulator/providers", json={"namespace": NAMESPACE, "registered": True})
        await customer.place(instance_id)
        assert (await customer.ended(instance_id)).state == "succeeded"

    assert any(name_of(instance_id, 0) in each for each in resources_in(azure, group))


async def test_two_who_ask_at_once_get_one_answer(database, azure, group, asking):
    good, bad = str(uuid.uuid4()), str(uuid.uuid4())

    async with asking() as customer:
        azure.fault("slow", method="GET", path=f"/providers/{NAMESPACE}$", seconds=0.5)
        accepted = await asyncio.gather(*(customer.place(good) for _ in range(4)))
        assert (await customer.ended(good)).state == "succeeded"
        powerless(azure, bad)
        refused = await asyncio.gather(
            *(customer.place(bad, location="eastmoon") for _ in range(4)), return_exceptions=True
        )

    assert len({each.operation_id for each in accepted}) == 1
    assert len(calls_in(azure, group, "PUT", "/deployments/")) == 1
    assert {type(each) for each in refused} == {NeverPossible}


async def test_a_silent_azure_does_not_hold_the_order_up(database, azure, group, asking):
    silent, found_out = str(uuid.uuid4()), str(uuid.uuid4())

    async with asking(silent_after=timedelta(milliseconds=200)) as customer:
        for instance_id, parameters in ((silent, {}), (found_out, {"location": "eastmoon"})):
            azure.fault("slow", method="GET", path=f"/providers/{NAMESPACE}$", seconds=1)
            accepted = await customer.place(instance_id, **parameters)
            assert accepted.operation_id
        succeeded, failed = await customer.ended(silent), await customer.ended(found_out)
        with pytest.raises(Gone):
            await customer.delete(NAME, found_out)

    assert succeeded.state == "succeeded"
    assert failed.state == "failed"
    assert "'eastmoon'" in failed.description
    assert not faults_of(failed.description)


async def test_a_passing_fault_of_azure_is_no_refusal(database, azure, group, asking):
    instance_id = str(uuid.uuid4())
    azure.fault("error", method="GET", path=f"/providers/{NAMESPACE}$", status=503, code="ServiceUnavailable",
                message="Not now.", count=2)  # fmt: skip

    async with asking() as customer:
        await customer.place(instance_id)
        assert (await customer.ended(instance_id)).state == "succeeded"


async def test_a_deletion_meanwhile_ends_the_check_and_leaves_nothing(database, azure, group, asking):
    instance_id = str(uuid.uuid4())

    async with asking() as customer, asyncio.TaskGroup() as tasks:
        azure.fault("slow", method="GET", path=f"/providers/{NAMESPACE}$", seconds=1)
        placing = tasks.create_task(customer.place(instance_id))
        async with asyncio.timeout(20):
            while True:
                try:
                    await customer.delete(NAME, instance_id)
                except Gone:
                    await asyncio.sleep(0.01)
                else:
                    break
        assert await customer.ended(instance_id) is None
        await placing

    assert resources_in(azure, group) == []
    assert calls_in(azure, group, "PUT", "/deployments/") == []


async def test_a_runner_that_dies_in_the_check_loses_nothing_and_doubles_nothing(
    database, azure, group, asking, options, arm
):
    instance_id, before = str(uuid.uuid4()), len(azure.ledger())
    dying = Runner(database, registry(options, arm), RunnerOptions(name="dying", lease=timedelta(seconds=1)))
    azure.fault("slow", method="GET", path=f"/providers/{NAMESPACE}$", seconds=5)

    async with asking(runs=False, silent_after=timedelta(milliseconds=100)) as customer:
        await customer.place(instance_id)
    running = asyncio.create_task(dying.run())
    async with asyncio.timeout(20):
        # Not before Azure has the question: what is cancelled while it connects leaves an open socket behind.
        while not any(call["path"].endswith(f"/providers/{NAMESPACE}") for call in azure.ledger(before)):
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    async with asking() as customer:
        again = await customer.place(instance_id)
        ended = await customer.ended(instance_id)

    assert ended.state == "succeeded"
    assert again.operation_id
    assert len(calls_in(azure, group, "PUT", "/deployments/")) == 1


async def test_what_holds_for_all_orders_is_asked_once(database, azure, group, asking):
    before = len(azure.ledger())

    async with asking() as customer:
        for _ in range(3):
            told = await customer.try_out()
            assert told.refusal is None

    asked = [call["path"] for call in azure.ledger(before)]
    assert len([path for path in asked if path.endswith(f"/providers/{NAMESPACE}")]) == 1
    assert len([path for path in asked if path.endswith("/permissions")]) == 1
    assert len([path for path in asked if path.lower().endswith("/checknameavailability")]) == 3


async def test_a_plan_that_asks_for_nothing_is_accepted_without_a_call(database, azure, group, asking):
    instance_id, before = str(uuid.uuid4()), len(azure.ledger())

    async with asking("none", runs=False) as customer:
        accepted = await customer.place(instance_id)
        with pytest.raises(NotFound):
            await customer.instances.fetch(CALLER.platform, instance_id)

    assert not accepted.checking
    assert azure.ledger(before) == []


async def test_an_operator_tries_an_order_out_over_http(database, azure, group, options, arm):
    offering, before = OFFERINGS[NAME], len(azure.ledger())
    told = LifecycleOptions(request_wait=A_WHILE, foresee=foreseeing(options, arm.cloud))
    alice = OperatorCredentials("alice", "operate", (secrets.token_hex(32),))
    app = create_admin_app(database, catalog=Served(offering, "reads"), operators=[alice], options=told)
    runner = Runner(database, registry(options, arm), RunnerOptions(name="test"))
    headers = {"Authorization": f"Bearer {alice.bearer_tokens[0]}"}
    plan = f"{NAME}/{offering.plans[0].name}"

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(runner.run())
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://broker", headers=headers
        ) as client:

            async def ask(**body):
                return await client.post("/admin/v1/preflight", json=body)

            good = await ask(plan=plan, context={"platform": "kubernetes"}, platform="kubernetes")
            elsewhere = await ask(plan=plan, parameters={"location": "eastmoon"})
            unfit = await ask(plan=offering.plans[0].id, parameters={"storageGB": "much"})
            wrong = [await ask(plan="no/such"), await ask(), await ask(plan=plan, colour="red")]
        runner.stop()

    assert good.json()["accepted"] is True
    assert (elsewhere.json()["accepted"], elsewhere.json()["status"]) == (False, 400)
    assert elsewhere.json()["error"] == "RegionNotOffered"
    assert unfit.json()["error"] == "InvalidParameters"
    assert [each.status_code for each in wrong] == [400, 400, 400]
    assert changing(azure.ledger(before)) == []
    assert resources_in(azure, group) == []
