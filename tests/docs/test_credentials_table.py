"""The table of all keys of the credentials: whole, current, and true of each way to bind."""

import shutil
from pathlib import Path

from typer.testing import CliRunner

from broker.catalog.credential_keys import BEGIN, END, credentials_table, handed_out, meanings, with_table
from broker.catalog.reader import read_catalog
from broker.cli.catalog import app
from broker.shipped import shipped

PAGE = Path(__file__).parent.parent.parent / "docs" / "credentials.md"
CATALOG = read_catalog(shipped("catalog"))
KEYS = {
    key
    for offering in CATALOG.offerings
    for plan in offering.plans
    for credentials in handed_out(plan.recipe).values()
    for key in credentials
}


def test_the_table_on_the_page_is_what_the_catalog_makes():
    page = PAGE.read_text()

    assert with_table(page, credentials_table(CATALOG)) == page, (
        "osb catalog docs --out docs/services --credentials docs/credentials.md"
    )


def test_every_key_has_a_meaning_and_no_meaning_is_without_a_key():
    assert set(meanings()) == KEYS


def test_each_bindable_plan_says_type_provider_and_auth():
    lacking = [
        (offering.name, plan.name, mode)
        for offering in CATALOG.offerings
        for plan in offering.plans
        if plan.bindable
        for mode, credentials in handed_out(plan.recipe).items()
        if not {"type", "provider", "auth"} <= credentials.keys()
    ]

    assert lacking == []


def test_a_page_without_the_marks_is_left_as_it_is_and_told(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"{END} {BEGIN}")

    ended = CliRunner().invoke(app, ["docs", "--out", str(tmp_path / "out"), "--credentials", str(page)])

    assert ended.exit_code == 2
    assert "needs the two lines" in ended.output.replace("\n", " ")
    assert page.read_text() == f"{END} {BEGIN}"


def test_what_stands_around_the_table_is_kept(tmp_path):
    page = tmp_path / "page.md"
    shutil.copy(PAGE, page)
    page.write_text(page.read_text().replace(BEGIN, f"Ours.\n\n{BEGIN}\nold\n"))

    ended = CliRunner().invoke(app, ["docs", "--out", str(tmp_path / "out"), "--credentials", str(page)])

    assert (ended.exit_code, page.read_text()) == (0, PAGE.read_text().replace(BEGIN, f"Ours.\n\n{BEGIN}"))
