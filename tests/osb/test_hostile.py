"""Input that nobody sends by accident, and a broker that lives on."""

import json

import pytest

from tests.osb.offerings import LARGE, PLAIN, PLAIN_SERVICE, SERVICE, SMALL
from tests.osb.platform import RawAnswer, an_id, ask, change, order, read_all, refused


@pytest.fixture(autouse=True)
def the_broker_lives_on(platform):
    before = platform.catalog().content
    yield
    assert platform.catalog().content == before


def put(platform, head: str, body: bytes, instance_id: str | None = None) -> RawAnswer:
    path = f"/v2/service_instances/{instance_id or an_id()}?accepts_incomplete=true"
    return platform.raw(f"PUT {path} HTTP/1.1\r\n{head}", body)


def served_or_refused(platform, instance_id, body, allowed=frozenset({202, 400})):
    """The order is served, and then readable, or refused."""
    answer = platform.provision(instance_id, body)
    assert answer.status_code in allowed, answer.text
    if answer.status_code == 202:
        assert platform.settle(instance_id).json()["state"] == "succeeded"
        assert platform.fetch(instance_id).status_code == 200
        assert platform.provision(instance_id, body).status_code == 200
    else:
        assert platform.poll(instance_id).status_code == 404


@pytest.mark.requirement("HOS-01")
@pytest.mark.parametrize("megabytes", [3, 40])
def test_a_body_of_many_megabytes_is_refused(platform, megabytes):
    body = json.dumps(order(parameters={"note": "x" * (megabytes * 1024 * 1024)})).encode()

    answer = put(platform, f"Content-Length: {len(body)}", body)

    assert answer.status in {400, 413}


@pytest.mark.requirement("HOS-01", "HOS-08")
def test_a_chunked_body_of_many_megabytes_is_refused(platform):
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    answer = put(platform, "Transfer-Encoding: chunked", chunk * 100 + b"0\r\n\r\n")

    assert answer.status in {400, 413}


@pytest.mark.requirement("HOS-02")
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_json_nested_a_hundred_thousand_deep_is_refused(platform, opening, closing):
    text = opening * 100_000 + "1" + closing * 100_000
    body = json.dumps(order(parameters={"labels": "HERE"})).replace('"HERE"', text)

    for bad in (text, body):
        assert platform.provision(an_id(), bad).status_code in {400, 413}


@pytest.mark.requirement("HOS-03")
@pytest.mark.parametrize(
    "fields",
    [
        f'"plan_id": "{LARGE}"',
        f'"plan_id": "{SMALL}"',
        '"parameters": {"size": 1, "size": 2}',
        '"parameters": {"labels": {"a": [{"b": 1, "b": 1}]}}',
        '"context": {"platform": "one", "platform": "two"}',
    ],
)
def test_duplicate_keys_are_refused_where_either_value_would_do(platform, fields):
    instance_id = an_id()
    text = json.dumps(order())[:-1] + f", {fields}}}"

    refused(platform.provision(instance_id, text), 400)

    assert platform.poll(instance_id).status_code == 404


@pytest.mark.requirement("HOS-04")
@pytest.mark.parametrize(
    "odd",
    [
        "\\ud800",
        "\\udfff\\ud800",
        "\\u0000",
        "a\\u0000b",
        "\\u0001\\u001f\\u007f",
        "\\u202e",
        "\\ufffe",
        "😀",
        "\\ud83d\\ude00",
    ],
)
def test_odd_characters_in_a_body_are_served_or_refused(platform, odd):
    for place in ("note", "labels"):
        value = {"k": "HERE", "HERE": 1} if place == "labels" else "HERE"
        text = json.dumps(order(parameters={place: value}, context={"platform": "x", "namespace": "HERE"}))

        served_or_refused(platform, an_id(), text.replace("HERE", odd).encode())


@pytest.mark.requirement("HOS-04")
@pytest.mark.parametrize("raw", [b"\x00", b"\x1f", b"\n", b"\xed\xa0\x80", b"\xc0\x80", b"\xff"])
def test_raw_control_characters_and_broken_utf8_in_a_string_are_refused(platform, raw):
    body = json.dumps(order(parameters={"note": "HERE"})).encode().replace(b"HERE", raw)

    refused(platform.provision(an_id(), body), 400)


