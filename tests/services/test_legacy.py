"""Platforms that come from an older broker: they order under its ids, and their instances are imported."""

import json
import os
import secrets
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.end_to_end.logins import works
from tests.osb.platform import Platform, an_id
from tests.services.test_adoption import ACCOUNTS, SERVERS, Somebodys

TOP = Path(__file__).parents[2]
V2, V2_PLAN = "9a3e28fe-8c02-49da-9b35-1b054eb06c95", "bc4f766a-c372-479c-b0b4-bd9d0546b3ef"
BLOB_ACCOUNT, BLOB_ACCOUNT_PLAN = (
    "1a5b4582-29a3-48c5-9cac-511fd8c52756",
    "98ae02ec-da21-4b09-b5e0-e2f9583d565c",
)
CONTAINER, CONTAINER_PLAN = "fb6ce656-c16d-4b48-aff9-286714298af8", "6b120780-c1f1-49ba-83c1-ffbd6b81df5e"
MASB_STORAGE, MASB_STORAGE_PLAN = (
    "2e2fc314-37b6-4587-8127-8f9ee8b33fea",
    "6ddf6b41-fb60-4b70-af99-8ecc4896b3cf",
)
POSTGRESQL, BASIC = "b43b4bba-5741-4d98-a10b-17dc5cee0175", "09b398f8-f3c1-49ae-b726-459444e22460"
REDIS, REDIS_BASIC = "0346088a-d4b2-4478-aa32-f18e295ec1d9", "362b3d1b-5b57-4289-80ad-4a15a760c29c"
BUS, BUS_STANDARD = "6dc44338-2f13-4bc5-9247-5b1b3c5462d3", "6be0d8b5-381f-4d68-bdfd-a131425d3835"
QUEUE, QUEUE_PLAN = "0e93fbb8-7904-43a5-82db-81c7d3886a24", "89440eec-a888-49ce-b392-60c653d7a98b"
HUBS, HUBS_BASIC = "7bade660-32f1-4fd7-b9e6-d416d975170b", "80756db5-a20c-495d-ae70-62cf7d196a3c"
SQL, SQL_GENERAL = "fb9bc99e-0aa9-11e6-8a8a-000d3a002ed5", "c77e86af-f050-4457-a2ff-2b48451888f3"
COSMOS, COSMOS_PLAN = "58d9fbbd-7041-4dbe-aabe-6268cd31de84", "58d7223d-934e-4fb5-a046-0c67781eb24e"
DOCUMENTDB, DOCUMENTDB_PLAN = "3befc561-4f0c-4df3-ab26-48ac4e366b1c", "1abb29ae-fa1c-4f8d-a07b-b363544c3586"
OPERATOR = secrets.token_hex(32)
HEAD = "platform,instance_id,service_id,plan_id,resource_id"


@pytest.fixture(scope="module")
def azure(simulator_with_databases):
    return simulator_with_databases


@pytest.fixture(scope="module")
def settings(azure) -> dict[str, str]:
    return {
        "legacy_catalog": "listed",
        "adoption_scopes": azure.subscription,
        "operators": json.dumps({"alice": {"role": "operate", "tokens": [OPERATOR]}}),
    }


@pytest.fixture(scope="module")
def somebodys(azure):
    return Somebodys(azure, azure.a_group())


@pytest.fixture
def platform(shop) -> Platform:
    return shop.platform


@pytest.fixture
def osb(shop, tmp_path):
    """Run `osb instance import` on a file of these lines; the finished process."""
    (tmp_path / "token").write_text(OPERATOR)

    def run(*lines: str, options=("--yes",), held_back=None) -> subprocess.CompletedProcess:
        (tmp_path / "held.csv").write_text("\n".join(lines) + "\n")
        arguments = [
            "instance",
            "import",
            str(tmp_path / "held.csv"),
            "--reason",
            "A move.",
            "-o",
            "json",
            *options,
        ]
        if held_back is not None:
            (tmp_path / "secrets.json").touch(mode=0o600)
            (tmp_path / "secrets.json").write_text(json.dumps(held_back))
            arguments += ["--secrets", str(tmp_path / "secrets.json")]
        return subprocess.run(
            [sys.executable, "-m", "broker", *arguments],
            cwd=TOP,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OSB_URL": url_of(shop),
                 "OSB_TOKEN_FILE": str(tmp_path / "token")},
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False,
        )  # fmt: skip

    return run


