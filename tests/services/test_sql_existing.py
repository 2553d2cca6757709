"""
Azure SQL servers and databases that exist already, as the two offerings take them that do nothing else.

No SQL Server can be had here, so that nothing is ever signed in to: of a server, what is refused is shown, and that it
stays as it is; of a database, all but its logins.
"""

import pytest

from broker.data_planes.secrets import generated_password
from tests.osb.platform import an_id
from tests.services.shop import Instance
from tests.simulated import wait_until

SQL = "2025-01-01"
GB = 1024**3


def put(shop, path, body):
    answer = shop.azure.call("PUT", path, body, version=SQL)
    assert answer.status_code in {200, 201, 202}, answer.text
    wait_until(lambda: shop.read(path, SQL).status_code == 200)


def body_of(shop, path):
    return {key: value for key, value in shop.read(path, SQL).json().items() if key != "systemData"}


def changes(shop, path):
    return [
        (call["method"], call["path"])
        for call in shop.azure.ledger()
        if call["method"] in {"PUT", "PATCH", "DELETE"} and call["path"].lower().startswith(path.lower())
    ]


@pytest.fixture(scope="module")
def settings(azure, tmp_path_factory):
    folder = tmp_path_factory.mktemp("overlays")
    overlay = "overlay: azure-sql-server\nplans:\n  server: {set: {adopt: [bind-only, manage]}}\n"
    (folder / "servers.yaml").write_text(overlay)
    return {"adoption_scopes": azure.subscription, "catalog_overlays": str(folder)}


FROM_EXISTING = "azure-sql-database-from-existing"


@pytest.fixture(scope="module")
def existing(shop):
    """A function that makes a database beside the broker, on a server that goes by `shared`."""
    shared = shop.order("azure-sql-server/server", alias="shared")
    (above,) = shop.living("microsoft.sql/servers")

    def made(name, sku, **properties):
        path = f"{above}/databases/{name}"
        body = {
            "location": "westeurope",
            "sku": {"name": sku},
            "tags": {"costs": "17"},
            "properties": properties,
        }
        if shop.read(path, SQL).status_code == 404:
            put(shop, path, body)
        return path

    yield made
    shared.delete()


@pytest.mark.proves("azure-sql-database-from-existing", "adopt bind-only")
@pytest.mark.proves("azure-sql-database-from-existing", "provision")
def test_an_existing_database_is_taken_by_its_name_bound_only_and_left_as_it_is(shop, existing):
    path = existing("orders", "GP_Gen5_2")
    before, changed = body_of(shop, path), changes(shop, path)

    database = shop.order(f"{FROM_EXISTING}/standard", parentAlias="shared", database="orders")
    twice = shop.refusal(f"{FROM_EXISTING}/basic", parentAlias="shared", resourceId=path)
    answer = database.ask_bind("to-the-existing")
    database.delete()

    assert twice[0] == 422
    assert "DNS knows no database server sql-" in answer.json()["description"]
    assert body_of(shop, path) == before
    assert changes(shop, path) == changed


@pytest.mark.proves("azure-sql-database-from-existing", "adopt manage")
@pytest.mark.proves("azure-sql-database-from-existing", "update")
def test_an_existing_database_that_is_managed_keeps_its_size_and_stays_after_its_deletion(shop, existing):
    path = existing("invoices", "S3", maxSizeBytes=100 * GB)

    database = shop.order(
        f"{FROM_EXISTING}/standard", parentAlias="shared", database="invoices", adopt="manage", dtus=100
    )
    assert shop.read(path, SQL).json()["tags"]["osb-adopted"] == "manage"
    database.update(shortTermRetentionDays=14)

    there = shop.read(path, SQL).json()
    assert there["properties"]["currentServiceObjectiveName"] == "S3"
    assert there["properties"]["maxSizeBytes"] == 100 * GB
    retention = shop.read(f"{path}/backupShortTermRetentionPolicies/default", SQL).json()
    assert retention["properties"]["retentionDays"] == 14
    database.update(dtus=200, maxSizeBytes=200 * GB)
    assert shop.read(path, SQL).json()["properties"]["currentServiceObjectiveName"] == "S4"
    database.delete()
    assert shop.read(path, SQL).json()["tags"] == {"costs": "17"}

    again = shop.order(
        f"{FROM_EXISTING}/standard",
        parentAlias="shared",
        database="invoices",
        adopt="manage",
        dtus=200,
        deletePolicy="delete",
    )
    again.delete()
    assert shop.read(path, SQL).status_code == 404


