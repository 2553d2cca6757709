import json
import time
import uuid

import httpx
import pytest

from tests.simulated import POSTGRES, wait_until
from tests.simulator.templates import SERVERS, deployment_body


def a_name() -> str:
    return f"srv-{uuid.uuid4().hex[:12]}"


def deploy(simulator, group, name, deployment="first"):
    path = f"/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{deployment}"
    return simulator.call("PUT", path, deployment_body(name))


def deployment_of(simulator, group, deployment="first"):
    path = f"/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{deployment}"
    return simulator.call("GET", path).json()["properties"]


def ended(simulator, group):
    def look():
        properties = deployment_of(simulator, group)
        return properties if properties["provisioningState"] in {"Succeeded", "Failed", "Canceled"} else None

    return wait_until(look)


def server_path(group, name):
    return f"/resourceGroups/{group}/providers/{SERVERS}/{name}"


def test_a_throttled_call_is_told_when_to_come_again_and_the_next_one_is_served(simulator):
    group = simulator.a_group()
    simulator.fault("throttle", method="GET", path=group, retry_after=17)

    struck = simulator.call("GET", f"/resourceGroups/{group}")
    next_one = simulator.call("GET", f"/resourceGroups/{group}")

    assert (struck.status_code, struck.headers["Retry-After"]) == (429, "17")
    assert next_one.status_code == 200


def test_an_error_may_have_any_status_code_and_text_and_strikes_as_often_as_asked(simulator):
    group = simulator.a_group()
    simulator.fault("error", path=group, status=403, code="AuthorizationFailed", message="No.", count=2)

    struck = [simulator.call("GET", f"/resourceGroups/{group}") for _ in range(3)]

    assert [reply.status_code for reply in struck] == [403, 403, 200]
    assert struck[0].json() == {"error": {"code": "AuthorizationFailed", "message": "No."}}
    assert [call["code"] for call in simulator.ledger() if call["path"].endswith(group)][-3:] == [
        "AuthorizationFailed",
        "AuthorizationFailed",
        None,
    ]


def test_an_error_may_be_a_page_of_html(simulator):
    group = simulator.a_group()
    simulator.fault("error", path=group, html=True)

    struck = simulator.call("GET", f"/resourceGroups/{group}")

    assert struck.status_code == 500
    assert struck.headers["content-type"].startswith("text/html")


def test_a_reset_call_was_never_handled(simulator):
    group = f"rg-{uuid.uuid4().hex[:8]}"
    simulator.fault("reset", method="PUT", path=group)

    with pytest.raises(httpx.TransportError):
        simulator.a_group(group)

    assert simulator.call("GET", f"/resourceGroups/{group}").status_code == 404
    struck = [call for call in simulator.ledger() if group in call["path"] and call["fault"]]
    assert [(call["status"], call["handled"]) for call in struck] == [(None, False)]


def test_a_call_whose_reply_is_lost_was_handled(simulator):
    group, name = simulator.a_group(), a_name()
    simulator.fault("reply_lost", method="PUT", path=f"{group}/.*/deployments/")

    with pytest.raises(httpx.TransportError):
        deploy(simulator, group, name)

    assert deploy(simulator, group, name).json()["error"]["code"] == "DeploymentActive"
    assert ended(simulator, group)["provisioningState"] == "Succeeded"


def test_a_slow_call_is_answered_in_the_end(simulator):
    group = simulator.a_group()
    simulator.fault("slow", path=group, seconds=0.3)

    begun = time.monotonic()
    reply = simulator.call("GET", f"/resourceGroups/{group}")

    assert reply.status_code == 200
    assert time.monotonic() - begun >= 0.3


def test_a_failed_deployment_nests_its_reason_and_leaves_what_was_made_before(simulator):
    group, name = simulator.a_group(), a_name()
    simulator.fault("deployment_failed", path=group, code="SkuNotAvailable", message="None left.", status=400)

    deploy(simulator, group, name)
    error = ended(simulator, group)["error"]

    assert error["code"] == "DeploymentFailed"
    assert error["details"][0]["code"] == "BadRequest"
    assert json.loads(error["details"][0]["message"]) == {
        "error": {"code": "SkuNotAvailable", "message": "None left."}
    }
    assert simulator.call("GET", server_path(group, name), version=POSTGRES).status_code == 200
    assert (
        simulator.call("GET", server_path(group, name) + "/databases/app", version=POSTGRES).status_code
        == 404
    )
    steps = simulator.call("GET", f"/resourceGroups/{group}/deployments/first/operations").json()["value"]
    assert [step["properties"]["provisioningState"] for step in steps] == ["Succeeded", "Failed"]
    assert steps[1]["properties"]["statusMessage"]["error"]["code"] == "SkuNotAvailable"