def url_of(shop) -> str:
    return shop.world.living[-1].url


def outcomes(process) -> list[str]:
    return [one["outcome"] for one in json.loads(process.stdout)]


def body(service_id, plan_id, **parameters):
    return {
        "service_id": service_id, "plan_id": plan_id, "organization_guid": "o", "space_guid": "s",
        "parameters": parameters,
    }  # fmt: skip


def bound(platform, instance, service_id, plan_id):
    answer = platform.bind(instance, an_id(), {"service_id": service_id, "plan_id": plan_id})
    assert answer.status_code == 201, answer.text
    return answer.json()["credentials"]


def imported(shop, **row):
    """Import one over the admin API."""
    whole = {"reason": "A move.", "platform": "kubernetes", **row}
    headers = {"Authorization": f"Bearer {OPERATOR}"}
    return httpx.post(f"{url_of(shop)}/admin/v1/imports", json=whole, headers=headers, timeout=60)


# Ordered anew.


def test_an_order_as_it_was_written_for_the_older_broker_makes_the_successor_and_hands_out_its_keys(
    shop, platform
):
    listed = {service["id"] for service in platform.catalog().json()["services"]}
    order = body(
        V2, V2_PLAN, location="westeurope", resourceGroup="theirs", accountType="Standard_GRS",
        enableNonHttpsTraffic="disabled", accessTier="Cool",
    )  # fmt: skip

    instance = platform.ready(order)
    (path,) = shop.living("storageAccounts")
    made = shop.read(path, ACCOUNTS).json()
    credentials = bound(platform, instance, V2, V2_PLAN)
    platform.update(instance, {"service_id": V2, "parameters": {"accessTier": "Hot"}})
    platform.settle(instance)
    changed = shop.read(path, ACCOUNTS).json()
    platform.gone(instance, V2_PLAN, V2)

    assert {V2, MASB_STORAGE} <= listed
    assert {POSTGRESQL, REDIS}.isdisjoint(listed)
    assert (made["kind"], made["sku"]["name"], made["properties"]["accessTier"]) == (
        "StorageV2",
        "Standard_GRS",
        "Cool",
    )
    assert (changed["sku"]["name"], changed["properties"]["accessTier"]) == ("Standard_GRS", "Hot")
    assert {
        "storageAccountName", "accessKey", "primaryBlobServiceEndPoint", "primaryFileServiceEndPoint",
        "primaryQueueServiceEndPoint", "primaryTableServiceEndPoint",
    } <= credentials.keys()  # fmt: skip
    assert shop.living() == []


def test_an_app_of_another_older_broker_finds_its_own_keys(shop, platform):
    instance = platform.ready(body(MASB_STORAGE, MASB_STORAGE_PLAN))

    credentials = bound(platform, instance, MASB_STORAGE, MASB_STORAGE_PLAN)
    platform.gone(instance, MASB_STORAGE_PLAN, MASB_STORAGE)

    assert credentials["storage_account_name"] == credentials["storageAccountName"]
    assert credentials["primary_access_key"] == credentials["accessKey"]


