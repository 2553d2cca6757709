"""What templates may say beside resources: loops, lambdas, functions of their own; as `bicep build` writes them."""

import re
import uuid

import pytest

from broker.simulator.arm_errors import InvalidTemplate
from broker.simulator.expressions import evaluate
from broker.simulator.template_functions import PURE
from broker.simulator.template_scopes import CopyIndex
from tests.simulated import wait_until
from tests.simulator.test_nested_deployments import (
    STORAGE,
    VERSION,
    account,
    an_account,
    deployed,
    operations,
    put,
    template,
)

# `$x` stands for lambdaVariables('x') in the cases below.
VARIABLE = re.compile(r"\$(\w+)")


def outputs_of(simulator, outputs, **sections):
    """What the outputs (name -> type and expression) of a template without resources are."""
    declared = {name: {"type": kind, "value": value} for name, (kind, value) in outputs.items()}
    parameters = sections.pop("given", {})
    shown = deployed(simulator, simulator.a_group(), template([], outputs=declared, **sections), **parameters)
    assert shown["provisioningState"] == "Succeeded", shown["error"]
    return {name: output["value"] for name, output in shown["outputs"].items()}


@pytest.mark.parametrize(
    ("expression", "gives"),
    [
        ("[map(range(0, 3), lambda('i', mul($i, 2)))]", [0, 2, 4]),
        (
            "[map(createArray('a', 'b'), lambda('x', 'i', format('{0}{1}', $x, $i)))]",
            ["a0", "b1"],
        ),
        ("[filter(range(0, 5), lambda('i', greater($i, 2)))]", [3, 4]),
        (
            "[reduce(range(1, 4), 0, lambda('sum', 'i', add($sum, $i)))]",
            10,
        ),
        (
            "[sort(createArray(3, 1, 2), lambda('a', 'b', less($a, $b)))]",
            [1, 2, 3],
        ),
        (
            "[toObject(createArray('a', 'b'), lambda('k', $k), lambda('k', length($k)))]",
            {"a": 1, "b": 1},
        ),
        (
            "[groupBy(createArray('ab', 'ac', 'b'), lambda('t', first($t)))]",
            {"a": ["ab", "ac"], "b": ["b"]},
        ),
        ("[mapValues(createObject('a', 1), lambda('v', add($v, 1)))]", {"a": 2}),
        (
            "[map(range(0, 2), lambda('i', map(range(0, 2), lambda('j', add($i, $j)))))]",
            [[0, 1], [1, 2]],
        ),
        ("[tryGet(createObject('a', createObject('b', 7)), 'A', 'b')]", 7),
        ("[tryGet(createObject('a', 1), 'x', 'y')]", None),
        ("[tryGet(createArray(5), 3)]", None),
        ("[coalesce(tryGet(createObject(), 'x'), 'default')]", "default"),
        ("[flatten(createArray(createArray(1), createArray(2, 3)))]", [1, 2, 3]),
        (
            "[shallowMerge(createArray(createObject('a', createObject('x', 1)), createObject('a', 2)))]",
            {"a": 2},
        ),
        ("[objectKeys(createObject('b', 1, 'a', 2))]", ["a", "b"]),
        ("[items(createObject('b', 1, 'a', 2))]", [{"key": "a", "value": 2}, {"key": "b", "value": 1}]),
        ("[intersection(createArray(1, 2, 3), createArray(2, 3, 4))]", [2, 3]),
        ("[lastIndexOf('abcabc', 'B')]", 4),
        ("[indexOf(createArray('a', 'b'), 'b')]", 1),
        ("[uri('https://example.org/a/', 'b')]", "https://example.org/a/b"),
        ("[uriComponentToString(uriComponent('a b/c'))]", "a b/c"),
        ("[base64ToJson(base64('{\"a\": 1}')).a]", 1),
        ("[base64ToString(base64('text'))]", "text"),
        ("[dataUriToString(dataUri('text'))]", "text"),
        ("[parseCidr('10.0.0.0/24').lastUsable]", "10.0.0.254"),
        ("[cidrSubnet('10.0.0.0/16', 24, 3)]", "10.0.3.0/24"),
        ("[cidrHost('10.0.0.0/24', 0)]", "10.0.0.1"),
        ("[dateTimeAdd('2026-01-31T00:00:00Z', 'P1DT1H')]", "20260201T010000Z"),
        ("[dateTimeAdd('2026-01-31T00:00:00Z', '-P1D', 'yyyy-MM-dd')]", "2026-01-30"),
        ("[dateTimeToEpoch(dateTimeFromEpoch(1700000000))]", 1700000000),
        ("[mod(-7, 3)]", -1),
        ("[array('a')]", ["a"]),
        ("[array(createArray(1))]", [1]),
        ("[bool('True')]", True),
        ("[bool(0)]", False),
        ("[endsWith('abc', 'BC')]", True),
        ("[startsWith('abc', 'b')]", False),
        ("[float('1.5')]", 1.5),
        ("[int('-4')]", -4),
        ("[greaterOrEquals(2, 2)]", True),
        ("[lessOrEquals('b', 'a')]", False),
        ("[padLeft(7, 3, '0')]", "007"),
        ("[skip(createArray(1, 2, 3), 2)]", [3]),
        ("[skip('abc', 1)]", "bc"),
        ("[sub(2, 5)]", -3),
        ("[trim('  a ')]", "a"),
        ("[div(-7, 2)]", -3),
        ("[join(map(range(1, 2), lambda('i', string($i))), '-')]", "1-2"),
        ("[min(createArray(3, 1))]", 1),
        ("[max(1, 5, 2)]", 5),
        ("[string(createObject('a', createArray(1, true())))]", '{"a":[1,true]}'),
        ("[union(createArray(1, 2), createArray(2, 3))]", [1, 2, 3]),
        (
            {"copy": [{"name": "n", "count": 2, "input": "[copyIndex('n', 5)]"}], "other": 1},
            {"n": [5, 6], "other": 1},
        ),
    ],
)
def test_functions_and_loops_give_what_arm_documents(expression, gives):
    if isinstance(expression, str):
        expression = VARIABLE.sub(r"lambdaVariables('\1')", expression)

    assert evaluate(expression, {**PURE, "copyindex": CopyIndex()}) == gives


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("[fail('not like this')]", "not like this"),
        ("[map(range(0, 1), lambda('i', lambdaVariables('j')))]", "lambda variable 'j' is not found"),
        ("[range(0, 10001)]", "'range'"),
        ("[dateTimeAdd('2026-01-01', '1 day')]", "no ISO 8601 duration"),
        ("[utcNow()]", "'utcNow' is not expected at this location"),
        ("[listKeys('x', '2020-01-01')]", "'listKeys' is not expected at this location"),
        ("[toLogicalZone('a', 'b', 'c')]", "'toLogicalZone' is not supported by this simulator"),
        ("[cidrSubnet('10.0.0.0/24', 16, 0)]", "no subnet"),
    ],
)
def test_what_a_function_cannot_do_is_said_by_name(expression, says):
    with pytest.raises(InvalidTemplate) as refused:
        evaluate(expression, PURE)

    assert says in refused.value.message


