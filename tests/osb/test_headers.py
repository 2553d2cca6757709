"""Version, originating identity and request identity (spec, "API Version Header", "Originating Identity")."""

import base64
import json

import pytest

from tests.osb.platform import an_id, ask, at_once, change, order, refused

VERSION = "X-Broker-API-Version"
ORIGIN = "X-Broker-API-Originating-Identity"
REQUEST = "X-Broker-API-Request-Identity"


def identity(kind: str, value: object) -> str:
    return f"{kind} {base64.b64encode(json.dumps(value).encode()).decode()}"


@pytest.mark.requirement("HDR-01", "HDR-08")
@pytest.mark.parametrize("version", ["2.13", "2.14", "2.15", "2.16", "2.17", "2.18", "2.100"])
def test_every_minor_version_of_major_two_is_served(platform, version):
    assert platform.catalog(headers={VERSION: version}).status_code == 200
    assert platform.provision(an_id(), headers={VERSION: version}).status_code == 202


@pytest.mark.requirement("HDR-02")
def test_a_missing_version_is_served(platform):
    answer = platform.raw_without_version("GET", "/v2/catalog")

    assert answer.status == 200
    assert answer.json()["services"]


@pytest.mark.requirement("HDR-04", "HDR-05", "HDR-06")
@pytest.mark.parametrize("version", ["1.0", "3.0", "0.2", "12.17"])
def test_another_major_version_is_412_says_which_is_right_and_creates_nothing(platform, external, version):
    instance_id = an_id()

    description = refused(platform.provision(instance_id, headers={VERSION: version}), 412)

    assert "2." in description
    assert platform.poll(instance_id).status_code == 404
    assert external.living(instance_id) == []


@pytest.mark.requirement("HDR-07", "HDR-06")
@pytest.mark.parametrize(
    "version", ["abc", "2", "2.17.0", "", "2.", ".17", "-2.17", "2.x", "2.17, 2.16", "9" * 5000 + ".1"]
)
def test_a_version_that_is_none_is_refused_without_a_failure_and_creates_nothing(platform, external, version):
    instance_id = an_id()

    answer = platform.provision(instance_id, headers={VERSION: version})

    assert answer.status_code in {400, 412}
    assert platform.poll(instance_id).status_code == 404


@pytest.mark.requirement("HDR-09")
@pytest.mark.parametrize("name", ["x-broker-api-version", "X-BROKER-API-VERSION", "x-Broker-Api-Version"])
def test_header_names_mean_the_same_in_any_case(platform, name):
    answer = platform.raw_without_version("GET", "/v2/catalog", f"{name}: 3.0", f"{REQUEST.upper()}: me")

    assert answer.status == 412
    assert answer.headers[REQUEST.lower()] == "me"


@pytest.mark.requirement("HDR-10", "PRF-05")
@pytest.mark.parametrize(
    ("kind", "who", "context"),
    [
        (
            "cloudfoundry",
            {"user_id": "683ea748-3092-4ff4-b656-39cacc4d5360"},
            {"organization_guid": "o", "space_guid": "s"},
        ),
        (
            "kubernetes",
            {
                "username": "duke",
                "uid": "c2dde242",
                "groups": ["admin", "dev"],
                "extra": {"mydata": ["data1"]},
            },
            {"namespace": "n", "clusterid": "c"},
        ),
        ("somewhere-else", {"anything": [1, None]}, {"place": {"deep": True}}),
    ],
)
def test_originating_identity_and_context_of_any_platform_are_let_through(platform, kind, who, context):
    headers = {ORIGIN: identity(kind, who)}
    instance_id, binding_id = an_id(), an_id()

    ordered = platform.provision(instance_id, order(context={"platform": kind, **context}), headers=headers)

    assert ordered.status_code == 202
    assert platform.settle(instance_id).json()["state"] == "succeeded"
    assert platform.bind(instance_id, binding_id, headers=headers).status_code == 201
    assert platform.update(instance_id, change(parameters={"size": 3}), headers=headers).status_code == 202
    platform.settle(instance_id)
    assert platform.unbind(instance_id, binding_id, headers=headers).status_code == 200
    assert platform.deprovision(instance_id, headers=headers).status_code == 202


