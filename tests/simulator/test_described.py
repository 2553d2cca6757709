"""Types without a behaviour of their own: by their model, or taken as they come."""

import json

import pytest

from tests import teapots
from tests.simulated import StandInDatabases, a_simulator, wait_until

STORES = f"providers/{teapots.TYPE}"
CUPS = "Microsoft.Teacups/shelves"


@pytest.fixture(scope="module")
def azure(tmp_path_factory):
    folder = tmp_path_factory.mktemp("described")
    models = teapots.catalog(folder / "catalog") / "models"
    with a_simulator(
        folder / "azure", StandInDatabases(), models=models, unchecked=((CUPS, "2031-01-01"),)
    ) as started:
        yield started


def made(azure, path, body, version=teapots.VERSION):
    whole = f"/resourceGroups/{azure.a_group()}/{path}"
    reply = azure.call("PUT", whole, body, version=version)
    assert reply.status_code == 201, reply.text

    def done():
        found = azure.call("GET", whole, version=version).json()
        return found if found["properties"]["provisioningState"] == "Succeeded" else None

    return whole, wait_until(done)


def a_store(**properties):
    return {"location": "westeurope", "properties": {"cups": 2, **properties}}


def test_a_get_shows_what_the_model_says_is_read_only(azure):
    _, store = made(azure, f"{STORES}/pots", a_store())

    properties = store["properties"]
    assert properties["endpoint"] == "https://pots.simulated.invalid"
    assert properties["hostName"] == "pots.simulated.invalid"
    assert len(properties["storeId"]) == 36
    assert (properties["isOpen"], properties["port"], properties["cups"]) == (False, 443, 2)
    assert properties["created"]["createdTime"].startswith("20")


def test_what_the_model_calls_a_secret_is_not_shown_again(azure):
    _, store = made(azure, f"{STORES}/secretive", a_store(secret="of-this-test"))

    assert "of-this-test" not in json.dumps(store)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (a_store(lids=1), "has no such property"),
        (a_store(colour="blue"), "is not one of red, green"),
        (a_store() | {"location": "atlantis"}, "is not available for resource type"),
    ],
)
def test_what_the_model_does_not_know_is_refused(azure, body, says):
    reply = azure.call("PUT", f"/resourceGroups/{azure.a_group()}/{STORES}/x", body, version=teapots.VERSION)

    assert reply.status_code == 400
    assert says in reply.json()["error"]["message"]


def test_an_action_answers_in_the_models_form_and_always_the_same(azure):
    path, _ = made(azure, f"{STORES}/keyed", a_store())

    first = azure.call("POST", f"{path}/listKeys", version=teapots.VERSION).json()
    again = azure.call("POST", f"{path}/listKeys", version=teapots.VERSION).json()

    assert [(key["name"], key["readOnly"]) for key in first["value"]] == [
        ("Primary", False),
        ("Secondary", False),
        ("Primary Read Only", True),
        ("Secondary Read Only", True),
    ]
    assert len({key["value"] for key in first["value"]}) == 4
    assert again == first


def test_keys_end_with_their_resource(azure):
    path, _ = made(azure, f"{STORES}/renewed", a_store())
    before = azure.call("POST", f"{path}/listKeys", version=teapots.VERSION).json()
    azure.call("DELETE", path, version=teapots.VERSION)
    wait_until(lambda: azure.call("GET", path, version=teapots.VERSION).status_code == 404)
    azure.call("PUT", path, a_store(), version=teapots.VERSION)

    def keys():
        reply = azure.call("POST", f"{path}/listKeys", version=teapots.VERSION)
        return reply.json() if reply.status_code == 200 else None

    assert wait_until(keys) != before


def test_an_action_that_the_model_does_not_tell_of_is_refused(azure):
    path, _ = made(azure, f"{STORES}/silent", a_store())

    reply = azure.call("POST", f"{path}/listSecrets", version=teapots.VERSION)

    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "InvalidResourceAction")


def test_of_a_type_without_a_model_anything_is_taken_at_its_api_version_alone(azure):
    path, shelf = made(azure, f"providers/{CUPS}/top", {"properties": {"any": [1]}}, version="2031-01-01")
    keys = azure.call("POST", f"{path}/listKeys", version="2031-01-01").json()
    another = azure.call("GET", path, version="2030-01-01")

    assert shelf["properties"]["any"] == [1]
    assert shelf["properties"]["endpoint"] == "https://top.simulated.invalid"
    assert (
        keys["primaryKey"]
        == azure.call("POST", f"{path}/listKeys", version="2031-01-01").json()["primaryKey"]
    )
    assert another.json()["error"]["code"] == "NoRegisteredProviderFound"


def test_types_of_a_team_stand_in_the_list_of_providers(azure):
    for namespace, name, version in (
        ("Microsoft.Teapots", "stores", teapots.VERSION),
        ("Microsoft.Teacups", "shelves", "2031-01-01"),
    ):
        provider = azure.call("GET", f"/providers/{namespace}").json()

        assert provider["registrationState"] == "Registered"
        assert [(t["resourceType"], t["apiVersions"]) for t in provider["resourceTypes"]] == [
            (name, [version])
        ]
