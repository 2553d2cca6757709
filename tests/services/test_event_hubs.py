"""Event Hubs: namespaces, hubs and both in one; connection strings are read by the product's own client."""

import uuid

import pytest
from azure.eventhub import parse_connection_string

V = "2026-01-01"
NAMESPACE, HUB, WHOLE = "azure-eventhubs-namespace", "azure-eventhubs-hub", "azure-eventhubs"
CONTRACT = {"type", "provider", "auth", "host", "port", "resourceId", "eventHubNamespace"}
BY_KEY = CONTRACT | {
    "connectionString",
    "uri",
    "primaryKey",
    "username",
    "password",
    "shared_access_key_name",
}
OF_HUB = {"eventHubName", "consumerGroup"}
OWNER, SENDER, RECEIVER = (
    "f526a384-b230-433a-b45c-95f59c4a2dec",
    "2b629674-e913-4c01-ae53-ef4638d8f975",
    "a638d3c7-ab3a-418d-83e6-5f17a39d4fde",
)


@pytest.fixture(scope="module")
def namespace(shop):
    """A standard namespace that all tests of hubs share."""
    made = shop.order(f"{NAMESPACE}/standard", alias="events")
    yield made
    made.delete()


@pytest.fixture
def hub(shop, namespace):
    made = shop.order(f"{HUB}/hub", parentAlias="events")
    yield made
    made.delete()


def rule_of(credentials):
    return f"{credentials['resourceId']}/authorizationRules/{credentials['shared_access_key_name']}"


def group_of(credentials):
    return f"{credentials['resourceId']}/consumergroups/{credentials['consumerGroup']}"


def read_by_client(credentials):
    """What the product's own client reads; its namespace is the host."""
    read = parse_connection_string(credentials["connectionString"])
    assert read.fully_qualified_namespace == credentials["host"]
    assert read.shared_access_key_name == credentials["shared_access_key_name"] == credentials["username"]
    assert read.shared_access_key == credentials["primaryKey"] == credentials["password"]
    assert credentials["uri"] == credentials["connectionString"]
    return read


@pytest.mark.proves("azure-eventhubs", "provision")
@pytest.mark.proves("azure-eventhubs", "update")
@pytest.mark.proves("azure-eventhubs", "plan change")
@pytest.mark.proves("azure-eventhubs", "bind key")
@pytest.mark.proves("azure-eventhubs", "revoke key (not provable here)")
def test_a_hub_of_its_own_has_one_consumer_group_until_its_namespace_is_standard(shop):
    made = shop.order(f"{WHOLE}/basic", partitionCount=2)
    first = made.bind()
    there = first.credentials["resourceId"]

    assert set(first.credentials) == BY_KEY | OF_HUB
    assert first.credentials["consumerGroup"] == "$Default"
    assert read_by_client(first.credentials).eventhub_name == first.credentials["eventHubName"]
    assert shop.read(there, V).json()["properties"]["partitionCount"] == 2

    made.update("standard", messageRetentionInDays=7)
    second = made.bind(keyName="secondary")
    assert shop.read(there, V).json()["properties"]["messageRetentionInDays"] == 7
    assert set(second.credentials) == BY_KEY | OF_HUB | {"bootstrapServers"}
    assert second.credentials["bootstrapServers"] == f"{second.credentials['host']}:9093"
    assert shop.read(group_of(second.credentials), V).status_code == 200
    keys = shop.azure.call("POST", f"{rule_of(second.credentials)}/listKeys", version=V).json()
    assert second.credentials["primaryKey"] == keys["secondaryKey"]

    second.unbind()
    assert shop.read(group_of(second.credentials), V).status_code == 404
    assert shop.azure.call("POST", f"{rule_of(second.credentials)}/listKeys", version=V).status_code == 404
    made.delete()
    assert shop.read(there, V).status_code == 404


