"""Deployments within deployments, as `bicep build` writes modules, and by hand; each has a history of its own."""

import uuid

import pytest

from tests.simulated import wait_until
from tests.simulator.templates import a_password

STORAGE = "Microsoft.Storage/storageAccounts"
VERSION = "2026-09-01"
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
ENDED = {"Succeeded", "Failed", "Canceled"}


def an_account():
    return f"st{uuid.uuid4().hex[:16]}"


def path_of(group, name="main"):
    return f"/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{name}"


def account(name, **more):
    return {
        "type": STORAGE,
        "apiVersion": VERSION,
        "name": name,
        "location": "westeurope",
        "sku": {"name": "Standard_LRS"},
        "kind": "StorageV2",
        **more,
    }


def template(resources, **sections):
    language = {"languageVersion": "2.0"} if isinstance(resources, dict) else {}
    return {"$schema": SCHEMA, "contentVersion": "1.0.0.0", **language, "resources": resources, **sections}


def module(name, inner, parameters=None, *, scope="inner", **more):
    """A nested deployment as Bicep writes it."""
    properties = {"mode": "Incremental", "template": inner}
    if scope:
        properties["expressionEvaluationOptions"] = {"scope": scope}
    if parameters:
        properties["parameters"] = {key: {"value": value} for key, value in parameters.items()}
    return {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "2025-04-01",
        "name": name,
        "properties": properties,
        **more,
    }


NAMED = template(
    {"account": account("[parameters('name')]")},
    parameters={"name": {"type": "string"}},
    outputs={
        "id": {
            "type": "string",
            "value": "[resourceId('Microsoft.Storage/storageAccounts', parameters('name'))]",
        }
    },
)


def put(simulator, group, whole, deployment="main", **parameters):
    values = {key: {"value": value} for key, value in parameters.items()}
    body = {"properties": {"mode": "Incremental", "template": whole, "parameters": values}}
    return simulator.call("PUT", path_of(group, deployment), body)


def deployed(simulator, group, whole, deployment="main", **parameters):
    """The properties of a deployment that has ended."""
    reply = put(simulator, group, whole, deployment, **parameters)
    assert reply.status_code in {200, 201}, reply.text
    return ended(simulator, group, deployment)


def ended(simulator, group, name="main"):
    def look():
        seen = simulator.call("GET", path_of(group, name)).json()["properties"]
        return seen if seen["provisioningState"] in ENDED else None

    return wait_until(look)


def operations(simulator, group, name):
    reply = simulator.call("GET", f"/resourceGroups/{group}/deployments/{name}/operations")
    return [step["properties"] for step in reply.json()["value"]]


def test_a_module_has_its_own_record_operations_and_outputs(simulator):
    group, name = simulator.a_group(), an_account()
    whole = template(
        {"mod": module("inner", NAMED, {"name": "[parameters('account')]"})},
        parameters={"account": {"type": "string"}},
        outputs={"id": {"type": "string", "value": "[reference('mod').outputs.id.value]"}},
    )

    outer = deployed(simulator, group, whole, account=name)

    inner = simulator.call("GET", path_of(group, "inner")).json()["properties"]
    made = f"{simulator.subscription}/resourceGroups/{group}/providers/{STORAGE}/{name}"
    assert (outer["provisioningState"], inner["provisioningState"]) == ("Succeeded", "Succeeded")
    assert outer["outputs"]["id"]["value"] == inner["outputs"]["id"]["value"] == made
    assert inner["correlationId"] == outer["correlationId"]
    assert outer["outputResources"] == [{"id": made}]
    steps = operations(simulator, group, "main")
    assert steps[0]["targetResource"]["resourceType"] == "Microsoft.Resources/deployments"
    assert [step["provisioningOperation"] for step in steps] == ["Create", "EvaluateDeploymentOutput"]
    assert [step["targetResource"]["resourceName"] for step in operations(simulator, group, "inner")[:1]] == [
        name
    ]


