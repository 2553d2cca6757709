"""What was withdrawn: not offered any more, and still served to whoever has it."""

import base64
import os
from dataclasses import replace

import pytest

from broker.domain.catalog import Catalog
from tests.osb.external import ExternalProvisioner
from tests.osb.offerings import CATALOG, HURRIED, LARGE, PLAIN, PLAIN_SERVICE, SERVICE, SMALL
from tests.osb.platform import Platform, an_id, change, order
from tests.osb.serving import FixedCatalog, served


def without(*withdrawn):
    """The tests' catalog, of which offerings and plans with these ids were withdrawn."""

    def plan(one):
        return replace(one, withdrawn=one.id in withdrawn)

    def offering(one):
        return replace(one, withdrawn=one.id in withdrawn, plans=tuple(map(plan, one.plans)))

    return Catalog(tuple(map(offering, CATALOG.offerings)), revision=2, digest="withdrawn")


@pytest.fixture(scope="module")
def shop():
    return FixedCatalog(CATALOG)


@pytest.fixture(scope="module")
def broker(shop, tmp_path_factory, external, credentials):
    with served(
        database_url=f"sqlite:///{tmp_path_factory.mktemp('store')}/broker.db",
        sealing_key="tests:" + base64.b64encode(os.urandom(32)).decode(),
        platforms=(credentials.setting,),
        catalog=shop,
        provisioners={"external": ExternalProvisioner(external)},
    ) as running:
        yield running


@pytest.fixture
def platform(broker, credentials, shop):
    shop.catalog = CATALOG
    client = Platform(broker.url, credentials.name, credentials.setting.username, credentials.password)
    yield client
    client.close()


def offered(platform):
    services = platform.catalog().json()["services"]
    return {plan["id"] for service in services for plan in service["plans"]}


def test_a_withdrawn_plan_is_not_in_the_catalog(platform, shop):
    shop.catalog = without(SMALL)

    assert SMALL not in offered(platform)
    assert LARGE in offered(platform)


@pytest.mark.parametrize("withdrawn", [PLAIN, PLAIN_SERVICE], ids=["its only plan", "the offering"])
def test_an_offering_without_a_plan_is_not_in_the_catalog_at_all(platform, shop, withdrawn):
    shop.catalog = without(withdrawn)

    assert [service["id"] for service in platform.catalog().json()["services"]] == [SERVICE]


@pytest.mark.parametrize("withdrawn", [SMALL, SERVICE], ids=["plan", "offering"])
def test_what_was_withdrawn_is_refused_to_new_orders_like_what_never_was(platform, shop, withdrawn):
    shop.catalog = without(withdrawn)
    nowhere = an_id()

    refused = platform.provision(an_id(), order(SMALL))
    unknown = platform.provision(an_id(), order(nowhere))

    assert refused.status_code == unknown.status_code == 400
    assert refused.text == unknown.text.replace(nowhere, SMALL)


@pytest.mark.parametrize("withdrawn", [SMALL, SERVICE], ids=["plan", "offering"])
def test_who_has_an_instance_goes_on_with_it_to_its_end(platform, shop, withdrawn):
    instance = platform.ready(order(SMALL))
    shop.catalog = without(withdrawn)

    ordered_again = platform.provision(instance, order(SMALL))
    updated = platform.update(instance, change(plan_id=SMALL, parameters={"size": 7}))
    ended = platform.settle(instance)
    fetched = platform.fetch(instance)
    binding, bound = platform.bound(instance)
    unbound = platform.unbind(instance, binding)
    deleted = platform.deprovision(instance)

    assert (ordered_again.status_code, updated.status_code) == (200, 202)
    assert ended.json()["state"] == "succeeded"
    assert fetched.json()["parameters"]["size"] == 7
    assert bound["credentials"]
    assert (unbound.status_code, deleted.status_code) == (200, 202)
    assert platform.settle(instance).status_code == 410


def test_no_instance_moves_to_a_withdrawn_plan_but_away_from_it(platform, shop):
    instance = platform.ready(order(SMALL))
    shop.catalog = without(SMALL, HURRIED)

    refused = platform.update(instance, change(plan_id=HURRIED))
    moved = platform.update(instance, change(plan_id=LARGE))

    assert (refused.status_code, refused.json()["error"]) == (400, "UnknownServicePlan")
    assert moved.status_code == 202
    assert platform.settle(instance).json()["state"] == "succeeded"
    assert platform.fetch(instance).json()["plan_id"] == LARGE
