"""Ids in paths and values in queries (spec, "URL Properties")."""

from urllib.parse import quote

import pytest

from tests.osb.offerings import SERVICE, SMALL
from tests.osb.platform import an_id, ask, order, refused

IDS = f"service_id={SERVICE}&plan_id={SMALL}"
JSON = b"Content-Type: application/json"
ODD = [
    "a b",
    "a:b",
    "a@b",
    "a&b",
    "a=b",
    "a+b",
    "a$b",
    "100%",
    "ä",
    "日本",
    "a;b",
    "a,b",
    "(a)",
    "a'b",
    'a"b',
    "a!*b",
    "a?b",
    "a#b",
]


def put(platform, path: str, body: dict) -> object:
    import json

    data = json.dumps(body).encode()
    head = f"PUT {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    return platform.raw(head, data)


@pytest.mark.requirement("URL-01")
def test_ids_of_unreserved_characters_go_through_a_whole_life(platform, external):
    instance_id, binding_id = f"Az09-._~{an_id()}", f"~_.-zA{an_id()}"

    platform.ready(instance_id=instance_id)
    assert platform.bind(instance_id, binding_id).status_code == 201
    assert platform.fetch(instance_id, binding_id).status_code == 200
    assert platform.unbind(instance_id, binding_id).status_code == 200
    platform.gone(instance_id)

    assert external.creations[instance_id] == 1
    assert external.living(instance_id) == []


@pytest.mark.requirement("URL-02")
@pytest.mark.parametrize("odd", ODD)
def test_an_id_that_needs_encoding_is_refused_or_always_reaches_the_same_instance(platform, external, odd):
    instance_id = f"{odd}-{an_id()}"
    path = f"/v2/service_instances/{quote(instance_id, safe='')}"

    answer = put(platform, path + "?accepts_incomplete=true", order())

    assert answer.status in {202, 400}
    if answer.status == 400:
        assert external.creations[instance_id] == 0
        return
    settled = platform.settle(quote(instance_id, safe=""))
    assert settled.json()["state"] == "succeeded"
    assert external.creations[instance_id] == 1
    platform.gone(quote(instance_id, safe=""))
    assert external.living(instance_id) == []


@pytest.mark.requirement("URL-03")
def test_ids_that_differ_in_case_or_in_plus_and_blank_are_different_instances(platform, external):
    base = an_id()
    lower, upper = f"id-{base}", f"ID-{base}"
    plus, blank = f"a+{base}", f"a%20{base}"

    assert platform.provision(lower).status_code == 202
    assert platform.poll(upper).status_code == 404
    statuses = [
        put(platform, f"/v2/service_instances/{i}?accepts_incomplete=true", order()).status
        for i in (plus, blank)
    ]

    platform.settle(lower)
    if statuses == [202, 202]:
        platform.settle(plus)
        platform.settle(blank)
        assert external.creations[f"a+{base}"] == external.creations[f"a {base}"] == 1
    else:
        assert set(statuses) <= {202, 400}
    platform.gone(lower)
    assert platform.provision(upper).status_code == 202


@pytest.mark.requirement("URL-04")
@pytest.mark.parametrize("length", [255, 256, 1024, 4000])
def test_a_long_id_is_served_or_refused(platform, external, length):
    instance_id = (an_id() + "x" * length)[:length]

    answer = platform.provision(instance_id)

    assert answer.status_code in {202, 400, 414}
    if answer.status_code == 202:
        assert platform.settle(instance_id).json()["state"] == "succeeded"
    else:
        assert external.creations[instance_id] == 0
    assert platform.bind(platform.ready(), instance_id).status_code in {201, 400, 414}


@pytest.mark.requirement("URL-05")
def test_an_encoded_slash_never_takes_effect_as_another_route(platform, external):
    instance_id = platform.ready()
    binding_id, _ = platform.bound(instance_id)

    bound = put(platform, f"/v2/service_instances/{instance_id}%2Fservice_bindings%2F{an_id()}", ask())
    unbound = platform.raw(
        f"DELETE /v2/service_instances/{instance_id}%2Fservice_bindings%2F{binding_id}?{IDS} HTTP/1.1"
    )
    polled = platform.raw(f"GET /v2/service_instances/{instance_id}%2Flast_operation HTTP/1.1")
    catalog = platform.raw("GET /v2%2Fcatalog HTTP/1.1")

    for answer in (bound, unbound, polled, catalog):
        assert answer.status in {400, 404}
    assert platform.fetch(instance_id, binding_id).status_code == 200
    assert len(external.living(instance_id)) == 1


