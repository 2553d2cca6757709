"""Patterns of rules: what they stand for, and that no name can make them work for long."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.domain.globs import Pattern, PlanPattern

LETTERS = "ab*?\\[]!-."
TEXTS = st.text(LETTERS, max_size=8)


def plainly_matches(pattern: str, value: str) -> bool:
    """Tell the same as `Pattern.matches`, letter by letter."""
    if not pattern:
        return not value
    if pattern[0] == "*":
        return any(plainly_matches(pattern[1:], value[i:]) for i in range(len(value) + 1))
    if pattern[0] == "\\" and len(pattern) > 1:
        return value[:1] == pattern[1] and plainly_matches(pattern[2:], value[1:])
    return bool(value) and pattern[0] in {"?", value[0]} and plainly_matches(pattern[1:], value[1:])


@given(TEXTS, TEXTS)
@example("\\", "\\")
def test_a_pattern_matches_what_it_spells_and_nothing_else(pattern, value):
    assert Pattern(pattern).matches(value) == plainly_matches(pattern, value)


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("pay", "Pay"),
        ("caf\u00e9", "cafe\u0301"),
        ("ss", "\u00df"),
        ("i", "\u0130"),
        ("pay", "pay\u200b"),
        ("pay", "pay\n"),
        ("[pq]ay", "pay"),
        ("team-?", "team-"),
        ("pay", "p\u0430y"),
    ],
)
def test_a_name_that_only_looks_the_same_is_another_name(pattern, value):
    assert not Pattern(pattern).matches(value)


@given(TEXTS, TEXTS, TEXTS)
def test_what_is_said_to_be_covered_is_matched(wider, narrower, value):
    if Pattern(wider).covers(Pattern(narrower)) and plainly_matches(narrower, value):
        assert plainly_matches(wider, value)


@pytest.mark.parametrize(
    ("wider", "narrower", "covers"),
    [
        ("*", "pay-*", True),
        ("pay-*", "pay-eu-*", True),
        ("pay-*", "pay-", True),
        ("?", "a", True),
        ("*-a", "b-a", True),
        ("a", "?", False),
        ("pay-*", "*", False),
        ("\\*", "*", False),
        ("*", "", True),
    ],
)
def test_a_wider_pattern_covers_a_narrower_one(wider, narrower, covers):
    assert Pattern(wider).covers(Pattern(narrower)) is covers


def test_no_name_makes_a_pattern_work_for_long():
    started = time.perf_counter()

    found = Pattern("*-" * 60 + "!").matches("-" * 255)

    # Microseconds; an expression that gives back what a star took would need years.
    assert not found
    assert time.perf_counter() - started < 1


def test_a_pattern_of_plans_has_two_halves_that_no_star_joins():
    assert PlanPattern("azure-*/small").matches("azure-postgresql", "small")
    assert PlanPattern("azure-postgresql").matches("azure-postgresql", "large")
    assert not PlanPattern("azure-*").matches("postgresql", "azure-small")
    assert not PlanPattern("*/small").matches("azure", "very/small")
    assert PlanPattern("*").covers(PlanPattern("azure-*/small"))
    assert not PlanPattern("*/small").covers(PlanPattern("azure-postgresql"))
