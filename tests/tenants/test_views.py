"""Catalogs by platform and by address, through the front door; and what each platform really sends as its place."""

import base64
import json
import os
import secrets
import statistics
import time
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from broker.api.messages import context_of
from broker.domain.tenant_rules import Rule, TenantRules, View
from broker.domain.tenants import NAMES, PLACES, PLATFORM_KINDS, Tenant
from broker.setting_values import PlatformCredentials
from tests.osb.external import External, ExternalProvisioner
from tests.osb.offerings import LARGE, PLAIN_SERVICE, SERVICE, SMALL
from tests.osb.platform import Platform, an_id, ask, change, order, refused
from tests.osb.serving import served
from tests.tenants.conftest import Table
from tests.tenants.tables import THINGS, force, none_of, only, quota, when

VECTORS = Path(__file__).parents[1] / "osb" / "vectors" / "service-catalog.jsonl"
UNKNOWN = "5c1a52d4-7a3c-4e0b-9a35-2d0b5b6fffff"
INSIDE = View("inside", when(platform="k8s"))
RULES = TenantRules(
    (
        Rule("inside", when(view="inside"), plans=only("kept-things/small", "kept-things/large")),
        Rule("k8s", when(platform="k8s"), plans=none_of("*/large")),
    ),
    (INSIDE,),
)


@pytest.fixture(scope="module")
def table():
    return Table()


@pytest.fixture(autouse=True)
def _rules(table):
    table.rules = RULES


@pytest.fixture(scope="module")
def credentials():
    return [
        PlatformCredentials(name, f"{name}-user", (secrets.token_urlsafe(24),), ()) for name in ("k8s", "cf")
    ]


@pytest.fixture(scope="module")
def broker(tmp_path_factory, credentials, table):
    with served(
        database_url=f"sqlite:///{tmp_path_factory.mktemp('views')}/broker.db",
        sealing_key="tests:" + base64.b64encode(os.urandom(32)).decode(),
        platforms=credentials,
        catalog=THINGS,
        provisioners={"external": ExternalProvisioner(External())},
        tenants=table,
    ) as running:
        yield running


@contextmanager
def client(broker, credentials, path=""):
    opened = Platform(broker.url + path, credentials.name, credentials.username, credentials.passwords[0])
    yield opened
    opened.close()


@pytest.fixture
def k8s(broker, credentials):
    with client(broker, credentials[0]) as opened:
        yield opened


@pytest.fixture
def inside(broker, credentials):
    """The same platform, registered with the view's address."""
    with client(broker, credentials[0], "/inside") as opened:
        yield opened


@pytest.fixture
def cf(broker, credentials):
    with client(broker, credentials[1]) as opened:
        yield opened


def plans_of(answer):
    return {plan["id"] for service in answer.json()["services"] for plan in service["plans"]}


def test_each_view_has_a_catalog_and_a_tag_of_its_own_with_the_same_ids(k8s, inside, cf):
    answers = [platform.catalog() for platform in (k8s, inside, cf)]

    everything = {plan.id for offering in THINGS.offerings for plan in offering.plans}
    assert [plans_of(answer) for answer in answers] == [everything - {LARGE}, {SMALL, LARGE}, everything]
    assert [service["id"] for service in answers[1].json()["services"]] == [SERVICE]
    assert len({answer.headers["ETag"] for answer in answers}) == 3


def test_the_tag_of_one_view_is_no_tag_of_another(k8s, inside):
    tag = inside.catalog().headers["ETag"]

    assert inside.catalog(headers={"If-None-Match": tag}).status_code == 304
    assert k8s.catalog(headers={"If-None-Match": tag}).status_code == 200


def test_changed_rules_change_the_page_though_the_catalog_is_the_same(k8s, table):
    before = k8s.catalog()
    table.rules = TenantRules((Rule("all", plans=none_of("kept-things")),))

    after = k8s.catalog(headers={"If-None-Match": before.headers["ETag"]})
    dated = k8s.catalog(headers={"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"})

    assert {service["id"] for service in after.json()["services"]} == {PLAIN_SERVICE}
    assert (after.status_code, dated.status_code) == (200, 200)
    assert "Last-Modified" not in after.headers


def test_a_platform_registered_with_a_views_address_is_served_there_from_order_to_delete(inside, k8s):
    instance, binding = an_id(), an_id()

    ordered = inside.provision(instance, order(LARGE))
    settled = inside.settle(instance)
    bound = inside.bind(instance, binding, ask(LARGE))
    seen = k8s.request("GET", f"/v2/service_instances/{instance}")
    inside.unbind(instance, binding, LARGE)
    inside.gone(instance, LARGE)

    assert (ordered.status_code, settled.json()["state"], bound.status_code) == (202, "succeeded", 201)
    assert seen.json()["plan_id"] == LARGE


def test_an_instance_stays_in_the_view_that_it_was_ordered_in_whatever_address_is_used(inside, k8s):
    mine, other = an_id(), an_id()
    inside.provision(mine)
    inside.settle(mine)
    k8s.provision(other)
    k8s.settle(other)

    from_outside = k8s.update(mine, change(plan_id=LARGE))
    into_it = inside.update(other, change(plan_id=LARGE))

    assert from_outside.status_code == 202
    refused(into_it, 400, "UnknownServicePlan")


