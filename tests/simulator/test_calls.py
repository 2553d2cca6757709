"""What calls have in common: pages, limits of all principals, status codes, headers, registration."""

import uuid

import pytest

from tests.simulated import POSTGRES, wait_until
from tests.simulator.templates import SERVERS, a_password, deployment_body
from tests.simulator.test_nested_deployments import (
    STORAGE,
    VERSION,
    account,
    an_account,
    deployed,
    path_of,
    template,
)

CONTAINERS = "blobServices/default/containers"


def pages(simulator, path, version="2025-04-01", **query):
    """The names on each page of a list."""
    whole = simulator.subscription + path
    reply = simulator.client.get(whole, params={"api-version": version, **query})
    found = []
    while True:
        assert reply.status_code == 200, reply.text
        found.append([each.get("name") or each.get("operationId") for each in reply.json()["value"]])
        if "nextLink" not in reply.json():
            return found
        reply = simulator.client.get(reply.json()["nextLink"])


def an_account_in(simulator, group):
    name = an_account()
    path = f"/resourceGroups/{group}/providers/{STORAGE}/{name}"
    body = {key: value for key, value in account(name).items() if key not in {"type", "apiVersion", "name"}}
    made = simulator.call("PUT", path, body, version=VERSION)
    assert made.status_code == 202, made.text
    wait_until(lambda: state_of(simulator, path) == "Succeeded")
    return path


def state_of(simulator, path):
    return simulator.call("GET", path, version=VERSION).json()["properties"]["provisioningState"]


def test_every_list_comes_in_pages_of_the_size_that_was_set(simulator):
    group = simulator.a_group()
    names = [an_account() for _ in range(3)]
    deployed(simulator, group, template([account(name) for name in names]))
    deployed(simulator, group, template([]), "second")
    simulator.client.post("/_simulator/pages", json={"size": 2})
    below = f"/resourceGroups/{group}"

    assert [len(page) for page in pages(simulator, f"{below}/resources")] == [2, 1]
    assert [len(page) for page in pages(simulator, f"{below}/providers/{STORAGE}", VERSION)] == [2, 1]
    assert [len(page) for page in pages(simulator, f"{below}/deployments/main/operations")] == [2, 2]
    assert pages(simulator, f"{below}/providers/Microsoft.Resources/deployments") == [["main", "second"]]
    assert all(len(page) <= 2 for page in pages(simulator, "/resourcegroups"))
    assert sum(len(page) for page in pages(simulator, "/providers")) >= 3
    tagged = pages(simulator, "/resources", **{"$filter": f"resourceGroup eq '{group}'"})
    assert sorted(name for page in tagged for name in page) == sorted(names)


def test_a_list_is_no_longer_than_its_top_asks_for(simulator):
    group = simulator.a_group()
    deployed(simulator, group, template([account(an_account()) for _ in range(3)]))

    found = pages(simulator, f"/resourceGroups/{group}/resources", **{"$top": "1"})

    assert [len(page) for page in found] == [1, 1, 1]


@pytest.mark.parametrize("query", [{"$top": "0"}, {"$top": "x"}, {"$skiptoken": "-1"}])
def test_a_page_that_cannot_be_is_refused(simulator, query):
    group = simulator.a_group()

    reply = simulator.client.get(
        f"{simulator.subscription}/resourceGroups/{group}/resources",
        params={"api-version": "2025-04-01", **query},
    )

    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "InvalidQueryParameter")