@pytest.mark.proves("azure-eventhubs-namespace", "provision")
@pytest.mark.proves("azure-eventhubs-namespace", "update")
@pytest.mark.proves("azure-eventhubs-namespace", "plan change")
@pytest.mark.proves("azure-eventhubs-namespace", "bind key")
@pytest.mark.proves("azure-eventhubs-namespace", "revoke key (not provable here)")
def test_a_namespace_is_ordered_changed_bound_and_deleted(shop):
    made = shop.order(f"{NAMESPACE}/basic", capacity=2)
    bound = made.bind(rights=["Manage"])
    there = bound.credentials["resourceId"]

    assert set(bound.credentials) == BY_KEY
    assert read_by_client(bound.credentials).eventhub_name is None
    assert sorted(shop.read(rule_of(bound.credentials), V).json()["properties"]["rights"]) == [
        "Listen",
        "Manage",
        "Send",
    ]
    made.update("standard", autoInflate=True, maximumThroughputUnits=10)
    changed = shop.read(there, V).json()
    assert changed["sku"] == {"name": "Standard", "tier": "Standard", "capacity": 2}
    assert (
        changed["properties"]["isAutoInflateEnabled"],
        changed["properties"]["maximumThroughputUnits"],
    ) == (
        True,
        10,
    )

    bound.unbind()
    assert shop.read(rule_of(bound.credentials), V).status_code == 404
    made.delete()
    assert shop.read(there, V).status_code == 404


@pytest.mark.proves("azure-eventhubs-hub", "provision")
@pytest.mark.proves("azure-eventhubs-hub", "update")
@pytest.mark.proves("azure-eventhubs-hub", "bind key")
@pytest.mark.proves("azure-eventhubs-hub", "revoke key (not provable here)")
def test_each_reader_of_a_hub_has_a_consumer_group_and_a_writer_has_none(shop, hub):
    reader, writer = hub.bind(rights=["Listen"]), hub.bind(rights=["Send"])
    there = reader.credentials["resourceId"]

    assert set(reader.credentials) == set(writer.credentials) == BY_KEY | OF_HUB | {"bootstrapServers"}
    assert writer.credentials["consumerGroup"] == "$Default"
    assert len(shop.living("/consumergroups")) == 1
    assert shop.read(rule_of(writer.credentials), V).json()["properties"]["rights"] == ["Send"]
    assert shop.read(rule_of(reader.credentials), V).json()["properties"]["rights"] == ["Listen"]

    hub.update(messageRetentionInDays=3)
    assert shop.read(there, V).json()["properties"]["messageRetentionInDays"] == 3
    reader.unbind()
    assert shop.living("/consumergroups") == []
    assert shop.read(rule_of(reader.credentials), V).status_code == 404


@pytest.mark.proves("azure-eventhubs-hub", "bind entra")
@pytest.mark.proves("azure-eventhubs-hub", "revoke entra (not provable here)")
@pytest.mark.proves("azure-eventhubs-namespace", "bind entra")
@pytest.mark.proves("azure-eventhubs-namespace", "revoke entra (not provable here)")
@pytest.mark.proves("azure-eventhubs", "bind entra")
@pytest.mark.proves("azure-eventhubs", "revoke entra (not provable here)")
def test_principals_get_the_roles_of_their_rights_until_they_are_unbound(shop, hub, namespace):
    whole = shop.order(f"{WHOLE}/standard", disableLocalAuth=True)
    wanted = {
        "reader": (hub, ["Listen"]),
        "both": (namespace, ["Send", "Listen"]),
        "owner": (whole, ["Manage"]),
    }

    bound = {
        name: one.bind(auth="entra", principalId=str(uuid.uuid4()), clientId=str(uuid.uuid4()), rights=rights)
        for name, (one, rights) in wanted.items()
    }

    scopes = {name: one.credentials["resourceId"] for name, one in bound.items()}
    assert {
        name: sorted(role["roleDefinitionId"][-36:] for role in shop.roles_at(scope))
        for name, scope in scopes.items()
    } == {"reader": [RECEIVER], "both": sorted([SENDER, RECEIVER]), "owner": [OWNER]}
    assert "password" not in bound["reader"].credentials
    assert bound["owner"].credentials["scope"] == "https://eventhubs.azure.net/.default"
    assert "Bind with auth entra" in whole.bind_refused(422, "NotPossible")
    for one in bound.values():
        one.unbind()
    assert [shop.roles_at(scope) for scope in scopes.values()] == [[], [], []]
    assert shop.living("/consumergroups") == []
    whole.delete()


