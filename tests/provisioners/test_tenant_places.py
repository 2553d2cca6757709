"""Where an instance goes under tenant rules, told at acceptance; what is found again when the rules have changed."""

from dataclasses import replace

import pytest

from broker.azure.naming import NameRule, external_name, tags
from broker.domain.tenant_rules import Given, ParameterValue, Place, Terms
from broker.domain.tenant_terms import tailored
from broker.errors import InvalidParameters
from broker.provisioners.foresight import foreseeing

pytestmark = pytest.mark.anyio
ELSEWHERE = "99999999-8888-4777-8666-555555555555"
NORTH = "northeurope"


@pytest.fixture
def azure(simulator):
    return simulator


@pytest.fixture
def foreseen(arm, options, order):
    """Tell where an instance of an offering's first plan would be, under terms."""

    def tell(offering: str, terms: Terms, placement: dict | None = None, **parameters: object):
        ordered = order(offering, **parameters)
        plan = ordered.plan
        if placement is not None:
            plan = replace(plan, recipe={**plan.recipe, "placement": placement})
        return foreseeing(options, arm.cloud)(tailored(plan, terms), ordered.instance, None)

    return tell


def at(subscription: str | None, group: str | None) -> Terms:
    return Terms(place=Given(Place(subscription, group), "rule"))


async def test_a_rules_place_outweighs_plan_and_settings(foreseen, options, group):
    account = "azure-storage-account"
    both = foreseen(account, at(ELSEWHERE, "theirs"), {"group": "shared", "resource_group": "plan"})
    subscription = foreseen(account, at(ELSEWHERE, None))
    neither = foreseen(account, Terms())

    assert (both.subscription, both.resource_group) == (ELSEWHERE, "theirs")
    assert (subscription.subscription, subscription.resource_group) == (ELSEWHERE, group)
    assert (neither.subscription, neither.resource_group) == (options.subscription, group)


async def test_a_group_for_each_instance_is_made_in_the_rules_subscription(foreseen):
    seen = foreseen("azure-storage-account", at(ELSEWHERE, "theirs"), {"group": "own"})

    assert seen.subscription == ELSEWHERE
    assert seen.resource_group.startswith("osb-")


@pytest.mark.parametrize(("ordered", "where"), [({}, NORTH), ({"location": "westus"}, "westus")])
async def test_a_default_location_is_for_who_orders_none(foreseen, ordered, where):
    given = Terms(parameters={"location": Given(ParameterValue(NORTH, forced=False), "rule")})

    assert foreseen("azure-storage-account", given, **ordered).region == where


async def test_a_rules_location_cannot_be_ordered_otherwise(order):
    plan = tailored(order("azure-storage-account").plan, Terms(location=Given(NORTH, "rule")))

    plan.create_parameters.check({"location": NORTH})
    with pytest.raises(InvalidParameters, match="location"):
        plan.create_parameters.check({"location": "westus"})


async def test_tags_beyond_what_azure_takes_are_refused_at_acceptance(foreseen):
    rules = Terms(tags={f"rule{n}": Given("x", "rule") for n in range(30)})

    with pytest.raises(InvalidParameters, match="would be 54, and Azure takes 50"):
        foreseen("azure-storage-account", rules, tags={f"own{n}": "x" for n in range(20)})


async def test_a_restored_store_finds_what_it_had_made_under_other_tags_of_rules(azure, group, order):
    lost = order("azure-storage-account")
    identity = ("broker-under-test", lost.platform, lost.instance_id, 3)
    name = external_name(NameRule("st", 24, "abcdefghijklmnopqrstuvwxyz0123456789"), *identity)
    path = f"/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{name}"
    body = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": {}}
    made = azure.call("PUT", path, {**body, "tags": {**tags(*identity), "team": "old"}}, "2026-09-01")
    made.raise_for_status()
    restored = order("azure-storage-account", instance_id=lost.instance_id)
    restored.plan = tailored(restored.plan, Terms(tags={"team": Given("new", "rule")}))

    await restored.create()

    accounts = [one for one in azure.state()["resources"] if f"/{group}/" in one["id"]]
    assert [one["id"].rpartition("/")[2] for one in accounts] == [name]
    await restored.delete()
