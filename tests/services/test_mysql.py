"""MySQL servers, databases on them and all in one, with a real MySQL behind the simulated server."""

import contextlib
import shutil
import ssl
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pymysql
import pytest

from tests.end_to_end.a_broker_process import At
from tests.end_to_end.orders import Ordered
from tests.end_to_end.world import World, through_death
from tests.osb.platform import an_id
from tests.services.shop import Failed
from tests.simulated import wait_until

pytestmark = pytest.mark.needs("mysql")

VERSION = "2024-12-30"
WHOLE, SERVER, DATABASE = (
    "azure-mysql/burstable",
    "azure-mysql-server/burstable",
    "azure-mysql-database/database",
)
ACCESS_DENIED, NO_ACCESS_TO_DATABASE, INSECURE = 1045, 1044, 3159


@pytest.fixture(scope="module")
def azure(simulator_with_databases):
    return simulator_with_databases


@pytest.fixture(scope="module")
def whole(shop):
    """One all-in-one instance for the tests that leave it as it is."""
    return shop.order(WHOLE)


@contextlib.contextmanager
def signed_in(shop, credentials: dict[str, Any], **options: Any) -> Iterator[pymysql.cursors.Cursor]:
    """A cursor of a driver that was given what the `uri` says, and the authority."""
    uri = urlsplit(credentials["uri"])
    assert parse_qs(uri.query) == {"ssl-mode": ["VERIFY_IDENTITY"]}
    tls = {"ssl": ssl.create_default_context(cafile=shop.azure.access.ca_file)}
    connection = pymysql.Connection(
        **{
            "host": uri.hostname,
            "port": uri.port,
            "user": unquote(uri.username or ""),
            "password": unquote(uri.password or ""),
            "database": unquote(uri.path[1:]),
            "autocommit": True,
            **tls,
            **options,
        }
    )
    with contextlib.closing(connection):
        yield connection.cursor()


def refusal(shop, credentials: dict[str, Any], **options: Any) -> int:
    """The number of MySQL's error for a sign-in; 0 if it works."""
    try:
        with signed_in(shop, credentials, **options) as cursor:
            cursor.execute("SELECT 1")
    except pymysql.err.OperationalError as error:
        return int(error.args[0])
    return 0


def server_of(shop, credentials: dict[str, Any]) -> dict[str, Any]:
    """The server of a bound database, as Azure shows it."""
    shown = shop.read(credentials["resourceId"].partition("/databases/")[0], VERSION)
    return dict(shown.json())


@pytest.mark.proves("azure-mysql", "provision")
@pytest.mark.proves("azure-mysql", "bind password")
@pytest.mark.proves("azure-mysql", "revoke password (real server)")
def test_two_apps_share_a_database_until_one_is_unbound(shop, whole):
    first, second = whole.bind(), whole.bind()

    with signed_in(shop, first.credentials) as cursor:
        cursor.execute("CREATE TABLE things (name text)")
        cursor.execute("INSERT INTO things VALUES ('of the first')")
    with signed_in(shop, first.credentials) as cut_off:
        cut_off.execute("SELECT CONNECTION_ID()")
        first.unbind()
        with pytest.raises(pymysql.err.MySQLError):
            cut_off.execute("SELECT 1")

    assert refusal(shop, first.credentials) == ACCESS_DENIED
    with signed_in(shop, second.credentials) as cursor:
        cursor.execute("SELECT name FROM things")
        assert cursor.fetchall() == (("of the first",),)
        cursor.execute("DROP TABLE things")
    second.unbind()