def test_all_principals_together_have_a_limit_of_their_own(simulator):
    form = {
        "grant_type": "client_credentials",
        "client_id": simulator.access.client_id,
        "client_secret": simulator.access.client_secret,
        "scope": "https://management.azure.com/.default",
    }
    path = f"/{simulator.access.tenant_id}/oauth2/v2.0/token"
    issued = simulator.client.post(path, data=form).json()["access_token"]
    other = {"Authorization": f"Bearer {issued}"}
    simulator.clock(speed=0)
    simulator.client.post("/_simulator/limits", json={"deletes": {"size": 3, "per_second": 1, "together": 4}})

    mine = [simulator.call("DELETE", "/resourceGroups/none") for _ in range(3)]
    theirs = [simulator.call("DELETE", "/resourceGroups/none", headers=other) for _ in range(2)]

    left = "x-ms-ratelimit-remaining-subscription-deletes"
    together = "x-ms-ratelimit-remaining-subscription-global-deletes"
    assert [(reply.headers[left], reply.headers[together]) for reply in mine] == [
        ("2", "3"),
        ("1", "2"),
        ("0", "1"),
    ]
    assert [reply.status_code for reply in theirs] == [404, 429]
    assert (theirs[1].headers[left], theirs[1].headers[together]) == ("2", "0")
    assert theirs[1].json()["error"]["code"] == "SubscriptionRequestsThrottled"


def test_a_head_says_whether_a_resource_is_there(simulator):
    path = an_account_in(simulator, simulator.a_group())

    assert simulator.call("HEAD", path, version=VERSION).status_code == 204
    assert simulator.call("HEAD", path + "x", version=VERSION).status_code == 404


def test_work_on_storage_is_answered_as_its_sdk_expects(simulator):
    path = an_account_in(simulator, simulator.a_group())
    container = f"{path}/{CONTAINERS}/docs"

    statuses = [
        simulator.call("PATCH", path, {"tags": {"a": "b"}}, version=VERSION).status_code,
        simulator.call("PUT", container, {"properties": {}}, version=VERSION).status_code,
        simulator.call("PUT", container, {"properties": {}}, version=VERSION).status_code,
        simulator.call("DELETE", container, version=VERSION).status_code,
        simulator.call("DELETE", container, version=VERSION).status_code,
        simulator.call("DELETE", path, version=VERSION).status_code,
    ]

    assert statuses == [200, 201, 200, 200, 204, 200]
    assert simulator.call("GET", path, version=VERSION).status_code == 404


def test_work_that_takes_long_is_followed_by_status_or_by_location(simulator):
    group, name = simulator.a_group(), f"srv-{uuid.uuid4().hex[:8]}"
    path = f"/resourceGroups/{group}/providers/{SERVERS}/{name}"
    body = {
        "location": "westeurope",
        "sku": {"name": "Standard_B1ms", "tier": "Burstable"},
        "properties": {"administratorLogin": "osbadmin", "administratorLoginPassword": a_password()},
    }
    simulator.clock(speed=0)
    begun = simulator.call("PUT", path, body, version=POSTGRES)
    status, location = begun.headers["Azure-AsyncOperation"], begun.headers["Location"]
    during = simulator.client.get(status), simulator.client.get(location)
    simulator.clock(speed=simulator.speed)
    wait_until(lambda: simulator.client.get(status).json()["status"] == "Succeeded")
    after = simulator.client.get(location)

    assert begun.status_code == 202
    assert (during[0].json()["status"], during[1].status_code) == ("InProgress", 202)
    assert int(during[1].headers["Retry-After"]) >= 1
    assert (after.status_code, after.json()["name"]) == (200, name)
    unknown = simulator.client.get(status.replace(status.split("/")[-1].split("?")[0], str(uuid.uuid4())))
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "OperationNotFound")


def test_a_deployment_that_is_not_there_need_not_be_deleted(simulator):
    group = simulator.a_group()

    assert simulator.call("DELETE", path_of(group, "never")).status_code == 204
    gone = simulator.call("DELETE", path_of("nowhere", "never"))
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "ResourceGroupNotFound")


def test_each_reply_names_itself_in_three_ids(simulator):
    group = simulator.a_group()
    simulator.fault("error", path=f"{group}x")

    replies = [simulator.call("GET", f"/resourceGroups/{group}{end}") for end in ("", "x", "y")]

    assert [reply.status_code for reply in replies] == [200, 500, 404]
    for name in ("x-ms-request-id", "x-ms-correlation-request-id", "x-ms-routing-request-id"):
        assert len({reply.headers[name] for reply in replies}) == 3
    assert "x-ms-client-request-id" not in replies[0].headers


