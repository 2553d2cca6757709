"""`osb catalog model`: model files from typed SDKs and from OpenAPI files of the tests' own."""

import copy
import json

import pytest
from typer.testing import CliRunner

from broker.azure_models import ModelFileBroken, Models, shipped
from broker.azure_models.model_files import Undescribable, file_name, text_of
from broker.azure_models.openapi import describe
from broker.azure_models.typed_sdk import describe as of_sdk
from broker.azure_models.typed_sdk import installed
from broker.cli.catalog import app

STORES = "Microsoft.Teapots/stores"
STORE = "/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.Teapots/stores/{name}"

OPENAPI = {
    "swagger": "2.0",
    "info": {"version": "2026-05-01"},
    "paths": {
        STORE: {
            "parameters": [{"name": "s", "in": "path", "type": "string"}],
            "put": {"parameters": [{"$ref": "#/parameters/Body"}]},
        },
        f"{STORE}/listKeys": {
            "post": {"responses": {"200": {"schema": {"$ref": "#/definitions/Keys"}}}},
        },
        f"{STORE}/restart": {"post": {"responses": {"200": {}}}},
        f"{STORE}/pots/default": {
            "put": {"parameters": [{"in": "body", "schema": {"$ref": "#/definitions/Pot"}}]}
        },
    },
    "parameters": {"Body": {"name": "it", "in": "body", "schema": {"$ref": "#/definitions/Store"}}},
    "definitions": {
        "Store": {
            "allOf": [{"$ref": "./shared/types.json#/definitions/Tracked"}],
            "properties": {"properties": {"$ref": "#/definitions/StoreProperties"}},
            # As providers do: what the definition requires stands in the one that it extends.
            "required": ["properties", "location"],
        },
        "StoreProperties": {
            "properties": {
                "colour": {"type": "string", "enum": ["red", "green"]},
                "cups": {"type": "integer", "x-ms-mutability": ["create", "read"]},
                "endpoint": {"type": "string", "readOnly": True},
                "password": {"type": "string", "x-ms-secret": True},
                "backup": {"$ref": "#/definitions/Backup"},
                "lids": {"type": "array", "items": {"$ref": "#/definitions/Pot"}},
                "anything": {"type": "object"},
            },
            "required": ["colour"],
        },
        "Backup": {
            "discriminator": "kind",
            "properties": {"kind": {"type": "string"}},
            "required": ["kind"],
        },
        "Daily": {
            "allOf": [{"$ref": "#/definitions/Backup"}],
            "properties": {"hour": {"type": "integer"}},
            "required": ["hour"],
        },
        "Pot": {"properties": {"inside": {"$ref": "#/definitions/Pot"}, "name": {"type": "string"}}},
        "Keys": {"properties": {"primaryKey": {"type": "string"}}},
    },
}
SHARED = {
    "definitions": {
        "Tracked": {
            "properties": {
                "location": {"type": "string", "x-ms-mutability": ["create", "read"]},
                "tags": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        }
    }
}


def written(folder, openapi=OPENAPI, shared=SHARED):
    (folder / "shared").mkdir(parents=True)
    (folder / "shared" / "types.json").write_text(json.dumps(shared))
    (folder / "teapots.json").write_text(json.dumps(openapi))
    return folder / "teapots.json"


def model_of(described):
    name = file_name(described["type"], described["api_version"])
    model = (
        Models({})
        .beside({name: text_of(described).encode()})
        .load(described["type"], described["api_version"])
    )
    assert model is not None
    return model


def a_store(**properties):
    return {"location": "westeurope", "properties": {"colour": "red", **properties}}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (a_store(), None),
        (a_store(backup={"kind": "Daily", "hour": 3}, lids=[{"inside": {"inside": {}}}]), None),
        (a_store(anything={"at": ["all"]}) | {"tags": {"a": "b"}}, None),
        ({"properties": {"colour": "red"}}, "location: is required"),
        ({"location": "westeurope", "properties": {}}, "properties.colour: is required"),
        (a_store(colour="blue"), "properties.colour: 'blue' is not one of red, green"),
        (a_store(endpoint="here"), "properties.endpoint: is read-only"),
        (a_store(cups="3"), "properties.cups: must be an integer, not a string"),
        (
            a_store(lids=[{"inside": {"nam": "x"}}]),
            "properties.lids[0].inside.nam: Microsoft.Teapots/stores at",
        ),
        (a_store() | {"tags": {"a": 1}}, "tags.a: must be a string, not an integer"),
    ],
)
def test_what_an_openapi_file_says_is_what_is_checked(tmp_path, body, says):
    model = model_of(describe(written(tmp_path), STORES))

    problems = [str(problem) for problem in model.problems(body)]

    assert (problems == []) if says is None else [problem for problem in problems if says in problem]


def test_an_openapi_file_tells_secrets_what_is_settled_and_what_actions_answer(tmp_path):
    model = model_of(describe(written(tmp_path), STORES.lower()))

    assert model.type == STORES
    assert model.api_version == "2026-05-01"
    assert model.property_at("properties.password").write_only
    assert model.property_at("properties.cups").create_only
    assert list(model.actions) == ["listKeys"]
    assert model.models[model.actions["listKeys"].model].properties.keys() == {"primaryKey"}
    assert model.source["openapi"] == "teapots.json"
    assert model.source["files"] == "2"


