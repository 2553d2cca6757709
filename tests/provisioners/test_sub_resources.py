"""Sub-resources of bindings, before and while they are made; and a deletion that has only the purge left."""

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import anyio
import pytest

from broker.provisioners import sub_resources
from broker.provisioners.base import Outcome
from tests.simulated import wait_until

ACCOUNT = "/subscriptions/s/resourceGroups/g/providers/Microsoft.DocumentDB/databaseAccounts/a"
SOURCE = {
    "record": {"main": {"id": ACCOUNT}},
    "names": {"database": "shop"},
    "parameters": {"roles": ["read"]},
}
USER = {
    "word": "user",
    "below": "record.main",
    "type": "Microsoft.DocumentDB/databaseAccounts/mongodbUserDefinitions",
    "api_version": "2026-03-15",
    "prefix": "app-",
}


def described(said, key, sealed=None):
    return sub_resources.child(said, SOURCE, key, {} if sealed is None else sealed)


def test_a_password_is_drawn_once_and_only_its_place_is_written_down():
    key, sealed = uuid.uuid4(), {}
    said = {**USER, "body": {"properties": {"more": [{"password": {"secret": "password"}}]}}}

    first = described(said, key, sealed)
    password = sealed["user"]["password"]
    again = described(said, key, sealed)

    assert (first, sealed) == (again, {"user": {"password": password}})
    assert password not in json.dumps(first)
    assert first["secrets"] == [["properties", "more", 0, "password"]]


def test_what_a_user_gives_is_never_taken_for_the_place_of_a_secret():
    source = {**SOURCE, "parameters": {"data": {"secret": "password"}}}
    said = {**USER, "body": {"properties": {"customData": {"pick": "parameters.data"}}}}
    sealed = {}

    made = sub_resources.child(said, source, uuid.uuid4(), sealed)

    assert made["body"] == {"properties": {"customData": {"secret": "password"}}}
    assert "secrets" not in made
    assert sealed == {}


def test_a_name_of_two_parts_is_known_by_its_own_to_the_body():
    key = uuid.uuid4()
    said = {
        **USER,
        "qualifier": "names.database",
        "body": {"properties": {"userName": {"pick": "child.name"}}},
    }

    made = described(said, key)

    assert made["id"] == f"{ACCOUNT}/mongodbUserDefinitions/shop.app-{key.hex}"
    assert made["name"] == made["body"]["properties"]["userName"] == f"app-{key.hex}"


def test_a_uuid_is_the_same_for_a_repeated_bind_and_another_one_for_each_binding():
    said = {key: value for key, value in USER.items() if key != "prefix"} | {"naming": "uuid"}
    key = uuid.uuid4()

    one, again, other = described(said, key), described(said, key), described(said, uuid.uuid4())

    assert one == again
    assert one["name"] != other["name"]
    assert str(uuid.UUID(one["name"])) == one["name"]


@pytest.fixture
def azure(simulator):
    return simulator


@pytest.mark.anyio
async def test_a_step_that_is_taken_twice_makes_one_user_with_the_password_that_is_handed_out(azure, order):
    account = order("azure-cosmosdb-mongo-account")
    assert (await account.create()).outcome is Outcome.DONE
    database = order("azure-cosmosdb-mongo-database", parent=account, repeat=True)
    assert (await database.create()).outcome is Outcome.DONE

    binding, bound = await database.bind()

    assert bound.outcome is Outcome.DONE, bound.description
    made = f"{account.instance.record['main']['id']}/mongodbUserDefinitions"
    [user] = azure.call("GET", made, version=USER["api_version"]).json()["value"]
    password = binding.credentials["password"]
    asked = azure.client.post("/_simulator/password", json={"id": user["id"], "password": password})
    assert asked.json() == {"right": True}
    assert password not in repr(binding.record) + repr(database.instance.record)
    assert (await database.unbind(binding)).outcome is Outcome.DONE
    assert azure.call("GET", made, version=USER["api_version"]).json()["value"] == []


@pytest.mark.anyio
async def test_nothing_is_handed_out_before_azure_has_made_it(azure, order):
    account = order("azure-cosmosdb-mongo-account")
    assert (await account.create()).outcome is Outcome.DONE
    database = order("azure-cosmosdb-mongo-database", parent=account)
    assert (await database.create()).outcome is Outcome.DONE

    azure.clock(speed=0)
    with anyio.move_on_after(0.5) as cut_off:
        await database.bind()
    azure.reset()
    [binding] = database.bindings
    waiting = database.bindings[binding].credentials
    bound = await database.go_on("bind", binding=binding)

    assert cut_off.cancelled_caught, "it waited"
    assert not waiting
    assert bound.outcome is Outcome.DONE
    puts = [
        call
        for call in azure.ledger()
        if call["method"] == "PUT" and "mongodbUserDefinitions" in call["path"]
    ]
    assert len([call for call in puts if database.bindings[binding].key.hex in call["path"]]) == 1


@pytest.mark.anyio
async def test_a_deletion_that_has_only_the_purge_left_does_that(azure, order):
    vault = order("azure-keyvault", purgeOnDelete=True)
    assert (await vault.create()).outcome is Outcome.DONE
    here, [kept] = vault.instance.record["main"]["id"], vault.instance.record["purge"]
    azure.call("DELETE", here, version=kept["api_version"])
    wait_until(lambda: azure.call("GET", kept["id"], version=kept["api_version"]).status_code == 200)
    vault.resources = {name: replace(one, gone_at=datetime.now(UTC)) for name, one in vault.resources.items()}

    deleted = await vault.delete()

    assert deleted.outcome is Outcome.DONE
    assert azure.call("GET", kept["id"], version=kept["api_version"]).status_code == 404