def test_a_queue_stands_in_a_namespace_that_was_ordered_by_an_older_name(shop, platform):
    namespace = platform.ready(
        body(
            BUS,
            BUS_STANDARD,
            location="westeurope",
            resourceGroup="theirs",
            alias="bus",
            allowAllNetworks=True,
        )
    )
    queue = platform.ready(
        body(QUEUE, QUEUE_PLAN, parentAlias="bus", maxQueueSize=2048, lockDuration="PT45S")
    )

    credentials = bound(platform, queue, QUEUE, QUEUE_PLAN)
    whole = bound(platform, namespace, BUS, BUS_STANDARD)
    (path,) = shop.living("/queues")
    made = shop.read(path, "2026-01-01").json()["properties"]
    platform.gone(queue, QUEUE_PLAN, QUEUE)
    platform.gone(namespace, BUS_STANDARD, BUS)

    assert (made["maxSizeInMegabytes"], made["lockDuration"]) == (2048, "PT45S")
    assert {"connectionString", "primaryKey", "namespaceName", "queueName"} <= credentials.keys()
    assert whole["connection_string"] == whole["connectionString"]
    assert whole["namespace_name"] == whole["namespaceName"]
    assert shop.living() == []


def test_a_cosmos_database_is_ordered_by_older_names_and_each_brokers_apps_find_their_keys(shop, platform):
    for service_id, plan_id, keys in (
        (
            COSMOS,
            COSMOS_PLAN,
            {"documentdb_host_endpoint", "documentdb_master_key", "documentdb_database_id"},
        ),
        (
            DOCUMENTDB,
            DOCUMENTDB_PLAN,
            {"cosmosdb_host_endpoint", "cosmosdb_master_key", "cosmosdb_database_id"},
        ),
    ):
        instance = platform.ready(body(service_id, plan_id, location="westeurope"))

        credentials = bound(platform, instance, service_id, plan_id)
        platform.gone(instance, plan_id, service_id)

        assert keys <= credentials.keys()
    assert shop.living() == []


def test_an_event_hub_is_ordered_by_an_older_name(shop, platform):
    instance = platform.ready(body(HUBS, HUBS_BASIC, location="westeurope", resourceGroup="theirs"))

    credentials = bound(platform, instance, HUBS, HUBS_BASIC)
    platform.gone(instance, HUBS_BASIC, HUBS)

    assert {"connectionString", "primaryKey", "eventHubNamespace", "eventHubName"} <= credentials.keys()
    assert credentials["event_hub_name"] == credentials["eventHubName"]
    assert shop.living() == []


@pytest.mark.parametrize(
    ("service_id", "plan_id", "parameters", "sentence"),
    [
        (POSTGRESQL, BASIC, {}, "retired in Azure. Order azure-postgresql/burstable instead."),
        (REDIS, REDIS_BASIC, {}, "Order azure-managed-redis instead."),
        (SQL, SQL_GENERAL, {"storage": 20}, "storageGB"),
        (V2, V2_PLAN, {"accountType": "Premium_LRS"}, "'accountType' must be one of"),
        (V2, V2_PLAN, {"enableNonHttpsTraffic": "enabled"}, "'enableNonHttpsTraffic' must be one of"),
        (V2, V2_PLAN, {"skuName": "Standard_LRS"}, "'skuName' is not a known parameter"),
        (V2, V2_PLAN, {"resourceId": "/subscriptions/s"}, "'resourceId' is not a known parameter"),
    ],
)
def test_what_cannot_be_ordered_is_refused_with_a_way_on(platform, service_id, plan_id, parameters, sentence):
    answer = platform.provision(an_id(), body(service_id, plan_id, **parameters))

    assert answer.status_code == 400
    assert sentence in answer.json()["description"]


# Imported.


