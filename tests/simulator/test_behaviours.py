"""The list of what the simulator does as Azure does: each named test is there, and nothing is missing."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from broker.simulator import control
from broker.simulator.faults import KINDS
from broker.simulator.template_functions import PURE
from tests.simulator import test_template_language, test_templates
from tests.simulator.behaviours import PAGE, SOURCES, behaviours, section

TESTS = Path(__file__).parent.parent
BEHAVIOURS = list(behaviours())


def names_in(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda behaviour: behaviour.what)
def test_each_behaviour_names_its_source_and_tests_that_are_there(behaviour):
    assert behaviour.source in SOURCES
    assert behaviour.tests

    for test in behaviour.tests:
        file, _, name = test.partition("::")
        assert name in names_in(TESTS / file), test


def test_the_page_holds_the_list():
    assert section() in PAGE.read_text(encoding="utf-8"), "run python -m tests.simulator.behaviours"


def test_each_kind_of_fault_has_its_behaviour_and_its_row_in_the_page():
    told = " ".join(behaviour.what for behaviour in BEHAVIOURS)
    page = PAGE.read_text(encoding="utf-8")

    assert [kind for kind in KINDS if f"`{kind}`" not in told] == []
    assert [kind for kind in KINDS if f"\n| `{kind}` |" not in page] == []


def test_each_route_of_its_own_is_in_the_page():
    routes = set(re.findall(r'PREFIX \+ "(/[a-z-]+)', inspect.getsource(control)))
    page = PAGE.read_text(encoding="utf-8")

    assert {route for route in routes if f"/_simulator{route}" not in page} == set()


def test_each_function_of_templates_is_tried():
    sources = [inspect.getsource(module) for module in (test_templates, test_template_language)]
    expressions = [line for source in sources for line in source.splitlines() if '"[' in line]
    tried = {name.lower() for line in expressions for name in re.findall(r"(\w+)\(", line)}

    assert sorted(PURE.keys() - tried) == []
