"""`osb catalog docs --against`: pages of what a running broker offers."""

import pytest

# What is printed does not hang on the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")
AS_ALICE = ("--profile", "alice", "--reason", "A drill.", "--yes")


def test_the_pages_are_those_of_what_can_be_ordered_there(osb, offering_files, tmp_path):
    folder = tmp_path / "offerings"
    for path, text in offering_files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    name = next(path.split("/")[1].removesuffix(".yaml") for path in offering_files if path.endswith(".yaml"))
    registered = osb("catalog", "register", folder, "--name", "drill", *AS_ALICE)
    withdrawn = osb("catalog", "withdraw", f"{name}/standard-lrs", *AS_ALICE)

    made = osb("catalog", "docs", "--against", "alice", "--out", tmp_path / "pages")
    osb("catalog", "unregister", "drill", *AS_ALICE)

    assert (registered.returncode, withdrawn.returncode, made.returncode) == (0, 0, 0), made.stderr
    page = (tmp_path / "pages" / f"{name}.md").read_text()
    assert "| `standard-zrs` |" in page
    assert "| `standard-lrs` |" not in page
    assert f"({name}.md)" in (tmp_path / "pages" / "README.md").read_text()


def test_a_broker_and_a_folder_are_not_asked_at_once(osb, tmp_path):
    refused = osb("catalog", "docs", tmp_path, "--against", "alice", "--out", tmp_path / "pages")

    assert refused.returncode == 2
    assert "name no folder besides" in refused.stderr
