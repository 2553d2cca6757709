"""Clouds that lag: what replaces the api-versions of plans and records, and that an order ends well there."""

import copy
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from broker import app
from broker.app import cloud_of, resource_manager
from broker.azure.api_versions import ApiVersions
from broker.catalog.faults import CatalogRefused
from broker.catalog.reader import read_catalog
from broker.domain.catalog import Catalog
from broker.metrics import Metrics
from broker.provisioners.base import Outcome
from broker.shipped import shipped
from tests.azure.test_clouds import an_order, settings_for
from tests.simulated import a_simulator

SERVERS = "Microsoft.DBforPostgreSQL/flexibleServers"
ACCOUNTS = "Microsoft.Storage/storageAccounts"
OLD = {
    SERVERS: "2024-08-01",
    f"{SERVERS}/firewallRules": "2024-08-01",
    ACCOUNTS: "2024-01-01",
    f"{ACCOUNTS}/blobServices/containers": "2024-01-01",
}
HERE = "/subscriptions/s/resourceGroups/g"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{HERE}/providers/{SERVERS}/a", "2024-08-01"),
        (f"{HERE}/providers/{SERVERS.upper()}/a", "2024-08-01"),
        (f"{HERE}/providers/{SERVERS}/a/databases/b", "pinned"),
        (f"{HERE}/providers/{ACCOUNTS}/a/listKeys", "2024-01-01"),
        (f"{HERE}/providers/{SERVERS}/a/providers/Microsoft.Authorization/roleAssignments/r", "pinned"),
        (f"{HERE}/providers/Microsoft.Resources/deployments/d", "2022-09-01"),
        (f"{HERE}/providers/Microsoft.Resources/deployments/d/validate", "2022-09-01"),
        (HERE, "2021-04-01"),
        (f"{HERE}/resources", "pinned"),
        ("/subscriptions/s/providers/Microsoft.Storage", "pinned"),
    ],
)
def test_each_call_is_made_at_the_version_of_the_type_that_it_is_about(path, expected):
    versions = ApiVersions(
        {
            **OLD,
            "Microsoft.Resources/deployments": "2022-09-01",
            "microsoft.resources/resourcegroups": "2021-04-01",
        }
    )

    assert versions.of_path(path, "pinned") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"[reference(resourceId('{SERVERS}', parameters('a')), '2026-10-01').x]", "2024-08-01"),
        (f"[reference(resourceId('{SERVERS}', concat('a', toLower('B'))), '2026-10-01').x]", "2024-08-01"),
        (f"[union(reference(resourceId('{SERVERS}', 'a'), '2026-10-01'), createObject()).x]", "2024-08-01"),
        (f"[listKeys( resourceId( '{ACCOUNTS}', 'a)' ) , '2026-10-01' ).keys]", "2024-01-01"),
        (f"[reference(resourceId('{SERVERS}/databases', 'a', 'b'), '2026-10-01')]", "2026-10-01"),
        (f"reference(resourceId('{SERVERS}', 'a'), '2026-10-01') is plain text", "2026-10-01"),
        ("[parameters('2026-10-01')]", "2026-10-01"),
    ],
)
def test_an_expression_reads_a_resource_at_the_version_of_its_type(text, expected):
    replaced = ApiVersions(OLD).in_template({"outputs": {"x": {"value": text}}})

    assert replaced["outputs"]["x"]["value"] == text.replace("2026-10-01", expected)


def test_a_template_is_changed_in_a_copy_and_where_a_type_and_a_version_stand_together():
    template = {
        "resources": [
            {
                "type": "Microsoft.Resources/deployments",
                "apiVersion": "1",
                "properties": {"template": {"resources": [{"type": SERVERS, "apiVersion": "2026-10-01"}]}},
            },
            {"type": ACCOUNTS, "apiVersion": "2026-09-01", "tags": {"apiVersion": "mine"}},
        ]
    }
    before = copy.deepcopy(template)

    nested, account = ApiVersions(OLD).in_template(template)["resources"]

    assert template == before
    assert nested["apiVersion"] == "1"
    assert nested["properties"]["template"]["resources"][0]["apiVersion"] == "2024-08-01"
    assert account == {"type": ACCOUNTS, "apiVersion": "2024-01-01", "tags": {"apiVersion": "mine"}}


@pytest.fixture(scope="module")
def lagging(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lagging")
    with a_simulator(folder, cloud="china", data_planes=False, proxy=True, api_versions=OLD) as started:
        started.call("PUT", "/resourceGroups/lagging", {"location": "chinanorth3"})
        yield started


@pytest.mark.anyio
@pytest.mark.parametrize("offering", ["azure-storage-blob", "azure-postgresql-server"])
async def test_an_order_lives_and_ends_in_a_cloud_that_lags(lagging, offering):
    settings = settings_for(lagging, azure_api_versions=OLD)

    async with resource_manager(settings, cloud_of(settings), Metrics()) as arm:
        order = an_order(settings, arm, offering, "lagging")
        created = await order.create()
        main = order.instance.record["main"]
        deleted = await order.delete()

    assert (created.outcome, deleted.outcome) == (Outcome.DONE, Outcome.DONE), created.description
    # The record names the plan's own version: an override that ends, or comes later, holds for it as well.
    assert main["api_version"] not in OLD.values()
    asked = {call["api_version"] for call in lagging.ledger() if main["id"].lower() in call["path"].lower()}
    assert asked <= set(OLD.values())


@pytest.mark.anyio
async def test_without_the_setting_a_cloud_that_lags_says_what_it_knows(lagging):
    settings = settings_for(lagging)

    async with resource_manager(settings, cloud_of(settings), Metrics()) as arm:
        refused = await an_order(settings, arm, "azure-storage-account", "lagging").create()

    assert refused.outcome is Outcome.FAILED
    assert "2024-01-01" in refused.description


def shipped_catalog():
    return read_catalog(shipped("catalog"))


def test_the_log_names_each_version_at_which_no_body_could_be_checked():
    with capture_logs() as logged:
        app._look_at_api_versions(shipped_catalog(), {ACCOUNTS: "2024-01-01", SERVERS: "2026-10-01"})

    (warning,) = logged
    assert warning["log_level"] == "warning"
    assert (warning["resource_type"], warning["api_version"]) == (ACCOUNTS, "2024-01-01")


def test_a_described_version_must_take_what_the_plans_send():
    catalog = shipped_catalog()
    offering = next(one for one in catalog.offerings if one.name == "azure-storage-account")
    recipe = copy.deepcopy(offering.plans[0].recipe)
    recipe["template"]["resources"][0]["properties"]["newerThanThat"] = True
    broken = replace(offering, plans=(replace(offering.plans[0], recipe=recipe),))

    app._look_at_api_versions(catalog, {ACCOUNTS.lower(): "2026-09-01"})
    with pytest.raises(CatalogRefused) as refused:
        app._look_at_api_versions(Catalog((broken,)), {ACCOUNTS.lower(): "2026-09-01"})

    (fault,) = refused.value.faults
    assert fault.file.startswith("azure-storage-account/")
    assert "newerThanThat" in fault.message
