import secrets
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest

from broker.app import create_app
from broker.domain.catalog import Catalog
from broker.lifecycle.options import LifecycleOptions
from tests.osb.offerings import CATALOG, SERVICE, SMALL

PASSWORD = secrets.token_urlsafe(18)


@dataclass(frozen=True)
class Known:
    name: str = "cf"
    username: str = "someone"
    passwords: tuple[str, ...] = (PASSWORD,)
    bearer_tokens: tuple[str, ...] = ()


class Served:
    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def current(self) -> Catalog:
        return self.catalog


@pytest.fixture
async def client(database):
    app = create_app(
        database,
        catalog=Served(CATALOG),
        platforms=[Known()],
        options=LifecycleOptions(request_wait=timedelta(milliseconds=50)),
    )
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://broker", auth=("someone", PASSWORD)
    ) as opened:
        yield opened


ORDER = {"service_id": SERVICE, "plan_id": SMALL, "organization_guid": "o", "space_guid": "s"}


@pytest.mark.anyio
async def test_an_accepted_order_can_be_polled_repeated_and_deleted(client):
    path = "/v2/service_instances/one"
    first = await client.put(path, params={"accepts_incomplete": "true"}, json=ORDER)
    again = await client.put(path, params={"accepts_incomplete": "true"}, json=ORDER)
    other = await client.put(
        path, params={"accepts_incomplete": "true"}, json=ORDER | {"parameters": {"size": 3}}
    )
    polled = await client.get(path + "/last_operation", params={"operation": first.json()["operation"]})
    fetched = await client.get(path)
    bound = await client.put(path + "/service_bindings/b", json={"service_id": SERVICE, "plan_id": SMALL})
    deleted = await client.delete(
        path, params={"accepts_incomplete": "true", "service_id": SERVICE, "plan_id": SMALL}
    )

    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 409)
    assert first.json() == again.json()
    assert polled.json()["state"] == "in progress"
    assert polled.headers["retry-after"] == "1"
    assert fetched.status_code == 404
    assert (bound.status_code, bound.json()["error"]) == (422, "ConcurrencyError")
    assert deleted.status_code == 202
    assert deleted.json()["operation"] != first.json()["operation"]


@pytest.mark.anyio
async def test_a_stranger_gets_401_and_his_request_identity_whatever_he_asks(client):
    answer = await client.put(
        "/v2/nothing", auth=("someone", PASSWORD + "x"), headers={"X-Broker-API-Request-Identity": "me"}
    )

    assert answer.status_code == 401
    assert answer.headers["x-broker-api-request-identity"] == "me"
    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("{", "not JSON"),
        ("[]", "must be a JSON object"),
        ("", "no body"),
        ('{"service_id": NaN}', "NaN"),
        ('{"a": 1, "a": 2}', "same key twice"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('{"a": "\\u0000"}', "NUL"),
        ('{"a": 1e999}', "too large"),
        ('{"a": ' + "1" * 5000 + "}", "digits"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "deeper"),
    ],
)
async def test_a_body_that_is_no_honest_json_object_is_400(client, body, says):
    answer = await client.put("/v2/service_instances/one", content=body)

    assert answer.status_code == 400
    assert says in answer.json()["description"]


@pytest.mark.anyio
async def test_the_catalog_is_answered_with_304_while_it_stays_as_it_is(client):
    whole = await client.get("/v2/catalog")
    unchanged = await client.get("/v2/catalog", headers={"If-None-Match": whole.headers["etag"]})

    assert (whole.status_code, unchanged.status_code) == (200, 304)
    assert unchanged.content == b""
    assert whole.json()["services"][0]["id"] == SERVICE
