"""`Arm` over TLS against the simulated Azure, with its faults: what one method call puts on the wire."""

import uuid
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from azure.mgmt.resource.resources.aio import ResourceManagementClient

from broker.azure.arm import Arm
from broker.azure.clouds import custom
from broker.azure.credentials import FileToken, credential_for
from broker.azure.failures import (
    Invalid,
    NameTaken,
    NotAuthorized,
    NotRegistered,
    OutcomeUnknown,
    ServerFault,
    Throttled,
    TokenRefused,
    TransientConflict,
    failure_from_error,
)
from broker.azure.naming import deployment_name, is_ours, tags
from broker.azure.permissions import missing_actions, needed_actions
from broker.azure.resource_ids import resource_id
from broker.azure.transport import HttpxTransport, http_client
from tests.simulator.templates import NOW, SERVERS, a_password, a_server_template

pytestmark = pytest.mark.anyio

LONG = timedelta(seconds=20)
"""Many times what a deployment takes in scaled time on a busy machine."""


@pytest.fixture
def subscription(simulator):
    return simulator.access.subscription_id


@pytest.fixture
def calls():
    return []


@pytest.fixture
async def arm(simulator, calls):
    access = simulator.access
    async with http_client(ca_file=Path(access.ca_file)) as client:
        cloud = custom(access.endpoint)
        credential = credential_for(
            "simulator", cloud=cloud, client=client, token_file=Path(access.token_file)
        )
        yield Arm(cloud=cloud, credential=credential, client=client, on_call=calls.append)


def a_name():
    return f"pg-{uuid.uuid4().hex[:12]}"


def values(name, **more):
    return {"name": name, "password": a_password(), **more}


def requests_with(simulator, client_request_id):
    """What the simulator saw of one method call."""
    return [call for call in simulator.ledger() if call["client_request_id"] == client_request_id]


async def ended(arm, subscription, group, name):
    with anyio.fail_after(LONG.total_seconds()):
        while True:
            told = await arm.get_deployment(subscription, group, name, client_request_id="look")
            if told is not None and told.terminal:
                return told
            await anyio.sleep(0.02)


async def gone(arm, an_id):
    with anyio.fail_after(LONG.total_seconds()):
        while await arm.get_resource(an_id, NOW, client_request_id="look") is not None:
            await anyio.sleep(0.02)


async def test_a_server_is_deployed_found_by_its_tags_and_deleted(arm, simulator, subscription):
    group, server = simulator.a_group(), a_name()
    marked = tags("broker-1", "platform 1", f"it's {uuid.uuid4()}", 0)
    name = deployment_name(uuid.uuid4(), uuid.uuid4())
    parameters = values(server, tags=marked)

    await arm.validate_deployment(
        subscription, group, name, a_server_template(), parameters, client_request_id="v"
    )
    assert await arm.get_deployment(subscription, group, name, client_request_id="g") is None
    started = await arm.put_deployment(
        subscription, group, name, a_server_template(), parameters, client_request_id="p"
    )
    told = await ended(arm, subscription, group, name)

    assert not started.terminal
    assert told.succeeded
    assert told.correlation_id
    assert told.outputs["host"]
    server_id = resource_id(subscription, group, SERVERS, server)
    assert server_id.lower() in {found.lower() for found in told.output_resources}
    found = await arm.get_resource(server_id, NOW, client_request_id="g")
    assert is_ours(found["tags"], marked)
    by_tags = await arm.resources_by_tags(subscription, marked, client_request_id="t")
    assert [found["id"].lower() for found in by_tags] == [server_id.lower()]
    assert await arm.group_resources(subscription, group, client_request_id="l")

    await arm.delete_resource(server_id, NOW, client_request_id="d")
    await gone(arm, server_id)
    await arm.delete_resource(server_id, NOW, client_request_id="d")
    await arm.delete_deployment(subscription, group, name, client_request_id="d")


async def test_a_second_put_of_a_running_deployment_counts_as_accepted(arm, simulator, subscription):
    group, name, parameters = simulator.a_group(), "twice", values(a_name())
    simulator.clock(speed=0)
    await arm.put_deployment(
        subscription, group, name, a_server_template(), parameters, client_request_id="p"
    )

    again = await arm.put_deployment(
        subscription, group, name, a_server_template(), parameters, client_request_id="p"
    )
    await arm.cancel_deployment(subscription, group, name, client_request_id="c")
    simulator.clock(speed=simulator.speed)

    assert again.state == "Accepted"
    assert (await ended(arm, subscription, group, name)).terminal
    await arm.cancel_deployment(subscription, group, name, client_request_id="c")


async def test_a_failed_deployment_tells_its_innermost_error_in_both_places(arm, simulator, subscription):
    group, name = simulator.a_group(), "failing"
    simulator.fault(
        "deployment_failed", path=f"/{name}$", code="ServerNameAlreadyExists", message="This name is taken."
    )

    await arm.put_deployment(
        subscription, group, name, a_server_template(), values(a_name()), client_request_id="p"
    )
    told = await ended(arm, subscription, group, name)
    errors = await arm.deployment_failures(subscription, group, name, client_request_id="f")

    failure = failure_from_error(told.error, correlation_id=told.correlation_id)
    assert type(failure) is NameTaken
    assert failure.message == "This name is taken."
    assert [type(failure_from_error(error)) for error in errors] == [NameTaken]


