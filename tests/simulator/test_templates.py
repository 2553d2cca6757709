import contextlib
import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.azure_models import UNKNOWN
from broker.simulator.arm_errors import InvalidTemplate
from broker.simulator.expressions import evaluate
from broker.simulator.template_functions import PURE
from broker.simulator.templates import Place, Template
from tests.simulator.templates import NOW, SERVERS, a_password, a_server_template

HERE = Place("sub", "tenant", "rg", "westeurope", "deploy", {"name": "AzureCloud"})
ID = "/subscriptions/sub/resourceGroups/rg/providers"


def read(template=None, **parameters):
    return Template(
        template or a_server_template(), {key: {"value": value} for key, value in parameters.items()}, HERE
    )


def with_resources(*resources, **sections):
    return {"$schema": "x", "contentVersion": "1.0.0.0", "resources": list(resources), **sections}


def a_rule(name="rule", **more):
    return {"type": "Some.Where/things", "apiVersion": "2020-01-01", "name": name, **more}


@pytest.mark.parametrize(
    ("expression", "gives"),
    [
        ("[concat('a', 1, true())]", "a1True"),
        ("[concat(createArray(1), createArray(2, 3))]", [1, 2, 3]),
        ("[format('{0}/{1}-{0}', 'a', 2)]", "a/2-a"),
        ("[toUpper(toLower('AbC'))]", "ABC"),
        ("[substring('abcdef', 1, 3)]", "bcd"),
        ("[take('abcdef', 20)]", "abcdef"),
        ("[replace('a-b', '-', '')]", "ab"),
        ("[if(equals(1, 1), 'yes', reference('nothing'))]", "yes"),
        ("[and(true(), not(false()), or(false(), true()))]", True),
        ("[empty('')]", True),
        ("[contains(createObject('Key', 1), 'key')]", True),
        ("[union(createObject('a', 1), createObject('b', 2))]", {"a": 1, "b": 2}),
        ("[coalesce(null(), 'x')]", "x"),
        ("[first(split('a,b', ','))]", "a"),
        ("[last(createArray(1, 2))]", 2),
        ("[createObject('a', createArray(1, 2)).a[1]]", 2),
        ("[createObject('a b', 3)['a b']]", 3),
        ("[length(guid('a'))]", 36),
        ("[length(uniqueString('a'))]", 13),
        ("[string(createArray('a', 1))]", '["a",1]'),
        ("[json('{\"a\": 1}').a]", 1),
        ("[add(mul(2, 3), div(7, 2))]", 9),
        ("['it''s']", "it's"),
        ("[[not an expression]", "[not an expression]"),
        ("plain", "plain"),
        ({"a": ["[add(1, 1)]"]}, {"a": [2]}),
    ],
)
def test_expressions_give_what_arm_documents(expression, gives):
    assert evaluate(expression, PURE) == gives


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("[newGuid()]", "'newGuid' is not expected at this location"),
        ("[concat('a'", "Unable to parse"),
        ("[concat('a') 'b']", "unexpected 'b'"),
        ("[concat(,)]", "Unable to parse"),
        ("[createObject('a', 1).b]", "'b' doesn't exist, available properties are 'a'"),
        ("[createArray(1)[4]]", "out of bounds"),
        ("[substring('abc', 2, 5)]", "beyond the end"),
        ("[add('a', 1)]", "'add' got arguments it cannot use"),
        ("[format('{0:N2}', 1)]", "plain {0} holes"),
    ],
)
def test_what_cannot_be_evaluated_fails_loudly(expression, names):
    if not expression.endswith("]"):
        expression += "]"
    with pytest.raises(InvalidTemplate) as refused:
        evaluate(expression, PURE)

    assert names in refused.value.message


@given(st.text())
def test_no_text_between_brackets_makes_the_parser_fall_over(text):
    with contextlib.suppress(InvalidTemplate):
        evaluate(f"[{text}]", PURE)


def test_a_template_becomes_resources_that_wait_for_each_other():
    password = a_password()

    template = read(name="srv-1", password=password)

    server, database = template.resources
    assert str(server.id) == f"{ID}/{SERVERS}/srv-1"
    assert str(database.id) == f"{ID}/{SERVERS}/srv-1/databases/app"
    assert database.waits_for == {server.key}
    body = template.body(server, None)
    assert body["location"] == "westeurope"
    assert body["properties"]["administratorLoginPassword"] == password
    assert template.secrets() == {password}


