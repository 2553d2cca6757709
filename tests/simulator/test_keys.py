"""Keys that no body shows: listed, made anew at once or over time, for accounts and for authorization rules."""

import uuid

import pytest

from tests.simulated import wait_until
from tests.simulator.test_nested_deployments import deployed, template

SERVICE_BUS, COSMOS = "Microsoft.ServiceBus/namespaces", "Microsoft.DocumentDB/databaseAccounts"
VERSIONS = {SERVICE_BUS: "2026-01-01", COSMOS: "2026-03-15"}


def made(simulator, kind, body):
    """The path of a new resource of this type."""
    path = f"/resourceGroups/{simulator.a_group()}/providers/{kind}/x{uuid.uuid4().hex[:12]}"
    reply = simulator.call("PUT", path, {"location": "westeurope", **body}, version=VERSIONS[kind])
    assert reply.status_code in {200, 201}, reply.text
    assert reply.json()["properties"]["provisioningState"] == "Creating"
    get = lambda: simulator.call("GET", path, version=VERSIONS[kind]).json()  # noqa: E731
    wait_until(lambda: get()["properties"]["provisioningState"] == "Succeeded")
    return path


@pytest.fixture
def namespace(simulator):
    return made(simulator, SERVICE_BUS, {"sku": {"name": "Standard", "tier": "Standard"}})


@pytest.fixture
def account(simulator):
    location = {"locationName": "westeurope", "failoverPriority": 0}
    return made(
        simulator, COSMOS, {"properties": {"databaseAccountOfferType": "Standard", "locations": [location]}}
    )


def post(simulator, path, action, body=None):
    version = VERSIONS[SERVICE_BUS if SERVICE_BUS in path else COSMOS]
    return simulator.call("POST", f"{path}/{action}", body, version=version)


def put(simulator, path, body):
    return simulator.call("PUT", path, body, version=VERSIONS[SERVICE_BUS])


def test_a_rule_of_its_own_has_keys_of_its_own_until_it_is_deleted(simulator, namespace):
    rule = f"{namespace}/authorizationRules/app"
    name = namespace.rpartition("/")[2]
    made = put(simulator, rule, {"properties": {"rights": ["Send", "Listen"]}})

    keys = post(simulator, rule, "listKeys").json()
    root = post(simulator, f"{namespace}/authorizationRules/RootManageSharedAccessKey", "listKeys").json()
    deleted = simulator.call("DELETE", rule, version=VERSIONS[SERVICE_BUS])

    assert made.status_code == 200
    assert set(keys) == {
        "primaryConnectionString",
        "secondaryConnectionString",
        "primaryKey",
        "secondaryKey",
        "keyName",
    }
    assert keys["primaryConnectionString"] == (
        f"Endpoint=sb://{name}.servicebus.windows.net/;SharedAccessKeyName=app;SharedAccessKey={keys['primaryKey']}"
    )
    assert len({keys["primaryKey"], keys["secondaryKey"], root["primaryKey"], root["secondaryKey"]}) == 4
    assert keys["primaryKey"] not in made.text
    assert deleted.status_code == 200
    assert post(simulator, rule, "listKeys").json()["error"]["code"] == "ResourceNotFound"


def test_one_key_of_a_rule_is_made_anew_and_the_other_stays(simulator, namespace):
    put(simulator, f"{namespace}/queues/orders", {"properties": {"maxDeliveryCount": 3}})
    rule = f"{namespace}/queues/orders/authorizationRules/app"
    put(simulator, rule, {"properties": {"rights": ["Listen"]}})
    before = post(simulator, rule, "listKeys").json()

    renewed = post(simulator, rule, "regenerateKeys", {"keyType": "PrimaryKey"})
    after = post(simulator, rule, "listKeys").json()

    assert renewed.status_code == 200
    assert renewed.json() == after
    assert after["primaryKey"] != before["primaryKey"]
    assert after["secondaryKey"] == before["secondaryKey"]
    assert after["primaryConnectionString"].endswith(";EntityPath=orders")
    assert post(simulator, rule, "regenerateKeys", {"keyType": "Third"}).status_code == 400


