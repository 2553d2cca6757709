"""docs/tenants.md: its files are taken as they stand there, and its commands print what it shows."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from broker.catalog.reader import read_catalog
from broker.cli.main import app
from broker.domain.tenant_rules import SCOPES
from broker.domain.tenants import PLATFORM_KINDS
from broker.shipped import shipped
from broker.tenants.checking import findings
from broker.tenants.format import RuleFile, WhenFile
from broker.tenants.reader import parsed

TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs" / "tenants.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^<!-- rules: (\S+) -->\n```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
RUNS = re.findall(r"^<!-- run: \w+ -->\n```text\n\$ (.*?)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def osb(command: str) -> Result:
    """Run a command in this process: starting one takes longer than all that it does."""
    name, *arguments = shlex.split(command)
    assert name == "osb"
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_each_file_of_the_page_is_taken_without_a_warning(name):
    read = parsed(name, FILES[name].encode())

    assert [*map(str, findings(read, read_catalog(shipped("catalog"))))] == []


@pytest.mark.parametrize(("command", "shown"), RUNS)
def test_each_command_of_the_page_prints_what_the_page_shows(command, shown, folder):
    ran = osb(command)

    assert (ran.stdout, ran.stderr) == (shown, "")


def test_each_value_key_scope_and_kind_is_on_the_page():
    named = set(re.findall(r"`([a-z_-]+)`", PAGE))

    wanted = {*RuleFile.model_fields, *WhenFile.model_fields, *SCOPES, *PLATFORM_KINDS} - {"name"}
    assert wanted <= named


@pytest.mark.parametrize(
    "key", sorted({key for keys in PLATFORM_KINDS.values() for key in keys if "_ann" not in key})
)
def test_the_page_says_of_each_key_which_platform_tells_it(key):
    (row,) = (
        line for line in PAGE.splitlines() if line.startswith("| `") and f"`{key}`" in line.split("|")[1]
    )

    told = [cell.strip() == "yes" for cell in row.split("|")[2:5]]

    assert told == [key in PLATFORM_KINDS[kind] for kind in ("service-catalog", "cloudfoundry", "korifi")]


def test_a_wrong_file_ends_the_check_with_1_and_names_file_line_and_key(folder):
    (folder / "wrong.yaml").write_text("rules:\n  - name: one\n    when: {namespace: a, space: b}\n")

    checked = osb("osb tenants check wrong.yaml")
    explained = osb("osb tenants explain wrong.yaml --platform k8s")
    missing = osb("osb tenants check missing.yaml")

    assert checked.exit_code == 1
    assert checked.stderr.startswith("wrong.yaml:3: rules[0].when: can never match:")
    assert explained.exit_code == 0, "it explains what can be read, right or wrong"
    assert (missing.exit_code, missing.stderr) == (
        1,
        "missing.yaml: cannot be read: No such file or directory\n",
    )


def test_warnings_end_the_check_with_1_where_that_is_asked_for(folder):
    (folder / "odd.yaml").write_text("rules:\n  - name: one\n    plans: {deny: [azure-redis]}\n")

    lenient, strict = (osb(f"osb tenants check odd.yaml {more}") for more in ("", "--strict"))

    assert (lenient.exit_code, strict.exit_code) == (0, 1)
    assert (
        lenient.stderr
        == "odd.yaml:3: rules[0].plans.deny: warning: 'azure-redis' is no plan of the catalog\n"
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--plan azure-redis/small", "no plan azure-redis/small"),
        ("--context '[1]'", "no JSON object"),
        ("--context '{'", "not JSON"),
        ("--view trial", "has no view trial"),
    ],
)
def test_what_cannot_be_explained_is_wrong_usage(folder, more, said):
    ran = osb(f"osb tenants explain tenants.yaml --platform cf {more}")

    assert ran.exit_code == 2
    assert said in " ".join(ran.stderr.split())