def test_credentials_keep_the_contract_and_work_by_their_single_keys(shop, whole):
    binding = whole.bind()
    given = binding.credentials

    assert {
        key: given[key] for key in ("type", "provider", "auth", "port", "sslRequired", "tls", "tags")
    } == {
        "type": "mysql",
        "provider": "azure",
        "auth": "password",
        "port": 3306,
        "sslRequired": True,
        "tls": True,
        "tags": ["mysql"],
    }
    assert (given["hostname"], given["name"]) == (given["host"], given["database"])
    assert given["jdbcUrl"].startswith(f"jdbc:mysql://{given['host']}:3306/{given['database']}?user=")
    assert given["jdbcUrl"].endswith("&sslMode=VERIFY_IDENTITY")
    assert "/flexibleServers/my-" in given["resourceId"]
    single = {key: given[key] for key in ("host", "port", "password", "database")}
    assert refusal(shop, given, user=given["username"], **single) == 0
    assert refusal(shop, given, ssl=None, ssl_disabled=True) in {ACCESS_DENIED, INSECURE}
    binding.unbind()


def test_the_server_is_as_ordered_by_default_and_closed_to_the_world(shop, whole):
    binding = whole.bind()
    seen = server_of(shop, binding.credentials)

    assert seen["sku"] == {"name": "Standard_B1ms", "tier": "Burstable"}
    assert seen["properties"]["version"] == "8.4"
    assert len(seen["properties"]["administratorLogin"]) <= 32
    assert seen["properties"]["network"]["publicNetworkAccess"] == "Enabled"
    rules = [one.rpartition("/")[2] for one in shop.living("firewallrules") if f"/{seen['name']}/" in one]
    assert rules == ["osb-broker-0"]
    binding.unbind()


@pytest.mark.proves("azure-mysql", "update")
@pytest.mark.proves("azure-mysql", "plan change")
def test_an_instance_grows_moves_to_another_plan_and_lets_others_in(shop):
    instance = shop.order(WHOLE, version="8.0", geoRedundantBackup="Enabled", tags={"team": "a"})
    binding = instance.bind()
    asked = {
        "storageGB": 64,
        "iops": 1000,
        "backupRetentionDays": 14,
        "firewallRules": [{"name": "office", "startIPAddress": "203.0.113.1", "endIPAddress": "203.0.113.9"}],
    }

    instance.update(**asked)
    instance.update("business-critical", skuName="Standard_E4ads_v5", highAvailability="ZoneRedundant")

    seen = server_of(shop, binding.credentials)
    properties = seen["properties"]
    assert seen["sku"] == {"name": "Standard_E4ads_v5", "tier": "MemoryOptimized"}
    assert seen["tags"]["team"] == "a"
    assert properties["version"] == "8.0.21"
    assert (properties["storage"]["storageSizeGB"], properties["storage"]["iops"]) == (64, 1000)
    assert properties["backup"]["backupRetentionDays"] == 14
    assert properties["backup"]["geoRedundantBackup"] == "Enabled"
    assert properties["highAvailability"]["mode"] == "ZoneRedundant"
    rules = {one.rpartition("/")[2] for one in shop.living("firewallrules") if f"/{seen['name']}/" in one}
    assert rules == {"osb-broker-0", "office"}
    assert refusal(shop, binding.credentials) == 0

    instance.update(firewallRules=[])
    rules = {one.rpartition("/")[2] for one in shop.living("firewallrules") if f"/{seen['name']}/" in one}
    assert rules == {"osb-broker-0"}
    instance.delete()
    assert not [one for one in shop.living() if f"/{seen['name']}" in one]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"storageGB": 19}, "storageGB"),
        ({"storageGB": 20000}, "storageGB"),
        ({"version": "5.7"}, "version"),
        ({"skuName": "Standard_D2ads_v5"}, "skuName"),
        ({"highAvailability": "ZoneRedundant"}, "highAvailability"),
        ({"backupRetentionDays": 0}, "backupRetentionDays"),
        ({"iops": 100}, "iops"),
        ({"require_secure_transport": "OFF"}, "require_secure_transport"),
        ({"administratorLoginPassword": "mine"}, "administratorLoginPassword"),
        (
            {"firewallRules": [{"name": "a", "startIPAddress": "10.0.0.9", "endIPAddress": "10.0.0.1"}]},
            "ends before it begins",
        ),
        (
            {"firewallRules": [{"name": "a", "startIPAddress": "0.0.0.0", "endIPAddress": "0.0.0.0"}]},
            "allowAzureServices",
        ),
        ({"cores": 2}, "skuName"),
        ({"storage": 10}, "storageGB"),
        ({"backupRetention": 7}, "backupRetentionDays"),
        ({"backupRedundancy": "geo"}, "geoRedundantBackup"),
        ({"sslEnforcement": "disabled"}, "encrypted connections only"),
        ({"serverName": "mine"}, "made by the broker"),
        ({"adminAccountSettings": {"adminUsername": "me"}}, "login of its own"),
    ],
)
def test_an_order_that_cannot_be_is_refused_with_the_reason(shop, given, words):
    before = shop.living()

    for what in (WHOLE, SERVER):
        status, sentence = shop.refusal(what, **given)
        assert status == 400
        assert words in sentence
    assert shop.living() == before