def test_what_a_platform_holds_is_imported_bound_unbound_and_left_in_azure(
    shop, somebodys, azure, platform, osb
):
    account, instance = somebodys.account(), an_id()
    before = azure.call("GET", account, version=ACCOUNTS).json()
    row = f"kubernetes,{instance},{BLOB_ACCOUNT},{BLOB_ACCOUNT_PLAN},{account},team"

    tried = osb(f"{HEAD},namespace", row, options=["--dry-run"])
    unseen = platform.fetch(instance)
    first = osb(f"{HEAD},namespace", row)
    again = osb(f"{HEAD},namespace", row)
    credentials = bound(platform, instance, BLOB_ACCOUNT, BLOB_ACCOUNT_PLAN)
    unknown = platform.unbind(instance, an_id(), BLOB_ACCOUNT_PLAN, BLOB_ACCOUNT)
    audited = [row[0] for row in shop.world.rows(
        f"SELECT action FROM audit WHERE actor = 'operator alice' AND object LIKE '%{instance}%' ORDER BY at"
    )]  # fmt: skip
    platform.gone(instance, BLOB_ACCOUNT_PLAN, BLOB_ACCOUNT)

    assert outcomes(tried) == ["possible"]
    assert unseen.status_code == 404
    assert (outcomes(first), outcomes(again)) == (["imported"], ["known"])
    assert credentials["storageAccountName"] == account.rpartition("/")[2]
    assert unknown.status_code == 410
    assert audited == ["try import", "import"]
    assert azure.call("GET", account, version=ACCOUNTS).json() == before


def test_a_database_of_the_older_broker_is_bound_by_logins_that_share_its_objects(
    shop, somebodys, azure, platform, osb
):
    server, instance, database = somebodys.server(), an_id(), "x4f7q2m9aa"
    with server.signed_in("postgres") as connection:
        # As OSBA made them: a role that owns the database and has its name.
        connection.execute(f"CREATE ROLE {database}")
        connection.execute(f"GRANT {database} TO {server.login}")
        connection.execute(f"CREATE DATABASE {database} OWNER {database}")
    with server.signed_in(database) as connection:
        # Until PostgreSQL 15 everybody could create there, and an upgrade leaves that as it is.
        connection.execute("GRANT ALL ON SCHEMA public TO PUBLIC")
    row = (
        f"kubernetes,{instance},{POSTGRESQL},{BASIC},{server.id},{server.login},"
        f'"{{""database"": ""{database}""}}"'
    )

    process = osb(
        f"{HEAD},administrator_login,parameters", row,
        held_back={instance: {"administratorLoginPassword": server.password}},
    )  # fmt: skip
    one, other = (bound(platform, instance, POSTGRESQL, BASIC) for _ in range(2))
    with psycopg.connect(f"{one['uri']}&sslrootcert={azure.access.ca_file}", autocommit=True) as connection:
        connection.execute("CREATE TABLE shared (id int)")
    with psycopg.connect(f"{other['uri']}&sslrootcert={azure.access.ca_file}", autocommit=True) as connection:
        connection.execute("INSERT INTO shared VALUES (1)")
        (owner,) = connection.execute(
            "SELECT tableowner FROM pg_tables WHERE tablename = 'shared'"
        ).fetchone()
    shown = platform.fetch(instance).text
    platform.gone(instance, BASIC, POSTGRESQL)

    assert outcomes(process) == ["imported"], process.stdout
    assert owner == one["database"] == database
    assert server.password not in shown
    assert not works(one, azure.access.ca_file)
    assert azure.call("GET", server.id, version=SERVERS).status_code == 200


