"""What kubernetes-sigs/service-catalog does with a ServiceBinding and its Secret."""

import json
from datetime import timedelta

import pytest

from tests.service_catalog.binding import InvalidSecret, secret_data
from tests.service_catalog.conftest import said
from tests.service_catalog.machine import REFUSED, TIMED_OUT, Answer

CREDENTIALS = {"password": "drawn", "port": 5432}


@pytest.fixture
def instance(script):
    script.on("PUT instance", said(201))
    script.on("DELETE binding", said(200))
    return script.instance()


def test_a_bind_that_succeeded_is_a_secret_and_unbinding_takes_it_away(script, instance):
    script.on("PUT binding", said(201, credentials=CREDENTIALS))
    binding = script.binding(instance)
    assert (binding.condition.ready, binding.secret) == (True, {"password": "drawn", "port": "5432"})

    binding.delete()
    script.play.until(10)

    assert (binding.gone, binding.secret) == (True, None)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 429])
def test_a_bind_refused_with_any_4xx_is_final_and_still_unbound_by_its_user(script, instance, status):
    script.on("PUT binding", said(status))
    script.on("DELETE binding", said(410))
    binding = script.binding(instance)
    script.play.until(100_000)
    assert (binding.condition.failed, script.kinds()[1:]) == (True, ["PUT binding"])

    binding.delete()
    script.play.until(200_000)

    assert (binding.gone, script.kinds()[1:]) == (True, ["PUT binding", "DELETE binding"])


@pytest.mark.parametrize(
    "odd", [said(500), said(503), Answer(201, b"[]"), said(204), said(202, operation="op"), TIMED_OUT]
)
def test_a_bind_of_which_nobody_knows_is_unbound_and_final(script, instance, odd):
    script.on("PUT binding", odd)
    binding = script.binding(instance)

    script.play.until(100_000)

    assert (binding.condition.failed, binding.settled) == (True, True)
    assert script.kinds()[1:] == ["PUT binding", "DELETE binding"]


def test_a_bind_that_reached_nobody_comes_again(script, instance):
    script.on("PUT binding", REFUSED, REFUSED, said(201, credentials={}))
    binding = script.binding(instance)

    script.play.until(settled=[binding])

    assert (binding.condition.ready, script.times("PUT binding")) == (True, [0, 0.005, 0.015])


def test_the_same_bind_comes_again_while_its_secret_cannot_be_written(script, instance):
    script.on("PUT binding", said(201, credentials=CREDENTIALS), said(200, credentials=CREDENTIALS))
    instance.condition.ready = False
    binding = script.binding(instance)
    binding.unwritable, instance.condition.ready = 2, True

    script.play.until(settled=[binding])

    assert binding.condition.ready
    assert [kind for kind in script.kinds() if "binding" in kind] == ["PUT binding"] * 3


@pytest.mark.parametrize(
    "answer", [Answer(410, b""), Answer(200, b""), said(500), said(422), REFUSED, TIMED_OUT]
)
def test_an_unbind_whose_answer_is_no_json_object_comes_again(script, instance, answer):
    script.on("PUT binding", said(201, credentials={}))
    script.on("DELETE binding", answer, answer, said(410))
    binding = script.binding(instance)

    binding.delete()
    script.play.until(1000)

    assert (binding.gone, len(script.times("DELETE binding"))) == (True, 3)


def test_an_asynchronous_bind_is_polled_and_fetched(script, instance):
    script.on("PUT binding", said(202, operation="op"))
    script.on("poll binding", said(200, state="in progress"), *[said(500)] * 40, said(200, state="succeeded"))
    script.on("GET binding", said(200, credentials=CREDENTIALS))
    binding = script.binding(instance, asynchronous=True)

    script.play.until(timedelta(days=1).total_seconds(), settled=[binding])

    assert binding.stalled, "fifteen errors, as of an instance"
    script.play.restart()
    script.play.until(script.play.now + 1000)
    assert binding.stalled
    script.play.restart()
    script.play.until(settled=[binding])
    script.play.restart()
    script.play.until(settled=[binding])
    assert binding.secret == {"password": "drawn", "port": "5432"}


def test_a_binding_that_could_not_be_fetched_is_unbound_and_final(script, instance):
    script.on("PUT binding", said(202, operation="op"))
    script.on("poll binding", said(200, state="succeeded"))
    script.on("GET binding", said(404))
    binding = script.binding(instance, asynchronous=True)

    script.play.until(1000)

    assert (binding.condition.failed, script.kinds()[-1]) == (True, "DELETE binding")


def test_credentials_become_a_secret_key_by_key():
    credentials = {
        "host": "127.0.0.1", "port": 5432, "tls": False, "none": None, "hosts": ["a", "b"], "nested": {"ü": {"x": 1}},
    }  # fmt: skip

    data = secret_data(credentials)

    assert data == {
        "host": "127.0.0.1", "port": "5432", "tls": "false", "none": "null",
        "hosts": '["a","b"]', "nested": '{"ü":{"x":1}}',
    }  # fmt: skip
    assert json.loads(data["nested"]) == credentials["nested"]


@pytest.mark.parametrize(
    "credentials", [{"user name": "x"}, {"": "x"}, {"key/": "x"}, {"big": "x" * 1_048_577}]
)
def test_what_no_secret_can_hold_is_refused(credentials):
    with pytest.raises(InvalidSecret):
        secret_data(credentials)
