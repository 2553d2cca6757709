"""Caches with a real Redis server behind them: what is handed out signs in, and what was changed does not."""

import ssl
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.needs import the_program
from tests.services.shop import Failed
from tests.simulated import StandInDatabases, a_simulator, wait_until

pytestmark = pytest.mark.needs("redis")
VERSION = "2025-07-01"
ONCE = Retry(NoBackoff(), 0)
OPEN = {"publicNetworkAccess": "Enabled"}


@pytest.fixture(scope="module")
def azure(tmp_path_factory):
    folder = tmp_path_factory.mktemp("azure-with-redis")
    (program,) = the_program("redis")
    with a_simulator(folder, StandInDatabases(), redis_server=Path(program)) as started:
        yield started


@pytest.fixture(scope="module")
def signed_in(azure):
    """A client of redis-py, by the URI alone; the certificate is checked, and so is the name in it."""

    def client(credentials):
        return redis.Redis.from_url(
            credentials["uri"], ssl_ca_certs=azure.access.ca_file, ssl_check_hostname=True, retry=ONCE
        )

    return client


def regenerate(azure, credentials, which):
    """Change one of a cache's keys in Azure, past the broker, and wait until it is changed."""
    database = credentials["resourceId"]
    before = azure.call("POST", f"{database}/listKeys", version=VERSION).json()
    asked = azure.call("POST", f"{database}/regenerateKey", {"keyType": which}, version=VERSION)
    assert asked.status_code == 202, asked.text
    wait_until(lambda: azure.call("POST", f"{database}/listKeys", version=VERSION).json() != before)
    wait_until(lambda: state_of(azure, database) == "Succeeded")


def state_of(azure, resource):
    return azure.call("GET", resource, version=VERSION).json()["properties"]["provisioningState"]


@pytest.mark.proves("azure-managed-redis", "provision")
@pytest.mark.proves("azure-managed-redis", "bind key")
@pytest.mark.proves("azure-managed-redis", "revoke key (cannot be)")
def test_a_key_signs_in_until_it_is_changed_and_unbinding_alone_does_not_change_it(shop, azure, signed_in):
    cache = shop.order("azure-managed-redis/balanced", **OPEN)
    primary, secondary = cache.bind(), cache.bind(keyName="secondary")

    assert signed_in(primary.credentials).set("k", "v")
    assert signed_in(secondary.credentials).get("k") == b"v"
    assert primary.credentials["password"] != secondary.credentials["password"]

    primary.unbind()
    assert signed_in(primary.credentials).get("k") == b"v"
    regenerate(azure, primary.credentials, "Primary")
    with pytest.raises(redis.AuthenticationError):
        signed_in(primary.credentials).ping()
    assert signed_in(secondary.credentials).ping()

    cache.delete()
    assert shop.living() == []


def test_credentials_have_the_keys_that_old_and_new_apps_look_for(shop, azure):
    cache = shop.order("azure-managed-redis/balanced", **OPEN)
    credentials = cache.bind().credentials

    whole = urlsplit(credentials["uri"])
    assert (whole.scheme, whole.hostname, whole.port, whole.path) == (
        "rediss",
        credentials["host"],
        10000,
        "/0",
    )
    assert redis.connection.parse_url(credentials["uri"])["password"] == credentials["password"]
    assert (credentials["port"], credentials["tls_port"], credentials["tls"]) == (10000, 10000, True)
    assert (credentials["type"], credentials["provider"], credentials["auth"]) == ("redis", "azure", "key")
    assert credentials["hostname"] == credentials["host"]
    cache.delete()


@pytest.mark.proves("azure-managed-redis", "bind entra")
@pytest.mark.proves("azure-managed-redis", "entra")
@pytest.mark.proves("azure-managed-redis", "revoke entra (not provable here)")
def test_an_identity_has_access_of_the_bindings_own_that_ends_with_it(shop, azure):
    cache = shop.order("azure-managed-redis/balanced")
    principal, client = str(uuid.uuid4()), str(uuid.uuid4())

    bound = cache.bind(auth="entra", principalId=principal, clientId=client)

    (assignment,) = shop.living("accesspolicyassignments")
    properties = shop.read(assignment, VERSION).json()["properties"]
    assert (properties["accessPolicyName"], properties["user"]["objectId"]) == ("default", principal)
    assert (bound.credentials["username"], bound.credentials["clientId"]) == (principal, client)
    assert bound.credentials["scope"] == "https://redis.azure.com/.default"
    assert not {"password", "uri"} & set(bound.credentials)

    bound.unbind()
    assert shop.living("accesspolicyassignments") == []
    cache.delete()
    assert shop.living() == []


