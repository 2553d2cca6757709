"""Tenant rules from the file to Azure: where things are made, with which tags, and what stays when the file changes."""

import httpx
import pytest

from tests.end_to_end.orders import Ordered
from tests.osb.platform import an_id, refused
from tests.simulated import wait_until

pytestmark = pytest.mark.slow

ACCOUNT = Ordered.of("azure-storage-account")
ACCOUNTS, VERSION = "Microsoft.Storage/storageAccounts", "2026-09-01"
PLAN = "azure-storage-account/standard-lrs"


def rules_for(group: str, subscription: str) -> str:
    return f"""
platforms: {{kubernetes: service-catalog}}
rules:
  - name: payments
    when: {{namespace: pay-*}}
    place: {{subscription: {subscription}, resource_group: {group}}}
    location: northeurope
    tags: {{costCenter: "4711"}}
    parameters: {{{PLAN}: {{force: {{publicNetworkAccess: Disabled}}, default: {{accessTier: Cool}}}}}}
    quotas: {{accounts: {{plans: [azure-storage-account], per: namespace, limit: 1}}}}
"""


def accounts_in(azure, group: str) -> list[dict]:
    """The storage accounts of a group, as Azure shows them."""
    inside = f"/resourcegroups/{group}/".lower()
    ids = [
        one["id"]
        for one in azure.state()["resources"]
        if inside in one["id"].lower() and one["type"].lower() == ACCOUNTS.lower()
    ]
    return [azure.call("GET", one, version=VERSION).json() for one in ids]


def notes(broker) -> dict[str, str]:
    answer = httpx.get(f"{broker.health_url}/readyz")
    assert answer.status_code == 200
    return answer.json().get("notes", {})


def test_an_order_goes_where_the_rules_send_its_namespace_and_stays_there(sqlite_world, tmp_path):
    azure, world = sqlite_world.azure, sqlite_world
    group, file = azure.a_group(), tmp_path / "rules.yaml"
    file.write_text(rules_for(group, azure.access.subscription_id))
    broker = world.start(tenant_rules=str(file))
    platform = broker.platform

    def of(namespace: str, **parameters: object) -> dict:
        context = {
            "platform": "kubernetes",
            "clusterid": "c",
            "namespace": namespace,
            "instance_name": "store",
        }
        return {**ACCOUNT.order(**parameters), "context": context}

    theirs, other = an_id(), an_id()
    for instance, body in (
        (theirs, of("pay-eu", tags={"CostCenter": "0815", "own": "yes"})),
        (other, of("web")),
    ):
        platform.provision(instance, body)
        assert platform.settle(instance).json()["state"] == "succeeded"
    (made,), (elsewhere,) = accounts_in(azure, group), accounts_in(azure, world.group)

    assert (made["location"], elsewhere["location"]) == ("northeurope", "westeurope")
    assert {name: made["tags"].get(name) for name in ("costCenter", "CostCenter", "own")} == {
        "costCenter": "4711", "CostCenter": None, "own": "yes",
    }  # fmt: skip
    assert "costCenter" not in elsewhere["tags"]
    assert made["properties"]["publicNetworkAccess"] == "Disabled"
    assert (made["properties"]["accessTier"], elsewhere["properties"]["accessTier"]) == ("Cool", "Hot")

    # What was given stays, whatever the file says by now and whatever a request says of its place.
    refused(platform.provision(an_id(), of("pay-eu", location="westus")), 400, "InvalidParameters")
    refused(platform.provision(an_id(), of("pay-eu")), 422, "QuotaUsedUp")
    file.write_text("rules: [nonsense]")
    told = wait_until(lambda: notes(broker).get("tenant rules"))
    assert "rules.yaml:1" in told
    refused(platform.provision(an_id(), of("pay-eu")), 422, "QuotaUsedUp")
    file.write_text("rules: []")
    wait_until(lambda: "tenant rules" not in notes(broker))
    change = {
        "service_id": ACCOUNT.service_id,
        "parameters": {"minimumTlsVersion": "TLS1_2", "accessTier": "Hot"},
    }
    platform.update(theirs, change)
    assert platform.settle(theirs).json()["state"] == "succeeded"
    (updated,) = accounts_in(azure, group)

    assert (updated["id"], updated["tags"], updated["location"]) == (made["id"], made["tags"], "northeurope")
    assert (updated["properties"]["publicNetworkAccess"], updated["properties"]["accessTier"]) == (
        "Disabled",
        "Hot",
    )
    for instance in (theirs, other):
        platform.gone(instance, ACCOUNT.plan_id, ACCOUNT.service_id)
    assert accounts_in(azure, group) == accounts_in(azure, world.group) == []
    azure.call("DELETE", f"/resourceGroups/{group}")