def test_a_disk_that_shrinks_and_a_chosen_user_name_are_refused(shop, whole):
    assert whole.update_refusal(version="8.0")[0] == 400
    assert whole.bind_refusal(username="me")[0] == 400
    assert "Leave it out" in whole.bind_refusal(username="me")[1]
    assert whole.update_refusal(storageGB=10)[0] == 400


@pytest.mark.proves("azure-mysql-server", "provision")
@pytest.mark.proves("azure-mysql-server", "update")
@pytest.mark.proves("azure-mysql-server", "plan change")
@pytest.mark.proves("azure-mysql-database", "provision")
@pytest.mark.proves("azure-mysql-database", "bind password")
@pytest.mark.proves("azure-mysql-database", "revoke password (real server)")
def test_databases_of_one_server_are_closed_to_one_another(shop):
    alias = f"shared-{uuid.uuid4().hex[:8]}"
    server = shop.order(SERVER, alias=alias)
    one, other = (shop.order(DATABASE, parentAlias=alias) for _ in range(2))
    of_one, of_other = one.bind(), other.bind()
    server.update("general-purpose", storageGB=32)
    foreign = of_other.credentials["database"]

    # `_` stands for any character in a grant: escaped, it opens no database of a name that is alike.
    alike = of_one.credentials["database"].replace("_", "x")
    assert refusal(shop, of_one.credentials) == 0
    assert refusal(shop, of_one.credentials, database=foreign) == NO_ACCESS_TO_DATABASE
    assert refusal(shop, of_one.credentials, database=alike) == NO_ACCESS_TO_DATABASE
    with signed_in(shop, of_one.credentials) as cursor:
        cursor.execute("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA")
        assert {row[0] for row in cursor.fetchall()} == {
            of_one.credentials["database"],
            "information_schema",
        }

    one.delete()
    assert refusal(shop, of_one.credentials) == ACCESS_DENIED
    assert refusal(shop, of_other.credentials) == 0
    status, _ = told_of_children(shop, server)
    assert status == 422
    other.delete()
    server.delete()
    assert not [one for one in shop.living() if foreign in one]


def told_of_children(shop, server) -> tuple[int, str]:
    answer = shop.platform.deprovision(server.id, server.ordered.plan_id, server.ordered.service_id)
    return answer.status_code, answer.json()["description"]


def test_a_login_that_defined_a_view_is_locked_and_its_view_goes_on(shop, whole):
    definer, other = whole.bind(), whole.bind()
    with signed_in(shop, definer.credentials) as cursor:
        cursor.execute("CREATE TABLE seen (n int)")
        cursor.execute("CREATE VIEW looked AS SELECT n FROM seen")

    definer.unbind()

    assert refusal(shop, definer.credentials) == ACCESS_DENIED
    with signed_in(shop, other.credentials) as cursor:
        cursor.execute("SELECT COUNT(*) FROM looked")
        assert cursor.fetchall() == ((0,),)
        cursor.execute("DROP VIEW looked")
        cursor.execute("DROP TABLE seen")
    other.unbind()


