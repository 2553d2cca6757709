"""What two templates would do to a living resource, as far as can be seen without running them."""

from itertools import pairwise

import pytest

from broker.catalog.guard.template_changes import resource_changes

NAMESPACE = "Microsoft.ServiceBus/namespaces"
QUEUE = f"{NAMESPACE}/queues"


def a_resource(kind=NAMESPACE, name="[parameters('name')]", **more):
    return {"type": kind, "apiVersion": "2026-01-01", "name": name} | more


def a_recipe(*resources, broker=None, **more):
    return {
        "template": {"resources": list(resources)} | more.pop("template", {}),
        "broker": broker or {"name": {"name": "namespace"}},
        **more,
    }


def zones(value):
    return a_resource(properties={"zoneRedundant": value})


def test_a_fixed_value_may_move_into_the_template_and_out_of_it():
    fixed = a_recipe(zones("[parameters('zones')]"), fixed={"zones": False})
    literal = a_recipe(zones(False))

    assert resource_changes(fixed, literal) == []
    assert resource_changes(literal, fixed) == []
    assert resource_changes(a_recipe(zones(True)), fixed) != []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"user": {"zones": {"default": False}}}, {"user": {"zones": {"default": True}}}),
        ({"fixed": {"zones": False}}, {"user": {"zones": {"default": False}}}),
        ({"template": {"variables": {"zones": False}}}, {"template": {"variables": {"zones": True}}}),
    ],
)
def test_another_source_of_what_azure_settles_is_a_change(before, after):
    word = "variables" if "template" in before else "parameters"
    recipes = [a_recipe(zones(f"[{word}('zones')]"), **dict(said)) for said in (before, after)]

    (change,) = resource_changes(*recipes)

    assert change.path == "resources[0].properties.zoneRedundant"


def test_what_lies_below_a_resource_that_goes_is_not_named_again():
    child = a_resource(QUEUE, "[concat(parameters('name'), '/inbox')]")

    (change,) = resource_changes(a_recipe(a_resource(), child), a_recipe())

    assert change.text.startswith(f"{NAMESPACE} is not made any more")


def test_another_source_of_a_name_is_another_name():
    (change,) = resource_changes(
        a_recipe(a_resource()), a_recipe(a_resource(), broker={"name": {"name": "another"}})
    )

    assert "gets another name" in change.text


def test_resources_may_change_their_order_api_version_and_what_azure_lets_change():
    queue = a_resource(QUEUE, "[concat(parameters('name'), '/inbox')]")
    later = a_resource(apiVersion="2031-01-01", sku={"name": "Premium"})

    assert resource_changes(a_recipe(a_resource(), queue), a_recipe(queue, later)) == []


def test_variables_that_name_each_other_are_followed_no_further_than_sense_goes():
    looping = a_recipe(
        a_resource(name="[variables('a')]"),
        template={"variables": {"a": "[variables('b')]", "b": "[variables('a')]"}},
    )

    assert resource_changes(looping, looping) == []


def test_variables_that_double_each_other_are_compared_in_no_time():
    def doubling(end):
        names = [f"v{number}" for number in range(60)]
        variables = {
            one: f"[concat(variables('{after}'), variables('{after}'))]"
            for one, after in pairwise([*names, "end"])
        }
        return a_recipe(zones("[variables('v0')]"), template={"variables": variables | {"end": end}})

    assert resource_changes(doubling("a"), doubling("a")) == []
    assert resource_changes(doubling("a"), doubling("b")) != []