@pytest.mark.parametrize(
    "path",
    [
        "/inside",
        "/inside/",
        "/inside/v2",
        "/outside/v2/catalog",
        "/in%73ide2/v2/catalog",
        "/inside/inside/v2/catalog",
    ],
)
def test_what_is_no_view_is_no_path(k8s, path):
    refused(k8s.request("GET", path), 404)


def test_another_platforms_view_is_the_same_refusal_as_none(cf):
    theirs, none = (cf.request("GET", f"/{name}/v2/catalog") for name in ("inside", "unside"))

    assert theirs.status_code == none.status_code == 404
    assert theirs.content == none.content


def test_a_path_into_a_view_that_could_mean_two_things_is_refused(k8s):
    answer = k8s.raw("GET /inside%2Fv2/catalog HTTP/1.1")

    assert answer.status == 400


def lines_of(answer) -> list[bytes]:
    """The whole answer, byte for byte, but for the date."""
    return [line for line in answer.data.split(b"\r\n") if not line.lower().startswith(b"date:")]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    "more", [{}, {"parameters": {"nonsense": [1]}}, {"maintenance_info": {"version": "0.0.1"}}]
)
def test_a_plan_outside_the_view_is_refused_byte_for_byte_like_an_unknown_one(k8s, method, more):
    instance = an_id()
    if method == "PATCH":
        k8s.provision(instance)
        k8s.settle(instance)

    answers = []
    for plan in (LARGE, UNKNOWN):
        body = json.dumps({**(order(plan) if method == "PUT" else change(plan_id=plan)), **more}).encode()
        path = f"/v2/service_instances/{instance}?accepts_incomplete=true"
        head = f"{method} {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        answer = k8s.raw(head, body)
        assert answer.status == 400
        answers.append([line.replace(plan.encode(), b"PLAN") for line in lines_of(answer)])

    assert answers[0] == answers[1]


def test_a_plan_outside_the_view_takes_no_longer_to_refuse_than_an_unknown_one(k8s):
    took: dict[str, list[float]] = {LARGE: [], UNKNOWN: []}
    for _ in range(60):
        for plan, times in took.items():
            started = time.perf_counter()
            assert k8s.provision(an_id(), order(plan)).status_code == 400
            times.append(time.perf_counter() - started)

    hidden, unknown = (statistics.median(times) for times in took.values())

    # Of one kind: both are a transaction that is rolled back. Neither loads or compiles anything for the plan.
    assert 0.5 < hidden / unknown < 2


def test_a_quota_is_refused_with_422_and_its_word(cf, table):
    table.rules = TenantRules((Rule("all", quotas=(quota(1, "space", ask="the platform team"),)),))
    place = {"space_guid": str(uuid4())}
    cf.provision(an_id(), order(**place))

    answer = cf.provision(an_id(), order(**place))

    assert "the platform team" in refused(answer, 422, "QuotaUsedUp")


def told_by(tenant: Tenant) -> set[str]:
    """The words of rules, but annotations, that a tenant has told something under."""
    return {key for key in (*PLACES, *NAMES) if tenant.told(key)}


def recorded(name: str) -> dict:
    lines = [json.loads(line) for line in VECTORS.read_text().splitlines()]
    return next(line["body"] for line in lines if line["name"] == name)


@pytest.mark.parametrize("name", ["provision", "provision without parameters"])
def test_service_catalog_tells_cluster_and_namespace_and_nothing_else(name):
    body = recorded(name)

    tenant = Tenant.of("k8s", context_of(body["context"], body["organization_guid"], body["space_guid"]))

    assert told_by(tenant) == PLATFORM_KINDS["service-catalog"]
    assert tenant.namespace == "default"


def test_korifi_without_a_context_is_known_by_organization_and_space():
    tenant = Tenant.of("korifi", context_of({}, "org-1", "space-1"))

    assert told_by(tenant) == PLATFORM_KINDS["korifi"]


def test_cloud_foundry_tells_organization_and_space_with_names_and_annotations():
    context = {
        "platform": "cloudfoundry", "organization_guid": "o1", "organization_name": "bank", "space_guid": "s1",
        "space_name": "dev", "instance_name": "db", "organization_annotations": {"example.org/cost": "4711"},
        "space_annotations": {}, "instance_annotations": {},
    }  # fmt: skip

    tenant = Tenant.of("cf", context_of(context, "o1", "s1"))

    assert (tenant.organization, tenant.space_name) == ("o1", "dev")
    assert when(**{"organization_annotations.example.org/cost": "47*", "organization_name": "bank"}).matches(
        tenant
    )


def test_the_catalog_says_what_everybody_on_the_platform_is_given_alike(k8s, table):
    table.rules = TenantRules(
        (
            Rule("pay", when(namespace="pay"), parameters=(force("*/small", tier="hot"),)),
            Rule(
                "k8s", when(platform="k8s"), parameters=(force("*/small", size=3, tier="cool", secret="s"),)
            ),
        )
    )

    (small,) = (
        plan
        for service in k8s.catalog().json()["services"]
        for plan in service["plans"]
        if plan["id"] == SMALL
    )
    properties = small["schemas"]["service_instance"]["create"]["parameters"]["properties"]

    assert (properties["size"]["enum"], properties["size"]["default"]) == ([3], 3)
    assert properties["tier"] == {"type": "string", "enum": ["cool", "hot"]}
    assert properties["secret"] == {"type": "string"}