@pytest.mark.requirement("URL-06")
@pytest.mark.parametrize(
    "path",
    [
        "/v2/service_instances/..", "/v2/service_instances/../catalog", "/v2/service_instances/%2e%2e",
        "/v2/service_instances/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/v2/service_instances/../../../../etc/passwd",
        "/v2/./catalog/..", "/v2/service_instances/.%2e/catalog", "//v2/catalog", "/v2//catalog", "/v2/catalog/",
    ],
)  # fmt: skip
def test_dot_segments_reach_nothing(platform, path):
    answer = platform.raw(f"GET {path} HTTP/1.1")

    refused(answer, answer.status)
    assert answer.status in {400, 404}
    assert b"root:" not in answer.data
    assert b"services" not in answer.body


@pytest.mark.requirement("URL-07")
@pytest.mark.parametrize(
    "bad", ["%00", "%0d%0aSet-Cookie:%20a=b", "%0a", "%1b%5b31m", "%7f", "%ff", "%c3%28", "%ed%a0%80"]
)
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_control_characters_and_broken_utf8_in_an_id_are_refused(platform, method, bad):
    path = f"/v2/service_instances/{an_id()}{bad}?accepts_incomplete=true&{IDS}"

    answer = put(platform, path, order()) if method == "PUT" else platform.raw(f"{method} {path} HTTP/1.1")

    refused(answer, 400)
    assert "set-cookie" not in answer.headers
    assert b"\r\nSet-Cookie" not in answer.data


@pytest.mark.requirement("URL-07")
@pytest.mark.parametrize("stray", ["%", "%zz", "%u0041", "%2"])
def test_a_stray_percent_sign_in_an_id_is_served_or_refused(platform, stray):
    path = f"/v2/service_instances/{an_id()}{stray}?accepts_incomplete=true&{IDS}"

    assert put(platform, path, order()).status in {202, 400}
    assert platform.raw(f"GET {path} HTTP/1.1").status in {400, 404}


@pytest.mark.requirement("URL-08")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v2/service_instances/?accepts_incomplete=true", order()),
        ("PATCH", "/v2/service_instances/?accepts_incomplete=true", order()),
        ("DELETE", f"/v2/service_instances/?{IDS}", None),
        ("GET", "/v2/service_instances/", None),
        ("GET", "/v2/service_instances//last_operation", None),
        ("PUT", "/v2/service_instances//service_bindings/b", ask()),
        ("PUT", "/v2/service_instances/{i}/service_bindings/", ask()),
        ("DELETE", "/v2/service_instances/{i}/service_bindings/?" + IDS, None),
        ("GET", "/v2/service_instances/{i}/service_bindings//last_operation", None),
    ],
)
def test_an_empty_id_is_refused(platform, external, method, path, body):
    path = path.format(i=platform.ready())

    answer = platform.request(method, path, body)

    assert answer.status_code in {400, 404, 405}
    assert external.creations[""] == 0
    assert external.living("") == []


@pytest.mark.requirement("URL-09")
@pytest.mark.parametrize(
    "query",
    [
        "accepts_incomplete=" + "x" * 8000, "accepts_incomplete=true&accepts_incomplete=false",
        "accepts_incomplete=%00",
        "accepts_incomplete=%ff", "accepts_incomplete", "=", "&&&", "service_id=%00&plan_id=%ff", "a[]=1&a[x]=2", "%",
        "operation=" + "y" * 8000, ";" * 100, "service_id=a&service_id=b&plan_id=c",
    ],
)  # fmt: skip
def test_hostile_query_values_never_break_anything(platform, query):
    instance_id = platform.ready()

    for method, path in [
        ("GET", f"/v2/service_instances/{instance_id}/last_operation"),
        ("DELETE", f"/v2/service_instances/{an_id()}"),
    ]:
        answer = platform.raw(f"{method} {path}?{query} HTTP/1.1")
        assert answer.status in {200, 400, 404, 410, 414, 422}
    provisioned = put(platform, f"/v2/service_instances/{an_id()}?{query}", order())
    assert provisioned.status in {202, 400, 422}
