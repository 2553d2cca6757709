"""Service Bus: namespaces, queues and topics; connection strings are read by the product's own client."""

import uuid

import pytest
from azure.servicebus import parse_connection_string

from tests.osb.platform import an_id, at_once

V = "2026-01-01"
NAMESPACE = "azure-servicebus-namespace"
QUEUE = "azure-servicebus-queue"
TOPIC = "azure-servicebus-topic"
CONTRACT = {"type", "provider", "auth", "host", "port", "resourceId", "namespaceName"}
BY_KEY = CONTRACT | {
    "connectionString",
    "uri",
    "primaryKey",
    "username",
    "password",
    "shared_access_key_name",
}
BY_ROLE = CONTRACT | {"endpoint", "scope", "tenantId"}
OWNER, SENDER, RECEIVER = (
    "090c5cfd-751d-490a-894a-3ce6f1109419",
    "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39",
    "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0",
)


@pytest.fixture(scope="module")
def namespace(shop):
    """A standard namespace that all tests of children share."""
    made = shop.order(f"{NAMESPACE}/standard", alias="bus")
    yield made
    made.delete()


@pytest.fixture
def queue(shop, namespace):
    made = shop.order(f"{QUEUE}/queue", parentAlias="bus")
    yield made
    made.delete()


@pytest.fixture
def topic(shop, namespace):
    made = shop.order(f"{TOPIC}/topic", parentAlias="bus")
    yield made
    made.delete()


def rule_of(credentials):
    return f"{credentials['resourceId']}/authorizationRules/{credentials['shared_access_key_name']}"


def roles_of(shop, credentials):
    return sorted(one["roleDefinitionId"][-36:] for one in shop.roles_at(credentials["resourceId"]))


def read_by_client(credentials):
    """What the product's own client reads; its namespace is the host."""
    read = parse_connection_string(credentials["connectionString"])
    assert read.fully_qualified_namespace == credentials["host"]
    assert read.shared_access_key_name == credentials["shared_access_key_name"] == credentials["username"]
    assert read.shared_access_key == credentials["primaryKey"] == credentials["password"]
    assert credentials["uri"] == credentials["connectionString"]
    return read


@pytest.mark.proves("azure-servicebus-namespace", "provision")
@pytest.mark.proves("azure-servicebus-namespace", "update")
@pytest.mark.proves("azure-servicebus-namespace", "plan change")
@pytest.mark.proves("azure-servicebus-namespace", "bind key")
@pytest.mark.proves("azure-servicebus-namespace", "revoke key (not provable here)")
def test_a_namespace_is_ordered_changed_bound_and_deleted(shop):
    made = shop.order(f"{NAMESPACE}/basic")
    binding = made.bind(rights=["Manage"], keyName="secondary")
    there, rule = binding.credentials["resourceId"], rule_of(binding.credentials)

    assert set(binding.credentials) == BY_KEY
    assert read_by_client(binding.credentials).entity_path is None
    assert binding.fetched() == binding.credentials
    assert sorted(shop.read(rule, V).json()["properties"]["rights"]) == ["Listen", "Manage", "Send"]
    keys = shop.azure.call("POST", f"{rule}/listKeys", version=V).json()
    assert binding.credentials["primaryKey"] == keys["secondaryKey"] != keys["primaryKey"]

    made.update("standard", minimumTlsVersion="1.3")
    changed = shop.read(there, V).json()
    assert changed["sku"] == {"name": "Standard", "tier": "Standard"}
    assert changed["properties"]["minimumTlsVersion"] == "1.3"

    binding.unbind()
    assert shop.azure.call("POST", f"{rule}/listKeys", version=V).status_code == 404
    made.delete()
    assert shop.read(there, V).status_code == 404


@pytest.mark.proves("azure-servicebus-queue", "provision")
@pytest.mark.proves("azure-servicebus-queue", "update")
@pytest.mark.proves("azure-servicebus-queue", "bind key")
@pytest.mark.proves("azure-servicebus-queue", "revoke key (not provable here)")
def test_a_queue_is_changed_and_each_binding_has_a_rule_of_its_own(shop, queue):
    sender, both = queue.bind(rights=["Send"]), queue.bind()
    there = sender.credentials["resourceId"]

    assert set(sender.credentials) == BY_KEY | {"queueName"}
    assert read_by_client(sender.credentials).entity_path == sender.credentials["queueName"]
    assert shop.read(rule_of(sender.credentials), V).json()["properties"]["rights"] == ["Send"]
    assert shop.read(rule_of(both.credentials), V).json()["properties"]["rights"] == ["Send", "Listen"]
    assert sender.credentials["primaryKey"] != both.credentials["primaryKey"]

    queue.update(maxQueueSize=2048, lockDuration="PT1M")
    changed = shop.read(there, V).json()["properties"]
    assert (changed["maxSizeInMegabytes"], changed["lockDuration"]) == (2048, "PT1M")

    sender.unbind()
    assert shop.read(rule_of(sender.credentials), V).status_code == 404
    assert shop.read(rule_of(both.credentials), V).status_code == 200


