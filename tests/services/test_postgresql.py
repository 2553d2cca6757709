"""PostgreSQL with real servers behind: what is ordered, what a binding may do, and what it may not do any more."""

import uuid
from pathlib import Path

import psycopg
import pytest

from tests.entra_stand_ins import give_password, make_administrator, principals

VERSION = "2026-10-01"
BROKER = "osb broker"
OWN_PRINCIPAL = "6e1f4b0a-2f0a-4a86-b6d5-35a2f3a0c9d1"
RULE = {"name": "office", "startIPAddress": "192.0.2.1", "endIPAddress": "192.0.2.9"}


@pytest.fixture(scope="module")
def azure(simulator_with_databases):
    return simulator_with_databases


@pytest.fixture(scope="module")
def settings():
    return {
        "azure_principal_id": OWN_PRINCIPAL,
        "azure_principal_name": BROKER,
        "azure_tenant_id": "2a1c7a4e-9c39-4d0a-8f6d-0a4f0a4b8c11",
    }


def ask(azure, credentials, question, **changes):
    """Sign in as an app would, by the URI, and ask for one row."""
    with psycopg.connect(
        credentials["uri"], sslrootcert=azure.access.ca_file, autocommit=True, **changes
    ) as connection:
        return connection.execute(question).fetchone()


def server_of(credentials):
    return credentials["resourceId"].partition("/databases/")[0]


def properties(shop, resource):
    answer = shop.read(resource, VERSION)
    assert answer.status_code == 200, answer.text
    return answer.json()["properties"]


def rules(shop):
    return {one.rsplit("/", 1)[1] for one in shop.living("/firewallrules")}


@pytest.mark.proves("azure-postgresql", "provision")
@pytest.mark.proves("azure-postgresql", "update")
@pytest.mark.proves("azure-postgresql", "plan change")
@pytest.mark.proves("azure-postgresql", "bind password")
@pytest.mark.proves("azure-postgresql", "revoke password (real server)")
def test_a_server_with_a_database_is_ordered_changed_moved_bound_and_deleted(shop, azure):
    instance = shop.order(
        "azure-postgresql/burstable",
        version="18",
        storageGB=64,
        backupRetentionDays=14,
        geoRedundantBackup="Enabled",
        availabilityZone="2",
        extensions=["pgcrypto"],
        firewallRules=[RULE],
        tags={"team": "orders"},
    )
    binding = instance.bind()
    server = server_of(binding.credentials)
    made = properties(shop, server)

    assert (made["version"], made["availabilityZone"]) == ("18", "2")
    assert made["storage"]["storageSizeGB"] == 64
    assert made["backup"]["geoRedundantBackup"] == "Enabled"
    assert made["highAvailability"]["mode"] == "Disabled"
    assert ask(azure, binding.credentials, "SELECT encode(digest('a', 'md5'), 'hex') <> ''") == (True,)
    assert binding.fetched() == binding.credentials

    instance.update(
        "general-purpose",
        highAvailability="ZoneRedundant",
        standbyAvailabilityZone="3",
        storageAutoGrow="Enabled",
    )
    changed = shop.read(server, VERSION).json()
    assert changed["sku"] == {"name": "Standard_D2ds_v5", "tier": "GeneralPurpose"}
    assert changed["properties"]["highAvailability"]["mode"] == "ZoneRedundant"
    assert changed["properties"]["storage"]["autoGrow"] == "Enabled"
    assert changed["tags"]["team"] == "orders"
    assert ask(azure, binding.credentials, "SELECT 1") == (1,)

    binding.unbind()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        ask(azure, binding.credentials, "SELECT 1")
    instance.delete()
    assert shop.living() == []


@pytest.mark.proves("azure-postgresql-server", "provision")
@pytest.mark.proves("azure-postgresql-server", "update")
@pytest.mark.proves("azure-postgresql-server", "plan change")
@pytest.mark.proves("azure-postgresql-database", "provision")
@pytest.mark.proves("azure-postgresql-database", "bind password")
@pytest.mark.proves("azure-postgresql-database", "revoke password (real server)")
@pytest.mark.proves("azure-postgresql-database", "update")
def test_a_database_on_a_shared_server_is_closed_to_the_others(shop, azure):
    server = shop.order(
        "azure-postgresql-server/general-purpose", alias="pg", firewallRules=[RULE], extensions=["citext"]
    )
    orders = shop.order("azure-postgresql-database/database", parentAlias="pg")
    stock = shop.order("azure-postgresql-database/database", parentAlias="pg")
    first, second = orders.bind(), stock.bind()

    stock.update(extensions=["citext"])
    extension = "SELECT count(*) FROM pg_extension WHERE extname = 'citext'"
    assert (ask(azure, first.credentials, extension), ask(azure, second.credentials, extension)) == (
        (0,),
        (1,),
    )
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        ask(azure, first.credentials, "SELECT 1", dbname=second.credentials["database"])
    assert rules(shop) == {"office", "osb-broker-0"}
    server.update(firewallRules=[])
    assert rules(shop) == {"osb-broker-0"}
    server.update("memory-optimized", skuName="Standard_E2ds_v5")
    assert shop.read(server_of(first.credentials), VERSION).json()["sku"]["tier"] == "MemoryOptimized"

    first.unbind()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        ask(azure, first.credentials, "SELECT 1")
    assert ask(azure, second.credentials, "SELECT 1") == (1,)
    orders.delete()
    stock.delete()
    server.delete()
    assert shop.living() == []


