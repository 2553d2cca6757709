"""A plan that extends another one says only what differs."""

from copy import deepcopy

import pytest

from broker.catalog.reader import check, read_catalog

ACCOUNT = "azure-storage-account.yaml"


def account(copy):
    catalog = read_catalog(copy.folder)
    offering = next(o for o in catalog.offerings if o.name == "azure-storage-account")
    return {plan.name: plan for plan in offering.plans}


def faults(copy):
    return [str(fault).partition(": ")[2] for fault in check(copy.folder)]


def change_plans(copy, change):
    copy.change(ACCOUNT, lambda data: change({plan["name"]: plan for plan in data["plans"]}))


def test_what_a_plan_does_not_say_it_has_from_the_plan_that_it_extends(copy):
    before = account(copy)

    def extend(plans):
        zrs = plans["standard-zrs"]
        zrs.update(
            extends="standard-lrs", fixed={"skuName": "Standard_ZRS"}, metadata={"bullets": ["Three zones"]}
        )
        plans["standard-lrs"].update(binding_lifetime=3600, preflight="validate")

    change_plans(copy, extend)
    lrs, zrs = (account(copy)[name] for name in ("standard-lrs", "standard-zrs"))

    assert (zrs.id, zrs.description) == (before["standard-zrs"].id, before["standard-zrs"].description)
    assert zrs.maximum_polling_duration == lrs.maximum_polling_duration
    assert (zrs.binding_lifetime, zrs.preflight) == (lrs.binding_lifetime, "validate")
    assert zrs.recipe["fixed"] == {**lrs.recipe["fixed"], "skuName": "Standard_ZRS"}
    said = {"displayName": "Standard LRS", "bullets": ["Three zones"], "expectedDurationSeconds": 60}
    assert zrs.metadata == said


def test_a_plan_extends_one_that_extends_another(copy):
    def extend(plans):
        plans["standard-lrs"]["fixed"]["accessTier"] = "Cold"
        plans["standard-zrs"].update(extends="standard-lrs")
        plans["standard-grs"].update(extends="standard-zrs")

    change_plans(copy, extend)

    assert account(copy)["standard-grs"].recipe["fixed"]["accessTier"] == "Cold"


@pytest.mark.parametrize("own", ["id", "name", "description", "free"])
def test_some_things_are_always_a_plans_own(copy, own):
    change_plans(copy, lambda plans: plans["standard-zrs"].pop(own))

    assert any(f"plans[1].{own}: is missing" in fault for fault in faults(copy))


REFUSED = {
    "a plan that is not there": (
        {"standard-zrs": "standard-lsr"},
        "plans[1].extends: there is no plan 'standard-lsr' in this offering; did you mean 'standard-lrs'?",
    ),
    "itself": (
        {"standard-zrs": "standard-zrs"},
        "plans[1].extends: goes round in circles: standard-zrs extends standard-zrs",
    ),
    "each other": (
        {"standard-lrs": "standard-zrs", "standard-zrs": "standard-lrs"},
        "plans[0].extends: goes round in circles: standard-lrs extends standard-zrs extends standard-lrs",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_plan_that_extends_nothing_sensible_is_refused(copy, case):
    extends, said = REFUSED[case]
    change_plans(copy, lambda plans: [plans[name].update(extends=other) for name, other in extends.items()])

    assert faults(copy)[0] == said


def test_a_plan_takes_three_steps_at_most(copy):
    def extend(data):
        plan = data["plans"][0]
        data["plans"] = [
            {
                **deepcopy(plan),
                "name": f"plan-{n}",
                "id": plan["id"][:-1] + str(n),
                **({"extends": f"plan-{n - 1}"} if n else {}),
            }
            for n in range(5)
        ]

    copy.change(ACCOUNT, extend)

    assert faults(copy)[:1] == [
        "plans[4].extends: takes more than 3 steps: plan-4 extends plan-3 extends plan-2 extends plan-1 extends plan-0"
    ]


def test_a_fault_in_what_was_taken_over_names_both_plans_places(copy):
    change_plans(copy, lambda plans: plans["standard-lrs"]["fixed"].update(skuName="Standard_XXX"))
    change_plans(copy, lambda plans: plans["standard-zrs"]["fixed"].pop("skuName"))

    found = [(fault.path, fault.line > 0) for fault in check(copy.folder)]

    assert found == [("plans[0].fixed.skuName", True), ("plans[1].fixed.skuName", True)]