@pytest.mark.proves("azure-servicebus-topic", "provision")
@pytest.mark.proves("azure-servicebus-topic", "bind key")
@pytest.mark.proves("azure-servicebus-topic", "revoke key (not provable here)")
def test_a_topics_binding_has_a_subscription_only_if_it_listens_and_wants_one(shop, topic):
    listens, sends = topic.bind(), topic.bind(rights=["Send"])
    manages = topic.bind(rights=["Manage"], subscriptionNeeded="no")
    subscription = f"{listens.credentials['resourceId']}/subscriptions/{{}}".format

    assert set(listens.credentials) == BY_KEY | {"topicName", "subscriptionName"}
    assert set(sends.credentials) == set(manages.credentials) == BY_KEY | {"topicName"}
    assert read_by_client(listens.credentials).entity_path == listens.credentials["topicName"]
    assert shop.read(subscription(listens.credentials["subscriptionName"]), V).status_code == 200
    assert len(shop.living("/subscriptions")) == 1

    listens.unbind()
    assert shop.living("/subscriptions") == []
    assert shop.read(rule_of(listens.credentials), V).status_code == 404


@pytest.mark.proves("azure-servicebus-topic", "update")
def test_a_topic_is_changed(shop, topic):
    there = topic.bind(rights=["Send"]).credentials["resourceId"]

    topic.update(maxTopicSize=5120, messageTimeToLive="P1D", supportOrdering=True)

    changed = shop.read(there, V).json()["properties"]
    assert (changed["maxSizeInMegabytes"], changed["defaultMessageTimeToLive"]) == (5120, "P1D")
    assert changed["supportOrdering"] is True


@pytest.mark.parametrize(
    ("rights", "roles"),
    [
        (["Send", "Listen"], sorted([SENDER, RECEIVER])),
        (["Listen"], [RECEIVER]),
        (["Send", "Manage"], [OWNER]),
    ],
)
@pytest.mark.proves("azure-servicebus-queue", "bind entra")
@pytest.mark.proves("azure-servicebus-queue", "revoke entra (not provable here)")
def test_a_principal_gets_the_roles_of_its_rights_until_it_is_unbound(shop, queue, rights, roles):
    principal, client = str(uuid.uuid4()), str(uuid.uuid4())

    bound = queue.bind(auth="entra", principalId=principal, clientId=client, rights=rights)

    credentials = bound.credentials
    # The broker of these tests was not told its tenant.
    assert set(credentials) == (BY_ROLE | {"queueName", "clientId"}) - {"tenantId"}
    assert roles_of(shop, credentials) == roles
    assert {one["principalId"] for one in shop.roles_at(credentials["resourceId"])} == {principal}
    bound.unbind()
    assert shop.roles_at(credentials["resourceId"]) == []


@pytest.mark.proves("azure-servicebus-namespace", "bind entra")
@pytest.mark.proves("azure-servicebus-namespace", "revoke entra (not provable here)")
@pytest.mark.proves("azure-servicebus-topic", "bind entra")
@pytest.mark.proves("azure-servicebus-topic", "revoke entra (not provable here)")
def test_a_namespace_without_keys_is_bound_by_roles_alone_and_so_is_what_is_in_it(shop, topic, namespace):
    by_key = topic.bind()
    namespace.update(disableLocalAuth=True)

    told = [one.bind_refused(422, "NotPossible") for one in (topic, namespace)]
    bound = [one.bind(auth="entra", principalId=str(uuid.uuid4())) for one in (topic, namespace)]

    assert all("Bind with auth entra" in sentence for sentence in told)
    assert "subscriptionName" in bound[0].credentials
    assert [roles_of(shop, one.credentials) for one in bound] == [sorted([SENDER, RECEIVER])] * 2
    for one in [*bound, by_key]:
        one.unbind()
    assert [shop.roles_at(one.credentials["resourceId"]) for one in bound] == [[], []]
    namespace.update(disableLocalAuth=False)


@pytest.mark.parametrize(
    ("what", "parameters", "word"),
    [
        (f"{QUEUE}/queue", {"parentAlias": "bus", "queueName": "mine"}, "The broker names the queue"),
        (f"{TOPIC}/topic", {"parentAlias": "bus", "topicName": "mine"}, "The broker names the topic"),
        (f"{QUEUE}/queue", {"parentAlias": "bus", "maxQueueSize": 81920}, "premium namespace"),
        (f"{QUEUE}/queue", {"parentAlias": "bus", "lockDuration": "PT6M"}, "lockDuration"),
        (f"{QUEUE}/queue", {"parentAlias": "bus", "messageTimeToLive": "14 days"}, "messageTimeToLive"),
        (
            f"{TOPIC}/topic",
            {"parentAlias": "bus", "enablePartitioning": True, "supportOrdering": True},
            "keeps no order",
        ),
        (f"{NAMESPACE}/standard", {"resourceGroup": "mine"}, "operator's choice"),
        (f"{NAMESPACE}/standard", {"messagingUnits": 2}, "messagingUnits"),
        (f"{NAMESPACE}/premium", {"messagingUnits": 3}, "messagingUnits"),
        (f"{NAMESPACE}/standard", {"allowedAddresses": ["10.0.0.0/33"]}, "allowedAddresses"),
    ],
)
def test_what_cannot_be_is_refused_in_words(shop, namespace, what, parameters, word):
    status, sentence = shop.refusal(what, **parameters)

    assert status == 400
    assert word in sentence