def test_each_row_stands_for_itself_and_parents_come_first(shop, somebodys, azure, platform, osb):
    account, parent, child, lost, none = somebodys.account(), an_id(), an_id(), an_id(), an_id()
    container = f"{account}/blobServices/default/containers/old"
    somebodys.put(container, {"properties": {}}, ACCOUNTS)

    process = osb(
        f"{HEAD},parent",
        f"kubernetes,{child},{CONTAINER},{CONTAINER_PLAN},{container},{parent}",
        f"kubernetes,{lost},{V2},{V2_PLAN},{account}x,",
        f"kubernetes,{none},{REDIS},{REDIS_BASIC},{account}y,",
        f"nobody,{an_id()},{V2},{V2_PLAN},{account}z,",
        f"kubernetes,{parent},{BLOB_ACCOUNT},{BLOB_ACCOUNT_PLAN},{account},",
    )
    told = {one["instance_id"]: one for one in json.loads(process.stdout)}
    credentials = bound(platform, child, CONTAINER, CONTAINER_PLAN)
    platform.gone(child, CONTAINER_PLAN, CONTAINER)
    platform.gone(parent, BLOB_ACCOUNT_PLAN, BLOB_ACCOUNT)

    assert process.returncode == 1
    assert [told[one]["outcome"] for one in (parent, child, lost, none)] == [
        "imported", "imported", "refused", "refused",
    ]  # fmt: skip
    assert "There is no" in told[lost]["description"]
    assert "Nothing that exists can be imported under the plan 'basic'" in told[none]["description"]
    assert any("There is no platform 'nobody'" in one["description"] for one in told.values())
    assert credentials["containerName"] == "old"
    assert platform.fetch(lost).status_code == 404


def test_a_namespace_with_a_queue_is_imported_bound_and_left(shop, somebodys, azure, platform, osb):
    namespace, queue = an_id(), an_id()
    bus = f"{somebodys.prefix}/Microsoft.ServiceBus/namespaces/old{uuid.uuid4().hex[:12]}"
    somebodys.put(bus, {"location": "westeurope", "sku": {"name": "Standard"}}, "2026-01-01")
    somebodys.put(f"{bus}/queues/orders", {"properties": {}}, "2026-01-01")
    before = azure.call("GET", bus, version="2026-01-01").json()

    process = osb(
        f"{HEAD},parent",
        f"kubernetes,{queue},{QUEUE},{QUEUE_PLAN},{bus}/queues/orders,{namespace}",
        f"kubernetes,{namespace},{BUS},{BUS_STANDARD},{bus},",
    )
    credentials = bound(platform, queue, QUEUE, QUEUE_PLAN)
    platform.gone(queue, QUEUE_PLAN, QUEUE)
    platform.gone(namespace, BUS_STANDARD, BUS)

    assert outcomes(process) == ["imported", "imported"], process.stdout
    assert credentials["queueName"] == "orders"
    assert credentials["namespaceName"] == bus.rpartition("/")[2]
    assert azure.call("GET", f"{bus}/queues/orders", version="2026-01-01").status_code == 200
    assert azure.call("GET", bus, version="2026-01-01").json() == before


def test_a_cosmos_account_is_imported_with_its_database_and_left(shop, somebodys, azure, platform, osb):
    instance, version = an_id(), "2026-03-15"
    account = f"{somebodys.prefix}/Microsoft.DocumentDB/databaseAccounts/old{uuid.uuid4().hex[:12]}"
    properties = {
        "databaseAccountOfferType": "Standard",
        "locations": [{"locationName": "westeurope", "failoverPriority": 0}],
    }
    whole = {"location": "westeurope", "kind": "GlobalDocumentDB", "properties": properties}
    somebodys.put(account, whole, version)
    somebodys.put(f"{account}/sqlDatabases/shop", {"properties": {"resource": {"id": "shop"}}}, version)
    row = f"kubernetes,{instance},{COSMOS},{COSMOS_PLAN},{account}"

    lost = osb(f"{HEAD},parameters", f'{row},"{{""database"": ""stock""}}"')
    process = osb(f"{HEAD},parameters", f'{row},"{{""database"": ""shop""}}"')
    credentials = bound(platform, instance, COSMOS, COSMOS_PLAN)
    platform.gone(instance, COSMOS_PLAN, COSMOS)

    assert (outcomes(lost), outcomes(process)) == (["refused"], ["imported"]), process.stdout
    assert "no database of the name" in lost.stdout
    assert credentials["databaseName"] == credentials["documentdb_database_id"] == "shop"
    assert azure.call("GET", account, version=version).status_code == 200