def test_a_failed_deployment_may_fail_before_anything_was_made(simulator):
    group, name = simulator.a_group(), a_name()
    simulator.fault("deployment_failed", path=group, after=0)

    deploy(simulator, group, name)

    assert ended(simulator, group)["provisioningState"] == "Failed"
    assert simulator.call("GET", server_path(group, name), version=POSTGRES).status_code == 404


def test_a_stuck_deployment_goes_on_when_the_fault_is_lifted(simulator):
    group = simulator.a_group()
    fault = simulator.fault("stuck", method="PUT", path=f"{group}/.*/deployments/")
    deploy(simulator, group, a_name())
    wait_until(lambda: deployment_of(simulator, group)["provisioningState"] == "Running")
    simulator.clock(advance=100_000)

    stuck = deployment_of(simulator, group)["provisioningState"]
    simulator.lift(fault)

    assert stuck == "Running"
    assert ended(simulator, group)["provisioningState"] == "Succeeded"


def test_a_stuck_deletion_goes_on_when_the_fault_is_lifted(simulator):
    group, name = simulator.a_group(), a_name()
    deploy(simulator, group, name)
    ended(simulator, group)
    fault = simulator.fault("stuck", method="DELETE", path=name)
    simulator.call("DELETE", server_path(group, name), version=POSTGRES)
    simulator.clock(advance=100_000)

    stuck = simulator.call("GET", server_path(group, name), version=POSTGRES).json()["properties"]["state"]
    simulator.lift(fault)

    assert stuck == "Dropping"
    wait_until(lambda: simulator.call("GET", server_path(group, name), version=POSTGRES).status_code == 404)


def test_a_deletion_is_refused_for_a_while(simulator):
    group, name = simulator.a_group(), a_name()
    deploy(simulator, group, name)
    ended(simulator, group)
    simulator.fault("delete_refused", path=name, count=2)

    replies = [simulator.call("DELETE", server_path(group, name), version=POSTGRES) for _ in range(3)]

    assert [reply.status_code for reply in replies] == [409, 409, 202]
    assert replies[0].json()["error"]["code"] == "AnotherOperationInProgress"


def test_a_deletion_is_refused_for_some_seconds(simulator):
    group = simulator.a_group()
    simulator.fault("delete_refused", path=group, seconds=0.2)

    first = simulator.call("DELETE", f"/resourceGroups/{group}")

    assert first.status_code == 409
    wait_until(lambda: simulator.call("DELETE", f"/resourceGroups/{group}").status_code == 202)


def test_a_fault_that_stays_is_listed_and_strikes_until_it_is_lifted(simulator):
    group = simulator.a_group()
    fault = simulator.fault("error", path=group, count=None)
    for _ in range(3):
        assert simulator.call("GET", f"/resourceGroups/{group}").status_code == 500

    listed = simulator.client.get("/_simulator/faults").json()["faults"]
    simulator.lift(fault)

    assert [(each["id"], each["kind"], each["count"], each["struck"]) for each in listed] == [
        (fault, "error", None, 3)
    ]
    assert simulator.call("GET", f"/resourceGroups/{group}").status_code == 200


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"kind": "flood"}, "Kind must be one of throttle, error"),
        ({"kind": "slow", "hours": 1}, "Slow knows no hours"),
        ({"kind": "error", "count": 0}, "Count must be"),
        ({"kind": "error", "match": {"path": "("}}, "Path is no regular expression"),
        ({"kind": "error", "match": {"host": "x"}}, "Match holds method and path"),
        ([], "Kind must be"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(simulator, asked, says):
    reply = simulator.client.post("/_simulator/faults", json=asked)

    assert reply.status_code == 400
    assert reply.json()["error"]["message"].startswith(says)
