"""Taking over what exists, step by step: crashes, failures in the middle, the dry run, and what the inventory sees."""

import secrets
import uuid
from dataclasses import replace

import pytest

from broker.azure import naming
from broker.domain.instances import InstanceState
from broker.domain.operations import CHECK, DRY_RUN, OperationKind
from broker.provisioners.base import Outcome
from broker.provisioners.options import OwnPrincipal
from broker.provisioners.parameters import Known, template_parameters
from broker.provisioners.recipe import Recipe
from broker.provisioners.registry import registry
from broker.provisioners.survey import Survey
from tests.descriptions import faults_of
from tests.provisioners.conftest import OFFERINGS
from tests.provisioners.engine import Order, calls_in
from tests.simulated import wait_until

pytestmark = pytest.mark.anyio

VERSION = "2026-09-01"
ACCOUNTS = "Microsoft.Storage/storageAccounts"
NAME = "azure-storage-account"


@pytest.fixture
def azure(simulator):
    return simulator


def adopting(plan, *modes, deletes=False, placement=None):
    """The plan as an overlay would have it."""
    recipe = {**plan.recipe, "adopt": {**plan.recipe["adopt"], "modes": list(modes), "deletes": deletes}}
    recipe["placement"] = {**recipe["placement"], **(placement or {})}
    return replace(plan, recipe=recipe)


@pytest.fixture
def adopt(provisioner):
    offering = OFFERINGS[NAME]

    def ordered(path, *modes, repeat=False, provisioner=provisioner, placement=None, **parameters):
        plan = adopting(offering.plans[0], *modes, deletes=True, placement=placement)
        given = {"resourceId": path, **parameters}
        return Order(provisioner, plan, offering.id, given, repeat=repeat)

    return ordered


@pytest.fixture
def account(azure, group):
    """What somebody has: an account with tags of his own and settings that are not the plan's defaults."""

    def made(**tags):
        name = f"st{secrets.token_hex(8)}"
        path = f"{azure.subscription}/resourceGroups/{group}/providers/{ACCOUNTS}/{name}"
        body = {
            "location": "westeurope",
            "kind": "StorageV2",
            "sku": {"name": "Standard_LRS"},
            "tags": tags,
            "properties": {
                "accessTier": "Cool",
                "minimumTlsVersion": "TLS1_2",
                "networkAcls": {
                    "bypass": "None",
                    "defaultAction": "Deny",
                    "ipRules": [{"value": "192.0.2.7", "action": "Allow"}],
                },
            },
        }
        assert azure.call("PUT", path, body, version=VERSION).status_code in {200, 202}
        wait_until(lambda: body_of(azure, path)["properties"]["provisioningState"] == "Succeeded")
        return path

    return made


def body_of(azure, path):
    return azure.call("GET", path, version=VERSION).json()


@pytest.mark.parametrize("mode", ["bind-only", "manage"])
async def test_every_step_of_an_adopted_instance_can_be_taken_twice(azure, group, adopt, account, mode):
    path = account(costs="17")
    before = body_of(azure, path)
    order = adopt(path, mode, repeat=True)

    created = await order.create()
    adopted = body_of(azure, path)
    binding, bound = await order.bind()
    unbound = await order.unbind(binding)
    deleted = await order.delete()

    assert [each.outcome for each in (created, bound, unbound, deleted)] == [Outcome.DONE] * 4
    assert order.bindings[binding.binding_id].credentials["resourceId"] == path
    assert (adopted["tags"] == {"costs": "17"}) is (mode == "bind-only")
    assert body_of(azure, path)["tags"] == before["tags"]
    assert body_of(azure, path)["properties"] == before["properties"]
    assert calls_in(azure, group, "DELETE") == []
    assert "stays" in deleted.description


