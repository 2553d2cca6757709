"""Of each family: what somebody has made in Azure is adopted, bound in each way, and let go as it was."""

import uuid
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.osb.platform import an_id
from tests.services.test_adoption import ACCOUNTS, MYSQL, OWN, Somebodys, now
from tests.services.test_mysql import signed_in

BUS, HUBS, COSMOS, VAULTS, REDIS, STORES = (
    "2026-01-01",
    "2026-01-01",
    "2026-03-15",
    "2026-05-15",
    "2025-07-01",
    "2024-06-01",
)
BOTH, ONE = "[bind-only, manage]", "[bind-only]"
ADOPTING = {
    "azure-servicebus-namespace": ("standard", BOTH),
    "azure-servicebus-queue": ("queue", BOTH),
    "azure-servicebus-topic": ("topic", BOTH),
    "azure-eventhubs-namespace": ("standard", BOTH),
    "azure-eventhubs-hub": ("hub", BOTH),
    "azure-eventhubs": ("standard", BOTH),
    "azure-cosmosdb-sql-account": ("account", ONE),
    "azure-cosmosdb-sql-database": ("database", ONE),
    "azure-cosmosdb-sql": ("account", ONE),
    "azure-cosmosdb-mongo-account": ("account", ONE),
    "azure-cosmosdb-mongo-database": ("database", ONE),
    "azure-keyvault": ("standard", BOTH),
    "azure-managed-redis": ("balanced", ONE),
    "azure-app-configuration": ("standard", BOTH),
    "azure-storage-blob": ("standard-lrs", BOTH),
    "azure-mysql": ("burstable", BOTH),
}


@pytest.fixture(scope="module")
def azure(simulator_with_databases):
    return simulator_with_databases


@pytest.fixture(scope="module")
def settings(tmp_path_factory, azure) -> dict[str, str]:
    folder: Path = tmp_path_factory.mktemp("overlays")
    for offering, (plan, modes) in ADOPTING.items():
        plans = f"plans:\n  {plan}: {{set: {{adopt: {modes}}}}}\n"
        (folder / f"{offering}.yaml").write_text(f"overlay: {offering}\n{plans}")
    return {
        "catalog_overlays": str(folder),
        "adoption_scopes": azure.subscription,
        "azure_tenant_id": str(uuid.uuid4()),
    }


class Existing(Somebodys):
    """What somebody has in a group of his own, of each family."""

    def made(self, where: str, version: str, **body: Any) -> str:
        path = f"{self.prefix}/{where}/legacy{uuid.uuid4().hex[:12]}"
        self.put(path, {"location": "westeurope", "tags": {"costs": "17"}, **body}, version)
        return path

    def below(self, path: str, version: str, **properties: Any) -> str:
        self.put(path, {"properties": properties}, version)
        return path

    def bus(self, **properties: Any) -> str:
        sku = {"name": "Standard", "tier": "Standard"}
        return self.made("Microsoft.ServiceBus/namespaces", BUS, sku=sku, properties=properties)

    def hubs(self, **properties: Any) -> str:
        sku = {"name": "Standard", "tier": "Standard", "capacity": 3}
        return self.made("Microsoft.EventHub/namespaces", HUBS, sku=sku, properties=properties)

    def cosmos(self, kind: str, *capabilities: str, **properties: Any) -> str:
        whole = {
            "databaseAccountOfferType": "Standard",
            "locations": [{"locationName": "westeurope", "failoverPriority": 0}],
            "capabilities": [{"name": name} for name in capabilities],
            **properties,
        }
        return self.made("Microsoft.DocumentDB/databaseAccounts", COSMOS, kind=kind, properties=whole)

    def vault(self, **properties: Any) -> str:
        whole = {
            "tenantId": str(uuid.uuid4()),
            "sku": {"family": "A", "name": "standard"},
            "enableRbacAuthorization": True,
            **properties,
        }
        return self.made("Microsoft.KeyVault/vaults", VAULTS, properties=whole)

    def store(self, **properties: Any) -> str:
        kind = "Microsoft.AppConfiguration/configurationStores"
        return self.made(kind, STORES, sku={"name": "Standard"}, properties=properties)

    def redis(self) -> str:
        cluster = {"minimumTlsVersion": "1.2", "publicNetworkAccess": "Enabled"}
        sku = {"name": "Balanced_B1"}
        return self.made("Microsoft.Cache/redisEnterprise", REDIS, sku=sku, properties=cluster)

    def shown(self, path: str, version: str) -> dict[str, Any]:
        return dict(self.azure.call("GET", path, version=version).json())


@pytest.fixture(scope="module")
def existing(azure):
    return Existing(azure, azure.a_group())


def principal() -> dict[str, str]:
    return {"auth": "entra", "principalId": str(uuid.uuid4())}


