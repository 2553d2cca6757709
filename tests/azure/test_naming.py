"""Names and tags: legal for every product, and never the same for two orders."""

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.azure.naming import (
    LOWER_AND_DIGITS,
    NameRule,
    deployment_name,
    external_name,
    is_ours,
    tags,
)

RULES = {
    "postgresql": (NameRule("pg-", 63), r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"),
    "storage": (NameRule("st", 24, LOWER_AND_DIGITS), r"[a-z0-9]{3,24}"),
    "service-bus": (NameRule("sb-", 50), r"[a-z][a-z0-9-]{4,48}[a-z0-9]"),
    "key-vault": (NameRule("kv-", 24), r"[a-z][a-z0-9-]{1,22}[a-z0-9]"),
    "cosmos": (NameRule("cosmos-", 44), r"[a-z0-9-]{3,44}"),
}
orders = st.tuples(st.text(), st.text(), st.text(), st.integers(0, 10**6))


@pytest.mark.parametrize("product", RULES)
@given(order=orders)
def test_a_name_is_legal_for_its_product(product, order):
    rule, legal = RULES[product]

    assert re.fullmatch(legal, external_name(rule, *order))


@given(orders, orders)
def test_two_orders_share_a_name_or_tags_only_if_all_four_parts_are_the_same(one, other):
    rule = RULES["storage"][0]

    assert (external_name(rule, *one) == external_name(rule, *other)) == (one == other)
    assert (tags(*one) == tags(*other)) == (one == other)


def test_moving_a_character_from_one_part_to_the_next_gives_another_name():
    rule = RULES["postgresql"][0]

    names = {
        external_name(rule, *order)
        for order in [("ab", "c", "d", 1), ("a", "bc", "d", 1), ("a", "b", "cd", 1)]
    }

    assert len(names) == 3


def test_a_name_is_the_same_in_every_release():
    assert (
        external_name(NameRule("pg-", 63), "broker", "platform", "instance", 0)
        == "pg-2i3klsoos2mwfeat4wi7mdlcvq"
    )


def test_a_rule_without_room_for_a_hash_is_refused():
    for prefix, length, alphabet in [
        ("pg-", 10, LOWER_AND_DIGITS + "-"),
        ("1", 63, LOWER_AND_DIGITS),
        ("a-", 24, LOWER_AND_DIGITS),
    ]:
        with pytest.raises(ValueError, match="prefix"):
            NameRule(prefix, length, alphabet)


@given(orders)
def test_tag_values_fit_azure_and_are_recognised(order):
    marked = tags(*order)

    assert all(len(value) <= 256 and re.fullmatch(r"[\x21-\x7e]*", value) for value in marked.values())
    assert not any(set(value) & set("<>&\\?/'") for value in marked.values())
    assert is_ours({name.upper(): value for name, value in marked.items()}, marked)


@pytest.mark.parametrize("changed", ["osb-broker-id", "osb-platform", "osb-instance-id", "osb-generation"])
def test_one_tag_that_differs_or_lacks_makes_a_resource_foreign(changed):
    marked = tags("b", "p", "i", 0)

    assert not is_ours({**marked, changed: "other"}, marked)
    assert not is_ours({name: value for name, value in marked.items() if name != changed}, marked)
    assert not is_ours(None, marked)


def test_a_deployment_is_named_after_instance_and_operation_within_azures_64_characters():
    name = deployment_name(UUID(int=1), UUID(int=2**127))

    assert name == "osb-00000000000000000000000000000001-80000000"
    assert len(name) <= 64
