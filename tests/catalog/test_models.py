"""A team's own model files, and types that nobody has described."""

import json

from broker.azure_models import shipped
from broker.catalog.faults import refused
from broker.catalog.reader import check

ACCOUNTS = "Microsoft.Storage/storageAccounts"
MODEL = "Microsoft.Storage.storageAccounts@2031-01-01.json"


def at_another_version(copy, version="2031-01-01"):
    def change(template):
        template["resources"][0]["apiVersion"] = version

    copy.change("account.json", change)


def a_model(copy, without=None):
    """The shipped model as a team's own, of a later api-version; *without* a property."""
    newest = shipped().known()[ACCOUNTS][0]
    file = next(iter(shipped_files(newest)))
    data = json.loads(file.read_text()) | {"api_version": "2031-01-01"}
    if without:
        del data["models"]["StorageAccountPropertiesCreateParameters"]["properties"][without]
    (copy.folder / "models").mkdir()
    (copy.folder / "models" / MODEL).write_text(json.dumps(data))


def shipped_files(version):
    from broker.azure_models.reader import FOLDER

    return FOLDER.glob(f"Microsoft.Storage.storageAccounts@{version}.json")


def test_a_type_without_a_model_is_a_warning_that_names_what_was_not_checked(copy):
    at_another_version(copy)

    faults = check(copy.folder)

    assert refused(faults) == []
    (warning,) = map(str, faults)
    assert warning.startswith(
        f"storage/account.json: resources[0]: warning: {ACCOUNTS} at 2031-01-01 has no model"
    )
    assert "neither the names, types and values of its properties nor the api-version were checked" in warning


def test_a_childs_type_without_a_model_is_one_too(copy):
    text = copy.file("azure-storage-account.yaml").read_text()
    child = "- child: {word: rule, below: record.main, type: Microsoft.Storage/storageAccounts/rules, "
    child += "api_version: 2031-01-01, prefix: r}"
    copy.file("azure-storage-account.yaml").write_text(
        text.replace("        - compose:", f"        {child}\n        - compose:", 1)
    )

    faults = check(copy.folder)

    assert [fault.severity for fault in faults] == ["warning"]
    assert faults[0].path == "binding_modes.modes.key.binding[2].child.type"


def test_a_teams_own_model_is_asked(copy):
    at_another_version(copy)
    a_model(copy)

    assert check(copy.folder) == []


def test_a_teams_own_model_refuses_what_it_does_not_know(copy):
    at_another_version(copy)
    a_model(copy, without="accessTier")

    faults = refused(check(copy.folder))

    assert [(fault.file, fault.path) for fault in faults] == [
        ("storage/account.json", "resources[0].properties.accessTier")
    ]


def test_a_broken_model_is_a_fault_of_its_file(copy):
    (copy.folder / "models").mkdir()
    (copy.folder / "models" / MODEL).write_text("{}")

    assert [str(fault) for fault in refused(check(copy.folder))] == [
        f"models/{MODEL}: is no model file as `osb catalog model` writes them"
    ]


def test_an_action_and_a_pick_that_the_model_does_not_know_are_warnings(copy):
    copy.replace("azure-app-configuration.yaml", "name: listKeys", "name: listSecrets")
    copy.replace(
        "azure-storage-account.yaml", "answer.keys[?keyName=='key2']", "answer.kees[?keyName=='key2']"
    )

    faults = check(copy.folder)

    assert refused(faults) == []
    assert [fault.message for fault in faults] == [
        "Microsoft.AppConfiguration/configurationStores at 2024-06-01 has no such action in its model; it has listKeys",
        "listKeys of Microsoft.Storage/storageAccounts answers no 'kees', says its model; it answers keys",
    ]