def bound_and_let_go(existing, version, instance, path, *ways) -> list[dict[str, Any]]:
    """Bind in each of these ways, then unbind and delete; the credentials, and what is there is as it was."""
    azure = existing.azure
    since, before = now(azure), existing.shown(path, version)

    bindings = [instance.bind(**way) for way in ways]
    found = [binding.credentials for binding in bindings]
    roles = {scope for one in found if (scope := one.get("resourceId")) and instance.shop.roles_at(scope)}
    for binding in bindings:
        binding.unbind()
    assert [scope for scope in roles if instance.shop.roles_at(scope)] == []
    instance.delete()

    assert existing.writes(path, since) == []
    assert existing.shown(path, version) == before
    return found


@pytest.mark.proves("azure-servicebus-namespace", "adopt bind-only")
@pytest.mark.proves("azure-servicebus-queue", "adopt bind-only")
@pytest.mark.proves("azure-servicebus-topic", "adopt bind-only")
def test_a_namespace_and_what_is_in_it_are_bound_and_stay(shop, existing, azure):
    bus = existing.bus()
    queue = existing.below(f"{bus}/queues/orders", BUS, maxSizeInMegabytes=2048)
    topic = existing.below(f"{bus}/topics/news", BUS)
    since, host = now(azure), f"{bus.rpartition('/')[2]}.servicebus."

    parent = shop.order("azure-servicebus-namespace/standard", resourceId=bus, alias="old-bus")
    of_queue = shop.order("azure-servicebus-queue/queue", resourceId=queue, parentAlias="old-bus")
    of_topic = shop.order("azure-servicebus-topic/topic", resourceId=topic, parentAlias="old-bus")
    ways = ({}, {"keyName": "secondary"}, principal())
    for word, name, child, path in (
        ("queueName", "orders", of_queue, queue),
        ("topicName", "news", of_topic, topic),
    ):
        for credentials in bound_and_let_go(existing, BUS, child, path, *ways):
            assert credentials[word] == name
            assert credentials["resourceId"] == path
            assert credentials["host"].startswith(host)
    whole = bound_and_let_go(existing, BUS, parent, bus, *ways)

    assert {one["host"].startswith(host) for one in whole} == {True}
    assert existing.writes(bus, since) == []
    rules = azure.call("GET", f"{bus}/authorizationRules", version=BUS).json()["value"]
    assert [rule["name"] for rule in rules if rule["name"].startswith("app-")] == []


@pytest.mark.proves("azure-eventhubs-namespace", "adopt bind-only")
@pytest.mark.proves("azure-eventhubs-hub", "adopt bind-only")
@pytest.mark.proves("azure-eventhubs", "adopt bind-only")
def test_hubs_are_bound_in_their_namespace_or_with_it_and_stay(shop, existing, azure):
    namespace = existing.hubs()
    hub = existing.below(f"{namespace}/eventhubs/events", HUBS, partitionCount=8, messageRetentionInDays=3)
    ways = ({}, principal())

    parent = shop.order("azure-eventhubs-namespace/standard", resourceId=namespace, alias="old-hubs")
    child = shop.order("azure-eventhubs-hub/hub", resourceId=hub, parentAlias="old-hubs")
    of_hub = bound_and_let_go(existing, HUBS, child, hub, *ways)
    bound_and_let_go(existing, HUBS, parent, namespace, *ways)
    whole = shop.order("azure-eventhubs/standard", resourceId=namespace, hub="events")
    of_whole = bound_and_let_go(existing, HUBS, whole, namespace, *ways)
    status, sentence = shop.refusal("azure-eventhubs/standard", resourceId=namespace, hub="others")

    assert {one["eventHubName"] for one in (*of_hub, *of_whole)} == {"events"}
    assert {one["resourceId"] for one in (*of_hub, *of_whole)} == {hub}
    assert (status, "no hub of the name" in sentence) == (400, True), sentence
    assert existing.shown(hub, HUBS)["properties"]["partitionCount"] == 8


@pytest.mark.proves("azure-cosmosdb-sql-account", "adopt bind-only")
@pytest.mark.proves("azure-cosmosdb-sql-database", "adopt bind-only")
@pytest.mark.proves("azure-cosmosdb-sql", "adopt bind-only")
def test_an_account_of_cosmos_and_its_database_are_bound_and_stay(shop, existing):
    account = existing.cosmos("GlobalDocumentDB")
    database = f"{account}/sqlDatabases/shop"
    existing.below(database, COSMOS, resource={"id": "shop"})
    ways = ({"access": "read"}, {"keyName": "secondary"}, principal())

    parent = shop.order("azure-cosmosdb-sql-account/account", resourceId=account, alias="old-cosmos")
    child = shop.order("azure-cosmosdb-sql-database/database", resourceId=database, parentAlias="old-cosmos")
    of_database = bound_and_let_go(existing, COSMOS, child, database, *ways)
    of_account = bound_and_let_go(existing, COSMOS, parent, account, *ways)
    whole = shop.order("azure-cosmosdb-sql/account", resourceId=account, database="shop")
    of_whole = bound_and_let_go(existing, COSMOS, whole, account, *ways)

    assert {one["databaseName"] for one in (*of_database, *of_whole)} == {"shop"}
    assert len({one["host"] for one in (*of_database, *of_account, *of_whole)}) == 1