@pytest.mark.requirement("HOS-05")
@pytest.mark.parametrize(
    "number",
    [
        "9" * 5000,
        "-" + "9" * 5000,
        "1e999",
        "-1e999",
        "1e-999",
        "0." + "1" * 5000,
        "1" + "0" * 400,
        "9223372036854775808",
        "-0",
        "1E400",
    ],
)
def test_enormous_numbers_are_served_or_refused(platform, number):
    for place in ("amount", "size", "labels"):
        value = {"n": 4242} if place == "labels" else 4242
        text = json.dumps(order(parameters={place: value})).replace("4242", number)

        served_or_refused(platform, an_id(), text)


TEXTS = [
    "'; DROP TABLE service_instances; --", '" OR ""="', "$(reboot)", "`id`", "{{7*7}}", "${jndi:ldap://x}",
    "../../etc/passwd", "%s%s%n", "<script>alert(1)</script>", "[parameters('password')]", "[reference('x')]", "\\",
    "' || pg_sleep(5) || '", "%27",
]  # fmt: skip


@pytest.mark.requirement("HOS-06")
@pytest.mark.parametrize("text", TEXTS)
def test_text_that_means_something_elsewhere_is_only_text(platform, external, text):
    from urllib.parse import quote

    instance_id = platform.ready(order(parameters={"note": text, "labels": {text: text}}))

    assert platform.fetch(instance_id).json()["parameters"] == {"note": text, "labels": {text: text}}
    assert external.living(instance_id)[0].parameters["note"] == text
    for method in ("GET", "DELETE"):
        query = f"?service_id={SERVICE}&plan_id={SMALL}&accepts_incomplete=true"
        answer = platform.raw(f"{method} /v2/service_instances/{quote(text, safe='')}{query} HTTP/1.1")
        assert answer.status in {400, 404, 410}
    assert platform.provision(an_id(), order(service_id=text)).status_code == 400
    assert platform.bind(instance_id, an_id(), ask(parameters={"note": text})).status_code == 201


MEANT = f"?service_id={SERVICE}&plan_id={SMALL}&accepts_incomplete=true"
"""What any method of the API would need in a query."""
ROUTES = [
    ("/v2/catalog", {}),
    ("/v2/service_instances/{i}", order(parameters={"size": 2})),
    ("/v2/service_instances/{i}/last_operation", {}),
    ("/v2/service_instances/{i}/service_bindings/{b}", ask()),
    ("/v2/service_instances/{i}/service_bindings/{b}/last_operation", {}),
]
"""Each route with a body that some method of it would serve."""


@pytest.mark.requirement("HOS-07")
@pytest.mark.parametrize(
    "method", ["HEAD", "OPTIONS", "TRACE", "POST", "CONNECT", "BREW", "GETT", "PROPFIND"]
)
@pytest.mark.parametrize(("route", "meant"), ROUTES)
def test_other_methods_have_no_effect(platform, external, method, route, meant):
    body = json.dumps(meant).encode()
    instance_id = platform.ready(order(parameters={"size": 1}))
    binding_id, bound = platform.bound(instance_id)
    new_instance, new_binding = an_id(), an_id()

    # An effect on what is there would hide one on what is not: the new ids come first.
    for i, b in [(new_instance, new_binding), (instance_id, new_binding), (instance_id, binding_id)]:
        path = route.format(i=i, b=b) + MEANT
        answer = platform.raw(f"{method} {path} HTTP/1.1\r\nContent-Length: {len(body)}", body)
        assert answer.status in {200, 400, 404, 405, 501}

    assert platform.settle(instance_id).json()["state"] == "succeeded"
    assert platform.fetch(instance_id).json()["parameters"] == {"size": 1}
    assert platform.fetch(instance_id, binding_id).status_code == 200
    assert bound["credentials"]["password"] in external.passwords()
    assert external.updates[instance_id] == 0
    assert platform.poll(new_instance).status_code == 404
    assert platform.poll(instance_id, new_binding).status_code == 404


@pytest.mark.requirement("HOS-08")
def test_a_chunked_body_is_read(platform):
    body = json.dumps(order()).encode()
    pieces = b"".join(
        b"%x\r\n%s\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, len(body), 7)
    )

    answer = put(platform, "Transfer-Encoding: chunked", pieces + b"0\r\n\r\n")

    assert answer.status == 202