@pytest.mark.parametrize("rights", [[], ["Manage"], ["Read"], "Send"])
def test_rights_that_azure_refuses_are_refused(simulator, namespace, rights):
    reply = put(simulator, f"{namespace}/authorizationRules/bad", {"properties": {"rights": rights}})

    assert reply.status_code == 400


def test_a_key_that_takes_long_to_make_is_followed_to_its_end(simulator, account):
    before = post(simulator, account, "listKeys").json()
    simulator.clock(speed=0)

    begun = post(simulator, account, "regenerateKey", {"keyKind": "primary"})
    busy = post(simulator, account, "regenerateKey", {"keyKind": "secondary"})
    during = simulator.client.get(begun.headers["Location"])
    unchanged = post(simulator, account, "listKeys").json()
    simulator.clock(advance=60)
    wait_until(lambda: simulator.client.get(begun.headers["Location"]).status_code == 200)
    after = post(simulator, account, "listKeys").json()

    assert (begun.status_code, begun.content) == (202, b"")
    assert during.status_code == 202
    assert busy.status_code == 409
    assert unchanged == before
    assert {name for name in before if before[name] != after[name]} == {"primaryMasterKey"}
    assert post(simulator, account, "regenerateKey", {"keyKind": "third"}).status_code == 400


def test_the_endpoint_of_an_account_stands_in_its_properties_and_its_keys_do_not(simulator, account):
    shown = simulator.call("GET", account, version=VERSIONS[COSMOS])
    keys = post(simulator, account, "listKeys").json()
    strings = post(simulator, account, "listConnectionStrings").json()["connectionStrings"]

    endpoint = shown.json()["properties"]["documentEndpoint"]
    assert endpoint == f"https://{account.rpartition('/')[2]}.documents.azure.com:443/"
    assert (
        strings[0]["connectionString"] == f"AccountEndpoint={endpoint};AccountKey={keys['primaryMasterKey']};"
    )
    assert not any(key in shown.text for key in keys.values())
    assert set(post(simulator, account, "readonlykeys").json()) < set(keys)


def test_keys_are_not_told_while_a_resource_is_being_created(simulator):
    path = f"/resourceGroups/{simulator.a_group()}/providers/{COSMOS}/x{uuid.uuid4().hex[:12]}"
    location = {"locationName": "westeurope"}
    body = {
        "location": "westeurope",
        "properties": {"databaseAccountOfferType": "Standard", "locations": [location]},
    }
    simulator.clock(speed=0)
    simulator.call("PUT", path, body, version=VERSIONS[COSMOS])

    refused = post(simulator, path, "listKeys")
    unknown = post(simulator, path + "x", "listKeys")

    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "ResourceNotReady")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "ResourceNotFound")


def test_a_template_makes_a_rule_and_lists_its_keys_for_another_resource(simulator):
    name = f"x{uuid.uuid4().hex[:12]}"
    namespace = {
        "type": SERVICE_BUS,
        "apiVersion": VERSIONS[SERVICE_BUS],
        "name": name,
        "location": "westeurope",
        "sku": {"name": "Standard"},
    }
    rule = {
        "type": f"{SERVICE_BUS}/authorizationRules",
        "apiVersion": VERSIONS[SERVICE_BUS],
        "name": f"{name}/app",
        "properties": {"rights": ["Send"]},
        "dependsOn": ["namespace"],
    }
    outputs = {"name": {"type": "string", "value": "[listKeys('rule', '2026-01-01').keyName]"}}

    shown = deployed(
        simulator, simulator.a_group(), template({"namespace": namespace, "rule": rule}, outputs=outputs)
    )

    assert shown["provisioningState"] == "Succeeded", shown["error"]
    assert shown["outputs"]["name"]["value"] == "app"


def test_a_namespaces_rules_are_twelve_with_the_one_that_it_has_from_the_start(simulator, namespace):
    rules = f"{namespace}/authorizationRules"
    made = [put(simulator, f"{rules}/r{n}", {"properties": {"rights": ["Send"]}}) for n in range(12)]

    listed = simulator.call("GET", rules, version=VERSIONS[SERVICE_BUS]).json()["value"]

    assert [reply.status_code for reply in made] == [200] * 11 + [400]
    assert "12 are allowed" in made[-1].text
    assert [rule["name"] for rule in listed] == ["RootManageSharedAccessKey", *(f"r{n}" for n in range(11))]