@pytest.mark.proves("azure-postgresql-database", "bind entra")
@pytest.mark.proves("azure-postgresql", "bind entra")
def test_a_principal_gets_a_login_without_a_password_and_loses_it(shop, azure):
    folder, app = Path(azure.access.ca_file).parent, str(uuid.uuid4())
    server = shop.order("azure-postgresql-server/burstable", alias="entra")
    database = shop.order("azure-postgresql-database/database", parentAlias="entra")
    name = server_of(database.bind().credentials).rsplit("/", 1)[1]
    (administrator,) = shop.living("/administrators")
    # What Azure does with an administrator of type Entra, for nobody can sign in by a token here.
    make_administrator(folder, BROKER, azure.access.token, name)

    bound = database.bind(auth="entra", principalId=app, principalType="Group", clientId=app)

    assert administrator.endswith(f"/administrators/{OWN_PRINCIPAL}")
    assert properties(shop, administrator)["principalName"] == BROKER
    username = bound.credentials["username"]
    assert "password" not in bound.credentials
    assert bound.credentials["uri"].startswith(f"postgresql://{username}@")
    assert bound.credentials["clientId"] == app
    assert bound.credentials["scope"] == "https://ossrdbms-aad.database.windows.net/.default"
    assert bound.credentials["endpoint"] == f"{bound.credentials['host']}:5432"
    assert principals(folder, name) == [(username, app, "group", False, False)]
    give_password(folder, username, "for this test alone", name)
    owner = ask(azure, bound.credentials, "SELECT current_user", password="for this test alone")
    assert owner == (f"{bound.credentials['database']}_owner",)
    bound.unbind()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        ask(azure, bound.credentials, "SELECT 1", password="for this test alone")
    database.delete()
    server.delete()


def test_a_server_that_does_not_know_the_broker_refuses_the_binding_in_words(shop):
    instance = shop.order("azure-postgresql/burstable")

    answer = instance.ask_bind(str(uuid.uuid4()), auth="entra", principalId=str(uuid.uuid4()))

    assert answer.status_code >= 400
    assert "does not let the broker's own Entra identity in" in answer.json()["description"]
    instance.delete()


@pytest.mark.proves("azure-postgresql-server", "update")
def test_without_public_network_access_nobody_gets_in_until_it_is_back(shop, azure):
    server = shop.order("azure-postgresql-server/burstable", alias="closed")
    database = shop.order("azure-postgresql-database/database", parentAlias="closed")
    binding = database.bind()

    server.update(publicNetworkAccess="Disabled")

    with pytest.raises(psycopg.OperationalError):
        ask(azure, binding.credentials, "SELECT 1", connect_timeout=2)
    server.update(publicNetworkAccess="Enabled")
    assert ask(azure, binding.credentials, "SELECT 1") == (1,)
    database.delete()
    server.delete()
    assert shop.living() == []


CONTRADICTIONS = {
    "high availability on one small machine": (
        "burstable",
        {"highAvailability": "SameZone"},
        "must be one of",
    ),
    "a machine of another plan": ("burstable", {"skuName": "Standard_D2ds_v5"}, "'skuName' must be one of"),
    "a version of before": ("burstable", {"version": "14"}, "'version' must be one of"),
    "a disk that Azure does not have": ("burstable", {"storageGB": 33}, "'storageGB' must be one of"),
    "too few backups": ("burstable", {"backupRetentionDays": 6}, "at least 7"),
    "an open door": (
        "burstable",
        {"firewallRules": [{"name": "all", "startIPAddress": "0.0.0.0", "endIPAddress": "0.0.0.0"}]},
        "allowAzureServices",
    ),
    "a second zone without a second server": (
        "general-purpose",
        {"standbyAvailabilityZone": "2"},
        "give highAvailability",
    ),
    "two servers in one zone that are to be in two": (
        "general-purpose",
        {"highAvailability": "ZoneRedundant", "availabilityZone": "1", "standbyAvailabilityZone": "1"},
        "another zone",
    ),
    "rules that nobody meets": (
        "burstable",
        {"publicNetworkAccess": "Disabled", "firewallRules": [RULE]},
        "no firewall rule counts",
    ),
    "what the older broker called so": ("burstable", {"sslEnforcement": "enabled", "cores": 2}, "'skuName'"),
    "a group of one's own": ("burstable", {"resourceGroup": "mine"}, "Leave 'resourceGroup' out"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_what_contradicts_itself_is_refused_before_anything_is_made(shop, case):
    plan, parameters, told = CONTRADICTIONS[case]

    before = shop.living()

    status, sentence = shop.refusal(f"azure-postgresql/{plan}", **parameters)

    assert status == 400
    assert told in sentence
    assert shop.living() == before


def test_what_azure_settles_at_the_creation_is_refused_later(shop):
    server = shop.order("azure-postgresql-server/burstable", alias="fixed")

    for name, value in (("version", "16"), ("geoRedundantBackup", "Enabled"), ("availabilityZone", "1")):
        assert f"'{name}' cannot be changed" in server.update_refusal(**{name: value})[1]
    assert "can only grow" in server.update("burstable", storageGB=64).update_refusal(storageGB=32)[1]
    server.delete()
