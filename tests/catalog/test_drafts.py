"""`osb catalog new`: a family of an ARM template, that the guard takes as it is."""

import copy
import json
import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

from broker.catalog.reader import check
from broker.cli.catalog import app
from tests import teapots

ACCOUNTS = "Microsoft.Storage/storageAccounts"
ID = f"resourceId('{ACCOUNTS}', variables('accountName'))"
# As `bicep build` writes it: a name that is worked out, a child, a dependency, a key among the outputs.
TEMPLATE = {
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "metadata": {"_generator": {"name": "bicep"}},
    "parameters": {
        "location": {"type": "string", "defaultValue": "[resourceGroup().location]"},
        "prefix": {"type": "string", "defaultValue": "app"},
        "sku": {"type": "string", "allowedValues": ["Standard_LRS", "Standard_ZRS"]},
        "old": {"type": "string"},
    },
    "variables": {
        "accountName": "[format('{0}{1}', parameters('prefix'), uniqueString(resourceGroup().id))]",
        "id": f"[{ID}]",
    },
    "resources": [
        {
            "type": ACCOUNTS,
            "apiVersion": "2026-09-01",
            "name": "[variables('accountName')]",
            "location": "[parameters('location')]",
            "tags": {"team": "teapots"},
            "sku": {"name": "[parameters('sku')]"},
            "kind": "StorageV2",
            "properties": {},
        },
        {
            "type": f"{ACCOUNTS}/blobServices",
            "apiVersion": "2026-09-01",
            "name": "[format('{0}/{1}', variables('accountName'), 'default')]",
            "properties": {},
            "dependsOn": ["[variables('id')]"],
        },
    ],
    "outputs": {
        "blob": {"type": "string", "value": f"[reference({ID}, '2026-09-01').primaryEndpoints.blob]"},
        "key": {"type": "string", "value": f"[listKeys({ID}, '2026-09-01').keys[0].value]"},
    },
}
# Two processes and a broker are started, on a machine that other tests share.
ENDS_WITHIN = 90


@pytest.fixture
def new(tmp_path):
    def run(template=TEMPLATE, name="my-store", *more):
        text = template if isinstance(template, str) else json.dumps(template)
        (tmp_path / "main.json").write_text(text)
        arguments = [
            "new",
            name,
            "--template",
            str(tmp_path / "main.json"),
            "--out",
            str(tmp_path / "catalog"),
        ]
        return CliRunner().invoke(app, [*arguments, *more])

    run.folder = tmp_path / "catalog"
    run.offering = lambda name="my-store": yaml.safe_load((run.folder / name / f"{name}.yaml").read_text())
    run.template = lambda: json.loads((run.folder / "my-store" / "main.json").read_text())
    return run


def changed(*path, to):
    """The template with another value at a path; None takes away what is there."""
    whole = copy.deepcopy(TEMPLATE)
    inner = whole
    for word in path[:-1]:
        inner = inner[word]
    if to is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return whole


def test_a_template_becomes_a_family_that_is_tried_at_once(new):
    made = new()
    assert made.exit_code == 0, made.stderr
    command = made.stdout.splitlines()[-1].split(maxsplit=2)[2]

    tried = subprocess.run(
        f"{sys.executable} -m broker catalog {command} -o json",
        shell=True, capture_output=True, text=True, timeout=ENDS_WITHIN, check=False,
    )  # fmt: skip

    report = json.loads(tried.stdout)
    assert (tried.returncode, report["ok"], report["left"]) == (0, True, []), tried.stderr
    (credentials,) = (step["credentials"] for step in report["steps"] if "credentials" in step)
    assert credentials == {"provider": "string", "resourceId": "string", "blob": "string", "key": "string"}


def test_each_parameter_gets_its_place_and_the_broker_names_and_tags(new):
    new()

    said, template = new.offering(), new.template()
    assert check(new.folder) == []
    assert set(said["parameters"]["user"]) == {"location", "sku", "tags"}
    assert said["parameters"]["user"]["location"]["through"] == "location"
    assert said["parameters"]["user"]["tags"]["default"] == {"team": "teapots"}
    assert said["parameters"]["broker"] == {"storageAccountName": {"name": "storageAccount"}}
    account, service = template["resources"]
    assert (account["name"], account["tags"]) == (
        "[parameters('storageAccountName')]",
        "[parameters('tags')]",
    )
    assert service["name"] == "[format('{0}/{1}', parameters('storageAccountName'), 'default')]"
    assert template["variables"] == {"id": f"[resourceId('{ACCOUNTS}', parameters('storageAccountName'))]"}
    assert set(template["outputs"]) == {"blob"}


def test_what_was_changed_and_what_is_to_be_decided_is_told(new):
    made = new()

    text = (new.folder / "my-store" / "my-store.yaml").read_text()
    for note in (
        "the broker derives its name now",
        "a binding asks listKeys for it",
        "parameter old; it is left out",
    ):
        assert note in made.stdout
        assert note in text
    assert text.count("DECIDE") > 5