async def test_what_the_templates_check_refuses_is_invalid(arm, simulator, subscription):
    group = simulator.a_group()

    with pytest.raises(Invalid) as refused:
        await arm.validate_deployment(
            subscription,
            group,
            "v",
            a_server_template(),
            values(a_name(), storageSizeGB=1),
            client_request_id="v",
        )

    assert "storageSizeGB" in refused.value.describe()
    assert not refused.value.retryable


@pytest.mark.parametrize("fault", ["reset", "reply_lost"])
async def test_a_lost_answer_is_one_put_and_what_became_of_it_can_be_seen(
    arm, simulator, subscription, fault
):
    group, name, request_id = simulator.a_group(), "lost", str(uuid.uuid4())
    simulator.fault(fault, method="PUT", path=f"/{name}$")

    with pytest.raises(OutcomeUnknown):
        await arm.put_deployment(
            subscription, group, name, a_server_template(), values(a_name()), client_request_id=request_id
        )

    assert len(requests_with(simulator, request_id)) == 1
    there = await arm.get_deployment(subscription, group, name, client_request_id="g")
    assert (there is not None) == (fault == "reply_lost")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "throttle", "retry_after": 17}, Throttled),
        ({"kind": "error", "status": 500}, ServerFault),
        ({"kind": "error", "status": 503, "html": True}, ServerFault),
        ({"kind": "error", "status": 409, "code": "AnotherOperationInProgress"}, TransientConflict),
        ({"kind": "error", "status": 403, "code": "AuthorizationFailed"}, NotAuthorized),
    ],
)
async def test_a_refusal_is_one_put_and_says_when_to_come_back(
    arm, simulator, subscription, calls, fault, kind
):
    group, request_id = simulator.a_group(), str(uuid.uuid4())
    simulator.fault(method="PUT", path="/refused$", **fault)

    with pytest.raises(kind) as refused:
        await arm.put_deployment(
            subscription,
            group,
            "refused",
            a_server_template(),
            values(a_name()),
            client_request_id=request_id,
        )

    assert len(requests_with(simulator, request_id)) == 1
    assert refused.value.retryable
    if kind is Throttled:
        assert refused.value.retry_after == timedelta(seconds=17)
        assert calls[-1].retry_after == 17


async def test_a_delete_that_is_refused_for_a_while_may_be_tried_again(arm, simulator, subscription):
    group, server = simulator.a_group(), a_name()
    server_id = resource_id(subscription, group, SERVERS, server)
    await arm.put_deployment(
        subscription, group, "d", a_server_template(), values(server), client_request_id="p"
    )
    await ended(arm, subscription, group, "d")
    simulator.fault("delete_refused", path=f"/{server}$")

    with pytest.raises(TransientConflict):
        await arm.delete_resource(server_id, NOW, client_request_id="d")

    await arm.delete_resource(server_id, NOW, client_request_id="d")
    await gone(arm, server_id)


@pytest.mark.parametrize(
    "lie",
    [
        {"kind": "truncated"},
        {"kind": "error", "status": 200, "html": True},
        {"kind": "error", "status": 201, "html": True},
    ],
)
async def test_an_answer_that_cannot_be_read_leaves_the_outcome_unknown_after_one_put(
    arm, simulator, subscription, lie
):
    group, request_id = simulator.a_group(), str(uuid.uuid4())
    simulator.fault(method="PUT", path="/unread$", **lie)

    with pytest.raises(OutcomeUnknown) as unknown:
        await arm.put_deployment(
            subscription,
            group,
            "unread",
            a_server_template(),
            values(a_name()),
            client_request_id=request_id,
        )

    assert unknown.value.retryable
    assert len(requests_with(simulator, request_id)) == 1


async def test_a_token_that_expired_is_met_with_a_new_one_and_nothing_is_done_twice(
    arm, simulator, subscription
):
    group, request_id = simulator.a_group(), str(uuid.uuid4())
    simulator.fault("expired_token", method="PUT", path="/again$")

    told = await arm.put_deployment(
        subscription, group, "again", a_server_template(), values(a_name()), client_request_id=request_id
    )

    assert not told.terminal
    sent = requests_with(simulator, request_id)
    assert [(call["status"], call["handled"]) for call in sent] == [(401, False), (201, True)]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("0", 0), ("31536000", 31_536_000), ("Thu, 01 Jan 1998 00:00:00 GMT", 0), ("soon", None)],
)
async def test_a_wait_of_any_form_is_read(arm, simulator, subscription, calls, said, seconds):
    group = simulator.a_group()
    simulator.fault("retry_after", path=group, value=said)

    await arm.get_group(subscription, group, client_request_id="g")

    assert calls[-1].retry_after == seconds


