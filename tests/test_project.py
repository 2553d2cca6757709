"""What the repository promises about itself: locks without an index address, pages that are current."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from broker.cli.commands_page import commands_page
from broker.cli.error_codes_page import error_codes_page
from broker.cli.main import app
from broker.cli.settings_page import settings_page
from broker.settings import Settings, secret_names

TOP = Path(__file__).parent.parent
LOCKS = sorted((TOP / "requirements").glob("*.txt"))


def test_there_are_three_locks():
    assert [lock.name for lock in LOCKS] == ["dev.txt", "runtime.txt", "simulator.txt"]


def pins(lock):
    text = re.sub(r"\s*\\\n\s*", " ", lock.read_text(encoding="utf-8"))
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_each_locked_line_is_one_exact_version_with_hashes(lock):
    for line in pins(lock):
        assert re.match(r"[a-z0-9][a-z0-9._-]*==[^\s;]+( ; [^-]+)?( --hash=sha256:[0-9a-f]{64})+$", line), (
            line
        )


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_index_and_no_address(lock):
    text = lock.read_text(encoding="utf-8")

    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--(extra-)?index-url|--find-links|--trusted-host)", text, re.MULTILINE)


def versions(lock):
    return dict(line.split(" ")[0].split("==") for line in pins(lock))


def test_what_is_developed_with_is_what_runs():
    runtime, simulator, dev = (
        versions(TOP / "requirements" / f"{n}.txt") for n in ("runtime", "simulator", "dev")
    )

    assert runtime.items() <= simulator.items() <= dev.items()


def test_the_configuration_page_is_current():
    page = (TOP / "docs" / "configuration.md").read_text(encoding="utf-8")

    assert page == settings_page(), "make it again: osb config docs --write docs/configuration.md"


def test_the_page_of_azures_error_codes_is_current():
    page = (TOP / "docs" / "azure-errors.md").read_text(encoding="utf-8")

    assert page == error_codes_page(), "make it again: osb azure errors --write docs/azure-errors.md"


def test_the_configuration_page_describes_each_setting():
    page = settings_page()

    assert all(f"`BROKER_{name.upper()}`" in page for name in Settings.model_fields)
    assert "None" not in page


def test_the_page_of_commands_is_current():
    page = (TOP / "docs" / "cli.md").read_text(encoding="utf-8")

    assert page == commands_page(app), "make it again: osb config commands --write docs/cli.md"


def tracked_texts():
    skipped = {
        ".venv",
        ".git",
        ".work",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".hypothesis",
        "__pycache__",
    }
    for file in sorted(TOP.rglob("*")):
        if file.is_file() and not skipped & set(file.relative_to(TOP).parts):
            try:
                yield file, file.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def test_no_private_key_is_kept_in_the_repository():
    pattern = re.compile("-----BEGIN [A-Z ]*" + "PRIVATE KEY-----")

    assert not [str(file) for file, text in tracked_texts() if pattern.search(text)]


PAGES = [TOP / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md", "charts/README.md")]
PAGES += sorted((TOP / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_each_page_links_to_what_is_there(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))

    assert not [link for link in links if not (page.parent / link).exists()]


def test_the_readme_names_each_make_target_and_command_as_it_is():
    readme = (TOP / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (TOP / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    commands = subprocess.run(
        [sys.executable, "-m", "broker", "--help"], capture_output=True, text=True, check=True, cwd=TOP
    ).stdout

    assert set(re.findall(r"(?:^|`)make ([a-z]+)", readme, re.MULTILINE)) <= targets
    assert {name for name in re.findall(r"\bosb ([a-z-]+)", readme) if f" {name} " not in commands} == set()


def test_every_setting_that_a_page_names_exists():
    known = {f"BROKER_{name.upper()}" for name in Settings.model_fields} | {"BROKER_SETTINGS_FILE"}
    known |= {f"BROKER_{name.upper()}_FILE" for name in secret_names()}
    for page in PAGES:
        named = set(re.findall(r"\bBROKER_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))
        assert named <= known, f"{page.name}: {named - known}"
