"""Bodies are JSON (spec, "Content Type")."""

import json

import pytest

from tests.osb.platform import an_id, ask, change, order, refused

BROKEN = [
    b"",
    b"{",
    b'{"a":}',
    b"null",
    b"[]",
    b'"text"',
    b"7",
    b"{} {}",
    b'{"service_id": NaN}',
    b"\xff\xfe",
    b"{'a': 1}",
    b"true",
]


@pytest.mark.requirement("CTY-01", "CTY-06")
def test_every_answer_with_a_body_is_a_json_object_declared_as_such(platform, external):
    instance_id, binding_id = an_id(), an_id()
    answers = [platform.catalog(), platform.provision(instance_id)]
    platform.settle(instance_id)
    answers += [
        platform.provision(instance_id),
        platform.fetch(instance_id),
        platform.poll(instance_id),
        platform.bind(instance_id, binding_id),
        platform.bind(instance_id, binding_id),
        platform.fetch(instance_id, binding_id),
        platform.update(instance_id, change()),
        platform.update(instance_id, change(parameters={"size": 2})),
        platform.poll(instance_id, binding_id),
        platform.fetch(an_id()),
        platform.deprovision(an_id()),
    ]
    platform.settle(instance_id)
    answers += [platform.unbind(instance_id, binding_id), platform.deprovision(instance_id)]

    assert {answer.status_code for answer in answers} == {200, 201, 202, 404, 410}
    for answer in answers:
        assert answer.headers["Content-Type"] == "application/json"
        assert isinstance(answer.json(), dict)


@pytest.mark.requirement("CTY-02")
def test_a_body_without_content_type_is_read_as_json(platform):
    body = json.dumps(order()).encode()
    answer = platform.raw(
        f"PUT /v2/service_instances/{an_id()}?accepts_incomplete=true HTTP/1.1\r\nContent-Length: {len(body)}",
        body,
    )

    assert answer.status == 202


@pytest.mark.requirement("CTY-03", "CTY-04")
@pytest.mark.parametrize(
    "value",
    [
        "application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8", "text/plain",
        "application/x-www-form-urlencoded", "multipart/form-data", "application/octet-stream", "", "nonsense",
    ],
)  # fmt: skip
def test_whatever_the_content_type_says_the_body_is_read_as_json(platform, value):
    instance_id = an_id()

    assert platform.provision(instance_id, headers={"Content-Type": value}).status_code == 202
    platform.settle(instance_id)
    assert platform.bind(instance_id, an_id(), headers={"Content-Type": value}).status_code == 201
    assert platform.update(instance_id, change(), headers={"Content-Type": value}).status_code == 200


@pytest.mark.requirement("CTY-05", "PRV-20", "UPD-13", "BND-13")
@pytest.mark.parametrize("body", BROKEN)
def test_a_body_that_is_no_json_object_is_400_on_every_route_that_takes_one(platform, body):
    instance_id = platform.ready()

    refused(platform.provision(an_id(), body), 400)
    refused(platform.update(instance_id, body), 400)
    refused(platform.bind(instance_id, an_id(), body), 400)


@pytest.mark.requirement("PRV-20", "UPD-13", "BND-13")
@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "01", "1.", "0x1", "undefined", "'a'"])
def test_numbers_and_words_that_json_does_not_have_are_400(platform, literal):
    instance_id = platform.ready()
    text = json.dumps(order(parameters={"amount": 4242})).replace("4242", literal)

    refused(platform.provision(an_id(), text), 400)
    refused(platform.update(instance_id, text), 400)
    refused(platform.bind(instance_id, an_id(), text), 400)


def test_a_body_that_is_right_is_still_served_after_all_that(platform):
    instance_id = platform.ready()

    assert platform.bind(instance_id, an_id(), ask()).status_code == 201