def test_a_module_may_go_to_another_resource_group_and_sees_that_one(simulator):
    here, there, name = simulator.a_group(), simulator.a_group(), an_account()
    inner = template(
        {"account": account("[parameters('name')]")},
        parameters={"name": {"type": "string"}},
        outputs={"group": {"type": "string", "value": "[resourceGroup().name]"}},
    )
    whole = template(
        {"mod": module("inner", inner, {"name": name}, resourceGroup=there)},
        outputs={"group": {"type": "string", "value": "[reference('mod').outputs.group.value]"}},
    )

    outer = deployed(simulator, here, whole)

    assert outer["outputs"]["group"]["value"] == there
    assert simulator.call("GET", path_of(there, "inner")).status_code == 200
    assert simulator.call("GET", path_of(here, "inner")).status_code == 404
    account_path = f"/resourceGroups/{there}/providers/{STORAGE}/{name}"
    assert simulator.call("GET", account_path, version=VERSION).status_code == 200


def test_a_module_for_a_group_that_is_not_there_is_refused_before_anything_is_made(simulator):
    group = simulator.a_group()
    whole = template([module("inner", NAMED, {"name": an_account()}, resourceGroup="nowhere")])

    reply = put(simulator, group, whole)

    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "ResourceGroupNotFound")
    assert simulator.call("HEAD", path_of(group)).status_code == 404


def test_without_a_scope_the_template_around_evaluates_the_expressions_of_the_nested_one(simulator):
    here, there, name = simulator.a_group(), simulator.a_group(), an_account()
    inner = template(
        [
            account(
                "[parameters('name')]",
                tags={"group": "[resourceGroup().name]", "from": "[variables('mark')]"},
            )
        ],
        parameters={"name": {"type": "string", "defaultValue": "unused"}},
        variables={"mark": "inner"},
    )
    whole = template(
        [module("nested", inner, scope=None, resourceGroup=there)],
        parameters={"name": {"type": "string"}},
        variables={"mark": "outer"},
    )

    outer = deployed(simulator, here, whole, name=name)

    assert outer["provisioningState"] == "Succeeded", outer
    made = simulator.call(
        "GET", f"/resourceGroups/{there}/providers/{STORAGE}/{name}", version=VERSION
    ).json()
    assert made["tags"] == {"group": here, "from": "outer"}


def test_a_module_waits_for_the_module_whose_output_it_takes(simulator):
    group, names = simulator.a_group(), [an_account(), an_account()]
    tagged = template(
        {"account": account("[parameters('name')]", tags={"after": "[parameters('after')]"})},
        parameters={"name": {"type": "string"}, "after": {"type": "string"}},
    )
    whole = template(
        {
            "second": module(
                "second", tagged, {"name": names[1], "after": "[reference('first').outputs.id.value]"}
            ),
            "first": module("first", NAMED, {"name": names[0]}),
        }
    )

    outer = deployed(simulator, group, whole)

    assert outer["provisioningState"] == "Succeeded", outer
    path = f"/resourceGroups/{group}/providers/{STORAGE}"
    second = simulator.call("GET", f"{path}/{names[1]}", version=VERSION).json()
    assert second["tags"]["after"].endswith(names[0])
    waits = {each["resourceName"]: each["dependsOn"][0]["resourceName"] for each in outer["dependencies"]}
    assert waits == {"second": "first"}


def test_a_failure_inside_a_module_is_told_at_every_level(simulator):
    group, name = simulator.a_group(), an_account()
    whole = template([module("inner", NAMED, {"name": name})])
    simulator.fault(
        "deployment_failed", path=f"{group}/.*/deployments/", resource=f"/{name}$", code="SkuNotAvailable"
    )

    outer = deployed(simulator, group, whole)

    inner = simulator.call("GET", path_of(group, "inner")).json()["properties"]
    assert (outer["provisioningState"], inner["provisioningState"]) == ("Failed", "Failed")
    cause = outer["error"]["details"][0]
    assert cause["code"] == "ResourceDeploymentFailure"
    assert cause["details"][0]["code"] == "DeploymentFailed"
    assert "SkuNotAvailable" in cause["details"][0]["details"][0]["message"]
    assert operations(simulator, group, "main")[0]["provisioningState"] == "Failed"
    failed = operations(simulator, group, "inner")[0]
    assert failed["statusMessage"]["error"]["code"] == "SkuNotAvailable"


def test_what_a_module_would_make_is_checked_before_anything_is_made(simulator):
    group = simulator.a_group()
    whole = template(
        [
            account(an_account()),
            module("inner", template([module("deeper", NAMED, {"name": "Not_A_Name"})])),
        ]
    )

    reply = put(simulator, group, whole)

    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "InvalidTemplateDeployment")
    assert reply.json()["error"]["details"][0]["code"] == "AccountNameInvalid"
    assert simulator.call("GET", f"/resourceGroups/{group}/resources").json()["value"] == []


