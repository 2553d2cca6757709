"""Expressions of templates as the guard reads them."""

import pytest

from broker.catalog.guard import expressions
from broker.catalog.guard.expressions import Broken, calls, is_expression
from broker.simulator import template_checks
from broker.simulator.template_texts import OF_DEFAULTS


def test_the_guard_knows_the_functions_that_the_simulator_carries_out():
    assert expressions.EVERYWHERE == template_checks.OF_ANY
    assert expressions.OF_LIVING == template_checks.LIVING
    assert OF_DEFAULTS.keys() == expressions.OF_DEFAULTS


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("[parameters('a')]", {"parameters"}),
        (
            "[concat(parameters('it''s (a]'), '/', variables('b')[copyIndex()].name)]",
            {"concat", "parameters", "variables", "copyindex"},
        ),
        ("[first(resourceGroup().tags['a-b'])]", {"first", "resourcegroup"}),
        ("[my.own(-1, true())]", {"my.own", "true"}),
    ],
)
def test_calls_are_found_and_texts_are_passed_over(text, called):
    assert calls(text) == called


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[concat('a']", "'\\(' is never closed"),
        ("[concat('a'))]", "a '\\)' closes nothing"),
        ("[a(b](c)]", "closes nothing"),
        ("[concat('a)]", "does not end"),
        ("[parameters('a') + 1]", "'\\+' has no meaning"),
        ("[1, 2]", "calls no function"),
    ],
)
def test_what_is_no_expression_is_told_so(text, said):
    with pytest.raises(Broken, match=said):
        calls(text)


@pytest.mark.parametrize("text", ["[[not one]", "a [b]", "[open", ""])
def test_other_texts_are_no_expressions(text):
    assert not is_expression(text)