@pytest.mark.requirement("HOS-09")
@pytest.mark.parametrize(
    "length", ["5", "-1", "abc", "1e3", "", "+10", "99999999999999999999", "0x10", "1, 2"]
)
def test_a_wrong_content_length_is_refused_or_closes_the_connection(platform, external, length):
    instance_id = an_id()

    answer = put(platform, f"Content-Length: {length}", json.dumps(order()).encode(), instance_id)

    assert answer.status in {None, 400, 413}
    assert platform.poll(instance_id).status_code == 404
    assert external.creations[instance_id] == 0


@pytest.mark.requirement("HOS-09")
def test_a_body_shorter_than_announced_is_never_acted_on(platform, external):
    instance_id = an_id()
    body = json.dumps(order()).encode()
    with platform.open_socket() as connection:
        path = f"/v2/service_instances/{instance_id}?accepts_incomplete=true"
        connection.sendall(platform.head(f"PUT {path} HTTP/1.1\r\nContent-Length: {len(body) + 10}") + body)

        assert platform.catalog().status_code == 200

    # Whatever the broker made of it when the connection was closed came before this.
    platform.ready()
    assert platform.poll(instance_id).status_code == 404
    assert external.creations[instance_id] == 0


@pytest.mark.requirement("HOS-10")
@pytest.mark.parametrize(
    "name", ["X-Broker-API-Request-Identity", "X-Broker-API-Originating-Identity", "X-Anything", "Cookie"]
)
@pytest.mark.parametrize("length", [10_000, 200_000])
def test_an_overlong_header_is_served_or_refused(platform, name, length):
    answer = platform.raw(f"GET /v2/catalog HTTP/1.1\r\n{name}: {'x' * length}")

    assert answer.status in {None, 200, 400, 431}


@pytest.mark.requirement("HOS-11")
@pytest.mark.parametrize("name", ["service_id", "plan_id", "organization_guid", "space_guid"])
def test_overlong_ids_in_a_body_are_served_or_refused(platform, name):
    answer = platform.provision(an_id(), order(**{name: "x" * 100_000}))

    assert answer.status_code in {202, 400, 413}
    if name in {"service_id", "plan_id"}:
        assert len(answer.text) < 2000


@pytest.mark.requirement("HOS-12")
def test_the_catalog_is_the_same_after_a_little_of_everything(platform):
    first = platform.catalog().json()

    platform.provision(an_id(), "[" * 100_000)
    platform.provision(an_id(), b"\xff\xfe")
    platform.raw("BREW /v2/catalog HTTP/1.1")
    platform.raw("GET /%00 HTTP/1.1")
    platform.update(an_id(), change(parameters={"note": "\x00"}))

    assert platform.catalog().json() == first


@pytest.mark.requirement("HOS-13")
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_other_encodings_are_served_or_refused(platform, encoding):
    body = json.dumps(order(parameters={"note": "ü"}), ensure_ascii=False).encode(encoding)

    assert platform.provision(an_id(), body).status_code in {202, 400}


@pytest.mark.requirement("HOS-14")
def test_a_client_that_sends_half_a_request_holds_up_nobody(platform):
    sockets = [platform.open_socket() for _ in range(20)]
    try:
        for index, connection in enumerate(sockets):
            head = platform.head(f"PUT /v2/service_instances/{an_id()} HTTP/1.1\r\nContent-Length: 1000")
            connection.sendall(head[: 20 + index * 10] if index % 2 else head + b'{"service_id"')

        assert platform.fetch(platform.ready()).status_code == 200
    finally:
        for connection in sockets:
            connection.close()


@pytest.mark.requirement("HOS-07")
def test_two_requests_smuggled_as_one_are_never_both_served_with_one_set_of_credentials(platform):
    inner = f"DELETE /v2/service_instances/{an_id()} HTTP/1.1\r\nHost: broker\r\n\r\n".encode()
    head = platform.head(
        "PUT /v2/service_instances/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4"
    )
    with platform.open_socket() as connection:
        connection.sendall(head + b"0\r\n\r\n" + inner)
        answers = read_all(connection)

    assert answers.count(b"HTTP/1.1 2") == 0


def test_the_plain_offering_takes_no_parameters_that_nobody_described(platform):
    answer = platform.provision(an_id(), order(PLAIN, service_id=PLAIN_SERVICE, parameters={"anything": 1}))

    assert answer.status_code in {202, 400}