@pytest.mark.requirement("HDR-11")
@pytest.mark.parametrize(
    "value",
    [
        "kubernetes",
        "kubernetes !!!",
        "kubernetes bm90IGpzb24=",
        "kubernetes WzFd",
        "",
        "a b c",
        "kubernetes /w==",
        "x" * 4000,
    ],
)
def test_an_unreadable_originating_identity_never_breaks_anything(platform, value):
    answer = platform.provision(an_id(), headers={ORIGIN: value})

    assert answer.status_code in {202, 400}


@pytest.mark.requirement("HDR-12")
def test_the_request_identity_comes_back_with_every_kind_of_success(platform):
    # `check_any` compares the header of each answer; here each kind of success is asked for with one.
    instance_id, binding_id = an_id(), an_id()

    def me(who):
        return {REQUEST: who}

    assert platform.catalog(headers=me("a")).headers[REQUEST] == "a"
    assert platform.provision(instance_id, headers=me("b")).headers[REQUEST] == "b"
    platform.settle(instance_id)
    assert platform.bind(instance_id, binding_id, headers=me("c")).headers[REQUEST] == "c"
    assert (
        platform.request("GET", f"/v2/service_instances/{instance_id}", headers=me("d")).headers[REQUEST]
        == "d"
    )
    assert platform.unbind(instance_id, binding_id, headers=me("e f")).headers[REQUEST] == "e f"
    assert platform.deprovision(instance_id, headers=me("g")).headers[REQUEST] == "g"


@pytest.mark.requirement("HDR-13")
def test_the_request_identity_comes_back_with_every_kind_of_refusal(platform):
    me = {REQUEST: "26b5f6f8-9c4f-4c2a-8f6b-7f3a6f3f8d10"}
    instance_id = platform.ready()
    refusals = {
        400: platform.provision(an_id(), "{", headers=me),
        401: platform.request("GET", "/v2/catalog", headers=me, auth=("nobody", "nothing")),
        404: platform.request("GET", f"/v2/service_instances/{an_id()}", headers=me),
        405: platform.request("DELETE", "/v2/catalog", headers=me),
        409: platform.provision(instance_id, order(parameters={"size": 9}), headers=me),
        410: platform.deprovision(an_id(), headers=me),
        412: platform.catalog(headers=me | {VERSION: "3.0"}),
        413: platform.provision(an_id(), b" " * (17 * 1024 * 1024), headers=me),
        422: platform.provision(an_id(), asynchronous=False, headers=me),
    }

    assert {status: answer.status_code for status, answer in refusals.items()} == {
        status: status for status in refusals
    }
    for answer in refusals.values():
        assert answer.headers[REQUEST] == me[REQUEST]


@pytest.mark.requirement("HDR-14")
def test_many_requests_at_once_each_get_their_own_request_identity_back(platform):
    answers = at_once(20, lambda i: platform.provision(an_id(), headers={REQUEST: f"request-{i}"}))

    assert [answer.headers[REQUEST] for answer in answers] == [f"request-{i}" for i in range(20)]


@pytest.mark.requirement("HDR-15")
def test_neither_identity_is_needed(platform):
    answer = platform.provision(an_id())

    assert answer.status_code == 202
    assert REQUEST not in answer.headers


def test_a_request_identity_cannot_split_the_answer(platform):
    answer = platform.raw(b"GET /v2/catalog HTTP/1.1\r\nX-Broker-API-Request-Identity: a\tb\x7f\xff<script>")

    assert answer.status in {200, 400}
    assert answer.data.count(b"HTTP/1.1") == 1


def test_a_bind_body_is_never_needed_to_know_who_asks(platform):
    instance_id = platform.ready()

    answer = platform.bind(
        instance_id, an_id(), ask(), headers={ORIGIN: identity("kubernetes", {"username": "alice"})}
    )

    assert answer.status_code == 201
