"""
Accounts and databases of Azure Cosmos DB: ordered, changed, bound in each way, and deleted.

There is no server of Cosmos DB to sign in to here: what is handed out is read by the drivers' own parsers, and what
unbinding takes back is seen to be gone from Azure Resource Manager.
"""

import json
import uuid

import pytest
from azure.cosmos.cosmos_client import _parse_connection_str
from pymongo import MongoClient
from pymongo.uri_parser import parse_uri

from tests.osb.platform import an_id
from tests.services.shop import Failed, Instance

VERSION = "2026-03-15"
KEYS = {
    ("write", "primary"): "primaryMasterKey",
    ("write", "secondary"): "secondaryMasterKey",
    ("read", "primary"): "primaryReadonlyMasterKey",
    ("read", "secondary"): "secondaryReadonlyMasterKey",
}
CONTRACT = {"type", "provider", "auth", "access", "host", "hostname", "port", "uri", "tls", "resourceId"}
OF_ACCOUNT = CONTRACT | {"endpoint", "primaryKey", "primaryConnectionString"}
OF_DATABASE = OF_ACCOUNT | {
    "database",
    "name",
    "databaseName",
    "documentdb_database_id",
    "documentdb_host_endpoint",
    "documentdb_master_key",
}
OF_MONGO = CONTRACT | {"username", "password", "connectionString"}


@pytest.fixture(scope="module")
def settings():
    return {"azure_tenant_id": str(uuid.uuid4())}


@pytest.fixture(scope="module")
def account(shop):
    ordered = shop.order("azure-cosmosdb-sql-account/account", alias="cosmos", allowAccessFromAzure=True)
    yield ordered
    ordered.delete()


@pytest.fixture(scope="module")
def mongo(shop):
    ordered = shop.order("azure-cosmosdb-mongo-account/account", alias="mongo")
    yield ordered
    ordered.delete()


def properties(shop, resource_id):
    return shop.read(resource_id, VERSION).json()["properties"]


def keys_of(shop, account_id):
    return shop.azure.call("POST", f"{account_id}/listKeys", version=VERSION).json()


def regions(shop, account_id):
    return [one["locationName"] for one in properties(shop, account_id)["locations"]]


def knows(shop, user, password):
    asked = shop.azure.client.post("/_simulator/password", json={"id": user, "password": password})
    return asked.json()["right"]


@pytest.mark.proves("azure-cosmosdb-sql", "provision")
@pytest.mark.proves("azure-cosmosdb-sql", "update")
@pytest.mark.proves("azure-cosmosdb-sql", "bind key")
@pytest.mark.proves("azure-cosmosdb-sql", "revoke key (cannot be)")
@pytest.mark.proves("azure-cosmosdb-sql", "bind entra")
@pytest.mark.proves("azure-cosmosdb-sql", "revoke entra (not provable here)")
def test_a_database_with_its_account_is_ordered_changed_bound_and_deleted(shop):
    ordered = shop.order("azure-cosmosdb-sql/account", throughput=500)
    credentials = ordered.bind().credentials
    database, account = credentials["resourceId"], credentials["resourceId"].rpartition("/sqlDatabases/")[0]
    by_role, assignments = (
        ordered.bind(auth="entra", principalId=str(uuid.uuid4())),
        f"{account}/sqlRoleAssignments",
    )

    assert len(shop.azure.call("GET", assignments, version=VERSION).json()["value"]) == 1
    by_role.unbind()
    assert shop.azure.call("GET", assignments, version=VERSION).json()["value"] == []

    ordered.update(throughput=700)

    assert set(credentials) == OF_DATABASE
    assert credentials["documentdb_master_key"] == credentials["primaryKey"]
    assert properties(shop, f"{database}/throughputSettings/default")["resource"] == {"throughput": 700}
    assert properties(shop, account)["publicNetworkAccess"] == "Disabled", "nobody was let in"
    ordered.delete()
    assert shop.living(account.rpartition("/")[2]) == []


