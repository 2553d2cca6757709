"""What the provisioner makes of Azure's faults, and of being killed between any two steps."""

from dataclasses import replace

import anyio
import pytest

from broker.domain.operations import OperationKind
from broker.provisioners.base import Outcome
from broker.provisioners.records import secrets_of
from broker.provisioners.registry import registry
from tests.azure.stand_in import StandIn, arm_over
from tests.provisioners.conftest import OFFERINGS
from tests.provisioners.engine import Order, calls_in, resources_in

pytestmark = pytest.mark.anyio


@pytest.fixture
def azure(simulator):
    """No database server is needed for what the management API does."""
    return simulator


@pytest.fixture
def server(order):
    return order("azure-postgresql-server")


async def test_a_lost_answer_to_the_deployment_makes_no_second_one(azure, group, server):
    azure.fault("reply_lost", method="PUT", path=f"{group}.*deployments")

    created = await server.create()

    assert created.outcome is Outcome.DONE, created.description
    assert server.failures[0].retryable
    assert len(calls_in(azure, group, "PUT", "/deployments/")) == 1


async def test_a_throttled_call_blocks_everybody_for_as_long_as_azure_says(azure, group, server):
    azure.fault("throttle", method="GET", path=group, retry_after=1)

    created = await server.create()

    throttled = server.failures[0]
    assert created.outcome is Outcome.DONE
    assert throttled.blocks_everybody
    assert throttled.retry_after.total_seconds() == 1


async def test_a_failed_deployment_is_told_by_its_innermost_reason_and_cleaned_up(azure, group, server):
    azure.fault(
        "deployment_failed", path=group, code="SkuNotAvailable", message="The size is not offered here."
    )

    failed = await server.create()
    cleaned = await server.delete(within=server.operation)

    assert failed.outcome is Outcome.FAILED
    assert "SkuNotAvailable" in failed.description
    assert "DeploymentFailed" not in failed.description
    assert cleaned.outcome is Outcome.DONE, cleaned.description
    assert resources_in(azure, group) == []
    assert server.living == []


async def test_a_password_that_azure_repeats_in_its_reason_is_not_told(server, options, tmp_path):
    # The simulator, as is hoped of Azure, takes such values out by itself.
    await server.carry_out(OperationKind.PROVISION, "create", until="wait")
    password = secrets_of(server.instance)["administrator_password"]
    record, stand_in = server.instance.record, StandIn()
    path = (
        f"/subscriptions/{record['subscription']}/resourcegroups/{record['group']}"
        f"/providers/Microsoft.Resources/deployments/{record['deployments'][0]}"
    )
    error = {"code": "SkuNotAvailable", "message": f"Not with {password} here."}
    stand_in.will_answer("GET", path, 200, {"properties": {"provisioningState": "Failed", "error": error}})

    async with arm_over(stand_in, tmp_path / "token") as arm:
        failed = await registry(options, arm)["arm_template"].create(server.work())

    assert failed.outcome is Outcome.FAILED
    assert "Not with *** here" in failed.description


async def test_a_deployment_that_failed_for_a_passing_reason_is_started_again(azure, group, server):
    azure.fault("deployment_failed", path=group, code="InternalServerError", message="A fault of Azure.")

    created = await server.create()

    assert created.outcome is Outcome.DONE, created.description
    assert len(calls_in(azure, group, "PUT", "/deployments/")) == 2


async def test_a_deletion_during_a_creation_cancels_it_and_leaves_nothing(azure, group, server):
    azure.clock(speed=50)
    await server.carry_out(OperationKind.PROVISION, "create", until="wait")

    azure.clock(speed=azure.speed)
    deleted = await server.delete()

    assert deleted.outcome is Outcome.DONE, deleted.description
    assert calls_in(azure, group, "POST", "/cancel")
    assert resources_in(azure, group) == []
    assert server.living == []