@pytest.mark.parametrize(
    ("plan", "parameters", "sentence"),
    [
        ("standard", {}, "'resourceId' is missing"),
        ("standard", {"database": "gone"}, "There is no"),
        ("standard", {"database": "../x"}, "'database'"),
        ("standard", {"database": "sized", "adopt": "manage"}, "with its dtus"),
        ("standard", {"database": "sized", "adopt": "manage", "dtus": 10}, "with its dtus"),
        ("premium", {"database": "sized", "adopt": "manage", "dtus": 125}, "with its dtus"),
        ("general-purpose", {"database": "sized", "adopt": "manage", "cores": 2}, "with its cores"),
        ("standard", {"database": "sized", "dtus": 50}, "is never changed"),
        ("hyperscale", {"database": "sized", "adopt": "manage"}, "'adopt'"),
        ("basic", {"database": "sized", "storage": 10}, "The size is kept"),
    ],
)
def test_an_existing_database_that_does_not_fit_is_not_taken(shop, existing, plan, parameters, sentence):
    path = existing("sized", "S2")
    changed = changes(shop, path)

    instance = Instance(shop, f"{FROM_EXISTING}/{plan}", an_id())
    answer = shop.platform.provision(instance.id, instance.ordered.order(parentAlias="shared", **parameters))
    if answer.status_code == 202:
        # What stands in it is looked at when the operation runs.
        answer = shop.platform.settle(instance.id)
        assert answer.json()["state"] == "failed"
        instance.delete()

    assert sentence in answer.json()["description"]
    assert changes(shop, path) == changed


@pytest.fixture
def somebodys(shop):
    """A server that somebody made, its group and what an order to adopt it says."""
    group = shop.azure.a_group()
    path = f"{shop.azure.subscription}/resourceGroups/{group}/providers/Microsoft.Sql/servers/sql-{group[-12:].lower()}"
    secret = generated_password()
    properties = {"administratorLogin": "somebody", "administratorLoginPassword": secret}
    put(shop, path, {"location": "westeurope", "properties": properties})
    order = {"resourceId": path, "administratorLogin": "somebody", "administratorLoginPassword": secret}
    yield order
    shop.azure.call("DELETE", path, version=SQL)


# Nothing can be signed in to here: that a registration ends well is proven by no test.
@pytest.mark.proves("azure-sql-server-registered", "adopt bind-only (not provable here)")
@pytest.mark.proves("azure-sql-server-registered", "provision (not provable here)")
@pytest.mark.parametrize(
    ("what", "more"),
    [
        ("azure-sql-server/server", {"adopt": "bind-only"}),
        ("azure-sql-server-registered/server", {"alias": "registered", "location": "westeurope"}),
    ],
)
def test_a_server_that_the_broker_cannot_sign_in_to_is_not_adopted(shop, somebodys, what, more):
    changed = changes(shop, somebodys["resourceId"])

    status, told = shop.refusal(what, **somebodys, **more)

    assert status == 422
    assert f"{somebodys['resourceId'].rpartition('/')[2]}.database.simulated.invalid" in told
    assert somebodys["administratorLoginPassword"] not in told
    assert changes(shop, somebodys["resourceId"]) == changed


@pytest.mark.proves("azure-sql-server-registered", "adopt bind-only (not provable here)")
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"location": "northeurope"}, "not in the location that was given"),
        ({"resourceGroup": "mine"}, "It is part of the resourceId"),
        ({"server": "mine"}, "Give the whole resourceId"),
        ({"adopt": "manage"}, "'adopt'"),
        ({"deletePolicy": "delete"}, "'deletePolicy'"),
        ({"administratorLogin": None}, "'administratorLogin'"),
    ],
)
def test_a_server_that_is_not_as_ordered_is_not_registered(shop, somebodys, given, sentence):
    order = {name: value for name, value in {**somebodys, **given}.items() if value is not None}
    changed = changes(shop, somebodys["resourceId"])

    status, told = shop.refusal("azure-sql-server-registered/server", **order)

    assert 400 <= status < 500
    assert sentence in told
    assert somebodys["administratorLoginPassword"] not in told
    assert changes(shop, somebodys["resourceId"]) == changed
