"""No file, however hostile, does more than be refused: in little time, in little memory, with nothing else said."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.azure_models import TEAMS_FOLDER
from broker.catalog.files import Unreadable, read_yaml
from broker.catalog.reader import read_sources
from broker.catalog.sources import Source
from broker.shipped import shipped
from tests.catalog import hostile

TOP = Path(__file__).parents[2]
LONGEST = 1.0
"""In seconds of the processor; what is slow takes minutes, and a busy machine does not count here."""

FAMILY = shipped("catalog") / "storage"
OFFERINGS = {file.name: file.read_bytes() for file in sorted(FAMILY.glob("*.yaml"))}
TEMPLATES = {file.name: file.read_bytes() for file in sorted(FAMILY.glob("*.json"))}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    file = tmp_path_factory.mktemp("hostile") / "answers"
    program = [sys.executable, "-m", "tests.catalog.hostile", str(file)]
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    ended = subprocess.run(program, check=False, cwd=TOP, env=environment, capture_output=True, timeout=120)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert ended.returncode == 0, f"it died of {lines[-1]}: {ended.stderr.decode()[-2000:]}"
    return {(answer["kind"], answer["name"]): answer for answer in lines if "seconds" in answer}


CASES = [("yaml", name) for name in hostile.YAML]
CASES += [(kind, name) for kind in ("template", "model") for name in hostile.JSON]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_hostile_file_is_refused_with_its_name_in_bounded_time_and_memory(answers, kind, name):
    answer = answers[kind, name]

    assert answer["faults"], "it was taken"
    assert answer["seconds"] < LONGEST
    assert all(
        fault.startswith(("storage/", f"{TEAMS_FOLDER}/")) and len(fault) < 1000 for fault in answer["faults"]
    )
    assert answer["in_all"] <= 120


def test_no_tag_has_run_anything(answers):
    assert ("yaml", "a tag that runs something") in answers
    assert not Path("/tmp/never").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id: !!binary aGVsbG8=", "the tag"),
        ("id: &a x", "anchors and aliases"),
        ("id: yes", "not the same for all readers"),
        ("id: 0777", "not the same for all readers"),
        ("id: 12:30", "not the same for all readers"),
        ("id: 9007199254740993", "too large"),
        ("a: {<<: {b: 1}}", "merge keys"),
        ("a: 1\na: 2", "is there twice"),
        ("a: 1\n---\nb: 2", "more than one document"),
    ],
)
def test_what_readers_of_yaml_could_understand_differently_is_refused_for_that(text, said):
    with pytest.raises(Unreadable, match=said):
        read_yaml("f", text.encode())


def test_what_all_readers_of_yaml_understand_alike_is_read():
    text = b"{a: 1, b: -2.5, c: true, d: ~, e: 1.0.0, f: 2026-01-01, g: 'yes', h: \"0777\", i: '', j: }"

    assert read_yaml("f", text).data == {
        "a": 1, "b": -2.5, "c": True, "d": None, "e": "1.0.0", "f": "2026-01-01", "g": "yes", "h": "0777", "i": "",
        "j": None,
    }  # fmt: skip


def read(files):
    """Read them, and see that whatever is told about them can be shown and written down."""
    catalog, faults = read_sources([Source("drawn", {f"storage/{n}": c for n, c in files.items()})])
    json.dumps([str(fault) for fault in faults]).encode()
    return catalog, faults


def bytes_to_change(content):
    place = st.integers(0, len(content))
    piece = st.one_of(
        st.binary(max_size=8),
        st.sampled_from(
            b"&a *a << : - [ ] { } , ' \" | > % @ ` ! # \n \t \xff \x00 1e9 0x1 ~ no".split(b" ")
        ),
    )
    return st.tuples(place, st.integers(0, 30), piece)


@settings(max_examples=60)
@given(data=st.data())
def test_bytes_changed_anywhere_are_read_or_refused(data):
    files = {**OFFERINGS, **TEMPLATES}
    name = data.draw(st.sampled_from(sorted(files)))
    content = files[name]
    for place, gone, come in data.draw(st.lists(bytes_to_change(content), min_size=1, max_size=3)):
        content = content[:place] + come + content[place + gone :]

    read({**files, name: content})


@settings(max_examples=60)
@given(content=st.binary(max_size=400))
def test_bytes_of_any_kind_are_refused(content):
    name, template = next(iter(OFFERINGS)), next(iter(TEMPLATES))

    assert read({name: content, **TEMPLATES})[1]
    assert read({**OFFERINGS, **TEMPLATES, template: content})[1]


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53) + 1, 2**53 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=20),
        st.sampled_from(
            ["(", "[parameters('x')]", "a" * 600, "(" * 480, "a." * 240 + "a", "[?" * 240, "#/x"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["type", "pick", "default", "$ref", "allowed", "a"]), inner, max_size=3
        ),
    ),
    max_leaves=5,
)


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def replaced(value, path, by):
    if not path:
        return by
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = replaced(value[path[0]], path[1:], by)
    return changed


DATA = {name: yaml.load(content, Loader=yaml.CSafeLoader) for name, content in OFFERINGS.items()} | {
    name: json.loads(content) for name, content in TEMPLATES.items()
}
PLACES = {name: list(places(value)) for name, value in DATA.items()}


def written(name, value):
    return (
        json.dumps(value) if name.endswith(".json") else yaml.dump(value, Dumper=yaml.CSafeDumper)
    ).encode()


@settings(max_examples=150)
@given(data=st.data())
def test_any_value_at_any_place_is_read_or_refused(data):
    name = data.draw(st.sampled_from(sorted(DATA)))
    path = data.draw(st.sampled_from(PLACES[name]))
    value = replaced(DATA[name], path, data.draw(VALUES))
    files = {**OFFERINGS, **TEMPLATES, name: written(name, value)}

    read(files)
