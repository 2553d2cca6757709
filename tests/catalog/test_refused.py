"""What the guard refuses, with file, line and place."""

import pytest

from broker.catalog.reader import check

WHOLE = "azure-postgresql.yaml"
STORAGE = "azure-storage-blob.yaml"
CHILD = "azure-postgresql-database.yaml"
TEMPLATE = "server-with-database.json"


def the_fault(copy, contains):
    faults = check(copy.folder)
    found = [fault for fault in faults if contains in str(fault)]
    assert found, f"{contains!r} is not in: " + "\n".join(map(str, faults))
    return found[0]


SPOILT = {
    "an unknown key": (
        WHOLE,
        "bindable: true",
        "bindable: true\ncolour: red",
        "is not known to this version",
    ),
    "a key twice": (WHOLE, "bindable: true", "bindable: true\nbindable: false", "is there twice"),
    "an anchor": (WHOLE, "bindable: true", "bindable: &a true", "anchors and aliases"),
    "an id that is no GUID": (WHOLE, "id: 101988d3", "id: 101988D3", "should match pattern"),
    "a long description": (WHOLE, "description: A Postgre", "description: " + "A" * 256, "255"),
    "a child without a name": (WHOLE, "- database_user: {}", "- child: {}", "is missing"),
    "a child of an unknown type": (
        WHOLE,
        "- database_user: {}",
        "- child: {word: a, below: record.main, type: Microsoft.A/b/c, api_version: 2020-01-01, prefix: a}",
        "has no model file",
    ),
    "a child that Azure would refuse": (
        STORAGE,
        "- role:\n            scope: outputs.containerId\n",
        (
            "- child: {word: a, below: record.main, api_version: 2026-09-01, prefix: a, "
            "type: Microsoft.Storage/storageAccounts/blobServices/containers, "
            "body: {properties: {publicAccess: Maybe}}}\n"
            "        - role:\n            scope: outputs.containerId\n"
        ),
        "is not one of",
    ),
    "an action on nothing": (
        STORAGE,
        "resource: record.main",
        "resource: 'account'",
        "there is no 'account'",
    ),
    "an answer outside of an action": (
        STORAGE,
        "scope: outputs.containerId",
        "scope: answer.id",
        "there is no 'answer'",
    ),
    "modes that nobody can choose": (
        STORAGE,
        "allowed: [key, sas, entra]",
        "allowed: [key]",
        "allows the modes",
    ),
    "modes without a default": (STORAGE, "default: key", "default: none", "one of them as default"),
    "modes beside a list": (
        STORAGE,
        "binding_modes:",
        "binding: [compose: {credentials: {}}]\nbinding_modes:",
        "instead of",
    ),
    "a mode that needs what is not there": (
        STORAGE,
        "needs: [principalId]",
        "needs: [principal]",
        "no bind parameter",
    ),
    "an unknown verb": (WHOLE, "- database_user: {}", "- dance: {}", "is not known to this version"),
    "a verb after compose": (WHOLE, "plans:", "  - database_user: {}\nplans:", "'compose' is the last verb"),
    "a credential key that no environment takes": (
        WHOLE,
        "jdbcUrl: {",
        "jdbc url: {",
        "should match pattern",
    ),
    "an unknown connection string": (
        WHOLE,
        "connection_string: uri",
        "connection_string: url",
        "'uri', 'jdbc'",
    ),
    "a broken expression": (WHOLE, "pick: user.password", "pick: 'user.['", "is no JMESPath expression"),
    "an expression on nothing": (
        WHOLE,
        "pick: user.password",
        "pick: secrets.password",
        "there is no 'secrets'",
    ),
    "two sources of one value": (
        WHOLE,
        "{value: postgresql}",
        "{value: a, pick: database.host}",
        "must have exactly one of",
    ),
    "an unknown name": (WHOLE, "{name: server}", "{name: sever}", "there is no 'sever' among the names"),
    "a default that is not allowed": (
        WHOLE,
        '{default: "17"',
        '{default: "14"',
        "the default '14' is not allowed",
    ),
    "a wider choice than the template's": (
        WHOLE,
        "version: {default",
        'version: {allowed: ["9"], default',
        "allows more than the template does",
    ),
    "a parameter of nobody": (
        WHOLE,
        "    databaseName: {name: database}\n",
        "",
        "neither user, fixed nor broker",
    ),
    "a parameter of two": (
        WHOLE,
        "    databaseName: {name",
        "    version: location\n    databaseName: {name",
        "is declared twice",
    ),
    "a parameter that is not there": (
        WHOLE,
        "    skuName: {}\n",
        "    skuNames: {}\n",
        "the template has no such",
    ),
    "high availability": (
        WHOLE,
        "    skuName: {}\n",
        "    skuName: {}\n    highAvailability: {}\n",
        "the template has no such",
    ),
    "a fixed value of the wrong type": (WHOLE, "{skuTier: Burstable}", "{skuTier: 1}", "is no string"),
    "a fixed value that is not allowed": (
        WHOLE,
        "{skuTier: Burstable}",
        "{skuTier: Cheap}",
        "'Cheap' is not allowed by the template",
    ),
    "a fixed secret": (
        WHOLE,
        "{skuTier: Burstable}",
        "{skuTier: Burstable, administratorLoginPassword: x}",
        "declared twice",
    ),
    "a missing template": (WHOLE, "template: server-with", "template: sever-with", "cannot be read"),
    "a template elsewhere": (
        WHOLE,
        "template: server-with",
        "template: ../server-with",
        "should match pattern",
    ),
    "a resource that is not made": (
        WHOLE,
        "flexibleServers, names: [serverName], tagged",
        "servers, names: [serverName], tagged",
        "the template makes no such resource",
    ),
    "nothing tagged": (WHOLE, ", tagged: true", "", "must be tagged"),
    "tags that are the plan's": (
        WHOLE,
        "{skuTier: Burstable}",
        "{skuTier: Burstable, tags: {}}",
        "does not carry the broker's tags",
    ),
    "a resource that no list names": (
        WHOLE,
        "  - {type: Microsoft.DBforPostgreSQL/flexibleServers, names: [serverName], tagged: true}\n",
        "",
        "is made by the template, but not among the resources",
    ),
    "a password where all can read it": (
        WHOLE,
        "    databaseName: {name",
        "    skuName: administrator_password\n    databaseName: {name",
        "must be a secureString",
    ),
    "a sensitive parameter where all can read it": (
        WHOLE,
        "    skuName: {}\n",
        "    skuName: {sensitive: true}\n",
        "must be a secureString",
    ),
    "no binding": (WHOLE, "bindable: true", "bindable: false", "exactly when the offering is bindable"),
    "the id of another": (
        WHOLE,
        "101988d3-2426-47d6-abab-7202857a34d1",
        "a2c65b65-bb2e-4d12-b49e-cd3acf4b8520",
        "is used before",
    ),
    "the name of another plan": (
        WHOLE,
        "name: general-purpose",
        "name: burstable",
        "two plans with the name",
    ),
    "a parent that is not there": (
        CHILD,
        "parent: azure-postgresql-server",
        "parent: azure-mysql",
        "no offering",
    ),
    "a child in a group of its own": (
        CHILD,
        "{group: parent}",
        "{group: own}",
        "exactly when the offering has",
    ),
    "text that is no YAML": (WHOLE, "bindable: true", "bindable: [true", "is no YAML"),
    "a version that is no version": (WHOLE, "version: 1.0.0", "version: one", "should match pattern"),
    "a number for a name": (WHOLE, "name: azure-postgresql\n", "name: 5\n", "should be a valid string"),
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_spoilt_offering_is_refused_with_its_place(copy, spoilt):
    file, old, new, reason = SPOILT[spoilt]
    copy.replace(file, old, new)

    fault = the_fault(copy, reason)

    assert fault.file.endswith((file, ".json"))
    assert fault.line > 0 or "cannot be read" in reason or "used before" in reason or "two plans" in reason


def test_a_fault_names_the_line_of_the_key(copy):
    copy.replace(WHOLE, "    name: general-purpose", "    name: general-purpose\n    sla: gold")
    line = copy.file(WHOLE).read_text().splitlines().index("    sla: gold") + 1

    fault = the_fault(copy, "is not known")

    assert (fault.line, fault.path) == (line, "plans[1].sla")


def changed(**changes):
    def change(template):
        template.update(changes)

    return change


def an_output(value, kind="string"):
    def change(template):
        template["outputs"]["more"] = {"type": kind, "value": value}

    return change


def a_property(path, value):
    def change(template):
        body = template["resources"][0]
        *above, last = path
        for key in above:
            body = body[key]
        body[last] = value

    return change


TEMPLATES = {
    "an output that lists keys": (an_output("[listKeys('x', '2026-10-01').key]"), "calls a list function"),
    "a secret output": (an_output("x", "secureString"), "a secret output"),
    "an output that tells a secret": (
        an_output("[parameters('administratorLoginPassword')]"),
        "is a secret, for the properties of resources only",
    ),
    "a variable that holds a secret": (
        changed(variables={"word": "[concat(parameters('administratorLoginPassword'), '!')]"}),
        "is a secret, for the properties of resources only",
    ),
    "a tag that tells a secret": (
        a_property(("tags",), {"word": "[parameters('administratorLoginPassword')]"}),
        "is a secret, for the properties of resources only",
    ),
    "a property that Azure does not know": (
        a_property(("properties", "colour"), "red"),
        "has no such property",
    ),
    "a value that Azure does not know": (
        a_property(("properties", "network", "publicNetworkAccess"), "Maybe"),
        "is not one of",
    ),
    "a read-only property": (a_property(("properties", "state"), "Ready"), "is read-only"),
    "an api-version without a model": (a_property(("apiVersion",), "2030-01-01"), "has no model file"),
    "a type without a model": (a_property(("type",), "Microsoft.Mine/things"), "has no model file"),
    "no resources": (changed(resources={}), "is no ARM template"),
    "an undeclared parameter": (
        a_property(("location",), "[parameters('where')]"),
        "is used but not declared",
    ),
}


@pytest.mark.parametrize("spoilt", TEMPLATES)
def test_a_spoilt_template_is_refused(copy, spoilt):
    change, reason = TEMPLATES[spoilt]
    copy.change(TEMPLATE, change)

    fault = the_fault(copy, reason)

    assert fault.file.endswith(TEMPLATE)


def test_a_template_with_tags_of_its_own_is_refused(copy):
    copy.change(TEMPLATE, a_property(("tags",), {"owner": "somebody"}))

    the_fault(copy, "does not carry the broker's tags")


def test_a_default_for_a_secret_is_refused(copy):
    copy.change(
        TEMPLATE, lambda t: t["parameters"]["administratorLoginPassword"].update(defaultValue="anything")
    )

    the_fault(copy, "a secret has no default")


def test_a_folder_without_offerings_is_refused(tmp_path):
    assert "holds no" in str(check(tmp_path)[0])


def test_a_file_that_is_too_large_or_elsewhere_is_refused(copy):
    copy.file(WHOLE).write_text("# " + "x" * 300_000)
    (copy.folder / "stray.yaml").write_text("a: 1")

    the_fault(copy, "is larger than")
    the_fault(copy, "is not at <family>/<offering>.yaml")
