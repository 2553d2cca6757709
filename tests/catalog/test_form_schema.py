"""The JSON schema of an offering's file says what the reader takes, and explains every key."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from broker.catalog import form_schema
from broker.catalog.files import Unreadable, read_yaml
from broker.catalog.format import OfferingFile
from broker.catalog.inheritance import written_out
from broker.catalog.reader import check
from broker.shipped import shipped
from tests.catalog.refusing import CASES, REFUSED
from tests.catalog.test_hostile import DATA, PLACES, replaced

FILE = Path(form_schema.__file__).parent / "offering.schema.json"
SCHEMA = json.loads(FILE.read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
SHIPPED = sorted(set(shipped("catalog").glob("*/*.yaml")) - set(shipped("catalog").glob("legacy/*")))


def test_the_shipped_schema_is_the_forms_own():
    assert FILE.read_text() == form_schema.written(), "run `osb catalog schema --write` on it"


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_offering_is_valid(file):
    assert [fault.message for fault in VALIDATOR.iter_errors(yaml.safe_load(file.read_text()))] == []


def test_every_key_is_explained():
    objects = {"": SCHEMA, **SCHEMA["$defs"]}

    silent = [
        (name, key)
        for name, one in objects.items()
        for key, said in one.get("properties", {}).items()
        if not said.get("description")
    ]

    assert silent == []
    assert all(one.get("description") for one in objects.values())


def reader_takes(data):
    document, faults = written_out(read_yaml("f", json.dumps(data).encode()))
    if faults:
        return False
    try:
        OfferingFile.model_validate(document.data)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("case", CASES)
def test_what_the_form_refuses_the_schema_refuses_too(case):
    for file in (REFUSED / case).glob("*/*.yaml"):
        try:
            data = read_yaml(file.name, file.read_bytes()).data
        except Unreadable:
            continue
        if any("extends" in str(plan) for plan in data.get("plans", [])):
            continue

        assert VALIDATOR.is_valid(data) == reader_takes(data)


# Values on which JSON schema and the reader can differ are left out: 1.0, which is an integer to the former, and what
# no pattern or keyword of a schema can say.
DRAWN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**6),
    st.just(1.5),
    st.sampled_from(
        ["", "x", "a-name", "UPPER", "5", "a b", "https://example.org/", "Ä", "a" * 300, "1.0.0"]
    ),
    st.sampled_from(
        [[], ["a"], [1], [None], [{}], {}, {"a": 1}, {"pick": "a"}, {"pick": None}, {"name": "x"}]
    ),
    st.sampled_from([{"pick": "a", "value": 1}, {"type": "string"}, {"compose": {"credentials": {}}}]),
)
OFFERINGS = sorted(name for name in DATA if name.endswith(".yaml"))


@settings(max_examples=150)
@given(data=st.data())
def test_reader_and_schema_agree_on_any_value_at_any_place(data):
    name = data.draw(st.sampled_from(OFFERINGS))
    path = data.draw(
        st.sampled_from([p for p in PLACES[name] if p and "extends" not in p and p != ("plans", 0, "name")])
    )
    value = replaced(DATA[name], path, data.draw(DRAWN))

    assert VALIDATOR.is_valid(value) == reader_takes(value), path


def test_a_file_may_name_its_schema_and_no_other(copy):
    copy.replace("azure-storage-blob.yaml", "\nid:", "\n$schema: ../offering.schema.json\nid:")
    assert check(copy.folder) == []

    copy.replace("azure-storage-blob.yaml", "../offering.schema.json", "https://example.org/other.json")
    assert [fault.path for fault in check(copy.folder)] == ["$schema"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("bindable: true\nbindabel: true", "did you mean 'bindable'?"),
        ("bindable: true\nplacment: {}", "did you mean 'placement'?"),
        ("bindable: true\nplacement: {grup: own}", "did you mean 'group'?"),
        ("bindable: true\nmetadata: {displayname: x}", "which platforms know as 'displayName'"),
        (
            "bindable: true\nmetadata: {documentationURL: 'https://a'}",
            "which platforms know as 'documentationUrl'",
        ),
    ],
)
def test_a_key_that_is_nearly_right_is_named_as_it_was_meant(copy, written, meant):
    file = copy.file("azure-storage-account.yaml")
    text = file.read_text()
    for gone in ("metadata", "placement"):
        if f"\n{gone}" in "\n" + written:
            kept = yaml.safe_load(text)
            del kept[gone]
            text = yaml.safe_dump(kept, sort_keys=False)
    file.write_text(text.replace("bindable: true", written, 1))

    assert any(meant in fault.message and fault.line for fault in check(copy.folder))


def test_the_command_writes_the_schema(tmp_path):
    target = tmp_path / "offering.schema.json"

    for arguments in ([], ["--write", str(target)]):
        program = [sys.executable, "-m", "broker", "catalog", "schema", *arguments]
        shown = subprocess.run(program, check=True, capture_output=True, text=True).stdout

    assert target.read_text() == FILE.read_text()
    assert shown == ""