def test_a_template_has_functions_of_its_own(simulator):
    functions = [
        {
            "namespace": "__bicep",
            "members": {
                "double": {
                    "parameters": [{"type": "int", "name": "n"}],
                    "output": {"type": "int", "value": "[mul(parameters('n'), 2)]"},
                },
                "quadruple": {
                    "parameters": [{"type": "int", "name": "n"}],
                    "output": {"type": "int", "value": "[__bicep.double(__bicep.double(parameters('n')))]"},
                },
            },
        }
    ]

    given = outputs_of(simulator, {"x": ("int", "[__bicep.quadruple(3)]")}, functions=functions)

    assert given == {"x": 12}


def test_variables_and_outputs_are_made_in_loops(simulator):
    variables = {
        "copy": [
            {
                "name": "names",
                "count": "[parameters('count')]",
                "input": "[format('n{0}', copyIndex('names', 1))]",
            }
        ],
        "within": {
            "copy": [
                {"name": "squares", "count": 3, "input": "[mul(copyIndex('squares'), copyIndex('squares'))]"}
            ]
        },
    }
    whole = template(
        [],
        parameters={"count": {"type": "int"}},
        variables=variables,
        outputs={
            "names": {"type": "array", "value": "[variables('names')]"},
            "squares": {"type": "array", "value": "[variables('within').squares]"},
            "turns": {"type": "array", "copy": {"count": 2, "input": "[variables('names')[copyIndex()]]"}},
        },
    )

    shown = deployed(simulator, simulator.a_group(), whole, count=2)["outputs"]

    assert shown["names"]["value"] == ["n1", "n2"]
    assert shown["squares"]["value"] == [0, 1, 4]
    assert shown["turns"]["value"] == ["n1", "n2"]


