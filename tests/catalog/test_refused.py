"""What the guard refuses, with file, line and place."""

import pytest

from broker.catalog.reader import check

WHOLE = "azure-postgresql.yaml"
STORAGE = "azure-storage-blob.yaml"
CHILD = "azure-postgresql-database.yaml"
REDIS = "azure-managed-redis.yaml"
TOPIC, HUB = "azure-servicebus-topic.yaml", "azure-eventhubs-hub.yaml"
TEMPLATE = "server-with-database.json"


def the_fault(copy, contains):
    faults = check(copy.folder)
    found = [fault for fault in faults if contains in str(fault)]
    assert found, f"{contains!r} is not in: " + "\n".join(map(str, faults))
    return found[0]


SPOILT = {
    "a requirement of nothing": (
        TOPIC,
        "that: \"parent.outputs.skuName != 'Basic'\"",
        "that: nothing.here",
        "require[0].that: there is no 'nothing' to pick from",
    ),
    "a condition that is none": (
        TOPIC,
        "when: \"parameters.subscriptionNeeded == 'yes'",
        "when: \"parameters.subscriptionNeeded === 'yes'",
        "is no JMESPath expression",
    ),
    "a limit of nothing": (
        HUB,
        'at_most: "parent.',
        'at_most: "nothing.',
        "limit.at_most: there is no 'nothing'",
    ),
    "a limit without a remedy": (HUB, "remedy: Unbind what is no", "cure: Unbind what is no", "remedy"),
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
    "a negation of nothing": (
        STORAGE,
        "that: outputs.sharedKeyAccess",
        'that: "!outputs.sharedKeyAccess"',
        "'!' binds closer than a dot",
    ),
    "a child of no name": (
        STORAGE,
        "- role:\n            scope: outputs.containerId\n",
        (
            "- child: {word: a, below: record.main, api_version: 2026-09-01, "
            "type: Microsoft.Storage/storageAccounts/blobServices/containers}\n"
            "        - role:\n            scope: outputs.containerId\n"
        ),
        "is it and the binding's key",
    ),
    "a UUID with a beginning of its own": (
        STORAGE,
        "- role:\n            scope: outputs.containerId\n",
        (
            "- child: {word: a, below: record.main, api_version: 2026-09-01, prefix: a, naming: uuid, "
            "type: Microsoft.Storage/storageAccounts/blobServices/containers}\n"
            "        - role:\n            scope: outputs.containerId\n"
        ),
        "a UUID has none",
    ),
    "a child that is made of nothing": (
        STORAGE,
        "- role:\n            scope: outputs.containerId\n",
        (
            "- child: {word: a, below: record.main, api_version: 2026-09-01, prefix: a, "
            "type: Microsoft.Storage/storageAccounts/blobServices/containers, "
            "body: {properties: {metadata: {a: [{pick: answer.b}]}}}}\n"
            "        - role:\n            scope: outputs.containerId\n"
        ),
        "there is no 'answer' to pick from",
    ),
    "a secret that nobody draws": (
        STORAGE,
        "- role:\n            scope: outputs.containerId\n",
        (
            "- child: {word: a, below: record.main, api_version: 2026-09-01, prefix: a, "
            "type: Microsoft.Storage/storageAccounts/blobServices/containers, "
            "body: {properties: {metadata: {a: {secret: key}}}}}\n"
            "        - role:\n            scope: outputs.containerId\n"
        ),
        "the secrets that are drawn for a binding are: password",
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
    "an unknown connection string": (
        WHOLE,
        "connection_string: uri",
        "connection_string: url",
        "'uri', 'jdbc'",
    ),
    "a connection string without what it is made of": (
        REDIS,
        "              password: {pick: made.keys.key}\n",
        "",
        "needs 'password'",
    ),
    "a parameter that the template lacks": (
        WHOLE,
        "    skuName: {}\n",
        "    skuName: {}\n    delegatedSubnet: {}\n",
        "the template has no such",
    ),
    "a fixed value that is not allowed": (
        WHOLE,
        "{skuTier: Burstable}",
        "{skuTier: Cheap}",
        "'Cheap' is not allowed by the template",
    ),
    "a template elsewhere": (
        WHOLE,
        "template: server-with",
        "template: ../server-with",
        "should match pattern",
    ),
    "tags that are the plan's": (
        WHOLE,
        "{skuTier: Burstable}",
        "{skuTier: Burstable, tags: {}}",
        "does not carry the broker's tags",
    ),
    "a child in a group of its own": (
        CHILD,
        "{group: parent}",
        "{group: own}",
        "exactly when the offering has",
    ),
    "text that is no YAML": (WHOLE, "bindable: true", "bindable: [true", "is no YAML"),
    "a parameter that is refused, too": (
        WHOLE,
        "  refused:\n",
        "  refused:\n    skuName: Leave it out.\n",
        "parameters.refused.skuName: is declared, too",
    ),
    "a name that a plan fixes, refused": (
        WHOLE,
        "  refused:\n",
        "  refused:\n    skuTier: Leave it out.\n",
        "parameters.refused.skuTier: is fixed by a plan, too",
    ),
    "a parent that nobody can name": (
        CHILD,
        "  refused:\n",
        "  refused:\n    parentAlias: Leave it out.\n",
        "parameters.refused.parentAlias: is what names the parent",
    ),
    "a bind parameter that is refused, too": (
        STORAGE,
        "bind_parameters:\n",
        "bind_refused: {keyName: Leave it out.}\nbind_parameters:\n",
        "bind_refused.keyName: is declared, too",
    ),
    "a refusal without words": (
        WHOLE,
        "backupRetention: Give 'backupRetentionDays' in place of 'backupRetention'.",
        "backupRetention: ''",
        "parameters.refused.backupRetention: ",
    ),
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
    "a variable that holds a secret": (
        changed(variables={"word": "[concat(parameters('administratorLoginPassword'), '!')]"}),
        "is a secret, for the properties of resources only",
    ),
    "a tag that tells a secret": (
        a_property(("tags",), {"word": "[parameters('administratorLoginPassword')]"}),
        "is a secret, for the properties of resources only",
    ),
    "an api-version without a model": (a_property(("apiVersion",), "2030-01-01"), "has no model file"),
    "a type without a model": (a_property(("type",), "Microsoft.Mine/things"), "has no model file"),
}


@pytest.mark.parametrize("spoilt", TEMPLATES)
def test_a_spoilt_template_is_refused(copy, spoilt):
    change, reason = TEMPLATES[spoilt]
    copy.change(TEMPLATE, change)

    fault = the_fault(copy, reason)

    assert fault.file.endswith(TEMPLATE)


def test_a_folder_without_offerings_is_refused(tmp_path):
    assert "holds no" in str(check(tmp_path)[0])


def test_a_file_that_is_too_large_or_elsewhere_is_refused(copy):
    copy.file(WHOLE).write_text("# " + "x" * 300_000)
    (copy.folder / "stray.yaml").write_text("a: 1")

    the_fault(copy, "is larger than")
    the_fault(copy, "is not at <family>/<offering>.yaml")