async def test_a_list_is_read_to_its_last_page(arm, simulator, subscription):
    group, marked = simulator.a_group(), {"osb-mark": str(uuid.uuid4())}
    names = sorted(a_name() for _ in range(3))
    for name in names:
        simulator.plant(id=resource_id(subscription, group, SERVERS, name), tags=marked)
    simulator.client.post("/_simulator/pages", json={"size": 1})

    found = await arm.resources_by_tags(subscription, marked, client_request_id="t")

    assert sorted(each["name"] for each in found) == names


async def test_the_reason_of_a_failure_in_a_nested_deployment_is_found(arm, simulator, subscription):
    group, server = simulator.a_group(), a_name()
    inner = a_server_template()
    nested = {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "2025-04-01",
        "name": "inner",
        "properties": {
            "mode": "Incremental",
            "expressionEvaluationOptions": {"scope": "inner"},
            "template": inner,
            "parameters": {
                "name": {"value": "[parameters('name')]"},
                "password": {"value": "[parameters('password')]"},
            },
        },
    }
    declared = {name: inner["parameters"][name] for name in ("name", "password")}
    outer = {**inner, "parameters": declared, "variables": {}, "outputs": {}, "resources": [nested]}
    simulator.fault("deployment_failed", path="/outer$", resource=f"/{server}$", code="SkuNotAvailable")

    await arm.put_deployment(subscription, group, "outer", outer, values(server), client_request_id="p")
    told = await ended(arm, subscription, group, "outer")
    errors = await arm.deployment_failures(subscription, group, "outer", client_request_id="f")

    assert failure_from_error(told.error).code == "SkuNotAvailable"
    assert [failure_from_error(error).code for error in errors] == ["SkuNotAvailable"]


async def test_a_group_lives_and_goes(arm, subscription):
    group = f"rg-{uuid.uuid4().hex[:8]}"

    await arm.put_group(subscription, group, "westeurope", {"osb-broker-id": "b"}, client_request_id="p")
    found = await arm.get_group(subscription, group, client_request_id="g")
    await arm.delete_group(subscription, group, client_request_id="d")

    assert found["tags"] == {"osb-broker-id": "b"}
    with anyio.fail_after(LONG.total_seconds()):
        while await arm.get_group(subscription, group, client_request_id="g") is not None:
            await anyio.sleep(0.02)
    await arm.delete_group(subscription, group, client_request_id="d")
    assert await arm.group_resources(subscription, group, client_request_id="l") == []


async def test_what_is_missing_among_the_permissions_is_told_by_name(arm, simulator, subscription):
    group = simulator.a_group()
    needed = needed_actions([SERVERS])
    simulator.client.post(
        "/_simulator/permissions", json={"actions": ["Microsoft.Resources/*", f"{SERVERS}/read"]}
    )

    granted = await arm.permissions(subscription, group, client_request_id="p")

    assert missing_actions(granted, needed) == (f"{SERVERS}/write", f"{SERVERS}/delete")


async def test_a_provider_that_is_not_registered_is_told_and_never_registered(arm, simulator, subscription):
    group, before = simulator.a_group(), len(simulator.ledger())
    simulator.client.post(
        "/_simulator/providers", json={"namespace": "Microsoft.DBforPostgreSQL", "registered": False}
    )

    with pytest.raises(NotRegistered):
        await arm.put_deployment(
            subscription, group, "d", a_server_template(), values(a_name()), client_request_id="p"
        )

    told = await arm.provider(subscription, "Microsoft.DBforPostgreSQL", client_request_id="p")
    assert told["registrationState"] == "NotRegistered"
    assert not [call for call in simulator.ledger()[before:] if "register" in call["path"].lower()]


async def test_every_call_tells_how_many_are_left(arm, subscription, calls):
    locations = await arm.locations(subscription, client_request_id="l")

    assert "westeurope" in {location["name"] for location in locations}
    assert calls[-1].kind == "read"
    assert calls[-1].remaining is not None


@asynccontextmanager
async def stranger(simulator, tmp_path):
    token = tmp_path / "token"
    token.write_text("not-the-simulators")
    async with http_client(ca_file=Path(simulator.access.ca_file)) as client:
        yield Arm(cloud=custom(simulator.endpoint), credential=FileToken(token), client=client)


async def test_a_stranger_is_refused(simulator, subscription, tmp_path):
    async with stranger(simulator, tmp_path) as arm:
        with pytest.raises(TokenRefused):
            await arm.get_group(subscription, "g", client_request_id="g")


async def test_microsofts_own_client_runs_over_this_transport(simulator, subscription):
    group = simulator.a_group()
    async with http_client(ca_file=Path(simulator.access.ca_file)) as client:
        resources = ResourceManagementClient(
            credential=FileToken(Path(simulator.access.token_file)),
            subscription_id=subscription,
            base_url=simulator.endpoint,
            credential_scopes=[f"{simulator.endpoint}/.default"],
            transport=HttpxTransport(client),
        )

        found = await resources.resource_groups.get(group)

    assert found.name == group
