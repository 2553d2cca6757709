"""Replies that are cut, late, empty, mistyped or wrong, and tokens that run out."""

import time
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

import httpx
import pytest

from tests.simulated import POSTGRES, wait_until
from tests.simulator.templates import SERVERS, deployment_body


def a_name():
    return f"srv-{uuid.uuid4().hex[:12]}"


def deployment_path(group, name="first"):
    return f"/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{name}"


def state_of(simulator, group):
    reply = simulator.call("GET", deployment_path(group))
    return reply.json()["properties"]["provisioningState"] if reply.status_code == 200 else None


def test_a_truncated_reply_announces_more_than_it_sends_and_was_handled(simulator):
    group = simulator.a_group()
    simulator.fault("truncated", method="PUT", path=f"{group}/.*/deployments/")

    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        simulator.call("PUT", deployment_path(group), deployment_body(a_name()))

    assert simulator.call("HEAD", deployment_path(group)).status_code == 204
    struck = [call for call in simulator.ledger() if group in call["path"] and call["fault"] == "truncated"]
    assert [(call["status"], call["handled"]) for call in struck] == [(201, True)]


def test_a_trickling_reply_arrives_whole_in_the_end(simulator):
    group = simulator.a_group()
    simulator.fault("trickle", path=group, seconds=0.3)

    begun = time.monotonic()
    reply = simulator.call("GET", f"/resourceGroups/{group}")

    assert reply.json()["name"] == group
    assert time.monotonic() - begun >= 0.3


def test_a_reply_may_be_empty(simulator):
    group = simulator.a_group()
    simulator.fault("empty", path=group)

    reply = simulator.call("GET", f"/resourceGroups/{group}")

    assert (reply.status_code, reply.content) == (200, b"")
    assert "content-type" not in reply.headers


def test_a_reply_may_call_itself_something_else(simulator):
    group = simulator.a_group()
    simulator.fault("wrong_type", path=group, content_type="application/octet-stream")

    reply = simulator.call("GET", f"/resourceGroups/{group}")

    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.json()["name"] == group


def test_a_page_of_html_may_come_with_status_200(simulator):
    group = simulator.a_group()
    simulator.fault("error", path=group, status=200, html=True)

    reply = simulator.call("GET", f"/resourceGroups/{group}")

    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert reply.text.startswith("<html>")


@pytest.mark.parametrize(
    "value",
    [0, 31_536_000, format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), "soon"],
    ids=["at once", "a year", "a date", "no number"],
)
def test_a_good_reply_may_ask_for_any_wait(simulator, value):
    group = simulator.a_group()
    simulator.fault("retry_after", path=group, value=value)

    reply = simulator.call("GET", f"/resourceGroups/{group}")

    assert (reply.status_code, reply.headers["Retry-After"]) == (200, str(value))


def test_a_refusal_may_give_a_date_to_come_back_at(simulator):
    group = simulator.a_group()
    simulator.fault("throttle", path=group, retry_after="Fri, 31 Dec 2027 23:59:59 GMT")

    reply = simulator.call("GET", f"/resourceGroups/{group}")

    assert reply.status_code == 429
    assert parsedate_to_datetime(reply.headers["Retry-After"]) == datetime(
        2027, 12, 31, 23, 59, 59, tzinfo=UTC
    )


def test_what_was_just_created_may_not_be_found_for_some_reads(simulator):
    group = simulator.a_group()
    simulator.fault("unseen", method="PUT", path=f"{group}/.*/deployments/", reads=2)
    made = simulator.call("PUT", deployment_path(group), deployment_body(a_name()))

    reads = [simulator.call(method, deployment_path(group)) for method in ("GET", "HEAD", "GET")]

    assert made.status_code == 201
    assert [reply.status_code for reply in reads] == [404, 404, 200]
    assert reads[0].json()["error"]["code"] == "DeploymentNotFound"


def test_a_refused_put_hides_nothing(simulator):
    group = simulator.a_group()
    simulator.fault("unseen", method="PUT", path=f"{group}$", reads=5)

    refused = simulator.call("PUT", f"/resourceGroups/{group}", {"location": "eastus"})

    assert refused.status_code == 409
    assert simulator.call("GET", f"/resourceGroups/{group}").status_code == 200


@pytest.mark.parametrize(
    ("below", "version", "code"),
    [
        ("", "2025-04-01", "ResourceGroupNotFound"),
        (f"/providers/{SERVERS}/x", POSTGRES, "ResourceNotFound"),
        ("/providers/Microsoft.Resources/deployments/x", "2025-04-01", "DeploymentNotFound"),
    ],
)
def test_a_read_may_find_nothing_whatever_is_there(simulator, below, version, code):
    group = simulator.a_group()
    simulator.fault("unseen", method="GET", path=group)

    reply = simulator.call("GET", f"/resourceGroups/{group}{below}", version=version)

    assert (reply.status_code, reply.json()["error"]["code"]) == (404, code)


