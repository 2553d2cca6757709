"""Who may ask (spec, "Platform to Service Broker Authentication")."""

import base64

import pytest

from tests.osb.offerings import SERVICE, SMALL
from tests.osb.platform import an_id, ask, change, order, refused

IDS = f"?service_id={SERVICE}&plan_id={SMALL}"
ROUTES = [
    ("GET", "/v2/catalog", None),
    ("PUT", "/v2/service_instances/{i}?accepts_incomplete=true", order()),
    ("GET", "/v2/service_instances/{i}", None),
    ("PATCH", "/v2/service_instances/{i}?accepts_incomplete=true", change(parameters={"size": 5})),
    ("DELETE", "/v2/service_instances/{i}" + IDS + "&accepts_incomplete=true", None),
    ("GET", "/v2/service_instances/{i}/last_operation", None),
    ("PUT", "/v2/service_instances/{i}/service_bindings/{b}", ask()),
    ("GET", "/v2/service_instances/{i}/service_bindings/{b}", None),
    ("DELETE", "/v2/service_instances/{i}/service_bindings/{b}" + IDS, None),
    ("GET", "/v2/service_instances/{i}/service_bindings/{b}/last_operation", None),
]


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


@pytest.fixture
def wrong(platform):
    """Authorization values that must not open anything."""
    name, password = platform.username, platform.password
    return {
        "wrong password": basic(name, "wrong"),
        "wrong user": basic("somebody", password),
        "both empty": basic("", ""),
        "no password": basic(name, ""),
        "prefix": basic(name, password[:-1]),
        "suffix": basic(name, password + "x"),
        "blank after": basic(name, password + " "),
        "newline after": basic(name, password + "\n"),
        "other case": basic(name, password.swapcase()),
        "other case of the user": basic(name.upper(), password),
        "swapped": basic(password, name),
    }


@pytest.mark.requirement("AUT-01", "AUT-06")
@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_no_route_answers_without_credentials(platform, method, path, body):
    answer = platform.request(method, path.format(i=an_id(), b=an_id()), body, auth=None)

    refused(answer, 401)
    assert "basic" in answer.headers["WWW-Authenticate"].lower()


@pytest.mark.requirement("AUT-02")
@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_no_route_answers_to_a_wrong_password(platform, method, path, body):
    answer = platform.request(
        method, path.format(i=an_id(), b=an_id()), body, auth=(platform.username, "wrong")
    )

    refused(answer, 401)


@pytest.mark.requirement("AUT-03", "AUT-09")
def test_what_resembles_the_right_credentials_is_401(platform, wrong):
    for name, value in wrong.items():
        answer = platform.request("GET", "/v2/catalog", headers={"Authorization": value}, auth=None)

        assert answer.status_code == 401, name


@pytest.mark.requirement("AUT-04")
@pytest.mark.parametrize(
    "value",
    [
        "", "Basic", "Basic ", "Basic !!!!", "Basic bm9jb2xvbg==", "Basic /////w==", "Bearer", "Bearer x", "Bearer ",
        "Digest username=x", "basic", "Negotiate abc", "Basic " + "A" * 7000, "\t", "Basic YTpi YTpi",
    ],
)  # fmt: skip
def test_an_authorization_that_cannot_be_read_is_401(platform, value):
    head = f"GET /v2/catalog HTTP/1.1\r\nAuthorization: {value}"

    answer = platform.raw(head, authorized=False)

    assert answer.status == 401


@pytest.mark.requirement("AUT-05")
def test_a_request_that_failed_to_authenticate_changes_nothing(platform, external):
    instance_id = platform.ready(order(parameters={"size": 1}))
    binding_id, _ = platform.bound(instance_id)
    new_instance, new_binding = an_id(), an_id()
    nobody = {"auth": (platform.username, "wrong")}

    answers = [
        platform.provision(new_instance, **nobody),
        platform.bind(instance_id, new_binding, **nobody),
        platform.update(instance_id, change(parameters={"size": 2}), **nobody),
        platform.unbind(instance_id, binding_id, **nobody),
        platform.deprovision(instance_id, **nobody),
    ]

    assert [answer.status_code for answer in answers] == [401] * 5
    assert platform.settle(instance_id).json()["state"] == "succeeded"
    assert platform.poll(new_instance).status_code == 404
    assert platform.fetch(instance_id, new_binding).status_code == 404
    assert platform.fetch(instance_id).json()["parameters"]["size"] == 1
    assert platform.fetch(instance_id, binding_id).status_code == 200
    assert external.updates[instance_id] == 0


@pytest.mark.requirement("AUT-07")
@pytest.mark.parametrize(
    "path", ["/v2/service_instances/{i}", "/v2/nothing", "/", "/v2/service_instances/a%2Fb", "/docs"]
)
def test_without_credentials_every_request_looks_the_same(platform, path):
    known, unknown = platform.ready(), an_id()

    answers = [
        platform.request(method, path.format(i=i), body, auth=None)
        for i in (known, unknown)
        for method, body in [
            ("GET", None),
            ("PUT", "{"),
            ("PUT", b"\xff"),
            ("PATCH", order()),
            ("POST", None),
            ("DELETE", None),
        ]
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.requirement("AUT-08")
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE"])
@pytest.mark.parametrize(("_", "path", "body"), ROUTES)
def test_head_and_options_without_credentials_disclose_nothing(platform, method, _, path, body):
    answer = platform.request(method, path.format(i=an_id(), b=an_id()), auth=None)

    assert answer.status_code == 401


def test_both_passwords_of_a_platform_and_a_bearer_token_are_accepted(platform, credentials):
    second = platform.request("GET", "/v2/catalog", auth=(platform.username, credentials.second_password))
    token = {"Authorization": f"Bearer {credentials.token}"}
    bearer = platform.request("GET", "/v2/catalog", headers=token, auth=None)
    cut = platform.request(
        "GET", "/v2/catalog", headers={"Authorization": token["Authorization"][:-1]}, auth=None
    )

    assert second.status_code == bearer.status_code == 200
    assert cut.status_code == 401


def test_platforms_do_not_see_each_other(platform, other_platform, external):
    instance_id = platform.ready(order(parameters={"size": 1}))
    binding_id, _ = platform.bound(instance_id)

    assert other_platform.fetch(instance_id).status_code == 404
    assert other_platform.poll(instance_id).status_code == 404
    assert other_platform.fetch(instance_id, binding_id).status_code == 404
    assert 400 <= other_platform.bind(instance_id, an_id()).status_code < 500
    assert 400 <= other_platform.update(instance_id, change(parameters={"size": 2})).status_code < 500
    assert other_platform.unbind(instance_id, binding_id).status_code == 410
    assert other_platform.deprovision(instance_id).status_code == 410
    assert platform.fetch(instance_id, binding_id).status_code == 200

    assert other_platform.provision(instance_id, order(parameters={"size": 1})).status_code == 202
    assert other_platform.settle(instance_id).json()["state"] == "succeeded"
    assert len(external.living(instance_id)) == 2
    other_platform.gone(instance_id)

    assert [thing.platform for thing in external.living(instance_id)] == [platform.name]
    assert platform.fetch(instance_id, binding_id).status_code == 200