def test_a_child_with_a_fixed_name_is_a_type_of_its_own(tmp_path):
    assert model_of(describe(written(tmp_path), f"{STORES}/pots")).type == f"{STORES}/pots"


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (
            ("definitions", "Pot"),
            {"$ref": "https://example.com/a.json#/definitions/A"},
            "only files beside it",
        ),
        (("definitions", "Pot"), {"$ref": "../outside.json#/definitions/A"}, "leads out of"),
        (("definitions", "Pot"), {"$ref": "/etc/passwd#/definitions/A"}, "only files beside it"),
        (("definitions", "Pot"), {"$ref": "shared/link.json#/definitions/A"}, "leads out of"),
        (("definitions", "Pot"), {"$ref": "absent.json#/definitions/A"}, "cannot be read"),
        (("definitions", "Pot"), {"$ref": "#/definitions/Absent"}, "which is not there"),
        (("definitions", "Pot"), {"$ref": "#/definitions/Pot"}, "refers to itself"),
        (("definitions", "Backup", "allOf"), [{"$ref": "#/definitions/Backup"}], "in a circle"),
        (("swagger",), "3.0", "is no OpenAPI 2.0"),
        (("info", "version"), "1", "no api-version"),
        (("paths",), {}, "makes nothing"),
    ],
)
def test_an_openapi_file_that_cannot_be_followed_safely_is_refused(tmp_path, path, value, says):
    openapi = copy.deepcopy(OPENAPI)
    *above, last = path
    inner = openapi
    for word in above:
        inner = inner[word]
    inner[last] = value
    (tmp_path / "outside.json").write_text(json.dumps(SHARED))
    file = written(tmp_path / "in", openapi)
    (tmp_path / "in" / "shared" / "link.json").symlink_to(tmp_path / "outside.json")

    with pytest.raises(Undescribable, match=says):
        describe(file, STORES)


def test_a_wider_root_lets_a_file_refer_to_its_neighbours(tmp_path):
    openapi = copy.deepcopy(OPENAPI)
    openapi["definitions"]["Pot"] = {"$ref": "../common.json#/definitions/Tracked"}
    (tmp_path / "common.json").write_text(json.dumps(SHARED))
    file = written(tmp_path / "in", openapi)

    assert model_of(describe(file, STORES, root=tmp_path)).source["files"] == "3"


def test_an_sdk_of_the_older_kind_is_described_with_its_objects_and_lists():
    model = model_of(
        of_sdk(installed("azure-mgmt-appconfiguration"), "Microsoft.AppConfiguration/configurationStores")
    )
    body = {"location": "westeurope", "sku": {"name": "Free"}, "tags": {"a": "b"}}

    assert model.problems(body) == []
    assert [str(p) for p in model.problems({**body, "sku": {}})] == ["sku.name: is required"]
    assert model.property_at("properties.endpoint").read_only
    answer = model.models[model.actions["listKeys"].model].properties["value"]
    assert model.models[answer.items.model].properties["readOnly"].type == "boolean"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--sdk", "azure-mgmt-nothing"], "is not installed here"),
        (["--sdk", "pydantic"], "is no SDK of Azure Resource Manager"),
        (["--sdk", "azure-mgmt-authorization"], "choose by api-version among 2015-06-01"),
        (["--sdk", "azure-mgmt-storage"], "makes no Microsoft.Teapots/stores; it makes "),
        (["--openapi", "absent.json"], "cannot be read"),
    ],
)
def test_the_command_says_why_there_is_no_model(arguments, says):
    ended = CliRunner().invoke(app, ["model", STORES, *arguments])

    assert ended.exit_code == 1
    assert f"No model of {STORES}: " in ended.stderr
    assert says in ended.stderr


def test_the_command_writes_a_file_that_is_read_and_never_over_another(tmp_path):
    arguments = [
        "model",
        STORES,
        "--openapi",
        str(written(tmp_path / "api")),
        "--out",
        str(tmp_path / "models"),
    ]

    first = CliRunner().invoke(app, arguments)
    again = CliRunner().invoke(app, arguments)
    forced = CliRunner().invoke(app, [*arguments, "--force"])

    assert (first.exit_code, again.exit_code, forced.exit_code) == (0, 1, 0)
    assert "is there already; --force writes over it" in again.stderr
    assert shipped().of_folder(tmp_path / "models").load(STORES, "2026-05-01") is not None


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("stores.json", b"{}", "TYPE@API-VERSION.json"),
        ("Microsoft.Teapots.stores@2026-05-01.json", b"{", "is no model file"),
        ("Microsoft.Teapots.stores@2026-05-01.json", b"[]", "is no model file"),
        ("Microsoft.Teapots.stores@2026-05-01.json", b"\xff", "is no model file"),
    ],
)
def test_what_is_no_model_is_named(name, content, says):
    with pytest.raises(ModelFileBroken, match=says):
        shipped().beside({name: content})


def test_a_model_under_another_name_or_with_holes_is_refused(tmp_path):
    described = describe(written(tmp_path), STORES)

    with pytest.raises(ModelFileBroken, match="at 2026-05-01"):
        shipped().beside({file_name("Microsoft.Teapots/cups", "2026-05-01"): text_of(described).encode()})
    del described["models"]["Pot"]
    with pytest.raises(ModelFileBroken, match="refers to Pot"):
        shipped().beside({file_name(STORES, "2026-05-01"): text_of(described).encode()})