async def test_a_deletion_that_azure_refuses_for_a_while_is_asked_again(azure, group, server):
    await server.create()
    azure.fault("delete_refused", path=group, count=3)

    deleted = await server.delete()

    assert deleted.outcome is Outcome.DONE
    assert [failure.retryable for failure in server.failures] == [True, True, True]
    assert resources_in(azure, group) == []


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        (kind, method)
        for kind in ("reset", "error", "reply_lost")
        for method in ("GET", "PUT", "DELETE")
        if (kind, method) != ("reply_lost", "GET")  # the same as a reset
    ],
)
async def test_a_fault_of_any_call_costs_time_and_nothing_else(azure, group, server, kind, method):
    azure.fault(kind, method=method, path=group)

    created = await server.create()
    deleted = await server.delete()

    assert created.outcome is Outcome.DONE, created.description
    assert deleted.outcome is Outcome.DONE, deleted.description
    assert len(server.failures) == 1
    assert resources_in(azure, group) == []


async def test_a_runner_killed_before_any_save_leaves_one_server_and_no_orphan(azure, group, order):
    for killed_at in range(6):
        server = order("azure-postgresql-server")
        server.operation = server.an_operation(OperationKind.PROVISION)

        for number in range(1000):
            killed = number == killed_at
            saved = await server.take_step("create", save=not killed)
            if saved.outcome is not Outcome.GO_ON and not killed:
                break
            await anyio.sleep(saved.delay.total_seconds())

        ids = {resource.resource_id.lower() for resource in server.resources.values()}
        assert saved.outcome is Outcome.DONE
        top = [r for r in resources_in(azure, group) if r.split("/")[-2].lower() == "flexibleservers"]
        assert len(top) == 1
        assert top[0].lower() in ids
        await server.delete()


async def test_a_history_that_azure_has_pruned_is_written_anew(azure, group, server):
    await server.carry_out(OperationKind.PROVISION, "create", until="wait")
    name = server.instance.record["deployments"][0]
    path = f"/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{name}"
    azure.clock(advance=3600)
    azure.call("DELETE", path)

    created = await server.go_on("create")

    assert created.outcome is Outcome.DONE, created.description
    assert len([r for r in resources_in(azure, group) if r.split("/")[-2].lower() == "flexibleservers"]) == 1


async def test_no_password_is_in_the_record_the_state_or_the_history(azure, group, server):
    await server.create()

    password = server.instance.applied.secrets["administrator_password"]

    assert password not in str(server.instance.record)
    assert password not in str(server.operation)
    assert password not in str(azure.state())
    assert password not in str(azure.ledger())
    assert not any(password in step.description for _, _, step in server.steps)


async def test_without_a_resource_group_the_operator_is_told_what_to_set(azure, arm, options):
    provisioner = registry(replace(options, resource_group=None), arm)["arm_template"]
    offering = OFFERINGS["azure-postgresql-server"]

    failed = await Order(provisioner, offering.plans[0], offering.id).create()

    assert failed.outcome is Outcome.FAILED
    assert "BROKER_AZURE_RESOURCE_GROUP" in failed.description


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ([("a", "10.0.0.9", "10.0.0.1")], "ends before it begins"),
        ([("a", "10.0.0.1", "10.0.0.1"), ("A", "10.0.0.2", "10.0.0.2")], "two rules"),
        ([("a", "0.0.0.0", "0.0.0.0")], "allowAzureServices"),
        ([("OSB-Broker-0", "10.0.0.1", "10.0.0.1")], "the broker's own"),
    ],
)
async def test_firewall_rules_that_contradict_themselves_are_refused_before_anything_is_made(
    azure, group, order, rules, reason
):
    said = [dict(zip(("name", "startIPAddress", "endIPAddress"), rule, strict=True)) for rule in rules]

    failed = await order("azure-postgresql-server", firewallRules=said).create()

    assert failed.outcome is Outcome.FAILED
    assert reason in failed.description
    assert calls_in(azure, group, "PUT") == []
