"""Which plans an instance can move to, and how long that takes: said in the file, told to platforms, enforced."""

from datetime import timedelta

import pytest

from broker.api.catalog import document
from broker.catalog.reader import check, read_catalog
from broker.catalog.revisions import from_text, to_text

FILE = "azure-storage-account.yaml"
NAME = "azure-storage-account"


def change(copy, **keys):
    copy.change(FILE, lambda data: data["plans"][0].update(keys))


def first_plan(catalog):
    return next(offering for offering in catalog.offerings if offering.name == NAME).plans[0]


def test_names_become_the_ids_of_plans_and_platforms_are_told_that_the_plan_can_be_changed(copy):
    change(copy, updates_to=["standard-zrs", "standard-grs"])

    catalog = read_catalog(copy.folder)
    plan = first_plan(catalog)
    told = next(one for one in document(catalog)["services"] if one["name"] == NAME)

    assert plan.updates_to == ("91940489-92fd-462b-9890-e536956392b8", "60626666-4487-4127-86b6-5a94377ce3d5")
    assert [one["plan_updateable"] for one in told["plans"]] == [True, False, True, False]
    assert told["plan_updateable"] is True
    assert "updates_to" not in str(told)


def test_a_plan_that_can_become_none_is_told_as_fixed(copy):
    change(copy, updates_to=[])

    plan = first_plan(read_catalog(copy.folder))

    assert (plan.plan_updateable, plan.updates_to) == (False, ())


def test_who_orders_is_told_how_long_it_usually_takes(copy):
    change(copy, expected_duration=90)

    plan = first_plan(read_catalog(copy.folder))

    assert plan.expected_duration == timedelta(seconds=90)
    assert plan.metadata["expectedDurationSeconds"] == 90


def test_a_revision_keeps_both(copy):
    change(copy, updates_to=["standard-zrs"], expected_duration=90)
    catalog = read_catalog(copy.folder)

    again = from_text(to_text(catalog), revision=1, digest="d")

    assert again.offerings == catalog.offerings


def test_moves_are_never_taken_over_from_the_plan_that_is_extended(copy):
    change(copy, updates_to=["standard-zrs"])
    copy.change(FILE, lambda data: data["plans"][1].update(extends="standard-lrs"))

    assert check(copy.folder) == []


REFUSED = {
    "a plan that is not there": ({"updates_to": ["basic"]}, "there is no plan 'basic' in this offering"),
    "itself": ({"updates_to": ["standard-lrs"]}, "is the plan itself"),
    "what contradicts": (
        {"updates_to": ["standard-zrs"], "plan_updateable": False},
        "contradicts `plan_updateable: false`",
    ),
    "none, though it can be changed": (
        {"updates_to": [], "plan_updateable": True},
        "is empty, which contradicts `plan_updateable: true`",
    ),
    "longer than the deadline": (
        {"expected_duration": 7200},
        "is longer than maximum_polling_duration, after which operations are given up",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_with_its_line(copy, case):
    keys, said = REFUSED[case]
    change(copy, **keys)

    assert {(fault.message, fault.line > 0) for fault in check(copy.folder)} == {(said, True)}