def test_a_cancelled_deployment_cancels_the_ones_within_it(simulator):
    group = simulator.a_group()
    simulator.clock(speed=0)
    put(simulator, group, template([module("inner", NAMED, {"name": an_account()})]))
    simulator.clock(advance=3)
    wait_until(lambda: simulator.call("GET", path_of(group, "inner")).status_code == 200)

    cancelled = simulator.call("POST", path_of(group) + "/cancel")

    states = [
        simulator.call("GET", path_of(group, name)).json()["properties"]["provisioningState"]
        for name in ("main", "inner")
    ]
    assert cancelled.status_code == 204
    assert states == ["Canceled", "Canceled"]


def test_a_secret_that_is_passed_to_a_module_is_in_no_history(simulator):
    group, password = simulator.a_group(), a_password()
    inner = template(
        [account("[parameters('name')]")],
        parameters={"name": {"type": "string"}, "password": {"type": "secureString"}},
    )
    whole = template(
        [module("inner", inner, {"name": an_account(), "password": "[parameters('password')]"})],
        parameters={"password": {"type": "secureString"}},
    )

    deployed(simulator, group, whole, password=password)

    shown = [simulator.call("GET", path_of(group, name)) for name in ("main", "inner")]
    assert shown[1].json()["properties"]["parameters"]["password"] == {"type": "SecureString"}
    assert password not in "".join(reply.text for reply in shown)


def test_a_copied_module_makes_one_deployment_for_each_turn(simulator):
    group, names = simulator.a_group(), [an_account() for _ in range(3)]
    copied = module(
        "[format('mod-{0}', copyIndex())]",
        NAMED,
        {"name": "[parameters('names')[copyIndex()]]"},
        copy={"name": "mods", "count": "[length(parameters('names'))]"},
    )
    whole = template(
        {"mods": copied},
        parameters={"names": {"type": "array"}},
        outputs={
            "ids": {
                "type": "array",
                "copy": {
                    "count": "[length(range(0, 3))]",
                    "input": "[reference(format('mods[{0}]', range(0, 3)[copyIndex()])).outputs.id.value]",
                },
            }
        },
    )

    outer = deployed(simulator, group, whole, names=names)

    assert [each.rpartition("/")[2] for each in outer["outputs"]["ids"]["value"]] == names
    assert {step["targetResource"]["resourceName"] for step in operations(simulator, group, "main")[:3]} == {
        "mod-0",
        "mod-1",
        "mod-2",
    }


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (
            lambda m: m["properties"].update(templateLink={"uri": "https://example.org/t.json"}),
            "templateLink",
        ),
        (lambda m: m["properties"].update(mode="Complete"), "'Complete'"),
        (lambda m: m.update(location="westeurope"), "'location' of a nested deployment"),
        (lambda m: m.update(subscriptionId=str(uuid.uuid4()), resourceGroup="x"), "'subscriptionId'"),
        (lambda m: m.update(scope="/"), "'scope'"),
        (
            lambda m: m["properties"]["parameters"].update(name={"reference": {"secretName": "x"}}),
            "'reference' to a key vault",
        ),
        (
            lambda m: m["properties"]["template"]["resources"]["account"].update(name="[pickZones()]"),
            "'pickZones'",
        ),
        (lambda m: m["properties"]["template"].update(imports={"x": {}}), "'imports'"),
        (
            lambda m: (
                m["properties"]["expressionEvaluationOptions"].update(scope="outer"),
                m["properties"]["template"].update(
                    outputs={"x": {"type": "string", "value": "[reference('account').kind]"}}
                ),
            ),
            "'reference'",
        ),
    ],
)
def test_what_is_not_supported_of_a_nested_deployment_is_refused_by_name(simulator, change, names):
    group = simulator.a_group()
    nested = module(
        "inner", {**NAMED, "resources": {"account": dict(NAMED["resources"]["account"])}}, {"name": "x"}
    )
    change(nested)

    reply = put(simulator, group, template([nested]))

    assert reply.status_code == 400
    assert names in reply.json()["error"]["message"]
    assert simulator.call("HEAD", path_of(group)).status_code == 404