async def test_an_update_of_a_managed_account_changes_what_is_ordered_and_nothing_that_is_not(
    azure, group, adopt, account
):
    path = account(costs="17")
    order = adopt(path, "manage", repeat=True)
    await order.create()
    # What somebody changes in Azure afterwards is kept, too.
    azure.call("PATCH", path, {"properties": {"allowSharedKeyAccess": False}}, version=VERSION)
    wait_until(lambda: body_of(azure, path)["properties"]["provisioningState"] == "Succeeded")

    updated = await order.update(minimumTlsVersion="TLS1_3")
    after = body_of(azure, path)

    assert updated.outcome is Outcome.DONE, updated
    assert after["properties"]["minimumTlsVersion"] == "TLS1_3"
    assert after["properties"]["accessTier"] == "Cool"
    assert after["properties"]["allowSharedKeyAccess"] is False
    assert after["tags"]["costs"] == "17"
    assert {rule["value"] for rule in after["properties"]["networkAcls"]["ipRules"]} == {
        "192.0.2.7",
        "127.0.0.1",
    }
    assert (await order.delete()).outcome is Outcome.DONE
    assert body_of(azure, path)["tags"] == {"costs": "17"}


async def test_an_adoption_that_fails_leaves_the_account_as_it_was_whatever_was_to_become_of_it(
    azure, group, adopt, account
):
    path = account(costs="17")
    before = body_of(azure, path)
    azure.fault(
        "error",
        method="PATCH",
        path="/tags/default",
        status=403,
        code="RequestDisallowedByPolicy",
        message="No.",
    )
    order = adopt(path, "manage", deletePolicy="delete")

    failed = await order.create()
    undone = await order.delete(within=order.operation)
    deleted = await order.delete()

    assert failed.outcome is Outcome.FAILED
    assert undone.outcome is Outcome.DONE
    assert deleted.outcome is Outcome.DONE
    assert body_of(azure, path)["tags"] == before["tags"]
    assert calls_in(azure, group, "DELETE") == []


async def test_an_adoption_that_fails_after_the_tags_were_set_takes_them_off_again(
    azure, group, adopt, account
):
    path = account(costs="17")
    order = adopt(path, "manage", deletePolicy="delete")
    order.operation = order.an_operation(OperationKind.PROVISION)
    while "osb-adopted" not in body_of(azure, path)["tags"]:
        step = await order.take_step("create", save=order.operation.phase != "tag")
    operation = order.operation

    undone = await order.delete(within=operation)

    assert step.outcome is Outcome.DONE
    assert undone.outcome is Outcome.DONE
    assert body_of(azure, path)["tags"] == {"costs": "17"}
    assert calls_in(azure, group, "DELETE") == []


async def test_what_was_adopted_to_be_deleted_is_left_alone_once_its_tags_are_off(
    azure, group, adopt, account
):
    path = account()
    order = adopt(path, "manage", deletePolicy="delete")
    await order.create()

    azure.retag(path, {"owner": "somebody"}, version=VERSION)
    refused = await order.delete()

    assert refused.outcome is Outcome.FAILED
    assert "does not carry this service instance's tags" in refused.description
    assert calls_in(azure, group, "DELETE") == []


@pytest.mark.parametrize(("state", "ends"), [("bind-only", Outcome.FAILED), ("made", Outcome.DONE)])
async def test_a_login_is_not_said_to_be_gone_with_a_server_that_stays(adopt, account, state, ends):
    path = account()
    order = adopt(path, "bind-only")
    await order.create()
    binding, _ = await order.bind()
    login = {
        "verb": "database_user",
        "kind": "postgresql",
        "host": "nowhere.invalid",
        "port": 5432,
        "username": "x",
    }
    login |= {
        "database": "d",
        "owner_role": "o",
        "server": "own",
        "resource": {"id": path, "api_version": VERSION},
    }
    order.bindings[binding.binding_id] = replace(binding, record={"made": [login]})
    record = order.instance.record if state == "bind-only" else {**order.instance.record, "adopted": None}
    order.instance = replace(order.instance, state=InstanceState.DELETING, record=record)

    ended = await order.unbind(binding)

    assert ended.outcome is ends, ended