@pytest.mark.proves("azure-cosmosdb-sql-account", "provision")
@pytest.mark.proves("azure-cosmosdb-sql-account", "bind key")
@pytest.mark.proves("azure-cosmosdb-sql-account", "revoke key (cannot be)")
@pytest.mark.parametrize(("access", "key_name"), KEYS)
def test_a_binding_of_an_account_gets_the_key_that_it_asked_for(shop, account, access, key_name):
    credentials = account.bind(access=access, keyName=key_name).credentials

    wanted = keys_of(shop, credentials["resourceId"])[KEYS[access, key_name]]
    assert credentials["primaryKey"] == wanted
    assert set(credentials) == OF_ACCOUNT
    parsed = _parse_connection_str(credentials["primaryConnectionString"], None)
    assert (parsed["AccountEndpoint"], parsed["AccountKey"]) == (credentials["uri"], wanted)
    assert credentials["host"] == credentials["uri"].removeprefix("https://").partition(":")[0]


@pytest.mark.proves("azure-cosmosdb-sql-account", "bind entra")
@pytest.mark.proves("azure-cosmosdb-sql-account", "entra")
@pytest.mark.proves("azure-cosmosdb-sql-account", "revoke entra (not provable here)")
def test_a_role_on_an_account_is_given_by_a_binding_and_taken_by_its_end(shop, account):
    principal, client = str(uuid.uuid4()), str(uuid.uuid4())
    binding = account.bind(auth="entra", access="read", principalId=principal, clientId=client)
    here = binding.credentials["resourceId"]

    [assigned] = shop.azure.call("GET", f"{here}/sqlRoleAssignments", version=VERSION).json()["value"]
    assert assigned["properties"]["principalId"] == principal
    assert assigned["properties"]["roleDefinitionId"] == (
        f"{here}/sqlRoleDefinitions/00000000-0000-0000-0000-000000000001"
    )
    assert assigned["properties"]["scope"] == here
    assert {"clientId", "tenantId", "endpoint", "scope"} <= binding.credentials.keys()
    assert not {"primaryKey", "primaryConnectionString"} & binding.credentials.keys()

    binding.unbind()

    assert shop.azure.call("GET", f"{here}/sqlRoleAssignments", version=VERSION).json()["value"] == []


@pytest.mark.proves("azure-cosmosdb-sql-database", "provision")
@pytest.mark.proves("azure-cosmosdb-sql-database", "update")
@pytest.mark.proves("azure-cosmosdb-sql-database", "bind key")
@pytest.mark.proves("azure-cosmosdb-sql-database", "bind entra")
@pytest.mark.proves("azure-cosmosdb-sql-database", "entra")
@pytest.mark.proves("azure-cosmosdb-sql-database", "revoke entra (not provable here)")
@pytest.mark.proves("azure-cosmosdb-sql-database", "revoke key (cannot be)")
def test_a_role_on_a_database_reaches_that_database_alone(shop, account):
    database = shop.order("azure-cosmosdb-sql-database/autoscale", parentAlias="cosmos")
    by_key = database.bind()
    by_role = database.bind(auth="entra", principalId=str(uuid.uuid4()))
    here, _, name = by_key.credentials["resourceId"].partition("/sqlDatabases/")

    database.update(maxThroughput=2000)

    settings = properties(shop, f"{by_key.credentials['resourceId']}/throughputSettings/default")
    assert settings["resource"] == {"autoscaleSettings": {"maxThroughput": 2000}}
    assert set(by_key.credentials) == OF_DATABASE
    assert by_key.credentials["database"] == name
    [assigned] = shop.azure.call("GET", f"{here}/sqlRoleAssignments", version=VERSION).json()["value"]
    assert assigned["properties"]["scope"] == f"{here}/dbs/{name}"
    assert assigned["properties"]["roleDefinitionId"].endswith("000000000002")
    database.delete()
    assert by_role not in database.bindings
    assert shop.azure.call("GET", f"{here}/sqlRoleAssignments", version=VERSION).json()["value"] == []


@pytest.mark.proves("azure-cosmosdb-mongo-account", "provision")
@pytest.mark.proves("azure-cosmosdb-mongo-account", "bind key")
@pytest.mark.proves("azure-cosmosdb-mongo-account", "revoke key (cannot be)")
def test_an_accounts_own_uri_is_one_that_the_driver_reads(shop, mongo):
    credentials = mongo.bind(access="read").credentials

    assert set(credentials) == OF_MONGO
    for key in ("uri", "connectionString"):
        read = parse_uri(credentials[key])
        assert read["nodelist"] == [(credentials["host"], credentials["port"])]
        assert (read["username"], read["password"]) == (credentials["username"], credentials["password"])
        assert read["options"]["tls"] is True
    assert credentials["port"] == 10255
    assert credentials["password"] == keys_of(shop, credentials["resourceId"])["primaryReadonlyMasterKey"]