@pytest.mark.proves("azure-cosmosdb-mongo-account", "adopt bind-only")
@pytest.mark.proves("azure-cosmosdb-mongo-database", "adopt bind-only")
def test_a_database_for_mongodb_gets_users_only_where_the_account_has_users(shop, existing):
    account = existing.cosmos("MongoDB", "EnableMongo", "EnableMongoRoleBasedAccessControl")
    without = existing.cosmos("MongoDB", "EnableMongo")
    for one in (account, without):
        existing.below(f"{one}/mongodbDatabases/shop", COSMOS, resource={"id": "shop"})

    plans = "azure-cosmosdb-mongo-account/account", "azure-cosmosdb-mongo-database/database"
    parent = shop.order(plans[0], resourceId=account, alias="old-mongo")
    child = shop.order(plans[1], resourceId=f"{account}/mongodbDatabases/shop", parentAlias="old-mongo")
    found = bound_and_let_go(
        existing, COSMOS, child, f"{account}/mongodbDatabases/shop", {"auth": "password"}, {"auth": "key"}
    )
    bound_and_let_go(existing, COSMOS, parent, account, {})
    other = shop.order(plans[0], resourceId=without, alias="no-users")
    userless = shop.order(plans[1], resourceId=f"{without}/mongodbDatabases/shop", parentAlias="no-users")
    _, refused = userless.bind_refusal(auth="password")
    bound_and_let_go(existing, COSMOS, userless, f"{without}/mongodbDatabases/shop", {"auth": "key"})
    bound_and_let_go(existing, COSMOS, other, without, {})

    assert {one["database"] for one in found} == {"shop"}
    assert "EnableMongoRoleBasedAccessControl" in refused


@pytest.mark.proves("azure-keyvault", "adopt bind-only")
def test_a_vault_that_goes_by_roles_is_bound_and_stays(shop, existing):
    vault, by_policies = existing.vault(), existing.vault(enableRbacAuthorization=False)

    instance = shop.order("azure-keyvault/standard", resourceId=vault)
    (credentials,) = bound_and_let_go(
        existing, VAULTS, instance, vault, {"principalId": str(uuid.uuid4()), "role": "secrets-officer"}
    )
    status, sentence = shop.refusal("azure-keyvault/standard", resourceId=by_policies)

    assert credentials["vaultUri"] == existing.shown(vault, VAULTS)["properties"]["vaultUri"]
    assert (status, "Azure RBAC" in sentence) == (400, True), sentence


@pytest.mark.proves("azure-managed-redis", "adopt bind-only")
def test_a_cache_is_bound_by_its_database_and_stays(shop, existing):
    cluster, empty, keyless = existing.redis(), existing.redis(), existing.redis()
    for one, keys in ((cluster, "Enabled"), (keyless, "Disabled")):
        existing.below(
            f"{one}/databases/default",
            REDIS,
            port=10000,
            clientProtocol="Encrypted",
            clusteringPolicy="EnterpriseCluster",
            accessKeysAuthentication=keys,
        )
    plan = "azure-managed-redis/balanced"

    instance = shop.order(plan, resourceId=cluster)
    found = bound_and_let_go(existing, REDIS, instance, cluster, {}, {"keyName": "secondary"}, principal())
    status, sentence = shop.refusal(plan, resourceId=empty)
    other = shop.order(plan, resourceId=keyless)
    _, refused = other.bind_refusal()
    bound_and_let_go(existing, REDIS, other, keyless, principal())

    assert {one["resourceId"] for one in found} == {f"{cluster}/databases/default"}
    assert {one["port"] for one in found} == {10000}
    assert (status, "no database named default" in sentence) == (400, True), sentence
    assert "allows no access keys" in refused


@pytest.mark.proves("azure-app-configuration", "adopt bind-only")
def test_a_store_of_settings_is_bound_and_stays(shop, existing):
    store, keyless = existing.store(), existing.store(disableLocalAuth=True)
    plan = "azure-app-configuration/standard"

    found = bound_and_let_go(
        existing, STORES, shop.order(plan, resourceId=store), store, {}, {"access": "write"}, principal()
    )
    other = shop.order(plan, resourceId=keyless)
    _, refused = other.bind_refusal()
    bound_and_let_go(existing, STORES, other, keyless, principal())

    assert {one["resourceId"] for one in found} == {store}
    assert "allows no access keys" in refused


