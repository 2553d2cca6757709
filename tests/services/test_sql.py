"""
Azure SQL: servers and databases as Resource Manager sees them. Nothing stands behind the simulated ones, since no SQL
Server can be had here; what is said inside of a database is proven in tests/data_planes.
"""

import time
import uuid

import pytest

from tests.services.test_sql_existing import SQL, body_of, changes, put

GB = 1024**3
PRINCIPAL, CLIENT = str(uuid.uuid4()), str(uuid.uuid4())


# No shipped plan adopts anything but those of the offerings that are for it.
OVERLAYS = {
    "servers": "overlay: azure-sql-server\nplans:\n  server: {set: {adopt: [bind-only, manage]}}\n",
    "databases": "overlay: azure-sql-database\nplans:\n  basic: {set: {adopt: [bind-only]}}\n",
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory, azure):
    folder = tmp_path_factory.mktemp("overlays")
    for name, text in OVERLAYS.items():
        (folder / f"{name}.yaml").write_text(text)
    return {
        "azure_principal_id": PRINCIPAL,
        "azure_client_id": CLIENT,
        "azure_principal_name": "the-broker",
        "catalog_overlays": str(folder),
        "adoption_scopes": azure.subscription,
    }


def database_of(shop):
    (found,) = shop.living("microsoft.sql/servers/databases")
    return found


@pytest.mark.proves("azure-sql", "provision")
@pytest.mark.proves("azure-sql", "update")
@pytest.mark.proves("azure-sql", "plan change")
def test_a_server_with_a_database_is_ordered_changed_moved_and_deleted(shop):
    whole = shop.order(
        "azure-sql/standard",
        dtus=50,
        firewallRules=[{"name": "office", "startIPAddress": "203.0.113.4", "endIPAddress": "203.0.113.5"}],
        ltrYearlyRetention="P5Y",
        tags={"team": "sales"},
    )
    database = database_of(shop)
    server = database.rpartition("/databases/")[0]

    there = shop.read(database, SQL).json()
    assert there["properties"]["currentServiceObjectiveName"] == "S2"
    assert there["properties"]["maxSizeBytes"] == 250 * GB
    assert there["tags"]["team"] == "sales"
    assert shop.read(server, SQL).json()["properties"]["minimalTlsVersion"] == "1.2"
    assert shop.read(f"{database}/backupLongTermRetentionPolicies/default", SQL).json()["properties"][
        "yearlyRetention"
    ] == ("P5Y")
    assert rules_of(shop) == ["office", "osb-broker-0"]

    whole.update(dtus=100, firewallRules=[])
    assert shop.read(database, SQL).json()["properties"]["currentServiceObjectiveName"] == "S3"
    assert rules_of(shop) == ["osb-broker-0"]

    whole.update(plan="general-purpose", dtus=None, cores=4, storageGB=500)
    there = shop.read(database, SQL).json()
    assert there["sku"] == {"name": "GP_Gen5", "tier": "GeneralPurpose", "family": "Gen5", "capacity": 4}
    assert there["properties"]["maxSizeBytes"] == 500 * GB

    whole.delete()
    assert shop.living() == []


def rules_of(shop):
    return sorted(one.rpartition("/")[2] for one in shop.living("microsoft.sql/servers/firewallrules"))


@pytest.mark.proves("azure-sql-server", "provision")
@pytest.mark.proves("azure-sql-server", "update")
@pytest.mark.proves("azure-sql-database", "provision")
@pytest.mark.proves("azure-sql-database", "update")
@pytest.mark.proves("azure-sql-database", "plan change")
def test_databases_of_several_plans_stand_on_one_server(shop):
    server = shop.order("azure-sql-server/server", alias="shared-sql")
    paused = shop.order(
        "azure-sql-database/serverless", parentAlias="shared-sql", cores=8, autoPauseDelay=120
    )
    name = database_of(shop)

    there = shop.read(name, SQL).json()
    assert there["sku"]["name"] == "GP_S_Gen5"
    assert (there["properties"]["minCapacity"], there["properties"]["autoPauseDelay"]) == (1, 120)
    server_name = name.rpartition("/databases/")[0]
    server.update(connectionPolicy="Proxy", allowAzureServices=True)
    policy = shop.read(f"{server_name}/connectionPolicies/default", SQL).json()
    assert policy["properties"]["connectionType"] == "Proxy"
    assert rules_of(shop) == ["osb-azure-services", "osb-broker-0"]

    paused.update(shortTermRetentionDays=14)
    retention = shop.read(f"{name}/backupShortTermRetentionPolicies/default", SQL).json()
    assert retention["properties"]["retentionDays"] == 14
    paused.update(plan="hyperscale", autoPauseDelay=None)
    there = shop.read(name, SQL).json()
    assert (there["sku"]["name"], there["sku"]["capacity"]) == ("HS_Gen5", 8)
    status, told = paused.update_refusal(plan="general-purpose")
    assert status == 422
    assert "cannot move to another service plan" in told

    small = shop.order("azure-sql-database/basic", parentAlias="shared-sql")
    small.delete()
    paused.delete()
    server.delete()
    assert shop.living() == []