def test_secrets_are_sensitive_and_an_administrators_is_nobodys(new):
    template = changed("parameters", "token", to={"type": "secureString", "defaultValue": "[newGuid()]"})
    template["parameters"]["adminPassword"] = {"type": "securestring"}
    template["parameters"]["adminUsername"] = {"type": "string", "defaultValue": "root"}
    template["resources"][0]["properties"]["customDomain"] = {
        "name": "[concat(parameters('token'), parameters('adminPassword'), parameters('adminUsername'))]"
    }

    made = new(template)

    assert made.exit_code == 0, made.stderr
    said = new.offering()["parameters"]
    assert said["user"]["token"]["sensitive"] is True
    assert said["broker"]["adminPassword"] == "administrator_password"
    assert said["broker"]["adminUsername"] == "administrator_login"
    assert "defaultValue" not in new.template()["parameters"]["token"]


def test_two_resources_of_one_name_go_on_sharing_it(new):
    template = copy.deepcopy(teapots.TEMPLATE)
    template["resources"].append({**template["resources"][0], "type": "Microsoft.Teapots/shelves"})

    made = new(template)

    assert made.exit_code == 0, made.stderr
    assert [one["names"] for one in new.offering()["resources"]] == [["name"], ["name"]]
    assert "warning: Microsoft.Teapots/shelves at 2026-05-01 has no model file" in made.stderr


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (changed("resources", to={"account": {}}), "symbolic names"),
        (changed("languageVersion", to="2.0"), "symbolic names"),
        (changed("resources", 0, "type", to="Microsoft.Resources/deployments"), "Bicep modules"),
        (changed("resources", 0, "resources", to=[]), "resources inside of"),
        (changed("resources", 0, "copy", to={"name": "x", "count": 2}), "in a loop"),
        (changed("resources", 0, "condition", to=True), "on a condition"),
        (changed("resources", 1, "scope", to="[resourceGroup().id]"), "a scope of its own"),
        (changed("resources", 0, to=TEMPLATE["resources"][1]), "does not make what"),
        (changed("resources", 0, "type", to="Microsoft.Authorization/roleAssignments"), "has no type"),
        (changed("resources", 0, "name", to=7), "has no type, apiVersion or name"),
        (changed("resources", to=[]), "there are none"),
        (changed("$schema", to="https://example.com/subscriptionDeploymentTemplate.json#"), "to a resource group"),
        (changed("imports", to={}), "imports: this section is not supported"),
        (changed("parameters", "sku", "type", to="mine"), "user-defined types"),
        (changed("parameters", "alias", to={"type": "string"}), "the broker's own word"),
        (changed("parameters", "tags", to={"type": "string"}), "must be an object"),
        (changed("resources", 0, "properties", to={"colour": "red"}), "has no such property"),
        (changed("resources", 0, "kind", to="[frobnicate()]"), "frobnicate"),
        ("{", "is no JSON"),
        ("[]", "it is no JSON object"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_said_and_nothing_is_written(new, template, says):
    if says == "has no type":
        template["resources"][0]["apiVersion"] = "2022-04-01"
        says = "takes no tags"

    made = new(template)

    assert made.exit_code == 1
    assert says in made.stderr
    assert not new.folder.exists()


def test_a_name_that_is_too_short_for_the_brokers_is_refused(new):
    template = copy.deepcopy(teapots.TEMPLATE)
    template["parameters"]["name"]["maxLength"] = 15

    made = new(template)

    assert made.exit_code == 1
    assert "its name may have 15 characters; names of the broker need 20" in made.stderr


def test_files_that_are_there_stay_unless_forced(new):
    new()
    first = new.offering()["id"]

    again = new()
    assert (again.exit_code, new.offering()["id"]) == (1, first)
    assert "there already; --force writes over it" in again.stderr

    assert new(TEMPLATE, "my-store", "--force").exit_code == 0
    assert new.offering()["id"] != first


@pytest.mark.parametrize("name", ["My-Store", "../up", "a/b", "", "-x"])
def test_a_name_that_is_none_is_refused(new, name):
    assert new(TEMPLATE, name, "--force").exit_code == 2
    assert not new.folder.exists()


def test_a_template_cannot_write_yaml_of_its_own(new):
    template = changed("resources", 0, "name", to="[concat('x\n# y\nparameters: {user: {}}')]")
    template["parameters"]["sku"]["defaultValue"] = "[concat('Standard\n    evil: {}', '_LRS')]"

    made = new(template)

    assert made.exit_code == 0, made.stderr
    assert check(new.folder) == []
    assert set(new.offering()["parameters"]["user"]) == {"location", "prefix", "sku", "tags"}


def test_a_credential_key_that_no_platform_takes_is_refused(new):
    made = new(changed("outputs", "a: b\n- c", to={"type": "string", "value": "x"}))

    assert made.exit_code == 1
    assert "credentials" in made.stderr