@pytest.mark.parametrize(
    ("what", "parameters", "word"),
    [
        (f"{HUB}/hub", {"parentAlias": "events", "messageRetentionInDays": 30}, "7 days at most"),
        (f"{HUB}/hub", {"parentAlias": "events", "partitionCount": 64}, "premium namespace"),
        (f"{WHOLE}/basic", {"messageRetentionInDays": 2}, "messageRetentionInDays"),
        (f"{WHOLE}/basic", {"allowedAddresses": ["203.0.113.7"]}, "allowedAddresses"),
        (f"{WHOLE}/standard", {"autoInflate": True, "capacity": 4, "maximumThroughputUnits": 2}, "how far"),
        (f"{NAMESPACE}/premium", {"capacity": 3}, "capacity"),
        (f"{NAMESPACE}/standard", {"resourceGroup": "mine"}, "operator's choice"),
    ],
)
def test_what_cannot_be_is_refused_in_words(shop, namespace, what, parameters, word):
    status, sentence = shop.refusal(what, **parameters)

    assert status == 400
    assert word in sentence


def test_an_update_that_contradicts_what_was_ordered_changes_nothing(shop, hub):
    there = hub.bind(rights=["Send"]).credentials["resourceId"]

    status, told = hub.update_refusal(messageRetentionInDays=30)

    assert status == 400
    assert "7 days at most" in told
    assert shop.platform.settle(hub.id).json()["state"] == "succeeded"
    assert shop.read(there, V).json()["properties"]["messageRetentionInDays"] == 1


def test_consumer_groups_of_others_count_until_a_standard_hub_has_twenty(shop, hub):
    there = hub.bind(rights=["Send"]).credentials["resourceId"]
    for number in range(18):
        shop.azure.call("PUT", f"{there}/consumergroups/other-{number}", {"properties": {}}, version=V)
    last = hub.bind(rights=["Listen"])
    before, puts = shop.living(), len(shop.world.calls("PUT", "/authorizationRules/"))

    told = hub.bind_refused(422, "LimitReached", rights=["Listen"])

    assert "has 20 consumer groups, and Azure allows 20; bind again when there is room. Unbind" in told
    assert shop.living() == before
    assert len(shop.world.calls("PUT", "/authorizationRules/")) == puts, (
        "its rule was made before that was known"
    )
    assert hub.bind(rights=["Send"]).credentials["consumerGroup"] == "$Default"
    last.unbind()
    hub.bind(rights=["Listen"])


def test_a_basic_namespace_has_no_firewall_to_close(shop):
    basic, standard = shop.order(f"{WHOLE}/basic"), shop.order(f"{WHOLE}/standard")

    sets = [
        shop.read(one.bind(rights=["Send"]).credentials["resourceId"].split("/eventhubs/")[0], V).json()
        for one in (basic, standard)
    ]
    rules = [shop.read(f"{one['id']}/networkRuleSets/default", V).json()["properties"] for one in sets]

    assert [one["properties"]["publicNetworkAccess"] for one in sets] == ["Enabled", "Enabled"]
    assert [one["defaultAction"] for one in rules] == ["Allow", "Deny"]
    assert [rule["ipMask"] for rule in rules[1]["ipRules"]] == ["127.0.0.1"]
    basic.delete()
    standard.delete()