@pytest.mark.proves("azure-cosmosdb-mongo-database", "provision")
@pytest.mark.proves("azure-cosmosdb-mongo-database", "bind password")
@pytest.mark.proves("azure-cosmosdb-mongo-database", "revoke password (driver only)")
def test_each_binding_of_a_mongo_database_has_a_user_of_its_own(shop, mongo):
    database = shop.order("azure-cosmosdb-mongo-database/database", parentAlias="mongo")
    reader, writer = database.bind(access="read"), database.bind()
    account = reader.credentials["resourceId"].rpartition("/mongodbDatabases/")[0]
    listed = f"{account}/mongodbUserDefinitions"

    for binding, role in ((reader, "read"), (writer, "readWrite")):
        credentials = binding.credentials
        here = f"{listed}/{credentials['database']}.{credentials['username']}"
        assert properties(shop, here)["roles"] == [{"db": credentials["database"], "role": role}]
        assert knows(shop, here, credentials["password"])
        assert credentials["password"] not in shop.read(here, VERSION).text
        with pytest.warns(UserWarning, match="connected to a CosmosDB cluster"):
            client = MongoClient(credentials["uri"], connect=False)
        assert client.get_default_database().name == credentials["database"]
        chosen = client.options.pool_options._credentials
        client.close()
        assert (chosen.mechanism, chosen.source) == ("SCRAM-SHA-256", credentials["database"])
        assert (chosen.username, chosen.password) == (credentials["username"], credentials["password"])
    assert reader.credentials["username"] != writer.credentials["username"]
    assert reader.fetched() == reader.credentials

    reader.unbind()

    [left] = shop.azure.call("GET", listed, version=VERSION).json()["value"]
    assert left["properties"]["userName"] == writer.credentials["username"]
    database.delete()
    assert shop.azure.call("GET", listed, version=VERSION).json()["value"] == []


@pytest.mark.proves("azure-cosmosdb-mongo-database", "bind key")
@pytest.mark.proves("azure-cosmosdb-mongo-database", "update")
@pytest.mark.proves("azure-cosmosdb-mongo-database", "revoke key (cannot be)")
def test_a_mongo_database_can_be_bound_by_the_accounts_key(shop, mongo):
    database = shop.order("azure-cosmosdb-mongo-database/provisioned", parentAlias="mongo")
    credentials = database.bind(auth="key", keyName="secondary").credentials
    account = credentials["resourceId"].rpartition("/mongodbDatabases/")[0]

    database.update(throughput=900)

    settings = properties(shop, f"{credentials['resourceId']}/throughputSettings/default")
    assert settings["resource"] == {"throughput": 900}
    assert credentials["password"] == keys_of(shop, account)["secondaryMasterKey"]
    assert parse_uri(credentials["uri"])["username"] == account.rpartition("/")[2]
    database.delete()


@pytest.mark.proves("azure-cosmosdb-sql-account", "update")
@pytest.mark.proves("azure-cosmosdb-mongo-account", "update")
@pytest.mark.parametrize("offering", ["azure-cosmosdb-sql-account", "azure-cosmosdb-mongo-account"])
def test_regions_are_changed_alone_and_everything_else_together(shop, offering, request):
    ordered = request.getfixturevalue("account" if "sql" in offering else "mongo")
    here = ordered.bind().credentials["resourceId"]

    status, sentence = ordered.update_refusal(readRegions=["northeurope"], tags={"team": "a"})
    ordered.update(readRegions=["northeurope", "uksouth"])
    ordered.update(
        defaultConsistencyLevel="BoundedStaleness", maxStalenessPrefix=100000, maxIntervalInSeconds=300
    )
    ordered.update(readRegions=["uksouth"])

    assert (status, sentence.partition(",")[0]) == (400, "Azure changes 'readRegions' alone")
    assert "'tags'" in sentence
    assert regions(shop, here) == ["westeurope", "uksouth"]
    assert properties(shop, here)["consistencyPolicy"] == {
        "defaultConsistencyLevel": "BoundedStaleness",
        "maxStalenessPrefix": 100000,
        "maxIntervalInSeconds": 300,
    }