def test_secure_parameters_are_not_stored():
    template = read(name="srv-1", password=a_password())

    assert template.parameters["password"].as_stored() == {"type": "SecureString"}
    assert template.parameters["name"].as_stored() == {"type": "String", "value": "srv-1"}


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"name": "x"}, "The value for the template parameter 'password' is not provided"),
        ({"name": "x", "password": "12345678", "colour": 1}, "do not correspond to any parameters"),
        ({"name": 1, "password": "12345678"}, "'name' is not a String"),
        ({"name": "x", "password": "123"}, "'password' is below its minimum of 8"),
        (
            {"name": "x", "password": "12345678", "storageSizeGB": 16},
            "'storageSizeGB' is below its minimum of 32",
        ),
        ({"name": "x", "password": "12345678", "storageSizeGB": True}, "'storageSizeGB' is not a Int"),
    ],
)
def test_parameters_are_held_to_their_declarations(parameters, says):
    with pytest.raises(InvalidTemplate) as refused:
        read(**parameters)

    assert says in refused.value.message


def test_allowed_values_are_listed_in_the_refusal():
    template = a_server_template()
    template["parameters"]["name"]["allowedValues"] = ["a", "b"]

    with pytest.raises(InvalidTemplate) as refused:
        read(template, name="c", password=a_password())

    assert "allowed value(s): 'a, b'" in refused.value.message


def test_a_false_condition_drops_a_resource_and_what_depends_on_it_goes_on():
    template = read(with_resources(a_rule("one", condition="[false()]"), a_rule("two", dependsOn=["one"])))

    assert [(planned.id.name, planned.waits_for) for planned in template.resources] == [("two", frozenset())]


def test_a_serial_copy_waits_batch_by_batch_and_can_be_waited_for():
    copied = a_rule("[concat('r', copyIndex(1))]", copy={"name": "each", "count": 3, "mode": "serial"})

    template = read(with_resources(copied, a_rule("after", dependsOn=["each"])))

    waits = {planned.id.name: len(planned.waits_for) for planned in template.resources}
    assert waits == {"r1": 0, "r2": 1, "r3": 1, "after": 3}


def test_a_copy_that_makes_nothing_may_be_waited_for():
    copied = a_rule("[concat('r', copyIndex())]", copy={"name": "each", "count": 0})

    template = read(with_resources(copied, a_rule("after", dependsOn=["each"])))

    assert [planned.id.name for planned in template.resources] == ["after"]


def test_symbolic_names_and_references_make_dependencies():
    template = read(
        {
            "$schema": "x",
            "contentVersion": "1.0.0.0",
            "languageVersion": "2.0",
            "resources": {
                "one": a_rule("one"),
                "two": a_rule("two", dependsOn=["one"]),
                "three": a_rule("three", properties={"a": "[reference('two').b]"}),
            },
        }
    )

    one, two, three = template.resources
    assert (two.waits_for, three.waits_for) == ({"one"}, {"two"})
    assert template.body(three, None) == {"properties": {"a": UNKNOWN}}
    assert template.body(one, None) == {}


@pytest.mark.parametrize(
    ("resources", "says"),
    [
        ([a_rule("a", dependsOn=["b"])], "The resource 'b' is not defined in the template"),
        ([a_rule("a", dependsOn=["b"]), a_rule("b", dependsOn=["a"])], "Circular dependency"),
        ([a_rule("a"), a_rule("A")], "defined multiple times"),
        ([a_rule("a/b")], "same number of segments"),
        ([a_rule("[reference('x').name]")], "'reference' is not expected at this location"),
        ([a_rule("a", properties={"x": "[pickZones('a')]"})], "'pickZones' is not supported"),
        ([a_rule("a", scope="/")], "'scope' of a resource"),
        ([{"type": "A.B/c", "name": "x"}], "Required property 'apiVersion'"),
        ([a_rule("[variables('no')]")], "variable 'no' is not found"),
    ],
)
def test_a_template_that_arm_would_not_start_is_refused(resources, says):
    with pytest.raises(InvalidTemplate) as refused:
        read(with_resources(*copy.deepcopy(resources)))

    assert says in refused.value.message


def test_a_variable_that_needs_itself_is_refused():
    template = with_resources(
        a_rule("[variables('a')]"), variables={"a": "[variables('b')]", "b": "[variables('a')]"}
    )

    with pytest.raises(InvalidTemplate) as refused:
        read(template)

    assert "depends on itself" in refused.value.message


def test_the_template_of_these_tests_is_plain_json():
    assert json.loads(json.dumps(a_server_template()))["resources"][0]["apiVersion"] == NOW