def test_properties_are_made_in_loops_and_wait_for_what_they_refer_to(simulator):
    group, names = simulator.a_group(), [an_account(), an_account()]
    accounts = account("[parameters('names')[copyIndex()]]", copy={"name": "accounts", "count": 2})
    last = account(
        an_account(),
        properties={
            "networkAcls": {
                "defaultAction": "Deny",
                "copy": [
                    {
                        "name": "ipRules",
                        "count": 2,
                        "input": {
                            "value": "[format('203.0.113.{0}', copyIndex('ipRules', 1))]",
                            "action": "Allow",
                        },
                    }
                ],
            }
        },
        tags={
            "ids": "[join(map(references('accounts', 'full'), lambda('a', lambdaVariables('a').name)), ',')]"
        },
    )
    whole = template({"last": last, "accounts": accounts}, parameters={"names": {"type": "array"}})

    shown = deployed(simulator, group, whole, names=names)

    assert shown["provisioningState"] == "Succeeded", shown["error"]
    path = f"/resourceGroups/{group}/providers/{STORAGE}/{last['name']}"
    made = simulator.call("GET", path, version=VERSION).json()
    assert [rule["value"] for rule in made["properties"]["networkAcls"]["ipRules"]] == [
        "203.0.113.1",
        "203.0.113.2",
    ]
    assert made["tags"]["ids"] == ",".join(names)
    (waits,) = shown["dependencies"]
    assert {each["resourceName"] for each in waits["dependsOn"]} == set(names)


def test_a_serial_loop_makes_one_batch_after_the_other(simulator):
    group, names = simulator.a_group(), [an_account() for _ in range(4)]
    whole = template(
        [
            account(
                "[parameters('names')[copyIndex()]]",
                copy={"name": "each", "count": 4, "mode": "serial", "batchSize": 2},
            )
        ],
        parameters={"names": {"type": "array"}},
    )
    simulator.clock(speed=0)
    put(simulator, group, whole, names=names)

    simulator.clock(advance=3)
    wait_until(lambda: len(operations(simulator, group, "main")) == 2)
    simulator.clock(advance=25)
    wait_until(lambda: len(operations(simulator, group, "main")) == 4)

    targets = [step["targetResource"]["resourceName"] for step in operations(simulator, group, "main")]
    assert (set(targets[:2]), set(targets[2:])) == (set(names[:2]), set(names[2:]))


def test_an_existing_resource_is_read_by_its_symbolic_name_and_not_written(simulator):
    group, name = simulator.a_group(), an_account()
    deployed(simulator, group, template([account(name, tags={"kept": "yes"})]), "first")
    existing = {"existing": True, "type": STORAGE, "apiVersion": VERSION, "name": name}
    whole = template(
        {"there": existing},
        outputs={
            "kind": {"type": "string", "value": "[reference('there', '2026-09-01', 'full').kind]"},
            "id": {"type": "string", "value": "[resourceInfo('there').id]"},
        },
    )

    shown = deployed(simulator, group, whole)

    made = f"{simulator.subscription}/resourceGroups/{group}/providers/{STORAGE}/{name}"
    assert {key: each["value"] for key, each in shown["outputs"].items()} == {"kind": "StorageV2", "id": made}
    assert operations(simulator, group, "main")[0]["provisioningOperation"] == "Read"
    tags = simulator.call("GET", made, version=VERSION).json()["tags"]
    assert tags == {"kept": "yes"}


def test_an_existing_resource_that_is_not_there_fails_the_deployment(simulator):
    group = simulator.a_group()
    missing = {"existing": True, "type": STORAGE, "apiVersion": VERSION, "name": an_account()}

    shown = deployed(simulator, group, template({"there": missing}))

    assert shown["provisioningState"] == "Failed"
    assert "ResourceNotFound" in str(shown["error"])


def test_a_resource_whose_condition_is_false_is_not_made_and_not_waited_for(simulator):
    group, name = simulator.a_group(), an_account()
    whole = template(
        {
            "no": account(an_account(), condition="[parameters('wanted')]"),
            "yes": account(name, dependsOn=["no"]),
        },
        parameters={"wanted": {"type": "bool", "defaultValue": False}},
        outputs={
            "tier": {
                "type": "string",
                "value": "[if(parameters('wanted'), reference('no').accessTier, 'none')]",
            },
            "left-out": {
                "type": "string",
                "condition": "[parameters('wanted')]",
                "value": "[reference('no').x]",
            },
        },
    )

    shown = deployed(simulator, group, whole)

    assert {key: each["value"] for key, each in shown["outputs"].items()} == {"tier": "none"}
    assert [each["id"].rpartition("/")[2] for each in shown["outputResources"]] == [name]


def test_keys_are_listed_in_a_template(simulator):
    group, name = simulator.a_group(), an_account()
    whole = template(
        {
            "account": account(name),
            "second": account(
                an_account(), tags={"n": "[string(length(listKeys('account', '2026-09-01').keys))]"}
            ),
        },
        outputs={"keys": {"type": "secureObject", "value": "[listKeys('account', '2026-09-01')]"}},
    )

    shown = deployed(simulator, group, whole)

    assert shown["provisioningState"] == "Succeeded", shown["error"]
    assert shown["outputs"] == {"keys": {"type": "SecureObject"}}


