"""A sensitive parameter is marked for platforms, and nothing of it stands in a catalog."""

import pytest
from jsonschema import Draft4Validator

from broker.catalog.reader import check, read_catalog

FILE = "azure-storage-account.yaml"
TEMPLATE = "account.json"


@pytest.fixture
def secretive(copy):
    """The shipped account with a secret of the users' on the way in, and one in binding."""

    def declare(data):
        data["parameters"]["user"]["licence"] = {"sensitive": True, "description": "A licence key."}
        data["bind_parameters"]["token"] = {"type": "string", "sensitive": True, "max_length": 100}

    def template(data):
        data["parameters"]["licence"] = {"type": "secureString"}
        data["resources"][0]["properties"]["customDomain"] = {"name": "[parameters('licence')]"}

    copy.change(FILE, declare)
    copy.change(TEMPLATE, template)
    return copy


def plans(copy):
    return next(o for o in read_catalog(copy.folder).offerings if o.name == "azure-storage-account").plans


def test_platforms_are_told_that_a_secret_is_never_given_back(secretive):
    plan = plans(secretive)[0]
    create, update, bind = (
        schema["properties"] for schema in (plan.create_schema, plan.update_schema, plan.bind_schema)
    )

    assert (
        create["licence"]["writeOnly"] is update["licence"]["writeOnly"] is bind["token"]["writeOnly"] is True
    )
    assert [name for name, said in create.items() if "writeOnly" in said] == ["licence"]
    assert (plan.sensitive, plan.bind_sensitive) == (("licence",), ("token",))
    Draft4Validator.check_schema(plan.create_schema)
    plan.create_parameters.check({"licence": "anything"})


@pytest.mark.parametrize("key", ["default", "allowed"])
@pytest.mark.parametrize(("section", "name"), [("parameters", "licence"), ("bind_parameters", "token")])
def test_what_everybody_reads_is_no_secret(secretive, section, name, key):
    def tell(data):
        parameters = data[section]["user"] if section == "parameters" else data[section]
        parameters[name][key] = "canary" if key == "default" else ["canary", "other"]

    secretive.change(FILE, tell)
    found = check(secretive.folder)

    said = {fault.message for fault in found}
    assert said == {"is read by everybody who sees the catalog, and the parameter is sensitive"}
    assert "canary" not in str(found)


def test_a_fault_in_a_secret_names_the_field_and_never_the_value(secretive):
    secretive.change(FILE, lambda data: data["parameters"]["user"]["licence"].update(pattern="^[A-Z]{4}$"))
    plan = plans(secretive)[0]

    for wrong in ("canary", ["canary"], {"canary": "canary"}, 12345678):
        with pytest.raises(Exception, match="'licence'") as refused:
            plan.create_parameters.check({"licence": wrong})
        assert "canary" not in str(refused.value)
        assert "12345678" not in str(refused.value)


@pytest.mark.parametrize(
    "expression",
    [
        "parameters.token",
        "join('-', [names.account, parameters.token])",
        "parameters.{it: token}",
        "parameters | token",
        "user.password",
        "user",
    ],
)
def test_what_is_written_down_of_a_sub_resource_holds_no_secret(secretive, expression):
    def bind(data):
        child = {
            "word": "share",
            "below": "{id: outputs.accountId}",
            "type": "Microsoft.Storage/storageAccounts/fileServices",
            "api_version": "2026-04-01",
            "prefix": "osb",
            "body": {"properties": {"metadata": [{"pick": expression}]}},
        }
        data["binding_modes"]["modes"]["key"]["binding"].insert(0, {"child": child})

    secretive.change(FILE, bind)
    found = check(secretive.folder)

    assert [fault.message for fault in found if "kept in clear" in fault.message], found


def test_what_is_written_down_of_a_sub_resource_may_hold_what_is_no_secret(secretive):
    def bind(data):
        child = {
            "word": "share",
            "below": "{id: outputs.accountId}",
            "type": "Microsoft.Storage/storageAccounts/fileServices",
            "api_version": "2026-04-01",
            "prefix": "osb",
            "body": {"properties": {"a": {"pick": "parameters.auth"}, "b": {"pick": "user.username"}}},
        }
        data["binding_modes"]["modes"]["key"]["binding"].insert(0, {"child": child})

    secretive.change(FILE, bind)
    found = check(secretive.folder)

    assert [fault.message for fault in found if "kept in clear" in fault.message] == []