def test_a_binding_can_be_undone_after_the_server_is_gone(shop):
    instance = shop.order(WHOLE)
    binding = instance.bind()
    server = binding.credentials["resourceId"].partition("/databases/")[0]
    shop.azure.call("DELETE", server, version=VERSION)
    wait_until(lambda: shop.read(server, VERSION).status_code == 404)

    binding.unbind()
    instance.delete()

    assert not [one for one in shop.living() if one.startswith(server.lower())]


def test_a_failed_order_tells_azures_reason_and_is_deleted(shop):
    shop.azure.fault(
        "deployment_failed", path="/deployments/", code="SkuNotAvailable", message="None left here."
    )

    with pytest.raises(Failed, match="None left here"):
        shop.order(WHOLE)


def test_a_broker_that_dies_while_it_binds_leaves_one_login_that_works(azure, migrated_file, tmp_path, shop):
    shutil.copy(migrated_file, tmp_path / "broker.db")
    world = World(azure, f"sqlite:///{tmp_path / 'broker.db'}", tmp_path)
    ordered = Ordered.of("azure-mysql")
    instance, binding = an_id(), an_id()
    try:
        broker = world.start()
        broker.platform.provision(instance, ordered.order())
        assert broker.platform.settle(instance).json()["state"] == "succeeded"
        broker.stop()

        broker, bound = through_death(
            world, At("after step", "bind", "verbs"), lambda p: p.bind(instance, binding, ordered.body())
        )

        credentials = bound.json()["credentials"]
        assert refusal(shop, credentials) == 0
        with signed_in(shop, credentials) as cursor:
            cursor.execute("SELECT CURRENT_USER()")
            assert cursor.fetchall() == ((f"{credentials['username']}@%",),)
        broker.platform.unbind(instance, binding, ordered.plan_id, ordered.service_id)
        assert refusal(shop, credentials) == ACCESS_DENIED
        broker.platform.gone(instance, ordered.plan_id, ordered.service_id)
        assert world.resources() == []
    finally:
        world.end()


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """The broker knows itself in Entra, so that servers get it as their administrator."""
    return {
        "azure_principal_id": str(uuid.uuid4()),
        "azure_principal_name": "osb",
        "azure_client_id": str(uuid.uuid4()),
    }


@pytest.mark.proves("azure-mysql", "entra")
def test_a_server_with_an_identity_has_the_broker_as_its_administrator_in_entra(shop, settings):
    group = f"{shop.azure.subscription}/resourceGroups/{shop.world.group}"
    identity = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-of-server"
    client = str(uuid.uuid4())

    instance = shop.order(WHOLE, identityId=identity)

    by_password = instance.bind()
    seen = server_of(shop, by_password.credentials)
    (there,) = [one for one in shop.living("administrators") if seen["name"] in one]
    properties = shop.read(there, VERSION).json()["properties"]
    assert list(seen["identity"]["userAssignedIdentities"]) == [identity]
    assert (properties["login"], properties["sid"]) == ("osb", settings["azure_client_id"])
    assert properties["identityResourceId"] == identity
    # A real MySQL knows nothing of Entra: the broker's token is no password there.
    status = instance.ask_bind(an_id(), auth="entra", clientId=client)
    assert status.status_code >= 400
    assert "does not let the broker's own Entra identity in" in status.json()["description"]
    instance.delete()
    assert not [one for one in shop.living() if seen["name"] in one]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"auth": "entra"}, "clientId"),
        ({"auth": "entra", "clientId": "me"}, "clientId"),
        ({"auth": "entra", "clientId": str(uuid.uuid4()), "principalType": "Group"}, "principalType"),
        ({"auth": "sas"}, "auth"),
    ],
)
def test_a_bind_for_entra_that_cannot_be_is_refused_with_the_reason(shop, whole, given, words):
    status, sentence = whole.bind_refusal(**given)

    assert status == 400
    assert words in sentence