def test_the_firewall_is_what_the_addresses_say(shop, account):
    here = account.bind().credentials["resourceId"]

    account.update(allowAccessFromAzure=False)
    closed = properties(shop, here)
    account.update(allowedIPRanges=["203.0.113.0/24"])
    some = properties(shop, here)
    account.update(allowedIPRanges=[], allowAllNetworks=True)
    every = properties(shop, here)

    assert (closed["publicNetworkAccess"], closed["ipRules"]) == ("Disabled", [])
    assert (some["publicNetworkAccess"], some["ipRules"]) == (
        "Enabled",
        [{"ipAddressOrRange": "203.0.113.0/24"}],
    )
    assert (every["publicNetworkAccess"], every["ipRules"]) == ("Enabled", [])


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"readRegions": ["northeurope"], "defaultConsistencyLevel": "BoundedStaleness"}, "100000 or more"),
        ({"readRegions": ["westeurope"], "location": "westeurope"}, "is one anyway"),
        ({"multipleWriteRegionsEnabled": "enabled", "defaultConsistencyLevel": "Strong"}, "cannot be Strong"),
        ({"allowAllNetworks": True, "allowAccessFromAzure": True}, "lets every network in"),
        ({"allowedIPRanges": ["0.0.0.0/0"]}, "allowedIPRanges"),
        ({"allowedIPRanges": ["10.0.0.1; drop"]}, "allowedIPRanges"),
        ({"ipFilters": {"allowAccessFromAzure": "enabled"}}, "Give allowedIPRanges"),
        ({"consistencyPolicy": {"defaultConsistencyLevel": "Strong"}}, "Give defaultConsistencyLevel"),
        ({"resourceGroup": "mine"}, "The plan decides"),
        ({"autoFailoverEnabled": True}, "autoFailoverEnabled"),
    ],
)
def test_orders_that_cannot_be_are_refused_with_the_reason(shop, parameters, said):
    status, sentence = shop.refusal("azure-cosmosdb-sql-account/account", **parameters)

    assert status == 400
    assert said in sentence


def test_a_serverless_account_takes_no_throughput_and_no_second_region(shop):
    account = shop.order("azure-cosmosdb-sql-account/serverless", alias="pay-per-use")

    with_throughput = shop.refusal("azure-cosmosdb-sql-database/provisioned", parentAlias="pay-per-use")
    with_region = account.update_refusal(readRegions=["uksouth"])
    database = shop.order("azure-cosmosdb-sql-database/database", parentAlias="pay-per-use")

    assert "order the plan database" in with_throughput[1]
    assert "readRegions" in with_region[1]
    database.delete()
    account.delete()


def test_an_account_without_access_keys_is_bound_by_roles_only(shop):
    account = shop.order("azure-cosmosdb-sql-account/account", allowAccessKeys=False)

    told = account.bind_refused(422, "NotPossible")
    account.bind(auth="entra", principalId=str(uuid.uuid4()))

    assert "allowAccessKeys is false" in told
    account.delete()


def test_a_throughput_that_azure_refuses_fails_with_azures_reason(shop, account):
    database = Instance(shop, "azure-cosmosdb-sql-database/provisioned", an_id())
    order = database.ordered.order(parentAlias="cosmos", throughput=450)
    assert shop.platform.provision(database.id, order).status_code == 202

    with pytest.raises(Failed, match="steps of 100"):
        database.settled()
    database.delete()


def test_no_password_or_key_is_in_a_template_or_in_the_database(shop, mongo):
    database = shop.order("azure-cosmosdb-mongo-database/database", parentAlias="mongo")
    secrets = [database.bind().credentials["password"], database.bind(auth="key").credentials["password"]]

    kept = shop.world.folder.joinpath("broker.db").read_bytes()
    deployed = json.dumps(shop.azure.state().get("deployments", []))

    assert not [secret for secret in secrets if secret.encode() in kept or secret in deployed]
    database.delete()