@pytest.mark.proves("azure-storage-blob", "adopt bind-only")
def test_a_container_is_adopted_with_its_account_and_stays(shop, existing):
    account = existing.account()
    existing.below(f"{account}/blobServices/default/containers/old", ACCOUNTS)
    plan = "azure-storage-blob/standard-lrs"

    instance = shop.order(plan, resourceId=account, container="old")
    found = bound_and_let_go(existing, ACCOUNTS, instance, account, {}, {"auth": "sas"}, principal())
    missing = shop.refusal(plan, resourceId=account, container="new")
    hostile = shop.refusal(plan, resourceId=account, container="old/../../x")

    assert {one["containerName"] for one in found} == {"old"}
    assert (missing[0], "no container of the name" in missing[1]) == (400, True), missing
    assert (hostile[0], "cannot be the name" in hostile[1]) == (400, True), hostile


@pytest.mark.needs("mysql")
@pytest.mark.proves("azure-mysql", "adopt bind-only")
def test_a_database_of_mysql_is_adopted_with_its_server_and_stays(shop, existing):
    server = existing.mysql()
    existing.below(f"{server.id}/databases/shop", MYSQL, charset="utf8mb4", collation="utf8mb4_general_ci")
    plan = "azure-mysql/burstable"

    instance = shop.order(plan, **server.order, database="shop")
    credentials = instance.bind().credentials
    with signed_in(shop, credentials) as cursor:
        cursor.execute("CREATE TABLE kept (id INT)")
    bound_and_let_go(existing, MYSQL, instance, server.id)
    with pytest.raises(pymysql.OperationalError), signed_in(shop, credentials):
        pass
    status, sentence = shop.refusal(plan, **server.order, database="mysql")

    assert credentials["database"] == "shop"
    assert status == 400
    assert "database" in sentence


@pytest.mark.proves("azure-servicebus-namespace", "adopt manage")
def test_a_managed_namespace_keeps_its_network_and_sizes_at_an_update(shop, existing, azure):
    bus = existing.bus()
    rules = f"{bus}/networkRuleSets/default"
    existing.below(rules, BUS, defaultAction="Deny", ipRules=[{"ipMask": "192.0.2.1", "action": "Allow"}])

    instance = shop.order("azure-servicebus-namespace/standard", resourceId=bus, adopt="manage")
    tagged = existing.shown(bus, BUS)["tags"]
    instance.update(disableLocalAuth=True)
    changed, kept = existing.shown(bus, BUS), existing.shown(rules, BUS)["properties"]
    instance.delete()

    assert tagged.keys() == OWN | {"costs"}
    assert changed["properties"]["disableLocalAuth"] is True
    assert changed["tags"]["costs"] == "17"
    assert (kept["defaultAction"], [rule["ipMask"] for rule in kept["ipRules"]]) == (
        "Deny",
        ["192.0.2.1", "127.0.0.1"],
    )
    assert existing.shown(bus, BUS)["tags"] == {"costs": "17"}


@pytest.mark.proves("azure-app-configuration", "adopt manage")
@pytest.mark.proves("azure-keyvault", "adopt manage")
def test_a_managed_store_and_a_managed_vault_change_in_what_was_given_alone(shop, existing):
    store = existing.store(disableLocalAuth=True)
    networks = {"defaultAction": "Deny", "ipRules": [{"value": "192.0.2.7/32"}]}
    vault = existing.vault(networkAcls=networks, enabledForTemplateDeployment=False)

    for plan, path, version, parameters in (
        ("azure-app-configuration/standard", store, STORES, {"publicNetworkAccess": "Disabled"}),
        ("azure-keyvault/standard", vault, VAULTS, {"publicNetworkAccess": "Disabled"}),
    ):
        before = existing.shown(path, version)
        instance = shop.order(plan, resourceId=path, adopt="manage")
        tagged = existing.shown(path, version)["tags"]
        instance.update(**parameters)
        changed = existing.shown(path, version)
        instance.delete()

        assert tagged.keys() == OWN | {"costs"}
        assert changed["properties"]["publicNetworkAccess"] == "Disabled"
        assert changed["properties"].get("disableLocalAuth") == before["properties"].get("disableLocalAuth")
        for key, value in before["properties"].get("networkAcls", {}).items():
            assert changed["properties"]["networkAcls"][key] == value, key
        assert existing.shown(path, version)["tags"] == {"costs": "17"}


def test_no_shipped_plan_adopts_by_itself(shop, existing):
    status, sentence = shop.refusal("azure-servicebus-namespace/premium", resourceId=existing.bus())

    assert (status, "'resourceId' is not a known parameter" in sentence) == (400, True), sentence
    assert shop.platform.fetch(an_id()).status_code == 404