@pytest.mark.proves("azure-managed-redis", "update")
@pytest.mark.proves("azure-managed-redis", "plan change")
def test_a_cache_grows_moves_to_another_plan_and_is_closed_and_opened(shop, azure, signed_in):
    cache = shop.order("azure-managed-redis/balanced", persistence="rdb-6h")
    bound = cache.bind()
    with pytest.raises(redis.ConnectionError):
        signed_in(bound.credentials).ping()

    cache.update(skuName="Balanced_B3", evictionPolicy="AllKeysLRU", persistence="aof-1s", **OPEN)

    database = shop.read(bound.credentials["resourceId"], VERSION).json()["properties"]
    assert signed_in(bound.credentials).set("kept", "1")
    assert database["evictionPolicy"] == "AllKeysLRU"
    assert {key: value for key, value in database["persistence"].items() if value} == {
        "aofEnabled": True,
        "aofFrequency": "1s",
    }
    cache.update("compute-optimized", skuName="ComputeOptimized_X5")
    cluster = shop.read(bound.credentials["resourceId"].rpartition("/databases/")[0], VERSION).json()
    assert cluster["sku"]["name"] == "ComputeOptimized_X5"
    assert signed_in(bound.credentials).get("kept") == b"1"

    cache.update(accessKeysAuthentication="Disabled")
    with pytest.raises(redis.AuthenticationError):
        signed_in(bound.credentials).ping()
    assert "Bind with auth entra" in cache.bind_refused(422, "NotPossible")
    cache.delete()


def test_a_size_that_azure_refuses_leaves_the_cache_as_it_was(shop, azure, signed_in):
    cache = shop.order("azure-managed-redis/balanced", skuName="Balanced_B5", **OPEN)
    bound = cache.bind()
    azure.fault(
        "deployment_failed",
        method="PUT",
        resource=r"redisEnterprise/[^/]+$",
        code="BadRequest",
        message="The data does not fit into Balanced_B0.",
    )

    with pytest.raises(Failed, match=r"does not fit into Balanced_B0"):
        cache.update(skuName="Balanced_B0")

    cluster = shop.read(bound.credentials["resourceId"].rpartition("/databases/")[0], VERSION).json()
    assert cluster["sku"]["name"] == "Balanced_B5"
    assert signed_in(bound.credentials).ping()
    cache.delete()


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"skuName": "MemoryOptimized_M10"}, "skuName"),
        ({"skuName": "Enterprise_E1"}, "skuName"),
        ({"clusteringPolicy": "Sharded"}, "clusteringPolicy"),
        ({"modules": ["RediSearch"]}, "RediSearch needs evictionPolicy 'NoEviction'"),
        ({"modules": ["RediSearch"], "evictionPolicy": "NoEviction", "clusteringPolicy": "NoCluster"},
         "RediSearch needs clusteringPolicy 'EnterpriseCluster'"),
        ({"modules": ["RedisJSON", "RedisJSON"]}, "modules"),
        ({"modules": ["RedisGears"]}, "modules"),
        ({"persistence": "rdb-15"}, "persistence"),
        ({"location": "atlantis"}, "atlantis"),
        ({"clusterName": "mine"}, "clusterName"),
        ({"enableNonSslPort": "enabled"}, "port 10000"),
        ({"skuCapacity": 1}, "skuName"),
        ({"shardCount": 2}, "clusteringPolicy"),
        ({"redisConfiguration": {"rdb-backup-enabled": "enabled"}}, "persistence"),
        ({"subnetSettings": {"subnetId": "x"}}, "private endpoint"),
        ({"resourceGroup": "mine"}, "operator"),
    ],
)  # fmt: skip
def test_an_order_that_cannot_work_is_refused_before_anything_is_made(shop, parameters, told):
    status, sentence = shop.refusal("azure-managed-redis/balanced", **parameters)

    assert status == 400
    assert told in sentence
    assert shop.living() == []


def test_what_is_for_good_and_what_is_no_principal_is_refused(shop):
    cache = shop.order("azure-managed-redis/balanced", modules=["RedisJSON"])

    for parameters in ({"clusteringPolicy": "NoCluster"}, {"modules": []}, {"location": "northeurope"}):
        status, sentence = cache.update_refusal(**parameters)
        assert (status, next(iter(parameters)) in sentence) == (400, True)
    principal = str(uuid.uuid4())
    for parameters, word in (
        ({"auth": "entra"}, "principalId"),
        ({"auth": "entra", "principalId": "everybody"}, "principalId"),
        ({"auth": "entra", "principalId": principal, "principalType": "Group"}, "principalType"),
        ({"auth": "password"}, "auth"),
        ({"keyName": "third"}, "keyName"),
    ):
        status, sentence = cache.bind_refusal(**parameters)
        assert (status, word in sentence) == (400, True)
    cache.delete()


def test_nobody_comes_in_without_tls(shop, azure):
    cache = shop.order("azure-managed-redis/balanced", **OPEN)
    credentials = cache.bind().credentials
    plain = redis.Redis(
        host=credentials["host"], port=credentials["port"], password=credentials["password"], retry=ONCE
    )
    unchecked = redis.Redis.from_url(
        credentials["uri"], ssl_ca_certs=ssl.get_default_verify_paths().cafile, retry=ONCE
    )

    with pytest.raises(redis.ConnectionError):
        plain.ping()
    with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        unchecked.ping()
    cache.delete()