def test_two_importers_at_once_import_it_once(shop, somebodys, platform):
    account, instance = somebodys.account(), an_id()
    row = {"instance_id": instance, "service_id": V2, "plan_id": V2_PLAN, "resource_id": account}
    rival = {**row, "instance_id": an_id()}

    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda one: imported(shop, **one), [row, row, rival, row]))
    statuses = sorted(answer.status_code for answer in answers)
    (winner,) = [one for one in (instance, rival["instance_id"]) if platform.settle(one).status_code == 200]
    platform.gone(winner, V2_PLAN, V2)

    assert statuses in ([200, 200, 200, 422], [200, 422, 422, 422])


def test_a_file_is_imported_to_its_end_by_the_next_run_when_the_broker_died(shop, somebodys, settings, osb):
    ids = [an_id() for _ in range(3)]
    lines = [HEAD, *(f"kubernetes,{one},{V2},{V2_PLAN},{somebodys.account()}" for one in ids)]
    begun = dict(zip(HEAD.split(","), lines[1].split(","), strict=True))
    assert imported(shop, **begun).json()["outcome"] == "begun"
    shop.world.living[-1].kill()
    away = osb(*lines)
    shop.platform = shop.world.start(**settings).platform

    again = osb(*lines)

    assert away.returncode == 3
    assert outcomes(away) == ["unknown", "not sent", "not sent"]
    assert outcomes(again) in (["known", "imported", "imported"], ["imported"] * 3)
    for one in ids:
        shop.platform.gone(one, V2_PLAN, V2)


@pytest.mark.parametrize(
    ("change", "status", "sentence"),
    [
        ({"adopt": "manage"}, 400, "'accountType' is missing among the parameters"),
        ({"parameters": {"accessTier": "Cool"}}, 400, "'accessTier' would change"),
        ({"delete_policy": "delete"}, 400, "never deleted"),
        ({"resource_id": "/subscriptions/what/ever"}, 400, "no Azure resource id"),
        ({"plan_id": "0"}, 400, "There is no service offering"),
        ({"parent": "none"}, 400, "parentAlias"),
        ({"adopt": "keep"}, 400, "adopt must be bind-only or manage"),
        ({"secrets": []}, 400, "secrets must be a JSON object"),
        ({"colour": "red"}, 400, "There is no field 'colour' here"),
        ({"platform": "nobody"}, 400, "There is no platform 'nobody'"),
    ],
)
def test_an_import_that_cannot_be_is_refused_and_leaves_nothing(
    shop, somebodys, platform, change, status, sentence
):
    row = {"instance_id": an_id(), "service_id": V2, "plan_id": V2_PLAN, "resource_id": somebodys.account()}

    answer = imported(shop, **{**row, **change})

    assert (answer.status_code, sentence in answer.json()["description"]) == (status, True), answer.text
    assert platform.fetch(row["instance_id"]).status_code == 404


def test_what_is_managed_is_changed_by_updates_and_deleted_if_the_import_said_so(
    shop, somebodys, azure, platform
):
    account, instance = somebodys.account(), str(uuid.uuid4())
    row = {"instance_id": instance, "service_id": V2, "plan_id": V2_PLAN, "resource_id": account}

    answer = imported(
        shop,
        **row,
        adopt="manage",
        delete_policy="delete",
        parameters={"accountType": "Standard_LRS", "enableNonHttpsTraffic": "disabled"},
    )
    platform.settle(instance)
    platform.update(instance, {"service_id": V2, "parameters": {"accessTier": "Hot"}})
    settled = platform.settle(instance).json()
    changed = azure.call("GET", account, version=ACCOUNTS).json()
    platform.gone(instance, V2_PLAN, V2)

    assert answer.json()["outcome"] == "begun"
    assert settled["state"] == "succeeded"
    assert changed["properties"]["accessTier"] == "Hot"
    assert changed["tags"]["costs"] == "17"
    assert azure.call("GET", account, version=ACCOUNTS).status_code == 404
