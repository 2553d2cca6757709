"""What exists in Azure is adopted, bound, changed as far as its mode allows, and let go."""

import secrets
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

from tests.descriptions import faults_of
from tests.services.shop import Failed
from tests.services.test_mysql import signed_in

SERVERS = "2026-10-01"
ACCOUNTS = "2026-09-01"
MYSQL = "2024-12-30"
OWN = {"osb-broker-id", "osb-platform", "osb-instance-id", "osb-generation", "osb-adopted"}
OVERLAYS = {
    "servers": """
overlay: azure-postgresql-server
plans:
  burstable: {set: {adopt: [bind-only, manage], deletes_adopted: true}}
""",
    "accounts": """
overlay: azure-storage-account
plans:
  standard-lrs: {set: {adopt: [bind-only, manage], deletes_adopted: true}}
""",
    "containers": """
overlay: azure-storage-blob-container
plans:
  container: {set: {adopt: [bind-only]}}
""",
    "mysql": """
overlay: azure-mysql-server
plans:
  burstable: {set: {adopt: [bind-only, manage]}}
""",
    "mysql-databases": """
overlay: azure-mysql-database
plans:
  database: {set: {adopt: [bind-only, manage], deletes_adopted: true}}
""",
}


@pytest.fixture(scope="module")
def azure(simulator_with_databases):
    return simulator_with_databases


