"""Updates: what they change, keep and remove, and what a failed one leaves."""

import pytest

from broker.provisioners.base import Outcome
from tests.provisioners.conftest import OFFERINGS
from tests.provisioners.engine import resources_in
from tests.simulated import wait_until

pytestmark = pytest.mark.anyio
VERSION = "2026-10-01"


@pytest.fixture
def azure(simulator):
    return simulator


def a_rule(name, first, last=None):
    return {"name": name, "startIPAddress": first, "endIPAddress": last or first}


def rules_of(azure, group):
    return {r.rsplit("/", 1)[1] for r in resources_in(azure, group) if "/firewallRules/" in r}


def live(azure, order):
    return azure.call("GET", order.instance.record["main"]["id"], version=VERSION).json()


@pytest.fixture
async def server(order):
    ordered = order(
        "azure-postgresql-server",
        repeat=True,
        firewallRules=[a_rule("office", "192.0.2.1"), a_rule("home", "192.0.2.9")],
        storageGB=64,
    )
    assert (await ordered.create()).outcome is Outcome.DONE
    return ordered


async def test_firewall_rules_are_added_changed_and_removed_and_the_brokers_own_stays(azure, group, server):
    updated = await server.update(
        firewallRules=[a_rule("office", "192.0.2.1", "192.0.2.7"), a_rule("lab", "198.51.100.1")]
    )

    assert updated.outcome is Outcome.DONE, updated.description
    assert rules_of(azure, group) == {"office", "lab", "osb-broker-0"}
    assert {r.rsplit("/", 1)[1] for r in server.living if "/firewallRules/" in r} == rules_of(azure, group)
    office = f"{server.instance.record['main']['id']}/firewallRules/office"
    found = azure.call("GET", office, version=VERSION).json()["properties"]
    assert found["endIpAddress"] == "192.0.2.7"


async def test_azure_services_are_let_in_only_when_asked_for_and_out_again(azure, group, server):
    await server.update(allowAzureServices=True)
    with_them = rules_of(azure, group)
    await server.update(allowAzureServices=False)

    assert "osb-azure-services" in with_them
    assert "osb-azure-services" not in rules_of(azure, group)


async def test_storage_that_grew_by_itself_is_never_shrunk(azure, server):
    main = server.instance.record["main"]["id"]
    grown = azure.call("PATCH", main, {"properties": {"storage": {"storageSizeGB": 256}}}, version=VERSION)
    assert grown.status_code in {200, 202}, grown.text
    wait_until(lambda: live(azure, server)["properties"]["storage"]["storageSizeGB"] == 256)

    updated = await server.update(storageGB=128, backupRetentionDays=14)

    assert updated.outcome is Outcome.DONE, updated.description
    assert live(azure, server)["properties"]["storage"]["storageSizeGB"] == 256
    assert live(azure, server)["properties"]["backup"]["backupRetentionDays"] == 14


async def test_storage_asked_to_shrink_is_refused_and_the_server_works_on(azure, server):
    refused = await server.update(storageGB=32)

    assert refused.outcome is Outcome.FAILED
    assert "can only grow" in refused.description
    assert (refused.instance_usable, refused.update_repeatable) == (True, False)
    assert live(azure, server)["properties"]["storage"]["storageSizeGB"] == 64


async def test_another_plan_and_tags_reach_azure(azure, server):
    general = OFFERINGS["azure-postgresql-server"].plans[1]

    updated = await server.update(general, tags={"team": "orders"})

    assert updated.outcome is Outcome.DONE, updated.description
    assert live(azure, server)["sku"] == {"name": "Standard_D2ds_v5", "tier": "GeneralPurpose"}
    assert live(azure, server)["tags"]["team"] == "orders"


@pytest.mark.parametrize(("code", "repeatable"), [("QuotaExceeded", True), ("SkuNotAvailable", False)])
async def test_a_failed_update_leaves_the_server_usable_and_its_rules_in_place(
    azure, group, server, code, repeatable
):
    before = rules_of(azure, group)
    azure.fault("deployment_failed", path=group, code=code, message="No.")

    failed = await server.update(firewallRules=[])

    assert failed.outcome is Outcome.FAILED
    assert (failed.instance_usable, failed.update_repeatable) == (True, repeatable)
    assert rules_of(azure, group) == before

    again = await server.update(firewallRules=[])

    assert again.outcome is Outcome.DONE, again.description
    assert rules_of(azure, group) == {"osb-broker-0"}


async def test_a_server_that_somebody_deleted_is_not_made_anew_by_an_update(azure, group, server):
    azure.call("DELETE", server.instance.record["main"]["id"], version=VERSION)
    azure.clock(advance=3600)

    failed = await server.update(backupRetentionDays=8)

    assert failed.outcome is Outcome.FAILED
    assert "no longer there" in failed.description
    assert (failed.instance_usable, failed.update_repeatable) == (False, False)
    assert resources_in(azure, group) == []


@pytest.mark.parametrize(("state", "usable"), [("Inaccessible", False), ("Ready", True)])
async def test_a_failed_update_is_usable_only_if_azure_says_so(azure, group, server, state, usable):
    tagged = live(azure, server)
    azure.plant(
        id=server.instance.record["main"]["id"],
        location=tagged["location"],
        tags=tagged["tags"],
        properties=tagged["properties"],
        state=state,
    )
    azure.fault("deployment_failed", path=group, code="QuotaExceeded", message="No.", after=0)

    failed = await server.update(backupRetentionDays=9)

    assert failed.outcome is Outcome.FAILED
    assert (failed.instance_usable, failed.update_repeatable) == (usable, True)
    assert (state in failed.description) is not usable


async def test_a_server_that_goes_during_an_update_is_not_usable(azure, group, server):
    azure.fault("deployment_failed", path=group, code="QuotaExceeded", message="No.", after=0)
    waiting = await server.carry_out_until("wait", backupRetentionDays=9)
    azure.call("DELETE", server.instance.record["main"]["id"], version=VERSION)
    wait_until(lambda: resources_in(azure, group) == [])

    failed = await server.go_on("update")

    assert waiting.phase == "wait"
    assert (failed.outcome, failed.instance_usable, failed.update_repeatable) == (
        Outcome.FAILED,
        False,
        False,
    )
