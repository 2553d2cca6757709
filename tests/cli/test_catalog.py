"""`osb catalog check` and `osb catalog diff`, as a team's own CI runs them."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from broker.cli.main import app
from broker.shipped import shipped
from tests.catalog.refusing import REFUSED

BASE = REFUSED / "a-create-only-property" / "old"
ZONES = REFUSED / "a-create-only-property" / "new"
NARROWED = REFUSED / "a-narrowed-schema" / "new"
BAD = REFUSED / "an-unknown-key"


def run(*words):
    return CliRunner().invoke(app, ["catalog", *map(str, words)])


def test_a_good_catalog_is_told_by_its_offerings_and_plans():
    ended = run("check", BASE)

    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "messages: standard\n", "")


def test_without_a_folder_the_shipped_one_is_checked():
    assert run("check").stdout == run("check", shipped("catalog")).stdout


def test_a_bad_catalog_is_refused_with_its_place():
    ended = run("check", BAD)

    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr == (BAD / "expected.txt").read_text()


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_are_told_in_a_form_of_theirs(form, read):
    ended = run("check", "-o", form, BAD)

    assert ended.exit_code == 1
    assert read(ended.stdout) == {
        "refused": 1,
        "warnings": 0,
        "faults": [
            {
                "file": "messaging/messages.yaml",
                "line": 5,
                "path": "colour",
                "message": "is not known to this version",
                "severity": "refused",
            }
        ],
    }


def test_a_runner_of_github_shows_faults_beside_the_lines():
    ended = run("check", "-o", "github", BAD)

    file = BAD / "messaging" / "messages.yaml"
    assert ended.stdout == f"::error file={file},line=5,title=colour::is not known to this version\n"


def test_a_fault_cannot_add_a_command_of_its_own(tmp_path):
    folder = tmp_path / "messaging"
    folder.mkdir()
    (folder / "a.yaml").write_text('"a\\n::error::b": 1\n')

    ended = run("check", "-o", "github", tmp_path)

    assert not [line for line in ended.stdout.splitlines() if line.startswith("::error::b")]
    assert "title=a%0A%3A%3Aerror%3A%3Ab" in ended.stdout


def test_a_warning_refuses_nothing(tmp_path):
    for file in (BASE / "messaging").iterdir():
        (tmp_path / "messaging").mkdir(exist_ok=True)
        text = file.read_text().replace("2026-01-01", "2031-01-01")
        (tmp_path / "messaging" / file.name).write_text(text)

    ended = run("check", tmp_path)

    assert (ended.exit_code, ended.stdout) == (0, "messages: standard\n")
    assert "warning: Microsoft.ServiceBus/namespaces at 2031-01-01 has no model file" in ended.stderr


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    ended = run("check", tmp_path / "nowhere")

    assert ended.exit_code == 1
    assert "holds no" in ended.stderr


def test_a_change_that_a_broker_takes_is_shown_as_a_table():
    ended = run("diff", BASE, NARROWED)

    assert ended.exit_code == 0
    assert ended.stdout.splitlines()[1].split() == [
        "messages/standard", "parameters.capacity", "narrowed", "no", "longer", "takes", "4",
    ]  # fmt: skip
    assert "warning: no longer takes 4" in ended.stderr


def test_a_change_that_a_broker_refuses_ends_with_1_and_says_why():
    ended = run("diff", BASE, ZONES)

    assert ended.exit_code == 1
    assert "template.Microsoft.ServiceBus/namespaces" in ended.stdout
    assert "raise maintenance_info.version if that is meant" in ended.stderr


def test_no_change_is_said():
    ended = run("diff", BASE, BASE)

    assert (ended.exit_code, ended.stdout, ended.stderr) == (0, "Nothing changes.\n", "")


def test_a_diff_is_told_to_programs_too():
    ended = run("diff", BASE, ZONES, "-o", "json")

    told = json.loads(ended.stdout)
    assert [one["change"] for one in told["differences"]] == ["missing", "changed"]
    assert [fault["severity"] for fault in told["faults"]] == ["refused"]


@pytest.mark.parametrize("folders", [(BAD, BASE), (BASE, BAD)])
def test_a_broken_catalog_is_compared_with_nothing(folders):
    ended = run("diff", *folders)

    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr == f"{BAD}/{(BAD / 'expected.txt').read_text()}"