def test_a_provider_can_be_given_up_and_registered_again(simulator):
    path = "/providers/Microsoft.DBforPostgreSQL"

    gone = simulator.call("POST", f"{path}/unregister").json()
    refused = simulator.call(
        "PUT", path_of(simulator.a_group()), deployment_body(f"srv-{uuid.uuid4().hex[:8]}")
    )
    simulator.call("POST", f"{path}/register")
    wait_until(lambda: simulator.call("GET", path).json()["registrationState"] == "Registered")

    assert gone["registrationState"] == "NotRegistered"
    assert refused.json()["error"]["code"] == "MissingSubscriptionRegistration"


def test_time_stands_still_runs_and_jumps(simulator):
    clock = "/_simulator/clock"
    simulator.clock(speed=0)
    still = [simulator.client.get(clock).json()["elapsed"] for _ in range(2)]
    simulator.clock(advance=3600)
    jumped = simulator.client.get(clock).json()["elapsed"]
    simulator.clock(speed=1000)
    wait_until(lambda: simulator.client.get(clock).json()["elapsed"] > jumped + 1)

    assert still[0] == still[1]
    assert jumped == pytest.approx(still[1] + 3600)
    for wrong in ({"speed": -1}, {"speed": "fast"}, {"advance": "far"}, {"advance": -1}):
        assert simulator.client.post(clock, json=wrong).status_code == 400


def test_one_operation_of_a_deployment_is_read_by_its_id(simulator):
    group = simulator.a_group()
    deployed(simulator, group, template([account(an_account())]))
    path = f"/resourceGroups/{group}/deployments/main/operations"
    first = simulator.call("GET", path).json()["value"][0]

    one = simulator.call("GET", f"{path}/{first['operationId']}")
    none = simulator.call("GET", f"{path}/0123456789ABCDEF")

    assert one.json() == first
    assert (none.status_code, none.json()["error"]["code"]) == (404, "DeploymentOperationNotFound")


def test_deployments_are_found_by_how_they_ended(simulator):
    group = simulator.a_group()
    deployed(simulator, group, template([]), "good")
    simulator.fault("deployment_failed", path=f"{group}/.*/bad")
    deployed(simulator, group, template([account(an_account())]), "bad")
    path = f"/resourceGroups/{group}/providers/Microsoft.Resources/deployments"

    assert pages(simulator, path, **{"$filter": "provisioningState eq 'Failed'"}) == [["bad"]]


@pytest.mark.parametrize(
    ("group", "name", "body", "code"),
    [
        (
            "nowhere",
            "x",
            {"properties": {"mode": "Incremental", "template": template([])}},
            "ResourceGroupNotFound",
        ),
        (
            None,
            "x" * 65,
            {"properties": {"mode": "Incremental", "template": template([])}},
            "InvalidDeploymentName",
        ),
        (None, "x", {}, "InvalidRequestContent"),
        (None, "x", {"properties": {"mode": "Complete", "template": template([])}}, "InvalidRequestContent"),
        (None, "x", {"properties": {"mode": "Incremental"}}, "InvalidTemplate"),
        (
            None,
            "x",
            {
                "properties": {
                    "mode": "Incremental",
                    "template": template([]),
                    "parameters": {"y": {"value": 1}},
                }
            },
            "InvalidTemplate",
        ),
        (
            None,
            "x",
            {"properties": {"mode": "Incremental", "templateLink": {"uri": "https://example.org/t.json"}}},
            "InvalidRequestContent",
        ),
    ],
)
def test_a_deployment_that_cannot_begin_is_refused_by_put_and_by_validate(simulator, group, name, body, code):
    path = path_of(group or simulator.a_group(), name)

    put, validated = simulator.call("PUT", path, body), simulator.call("POST", f"{path}/validate", body)

    assert put.json()["error"]["code"] == validated.json()["error"]["code"] == code
    assert simulator.call("HEAD", path).status_code == 404