def test_what_a_basic_namespace_lacks_is_refused_until_it_is_standard(shop):
    basic = shop.order(f"{NAMESPACE}/basic", alias="basic")

    told = [
        shop.refusal(f"{TOPIC}/topic", parentAlias="basic"),
        shop.refusal(f"{QUEUE}/queue", parentAlias="basic", requiresSession=True),
    ]
    plain = shop.order(f"{QUEUE}/queue", parentAlias="basic")
    basic.update("standard")
    topic = shop.order(f"{TOPIC}/topic", parentAlias="basic")

    assert [status for status, _ in told] == [400, 400]
    assert all("standard" in sentence for _, sentence in told)
    assert basic.update_refusal("premium")[0] == 422
    for one in (plain, topic, basic):
        one.delete()


def test_a_bind_that_contradicts_itself_is_refused_and_leaves_nothing(shop, queue):
    before = shop.living()

    told = [
        queue.bind_refusal(rights=[]),
        queue.bind_refusal(rights=["Read"]),
        queue.bind_refusal(auth="entra"),
        queue.bind_refusal(subscriptionNeeded="yes"),
    ]

    assert [status for status, _ in told] == [400] * 4
    assert shop.living() == before


@pytest.mark.parametrize(
    ("parameters", "public", "default", "masks"),
    [
        ({}, "Enabled", "Deny", ["127.0.0.1"]),
        ({"allowedAddresses": ["203.0.113.0/24"]}, "Enabled", "Deny", ["203.0.113.0/24", "127.0.0.1"]),
        ({"allowAllNetworks": True}, "Enabled", "Allow", ["127.0.0.1"]),
        ({"allowAllNetworks": True, "publicNetworkAccess": "Disabled"}, "Disabled", "Allow", ["127.0.0.1"]),
    ],
)
def test_a_namespace_lets_in_only_whom_it_was_told_to(shop, parameters, public, default, masks):
    made = shop.order(f"{NAMESPACE}/standard", **parameters)

    there = made.bind().credentials["resourceId"]
    rules = shop.read(f"{there}/networkRuleSets/default", V).json()["properties"]

    assert (rules["publicNetworkAccess"], rules["defaultAction"]) == (public, default)
    assert [(rule["ipMask"], rule["action"]) for rule in rules["ipRules"]] == [(m, "Allow") for m in masks]
    assert shop.read(there, V).json()["properties"]["publicNetworkAccess"] == public
    made.delete()


def test_the_last_rule_of_a_queue_is_for_one_of_two_that_ask_at_once(shop, queue):
    for _ in range(11):
        queue.bind()
    ids = [an_id(), an_id()]

    answers = at_once(2, lambda number: queue.ask_bind(ids[number]))

    lost, won = sorted(answers, key=lambda answer: answer.status_code, reverse=True)
    assert (won.status_code, lost.status_code) == (201, 422)
    told = lost.json()["description"]
    assert lost.json()["error"] == "LimitReached"
    assert "has 12 authorization rules, and Azure allows 12; bind again when there is room. Unbind" in told
    assert "azure-servicebus" not in told
    assert len(shop.living("queues/authorizationRules")) == 12
    binding_id = ids[answers.index(lost)]
    ordered = queue.ordered
    unbound = shop.platform.unbind(queue.id, binding_id, ordered.plan_id, ordered.service_id)
    assert unbound.status_code == 410
    assert "has 12 authorization rules" in queue.bind_refused(422, "LimitReached")

    queue.bindings[0].unbind()
    queue.bind()
    shop.platform.unbind(queue.id, ids[answers.index(won)], ordered.plan_id, ordered.service_id)


def test_a_namespaces_root_rule_counts_among_its_twelve(shop, namespace):
    bound = [namespace.bind() for _ in range(11)]

    told = namespace.bind_refused(422, "LimitReached")

    assert "has 12 authorization rules" in told
    for one in bound:
        one.unbind()


def test_a_subscription_full_of_role_assignments_is_told_before_anything_is_made(shop, queue):
    principal = str(uuid.uuid4())
    here = len(shop.azure.state()["role_assignments"])
    shop.azure.plant(role_assignments=3999 - here)
    last = queue.bind(auth="entra", principalId=principal, rights=["Send"])

    told = queue.bind_refused(
        422, "LimitReached", auth="entra", principalId=str(uuid.uuid4()), rights=["Send"]
    )

    assert "The subscription has 4000 role assignments, and Azure allows 4000;" in told
    last.unbind()
    queue.bind(auth="entra", principalId=principal, rights=["Send"]).unbind()