async def test_what_is_gone_in_azure_can_be_let_go_in_either_mode(azure, adopt, account):
    for mode in ("bind-only", "manage"):
        path = account()
        order = adopt(path, mode)
        await order.create()
        azure.call("DELETE", path, version=VERSION)
        wait_until(lambda path=path: azure.call("GET", path, version=VERSION).status_code == 404)

        updated = await order.update(minimumTlsVersion="TLS1_3") if mode == "manage" else await order.update()

        assert updated.outcome is Outcome.FAILED
        assert "no longer there" in updated.description
        assert (await order.delete()).outcome is Outcome.DONE


async def dry_run(order):
    order.operation = replace(order.an_operation(OperationKind.PROVISION), phase=CHECK, state={DRY_RUN: True})
    return await order.take_step("create")


async def test_the_dry_run_tells_what_would_change_and_changes_nothing(azure, group, adopt, account):
    path = account(costs="17")
    before = body_of(azure, path)

    bound = await dry_run(adopt(path, "bind-only", "manage"))
    managed = await dry_run(adopt(path, "bind-only", "manage", adopt="manage", accessTier="Hot"))

    assert bound.outcome is managed.outcome is Outcome.DONE
    assert "Nothing of it would ever be changed" in bound.description
    assert "properties.accessTier: 'Cool' becomes 'Hot'" in managed.description
    assert "broker's tags" in managed.description
    assert "defaultAction" in managed.description
    assert "minimumTlsVersion" not in managed.description
    assert body_of(azure, path) == before


async def test_only_what_lies_in_the_allowed_scopes_is_adopted(azure, group, arm, options, adopt, account):
    path = account()
    elsewhere = registry(
        replace(options, adoption_scopes=(f"{azure.subscription}/resourceGroups/{group}x",)), arm
    )["arm_template"]

    refused = await adopt(path, "bind-only", provisioner=elsewhere).create()
    tenant = await adopt(
        path, "bind-only", placement={"resource_group": f"{group}-of-another-tenant"}
    ).create()
    allowed = await adopt(path, "bind-only", placement={"resource_group": group.upper()}).create()

    assert refused.outcome is tenant.outcome is Outcome.FAILED
    assert "nothing may be taken over" in refused.description
    assert "nothing may be taken over" in tenant.description
    assert not faults_of(refused.description)
    assert allowed.outcome is Outcome.DONE


async def test_a_managed_account_is_never_an_orphan(azure, arm, options, group, adopt, account):
    path, stray = account(), account()
    await adopt(path, "manage").create()
    azure.retag(stray, naming.tags(options.broker_id, "kubernetes", str(uuid.uuid4()), 0), version=VERSION)

    found = {one.resource_id.lower() for one in await Survey(arm, options).tagged(options.subscription)}

    assert stray.lower() in found
    assert path.lower() not in found


async def test_a_bound_account_that_carries_a_brokers_tags_is_refused(azure, options, adopt, account):
    path = account(**naming.tags(options.broker_id, "kubernetes", "another", 0))

    refused = await adopt(path, "bind-only").create()

    assert refused.outcome is Outcome.FAILED
    assert "carries the tags of a service instance of this broker" in refused.description


@pytest.mark.parametrize(
    ("offering", "administrators"),
    [("azure-sql-server", 0), ("azure-mysql-server", 0), ("azure-postgresql-server", 1)],
)
def test_the_only_entra_administrator_of_an_adopted_server_is_not_replaced(offering, administrators):
    recipe = Recipe.read(OFFERINGS[offering].plans[0].recipe)
    own = OwnPrincipal("an-id", "the-broker")
    held = {"administrator_login": "a", "administrator_password": "made up here"}
    known = Known({"server": "s"}, "westeurope", {}, principal=own, secrets=held)

    made = template_parameters(recipe, {}, known)
    adopted = template_parameters(recipe, {}, replace(known, adopted=True))

    assert len(made["entraAdministrators"]) == 1
    assert len(adopted["entraAdministrators"]) == administrators
