"""Keys that are changed in Azure behind the broker's back: read again on order, whatever the service."""

import json
import secrets
from pathlib import Path

import httpx
import pytest
import redis
from azure.storage.blob import ContainerClient
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.end_to_end.world import World
from tests.needs import the_program
from tests.services.shop import Shop
from tests.simulated import StandInDatabases, a_simulator, wait_until

pytestmark = pytest.mark.needs("redis")
ACCOUNTS, CACHES = "2026-09-01", "2025-07-01"
PRINCIPAL = "0f3d8f5e-7d5b-4c43-9ce0-6a3e6a1d3c11"


class Operator:
    """What operators ask of the admin API."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._headers = f"{url}/admin/v1", {"Authorization": f"Bearer {token}"}

    def binding(self, binding):
        return self.ask("GET", f"/instances/{binding.instance.id}/bindings/{binding.id}")["binding"]

    def refresh(self, binding, **changes):
        path = f"/instances/{binding.instance.id}/bindings/{binding.id}/refresh"
        return self.ended(self.ask("POST", path, **changes))

    def ask(self, method, path, expected=200, **changes):
        body = {"reason": "A key was changed.", **changes} if method == "POST" else None
        answer = httpx.request(
            method, self._url + path, json=body, headers=self._headers, trust_env=False, timeout=30
        )
        assert answer.status_code == expected, answer.text
        return answer.json()

    def check(self):
        """Have the keys compared, and return the ids of the bindings that are stale then."""
        before = self.ask("GET", "/bindings/check").get("finished_at")
        self.ask("POST", "/bindings/check")
        wait_until(lambda: self.ask("GET", "/bindings/check").get("finished_at") != before)
        self.last = self.ask("GET", "/bindings/check")
        return {one["binding_id"] for one in self.ask("GET", "/bindings?stale=true")["items"]}

    def ended(self, done):
        """The operations of a deed, each at its end."""
        return [wait_until(lambda one=one: self._finished(one)) for one in done["operations"]]

    def _finished(self, operation):
        found = self.ask("GET", f"/operations/{operation}")["operation"]
        return found if found["status"] != "in progress" else None


@pytest.fixture(scope="module")
def azure(tmp_path_factory):
    folder = tmp_path_factory.mktemp("azure-with-redis")
    (program,) = the_program("redis")
    with a_simulator(folder, StandInDatabases(), redis_server=Path(program)) as started:
        yield started


@pytest.fixture
def shop(azure, database_url, tmp_path):
    world = World(azure, database_url, tmp_path)
    token = secrets.token_urlsafe(24)
    operators = json.dumps({"alice": {"role": "operate", "tokens": [token]}})
    try:
        broker = world.start(operators=operators)
        made = Shop(world, broker.platform)
        made.operator = Operator(broker.url, token)
        yield made
    finally:
        world.end()


def change_key(azure, resource, version, body):
    """Have Azure make a key anew, past the broker, and wait until it has."""
    before = azure.call("POST", f"{resource}/listKeys", version=version).json()
    asked = azure.call("POST", f"{resource}/regenerateKey", body, version=version)
    assert asked.status_code in {200, 202}, asked.text
    wait_until(lambda: azure.call("POST", f"{resource}/listKeys", version=version).json() != before)


def works(azure, credentials):
    once = Retry(NoBackoff(), 0)
    with redis.Redis.from_url(credentials["uri"], ssl_ca_certs=azure.access.ca_file, retry=once) as client:
        try:
            return client.ping()
        except redis.AuthenticationError:
            return False


@pytest.mark.proves("azure-managed-redis", "revoke key (cannot be)")
def test_a_refreshed_binding_signs_in_again_and_its_secret_is_nowhere_in_clear(shop, azure):
    cache = shop.order("azure-managed-redis/balanced", publicNetworkAccess="Enabled")
    bound, other = cache.bind(), cache.bind(keyName="secondary")
    change_key(azure, bound.credentials["resourceId"], CACHES, {"keyType": "Primary"})
    wait_until(lambda: not works(azure, bound.credentials))
    assert bound.fetched() == bound.credentials

    (ended,) = shop.operator.refresh(bound)

    assert (ended["kind"], ended["status"]) == ("refresh", "succeeded")
    assert "have changed" in ended["description"]
    renewed = bound.fetched()
    assert renewed["password"] != bound.credentials["password"]
    assert works(azure, renewed)
    assert {key for key in renewed if renewed[key] != bound.credentials[key]} == {"password", "uri"}
    (unchanged,) = shop.operator.refresh(other)
    assert "are the same" in unchanged["description"]
    told = json.dumps([ended, shop.operator.binding(bound), shop.world.log.read_text()])
    assert renewed["password"] not in told
    again = shop.platform.bind(cache.id, bound.id, cache.ordered.body(parameters={}))
    assert (again.status_code, again.json()["credentials"]) == (200, renewed)
    cache.delete()


def test_a_storage_key_and_a_token_signed_with_it_are_renewed_and_the_token_keeps_its_policy(shop, azure):
    blob = shop.order("azure-storage-blob/standard-lrs", allowAllNetworks=True)
    by_key, by_token = blob.bind(), blob.bind(auth="sas")
    account = by_key.credentials["resourceId"].partition("/blobServices")[0]
    change_key(azure, account, ACCOUNTS, {"keyName": "key1"})

    done = shop.operator.ask("POST", f"/bindings/refresh?instance_id={blob.id}")
    assert [one["status"] for one in shop.operator.ended(done)] == ["succeeded"] * 2

    renewed = by_token.fetched()
    changed = {key for key in renewed if renewed[key] != by_token.credentials[key]}
    assert changed == {"sasToken", "uri", "connectionString"}
    assert renewed["uri"].startswith(by_token.credentials["uri"].partition("?")[0])
    with ContainerClient.from_container_url(
        renewed["uri"], connection_verify=azure.access.ca_file, retry_total=0
    ) as container:
        container.upload_blob("greeting", b"hello")
        assert container.download_blob("greeting").readall() == b"hello"
    assert by_key.fetched()["accessKey"] != by_key.credentials["accessKey"]
    blob.delete()
    assert shop.living() == []


def test_a_changed_key_is_noticed_without_a_key_being_stored_and_all_stale_bindings_are_mended(shop, azure):
    cache = shop.order("azure-managed-redis/balanced", publicNetworkAccess="Enabled")
    blob = shop.order("azure-storage-blob/standard-lrs")
    primary, secondary = cache.bind(), cache.bind(keyName="secondary")
    by_key, by_token, by_role = (
        blob.bind(),
        blob.bind(auth="sas"),
        blob.bind(auth="entra", principalId=PRINCIPAL),
    )
    assert shop.operator.check() == set()
    assert shop.operator.last["looked_at"] == 4
    change_key(azure, primary.credentials["resourceId"], CACHES, {"keyType": "Primary"})
    account = by_key.credentials["resourceId"].partition("/blobServices")[0]
    change_key(azure, account, ACCOUNTS, {"keyName": "key1"})
    posts = len(shop.world.calls("POST", "listKeys"))

    assert shop.operator.check() == {primary.id, by_key.id, by_token.id}

    assert len(shop.world.calls("POST", "listKeys")) - posts == 2, "one call for all bindings of a resource"
    assert shop.operator.binding(primary)["stale_since"]
    assert "stale_since" not in shop.operator.binding(secondary)
    assert "keys_checked_at" not in shop.operator.binding(by_role)
    foretold = shop.operator.ask("POST", "/bindings/refresh", dry_run=True)
    assert (len(foretold["effects"]), foretold["operations"]) == (3, [])
    ended = shop.operator.ended(shop.operator.ask("POST", "/bindings/refresh"))

    assert [one["status"] for one in ended] == ["succeeded"] * 3
    assert shop.operator.ask("GET", "/bindings?stale=true")["items"] == []
    assert works(azure, primary.fetched())
    deeds = shop.world.rows("SELECT action FROM audit WHERE actor = 'operator alice' ORDER BY number")
    assert [row[0] for row in deeds] == [*["compare keys"] * 2, *["refresh"] * 3]
    for instance in (cache, blob):
        instance.delete()


def test_a_store_whose_keys_azure_does_not_tell_is_no_stale_one_and_is_named(shop, azure):
    store = shop.order("azure-app-configuration/standard")
    bound = store.bind()
    path = "configurationStores/.*/listKeys"
    azure.fault("error", method="POST", path=path, status=403, code="AuthorizationFailed", count=None)

    assert shop.operator.check() == set()
    assert bound.id in shop.operator.last["trouble"]
    (failed,) = shop.operator.refresh(bound)
    assert failed["status"] == "failed"
    assert bound.fetched() == bound.credentials

    azure.reset()
    store.delete()


def test_what_holds_no_keys_is_not_refreshed_and_an_unbind_goes_before_a_refresh(shop, azure):
    store = shop.order("azure-app-configuration/standard")
    by_role, by_key = store.bind(auth="entra", principalId=PRINCIPAL), store.bind()
    path = f"/instances/{store.id}/bindings/{{}}/refresh"

    (nothing,) = shop.operator.refresh(by_role)
    assert (nothing["status"], "nothing to read again" in nothing["description"]) == ("failed", True)
    assert shop.operator.ask("POST", path.format("nobody"), expected=404)["error"] == "NotFound"

    azure.fault("error", method="POST", path="configurationStores/.*/listKeys", status=503, count=None)
    first = shop.operator.ask("POST", path.format(by_key.id))
    assert shop.operator.ask("POST", path.format(by_key.id))["operations"] == first["operations"]
    by_key.unbind()
    (superseded,) = shop.operator.ended(first)
    assert superseded["status"] == "failed"
    azure.reset()
    store.delete()
    assert shop.living() == []