def test_defaults_may_be_new_in_each_deployment(simulator):
    whole = template(
        [],
        parameters={
            "id": {"type": "string", "defaultValue": "[newGuid()]"},
            "now": {"type": "string", "defaultValue": "[utcNow('yyyy')]"},
        },
        outputs={
            "id": {"type": "string", "value": "[parameters('id')]"},
            "now": {"type": "string", "value": "[parameters('now')]"},
        },
    )
    group = simulator.a_group()

    first, second = (deployed(simulator, group, whole, name)["outputs"] for name in ("a", "b"))

    assert uuid.UUID(first["id"]["value"]) != uuid.UUID(second["id"]["value"])
    assert first["now"]["value"].startswith("20")


def test_an_output_that_cannot_be_evaluated_fails_the_deployment_and_is_named(simulator):
    whole = template([], outputs={"gone": {"type": "string", "value": "[createObject('a', 1).b]"}})
    group = simulator.a_group()

    shown = deployed(simulator, group, whole)

    assert shown["provisioningState"] == "Failed"
    error = shown["error"]
    assert (error["code"], error["details"][0]["target"]) == ("DeploymentOutputEvaluationFailed", "gone")
    assert operations(simulator, group, "main")[-1]["provisioningOperation"] == "EvaluateDeploymentOutput"


@pytest.mark.parametrize(
    ("whole", "names"),
    [
        (template({"a": account("x")}, languageVersion="1.0"), "languageVersion '2.0'"),
        (template([{**account("x"), "existing": True}]), "existing resource"),
        (template([account("x", copy={"name": "c", "count": 801})]), "no whole number from 0 to 800"),
        (template([account("x", scope="/")]), "'scope'"),
        (template([account("x", condition="maybe")]), "condition"),
        (template([], extensions={"x": {}}), "'extensions'"),
        (template([], variables={"v": "[reference('x')]"}), "'reference' is not expected"),
        (template([], outputs={"o": {"type": "colour", "value": 1}}), "output 'o' has an unknown type"),
        (template([], outputs={"o": {"type": "string", "value": "[my.own()]"}}), "'my.own' is not supported"),
        (
            {
                **template([]),
                "$schema": "https://schema.management.azure.com/x/subscriptionDeploymentTemplate.json#",
            },
            "subscriptionDeploymentTemplate",
        ),
    ],
)
def test_what_a_template_cannot_say_here_is_refused_by_name(simulator, whole, names):
    reply = put(simulator, simulator.a_group(), whole)

    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "InvalidTemplate")
    assert names in reply.json()["error"]["message"]


TYPES_OF_ITS_OWN = {
    "size": {"type": "string", "allowedValues": ["small", "large"]},
    "shelf": {"$ref": "#/definitions/rack"},
    "rack": {
        "type": "object",
        "properties": {
            "size": {"$ref": "#/definitions/size"},
            "height": {"type": "int", "minValue": 1, "nullable": True},
        },
        "additionalProperties": False,
    },
    "lock": {
        "type": "object",
        "discriminator": {
            "propertyName": "kind",
            "mapping": {
                "code": {"type": "object", "properties": {"digits": {"type": "int"}}},
                "open": {"type": "object", "properties": {}},
            },
        },
        "properties": {"kind": {"type": "string"}},
    },
}


def given(simulator, value, *, type_of):
    whole = template(
        {},
        definitions=TYPES_OF_ITS_OWN,
        parameters={"p": {"$ref": f"#/definitions/{type_of}"}},
        outputs={"p": {"$ref": f"#/definitions/{type_of}", "value": "[parameters('p')]"}},
    )
    return put(simulator, simulator.a_group(), whole, p=value)


@pytest.mark.parametrize(
    ("type_of", "value"),
    [
        ("shelf", {"size": "small"}),
        ("shelf", {"size": "large", "height": 2}),
        ("lock", {"kind": "code", "digits": 4}),
        ("lock", {"kind": "open"}),
    ],
)
def test_values_of_a_templates_own_types_are_accepted(simulator, type_of, value):
    assert given(simulator, value, type_of=type_of).status_code == 201


@pytest.mark.parametrize(
    ("type_of", "value", "says"),
    [
        ("shelf", {}, "'p' has no 'size'"),
        ("shelf", {"size": "huge"}, "'p.size' is not valid"),
        ("shelf", {"size": "small", "height": 0}, "'p.height' is below its minimum"),
        ("shelf", {"size": "small", "colour": "red"}, "undeclared property 'colour'"),
        ("lock", {"kind": "magic"}, "'kind' of the template parameter 'p' is not one of 'code, open'"),
        ("lock", {"kind": "code"}, "'p' has no 'digits'"),
    ],
)
def test_values_are_held_to_a_templates_own_types(simulator, type_of, value, says):
    reply = given(simulator, value, type_of=type_of)

    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "InvalidTemplate")
    assert says in reply.json()["error"]["message"]