def test_a_token_expires_for_some_calls_and_says_so(simulator):
    group = simulator.a_group()
    simulator.fault("expired_token", path=group, count=2)

    replies = [simulator.call("GET", f"/resourceGroups/{group}") for _ in range(3)]

    assert [reply.status_code for reply in replies] == [401, 401, 200]
    assert replies[0].json()["error"]["code"] == "ExpiredAuthenticationToken"
    assert 'error="invalid_token"' in replies[0].headers["WWW-Authenticate"]


def test_a_token_lives_for_its_lifetime_and_no_longer(simulator):
    group = simulator.a_group()
    fault = simulator.fault("expired_token", path=group, count=None, lifetime=0.2)

    first = simulator.call("GET", f"/resourceGroups/{group}")
    wait_until(lambda: simulator.call("GET", f"/resourceGroups/{group}").status_code == 401)
    after = simulator.call("GET", f"/resourceGroups/{group}")
    simulator.lift(fault)

    assert (first.status_code, after.status_code) == (200, 401)
    assert simulator.call("GET", f"/resourceGroups/{group}").status_code == 200


def test_the_history_may_be_pruned_under_a_running_poll_and_the_work_goes_on(simulator):
    group, name = simulator.a_group(), a_name()
    simulator.clock(speed=0)
    accepted = simulator.call("PUT", deployment_path(group), deployment_body(name))
    simulator.fault("pruned", path=f"{group}/.*/deployments/first/operationStatuses")

    status = simulator.client.get(accepted.headers["Azure-AsyncOperation"])
    read = simulator.call("GET", deployment_path(group))
    simulator.clock(speed=simulator.speed)

    assert [reply.json()["error"]["code"] for reply in (status, read)] == ["DeploymentNotFound"] * 2
    wait_until(lambda: "app" in simulator.databases.servers.get(name, {"databases": {}})["databases"])


def test_a_deployment_may_stay_accepted(simulator):
    group = simulator.a_group()
    fault = simulator.fault("stuck", method="PUT", path=f"{group}/.*/deployments/", at="Accepted")
    simulator.call("PUT", deployment_path(group), deployment_body(a_name()))
    simulator.clock(advance=100_000)

    stuck = [state_of(simulator, group) for _ in range(3)]
    simulator.lift(fault)

    assert stuck == ["Accepted"] * 3
    wait_until(lambda: state_of(simulator, group) == "Succeeded")


def test_a_resource_may_stay_in_creation_for_ever(simulator):
    group, name = simulator.a_group(), a_name()
    path = f"/resourceGroups/{group}/providers/{SERVERS}/{name}"
    fault = simulator.fault("stuck", method="PUT", path=f"{group}/.*/deployments/", resource=f"/{name}$")
    simulator.call("PUT", deployment_path(group), deployment_body(name))
    wait_until(lambda: simulator.call("GET", path, version=POSTGRES).status_code == 200)
    simulator.clock(advance=100_000)

    stuck = simulator.call("GET", path, version=POSTGRES).json()["properties"]["state"]
    running = state_of(simulator, group)
    simulator.lift(fault)

    assert (stuck, running) == ("Provisioning", "Running")
    wait_until(lambda: state_of(simulator, group) == "Succeeded")


def test_a_resource_in_the_middle_may_fail_after_it_was_accepted_and_stays_behind(simulator):
    group, name = simulator.a_group(), a_name()
    path = f"/resourceGroups/{group}/providers/{SERVERS}/{name}"
    simulator.fault("deployment_failed", path=group, resource=f"/{name}$", accepted=True, code="CapacityGone")

    simulator.call("PUT", deployment_path(group), deployment_body(name))
    wait_until(lambda: state_of(simulator, group) == "Failed")

    error = simulator.call("GET", deployment_path(group)).json()["properties"]["error"]["details"][0]
    assert (error["code"], error["details"][0]["code"]) == ("ResourceDeploymentFailure", "CapacityGone")
    assert simulator.call("GET", path, version=POSTGRES).json()["properties"]["state"] == "Failed"
    assert simulator.call("GET", path + "/databases/app", version=POSTGRES).status_code == 404
    deleted = simulator.call("DELETE", path, version=POSTGRES)
    assert deleted.status_code == 202


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"kind": "slow", "seconds": "long"}, "Seconds must be a number"),
        ({"kind": "unseen", "reads": 0}, "Reads must be above 0"),
        ({"kind": "stuck", "at": "Sleeping"}, "At must be Accepted or Running"),
        ({"kind": "stuck", "resource": "("}, "Resource is no regular expression"),
        ({"kind": "truncated", "seconds": 1}, "Truncated knows no seconds"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(simulator, asked, says):
    reply = simulator.client.post("/_simulator/faults", json=asked)

    assert reply.status_code == 400
    assert reply.json()["error"]["message"].startswith(says)