@pytest.mark.parametrize(
    ("plan", "parameters", "sentence"),
    [
        ("standard", {"dtus": 15}, "'dtus'"),
        ("standard", {"cores": 2}, "'cores' is not a known parameter"),
        ("basic", {"shortTermRetentionDays": 8}, "'shortTermRetentionDays'"),
        ("general-purpose", {"storageGB": 5000}, "'storageGB'"),
        ("general-purpose", {"cores": 3}, "'cores'"),
        ("general-purpose", {"storage": 10}, "It is called storageGB now"),
        ("general-purpose", {"resourceGroup": "mine"}, "An operator chooses the resource group"),
        ("serverless", {"minCapacity": "0.25"}, "'minCapacity'"),
        ("serverless", {"ltrYearlyRetention": "P1Y"}, "'ltrYearlyRetention' is not a known parameter"),
        ("hyperscale", {"storageGB": 100}, "'storageGB' is not a known parameter"),
        ("premium", {"ltrWeeklyRetention": "four weeks"}, "'ltrWeeklyRetention'"),
        ("premium", {"minimalTlsVersion": "1.0"}, "'minimalTlsVersion'"),
        (
            "premium",
            {"firewallRules": [{"name": "all", "startIPAddress": "9.9.9.9", "endIPAddress": "1.1.1.1"}]},
            "ends before it begins",
        ),
        (
            "premium",
            {"firewallRules": [{"name": "a", "startIPAddress": "0.0.0.0", "endIPAddress": "0.0.0.0"}]},
            "Set allowAzureServices if that is wanted",
        ),
    ],
)
def test_an_order_that_can_never_be_made_is_told_so(shop, plan, parameters, sentence):
    status, told = shop.refusal(f"azure-sql/{plan}", **parameters)

    assert 400 <= status < 500
    assert sentence in told
    assert shop.living() == []


def test_what_cannot_shrink_or_change_is_told_so(shop):
    whole = shop.order("azure-sql/general-purpose", storageGB=64)

    assert whole.update_refusal(storageGB=32) == (422, "'storageGB' can only grow: at least 64 is needed.")
    status, told = whole.update_refusal(collation="Latin1_General_100_CI_AS")
    assert status == 400
    assert "'collation' cannot be changed once the service instance is created" in told

    whole.delete()


@pytest.mark.proves("azure-sql", "revoke password (driver only)")
@pytest.mark.proves("azure-sql-database", "revoke password (driver only)")
def test_a_bind_that_reaches_no_server_fails_in_time_and_leaves_nothing(shop):
    whole = shop.order("azure-sql/basic")
    began = time.monotonic()

    answer = shop.platform.bind(whole.id, "a-binding", whole.ordered.body())

    assert time.monotonic() - began < 45
    assert answer.status_code >= 400, answer.text
    assert "DNS knows no database server sql-" in answer.json()["description"]
    # A platform sends this after it; there is nothing to undo, and no server is asked.
    again = shop.platform.unbind(whole.id, "a-binding", whole.ordered.plan_id, whole.ordered.service_id)
    assert again.status_code in {200, 410}
    whole.delete()
    assert shop.living() == []


@pytest.mark.proves("azure-sql", "entra")
def test_a_server_has_the_brokers_entra_identity_as_administrator_beside_its_own(shop):
    whole = shop.order("azure-sql/basic")
    server = database_of(shop).rpartition("/databases/")[0]

    there = shop.read(f"{server}/administrators/ActiveDirectory", SQL).json()
    assert there["properties"]["sid"] == CLIENT
    assert there["properties"]["login"] == "the-broker"
    told = whole.bind_refused(400, "NotPossible", auth="entra", principalId=str(uuid.uuid4()))
    assert "Give clientId, too" in told
    answer = whole.ask_bind("by-token", auth="entra", principalId=PRINCIPAL, clientId=str(uuid.uuid4()))
    assert "DNS knows no database server sql-" in answer.json()["description"]
    whole.delete()


@pytest.mark.proves("azure-sql-database", "adopt bind-only")
def test_a_database_that_exists_is_adopted_and_stays_as_it_is(shop):
    server = shop.order("azure-sql-server/server", alias="with-a-database")
    (above,) = shop.living("microsoft.sql/servers")
    path = f"{above}/databases/somebodys"
    put(shop, path, {"location": "westeurope", "sku": {"name": "GP_Gen5_2"}, "tags": {"costs": "17"}})
    before, changed = body_of(shop, path), changes(shop, path)

    database = shop.order("azure-sql-database/basic", parentAlias="with-a-database", resourceId=path)
    answer = database.ask_bind("to-the-adopted")
    assert "DNS knows no database server sql-" in answer.json()["description"]
    database.delete()

    assert body_of(shop, path) == before
    assert changes(shop, path) == changed
    server.delete()


def test_a_role_that_is_no_role_of_a_database_is_refused(shop):
    whole = shop.order("azure-sql/basic")

    for roles in (["sysadmin"], [], "db_owner", ["db_owner", "db_owner"]):
        status, told = whole.bind_refusal(roles=roles)
        assert status == 400
        assert "roles" in told

    whole.delete()