@pytest.fixture(scope="module")
def overlays(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("overlays")
    for name, text in OVERLAYS.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def settings(overlays, azure) -> dict[str, str]:
    return {"catalog_overlays": str(overlays), "adoption_scopes": azure.subscription}


@dataclass
class Somebodys:
    """A group that is not the broker's, with what somebody has in it."""

    azure: Any
    group: str

    def server(self, **tags: str) -> "Server":
        """A server that somebody made; the broker's address may connect."""
        name, password = f"legacy-{uuid.uuid4().hex[:8]}", f"A1-{secrets.token_hex(12)}"
        path = f"{self.prefix}/Microsoft.DBforPostgreSQL/flexibleServers/{name}"
        body = {
            "location": "westeurope",
            "tags": tags,
            "sku": {"name": "Standard_B2s", "tier": "Burstable"},
            "properties": {
                "version": "16",
                "administratorLogin": "somebody",
                "administratorLoginPassword": password,
                "storage": {"storageSizeGB": 64},
                "backup": {"backupRetentionDays": 14},
                "network": {"publicNetworkAccess": "Enabled"},
            },
        }
        self.put(path, body, SERVERS)
        rule = {"properties": {"startIpAddress": "127.0.0.1", "endIpAddress": "127.0.0.1"}}
        self.put(f"{path}/firewallRules/broker", rule, SERVERS)
        self.settled(path, SERVERS)
        return Server(self.azure, path, password)

    def mysql(self) -> "Server":
        name, password = f"legacy-{uuid.uuid4().hex[:8]}", f"A1-{secrets.token_hex(12)}"
        path = f"{self.prefix}/Microsoft.DBforMySQL/flexibleServers/{name}"
        body = {
            "location": "westeurope",
            "sku": {"name": "Standard_B1ms", "tier": "Burstable"},
            "properties": {
                "version": "8.4",
                "administratorLogin": "somebody",
                "administratorLoginPassword": password,
                "storage": {"storageSizeGB": 20},
            },
        }
        self.put(path, body, MYSQL)
        rule = {"properties": {"startIpAddress": "127.0.0.1", "endIpAddress": "127.0.0.1"}}
        self.put(f"{path}/firewallRules/broker", rule, MYSQL)
        self.settled(path, MYSQL)
        return Server(self.azure, path, password)

    def account(self, **properties: Any) -> str:
        path = f"{self.prefix}/Microsoft.Storage/storageAccounts/st{uuid.uuid4().hex[:16]}"
        body = {
            "location": "westeurope",
            "kind": "StorageV2",
            "sku": {"name": "Standard_LRS"},
            "tags": {"costs": "17"},
            "properties": {"accessTier": "Cool", "minimumTlsVersion": "TLS1_2", **properties},
        }
        self.put(path, body, ACCOUNTS)
        return path

    @property
    def prefix(self) -> str:
        return f"{self.azure.subscription}/resourceGroups/{self.group}/providers"

    def put(self, path: str, body: dict[str, Any], version: str) -> None:
        reply = self.azure.call("PUT", path, body, version=version)
        assert reply.status_code in {200, 201, 202}, reply.text
        self.settled(path, version)

    def settled(self, path: str, version: str) -> None:
        ends = time.monotonic() + 30
        while True:
            shown = self.azure.call("GET", path, version=version).json()
            properties = shown.get("properties", {})
            states = {properties.get("provisioningState", "Succeeded"), properties.get("state", "Ready")}
            if states <= {"Succeeded", "Ready"}:
                return
            assert time.monotonic() < ends, shown
            time.sleep(0.02)

    def writes(self, path: str, since: int) -> list[dict[str, Any]]:
        """The calls since then that change the resource itself: its tags too, but not what is below it."""
        below = path.lower() + "/"
        return [
            call
            for call in self.azure.ledger()
            if call["sequence"] > since
            and call["method"] in {"PUT", "PATCH", "DELETE"}
            and (
                call["path"].lower() == path.lower()
                or call["path"].lower().startswith(below + "providers/microsoft.resources/tags")
            )
        ]


@dataclass
class Server:
    azure: Any
    id: str
    password: str
    login: str = "somebody"

    @property
    def body(self) -> dict[str, Any]:
        return dict(self.azure.call("GET", self.id, version=SERVERS).json())

    def signed_in(self, database: str) -> psycopg.Connection[Any]:
        """A connection of the server's administrator."""
        return psycopg.connect(
            host=self.body["properties"]["fullyQualifiedDomainName"],
            user=self.login,
            password=self.password,
            dbname=database,
            sslmode="verify-full",
            sslrootcert=self.azure.access.ca_file,
            autocommit=True,
        )

    @property
    def order(self) -> dict[str, Any]:
        return {
            "resourceId": self.id,
            "administratorLogin": self.login,
            "administratorLoginPassword": self.password,
        }


@pytest.fixture(scope="module")
def somebodys(azure):
    return Somebodys(azure, azure.a_group())


def now(azure) -> int:
    calls = azure.ledger()
    return calls[-1]["sequence"] if calls else 0


@pytest.mark.proves("azure-postgresql-server", "adopt bind-only")
def test_a_server_that_is_only_bound_serves_databases_and_is_never_written_to(shop, somebodys, azure):
    existing = somebodys.server(costs="17")
    before, since = existing.body, now(azure)

    server = shop.order("azure-postgresql-server/burstable", alias="legacy", **existing.order)
    database = shop.order("azure-postgresql-database/database", parentAlias="legacy")
    binding = database.bind()
    uri = binding.credentials["uri"]
    with psycopg.connect(uri, sslmode="verify-full", sslrootcert=azure.access.ca_file) as connection:
        connection.execute("CREATE TABLE kept (id int)")
    database.delete()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(uri, sslmode="verify-full", sslrootcert=azure.access.ca_file)
    server.delete()

    assert existing.body == before
    assert somebodys.writes(existing.id, since) == []


@pytest.mark.proves("azure-postgresql-server", "adopt manage")
def test_a_managed_server_keeps_what_nobody_ordered_and_is_let_go_with_all_that_it_had(
    shop, somebodys, azure
):
    existing = somebodys.server(costs="17")
    before = existing.body

    server = shop.order("azure-postgresql-server/burstable", adopt="manage", **existing.order)
    tagged = existing.body
    server.update(
        backupRetentionDays=21,
        firewallRules=[
            {"name": "office", "startIPAddress": "192.0.2.1", "endIPAddress": "192.0.2.9"},
            {"name": "broker", "startIPAddress": "127.0.0.1", "endIPAddress": "127.0.0.1"},
        ],
    )
    changed = existing.body
    rules = azure.call("GET", f"{existing.id}/firewallRules", version=SERVERS).json()["value"]
    server.delete()
    left = azure.call("GET", f"{existing.id}/firewallRules", version=SERVERS).json()["value"]

    assert {name: tag for name, tag in tagged["tags"].items() if name not in OWN} == {"costs": "17"}
    assert tagged["tags"].keys() == OWN | {"costs"}
    assert changed["properties"]["backup"]["backupRetentionDays"] == 21
    for same in (
        ("sku",),
        ("properties", "storage", "storageSizeGB"),
        ("properties", "version"),
        ("tags", "costs"),
    ):
        assert at(changed, same) == at(before, same), same
    assert sorted(rule["name"] for rule in rules) == ["broker", "office", "osb-broker-0"]
    assert [rule["name"] for rule in left] == ["broker"]
    assert existing.body["tags"] == {"costs": "17"}


@pytest.mark.proves("azure-postgresql-server", "adopt manage")
def test_a_managed_server_is_deleted_only_if_plan_and_order_say_so(shop, somebodys, azure):
    existing = somebodys.server()

    server = shop.order(
        "azure-postgresql-server/burstable", adopt="manage", deletePolicy="delete", **existing.order
    )
    server.delete()

    assert azure.call("GET", existing.id, version=SERVERS).status_code == 404


@pytest.mark.proves("azure-storage-account", "adopt bind-only")
def test_an_account_that_is_only_bound_hands_out_keys_and_stays_as_it_is(shop, somebodys, azure):
    path = somebodys.account()
    before, since = azure.call("GET", path, version=ACCOUNTS).json(), now(azure)

    account = shop.order("azure-storage-account/standard-lrs", resourceId=path, alias="files")
    credentials = account.bind().credentials
    principal = str(uuid.uuid4())
    account.bind(auth="entra", principalId=principal)
    roles = shop.roles_at(path)
    account.delete()

    assert credentials["storageAccountName"] == path.rpartition("/")[2]
    assert credentials["primaryBlobServiceEndPoint"] == before["properties"]["primaryEndpoints"]["blob"]
    assert credentials["resourceId"] == path
    assert [one["principalId"] for one in roles] == [principal]
    assert shop.roles_at(path) == []
    assert azure.call("GET", path, version=ACCOUNTS).json() == before
    assert somebodys.writes(path, since) == []


@pytest.mark.proves("azure-storage-blob-container", "adopt bind-only")
def test_a_container_is_adopted_in_an_adopted_account_and_in_no_other(shop, somebodys, azure):
    path = somebodys.account()
    container = f"{path}/blobServices/default/containers/legacy"
    somebodys.put(container, {"properties": {}}, ACCOUNTS)
    account = shop.order("azure-storage-account/standard-lrs", resourceId=path, alias="old")
    other = shop.order("azure-storage-account/standard-lrs", alias="new")
    since = now(azure)

    inside = shop.order("azure-storage-blob-container/container", parentAlias="old", resourceId=container)
    credentials = inside.bind().credentials
    refused = shop.refusal("azure-storage-blob-container/container", parentAlias="new", resourceId=container)
    inside.delete()

    assert credentials["containerName"] == "legacy"
    assert refused[0] == 400
    assert "does not stand in the parent" in refused[1]
    assert somebodys.writes(container, since) == []
    assert azure.call("GET", container, version=ACCOUNTS).status_code == 200
    account.delete()
    other.delete()


@pytest.mark.needs("mysql")
@pytest.mark.proves("azure-mysql-server", "adopt bind-only")
@pytest.mark.proves("azure-mysql-database", "adopt bind-only")
@pytest.mark.proves("azure-mysql-database", "adopt manage")
def test_a_mysql_database_is_adopted_on_an_adopted_server_and_goes_only_if_that_was_ordered(
    shop, somebodys, azure
):
    existing = somebodys.mysql()
    kept, given_away = (f"{existing.id}/databases/{name}" for name in ("kept", "given"))
    for path in (kept, given_away):
        somebodys.put(path, {"properties": {"charset": "utf8mb4", "collation": "utf8mb4_0900_ai_ci"}}, MYSQL)
        somebodys.settled(existing.id, MYSQL)
    since = now(azure)

    server = shop.order("azure-mysql-server/burstable", alias="mysql", **existing.order)
    database = shop.order("azure-mysql-database/database", parentAlias="mysql", resourceId=kept)
    managed = shop.order(
        "azure-mysql-database/database",
        parentAlias="mysql",
        resourceId=given_away,
        adopt="manage",
        deletePolicy="delete",
    )
    binding = database.bind()
    with signed_in(shop, binding.credentials) as cursor:
        cursor.execute("CREATE TABLE kept (id int)")
    credentials = binding.credentials
    database.delete()
    managed.delete()
    server.delete()

    assert credentials["database"] == "kept"
    with pytest.raises(pymysql.OperationalError), signed_in(shop, credentials):
        pass
    assert azure.call("GET", kept, version=MYSQL).status_code == 200
    assert azure.call("GET", given_away, version=MYSQL).status_code == 404
    assert somebodys.writes(existing.id, since) == somebodys.writes(kept, since) == []


def test_the_same_resource_is_not_adopted_twice_and_can_be_again_when_it_was_let_go(shop, somebodys):
    path = somebodys.account()
    first = shop.order("azure-storage-account/standard-lrs", resourceId=path)

    status, sentence = shop.refusal(
        "azure-storage-account/standard-lrs",
        resourceId=path.upper().replace("/SUBSCRIPTIONS/", "/subscriptions/"),
    )

    assert status == 422
    assert "Another service instance" in sentence
    first.delete()
    shop.order("azure-storage-account/standard-lrs", resourceId=path).delete()


def test_what_the_broker_made_is_not_adopted(shop):
    made = shop.order("azure-storage-account/standard-lrs")
    (path,) = (one for one in shop.living("storageAccounts"))

    status, sentence = shop.refusal("azure-storage-account/standard-lrs", resourceId=path)

    assert status == 422
    assert "Another service instance" in sentence
    made.delete()


REFUSED = {
    "missing": ({"resourceId": "{account}x"}, 400, "There is no"),
    "no id": ({"resourceId": "/subscriptions/what/ever"}, 400, "no Azure resource id"),
    "another type": ({"resourceId": "{server}"}, 400, "names a 'Microsoft.DBforPostgreSQL/flexibleServers'"),
    "another subscription": ({"resourceId": "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/"
                             "providers/Microsoft.Storage/storageAccounts/abc"}, 400, "nothing may be taken over"),
    "a value of the resource": ({"resourceId": "{account}", "accessTier": "Hot"}, 400, "'accessTier' would change"),
    "nothing named": ({"adopt": "manage"}, 400, "'adopt' is for what exists already"),
    "to delete what is bound only": ({"resourceId": "{account}", "deletePolicy": "delete"}, 400, "never deleted"),
    "another sku": ({"resourceId": "{zrs}", "adopt": "manage"}, 400, "skuName is 'Standard_ZRS'"),
    "a mode that there is not": ({"resourceId": "{account}", "adopt": "all"}, 400, "adopt"),
    "another's tags": ({"resourceId": "{tagged}"}, 422, "carries the tags of a service instance of another broker"),
}  # fmt: skip


@pytest.fixture(scope="module")
def places(somebodys, azure):
    tagged = somebodys.account()
    body = azure.call("GET", tagged, version=ACCOUNTS).json()
    azure.call("PATCH", tagged, {"tags": {**body["tags"], "osb-broker-id": "others"}}, version=ACCOUNTS)
    zrs = f"{somebodys.prefix}/Microsoft.Storage/storageAccounts/st{uuid.uuid4().hex[:16]}"
    somebodys.put(zrs, {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_ZRS"},
                        "properties": {}}, ACCOUNTS)  # fmt: skip
    return {"account": somebodys.account(), "tagged": tagged, "zrs": zrs, "server": somebodys.server().id}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_adopted_is_refused_with_the_reason_and_left_alone(
    shop, somebodys, azure, places, case
):
    parameters, status, sentence = REFUSED[case]
    given = {name: value.format(**places) for name, value in parameters.items()}
    since = now(azure)

    refused = shop.refusal("azure-storage-account/standard-lrs", **given)

    assert refused[0] == status, refused
    assert sentence in refused[1]
    assert not faults_of(refused[1])
    assert [
        c for c in azure.ledger() if c["sequence"] > since and c["method"] in {"PUT", "PATCH", "DELETE"}
    ] == []


def test_a_server_whose_administrators_are_not_known_or_would_change_is_refused(shop, somebodys, azure):
    existing = somebodys.server()

    wrong = shop.refusal(
        "azure-postgresql-server/burstable",
        **{**existing.order, "administratorLoginPassword": "not-this-one"},
    )
    without = shop.refusal("azure-postgresql-server/burstable", resourceId=existing.id)
    ways = {"activeDirectoryAuth": "Enabled", "passwordAuth": "Enabled"}
    azure.call("PATCH", existing.id, {"properties": {"authConfig": ways}}, version=SERVERS)
    somebodys.settled(existing.id, SERVERS)
    for_entra = shop.refusal("azure-postgresql-server/burstable", adopt="manage", **existing.order)

    assert for_entra[0] == 400
    assert "Adopt it by bind-only" in for_entra[1]
    assert wrong[0] == 422
    assert "refuses the administrator's name and password" in wrong[1]
    assert "not-this-one" not in wrong[1]
    assert without[0] == 400
    assert "'administratorLogin' is missing" in without[1]


def test_the_password_of_a_bound_server_can_be_told_anew_and_nothing_else_can_be_changed(
    shop, somebodys, azure
):
    existing = somebodys.server()
    server = shop.order("azure-postgresql-server/burstable", alias="moved", **existing.order)
    newer = f"A1-{secrets.token_hex(12)}"
    somebodys.put(
        existing.id,
        {**{key: existing.body[key] for key in ("location", "sku")},
         "properties": {"administratorLoginPassword": newer, "version": "16", "storage": {"storageSizeGB": 64}}},
        SERVERS,
    )  # fmt: skip
    since = now(azure)

    with pytest.raises(Failed, match="refuses the administrator's name and password"):
        server.update(administratorLoginPassword="not-this-one-either")
    server.update(administratorLoginPassword=newer)
    refused = server.update_refusal(storageGB=128)
    moved = server.update_refusal(plan="general-purpose")
    database = shop.order("azure-postgresql-database/database", parentAlias="moved")
    database.bind()
    database.delete()
    server.delete()

    assert refused[0] == 422
    assert "adopted by bind-only" in refused[1]
    assert moved[0] == 422
    assert "cannot move to another service plan" in moved[1]
    assert somebodys.writes(existing.id, since) == []


def test_plans_adopt_nothing_unless_they_say_so(shop, somebodys):
    path = somebodys.account()

    status, sentence = shop.refusal("azure-storage-account/standard-zrs", resourceId=path)

    assert status == 400
    assert "resourceId" in sentence


def at(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        value = value[key]
    return value
