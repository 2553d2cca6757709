"""Who gets in: each route of the admin API with each kind of credentials."""

import base64

import httpx
import pytest

from broker.api.admin.application import admin_routes
from tests.administration.desk import ALICE, PASSWORDS, READER
from tests.osb.platform import at_once

# What is believed does not hang on the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")

ROUTES = [
    (method.upper(), path)
    for path, methods in admin_routes().openapi()["paths"].items()
    for method in methods
] + [("GET", "/admin/v1/openapi.json"), ("GET", "/admin/v1/nothing"), ("POST", "/admin/v1/nothing")]


def basic(name, password):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


STRANGERS = {
    "nobody": None,
    "a platform": basic("kubernetes", PASSWORDS["kubernetes"]),
    "a platform's password as a token": f"Bearer {PASSWORDS['kubernetes']}",
    "an operator's token as a password": basic("alice", ALICE.bearer_tokens[0]),
    "a token that is cut": f"Bearer {ALICE.bearer_tokens[0][:-1]}",
    "an operator's name": "Bearer alice",
}


def asked(broker, method, path, authorization):
    path = path.replace("{", "").replace("}", "")
    headers = {"Authorization": authorization} if authorization else {}
    return httpx.request(method, broker.url + path, headers=headers, timeout=60)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_route_answers_a_stranger_and_all_strangers_are_told_the_same(broker, method, path):
    shown = list(STRANGERS.values())
    answers = at_once(len(shown), lambda i: asked(broker, method, path, shown[i]))

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert {answer.headers["www-authenticate"].split()[0] for answer in answers} == {"Bearer"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_who_may_read_gets_what_changes_nothing_and_nothing_else(broker, method, path):
    answer = asked(broker, method, path, f"Bearer {READER.bearer_tokens[0]}")

    if method == "GET":
        assert answer.status_code in {200, 404}, answer.text
    else:
        assert (answer.status_code, answer.json()["error"]) == (403, "Forbidden")
        assert "'read'" in answer.json()["description"]


@pytest.mark.parametrize("token", [0, 1])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_who_may_operate_gets_everywhere_with_either_token(broker, method, path, token):
    answer = asked(broker, method, path, f"Bearer {ALICE.bearer_tokens[token]}")

    assert answer.status_code not in {401, 403}, answer.text


def test_an_operator_is_nobody_to_the_platforms_api(broker):
    for authorization in (f"Bearer {ALICE.bearer_tokens[0]}", basic("alice", ALICE.bearer_tokens[0])):
        assert asked(broker, "GET", "/v2/catalog", authorization).status_code == 401
