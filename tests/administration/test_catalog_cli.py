"""`osb catalog`, where it asks a running broker, as an operator or a pipeline runs it."""

import json

import pytest

# What is printed does not hang on the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")
AS_ALICE = ("--profile", "alice", "--reason", "A drill.")


@pytest.fixture
def folder(tmp_path, offering_files):
    """The offering's files, flat as in a ConfigMap."""
    place = tmp_path / "offerings"
    place.mkdir()
    for path, text in offering_files.items():
        (place / path.split("/")[1]).write_text(text, encoding="utf-8")
    return place


@pytest.fixture
def name(offering_files):
    return next(path.split("/")[1].removesuffix(".yaml") for path in offering_files if path.endswith(".yaml"))


def revisions(osb):
    return json.loads(osb("catalog", "revisions", "-o", "json").stdout)


def test_a_folder_goes_through_its_life_in_a_broker(osb, folder, name):
    told = osb("catalog", "register", folder, "--name", "drill", *AS_ALICE, "--dry-run")
    nobody = osb("catalog", "register", folder, "--name", "drill", *AS_ALICE)
    before = revisions(osb)
    done = osb("catalog", "register", folder, "--name", "drill", *AS_ALICE, "--yes")
    registered = revisions(osb)[0]["revision"]
    sources = osb("catalog", "sources")
    withdrawn = osb("catalog", "withdraw", f"{name}/standard-lrs", *AS_ALICE, "--yes")
    shown = json.loads(osb("catalog", "show", "-o", "json").stdout)
    restored = osb("catalog", "restore", f"{name}/standard-lrs", *AS_ALICE, "--yes")
    rolled_back = osb("catalog", "rollback", registered + 1, *AS_ALICE, "--yes")
    gone = osb("catalog", "unregister", "drill", *AS_ALICE, "--yes")
    again = osb("catalog", "unregister", "drill", *AS_ALICE, "--yes")

    heading, effect = told.stdout.splitlines()
    assert heading == "Nothing was done. It would be so:"
    assert effect.startswith(f"  {name}: a new service offering, with ")
    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert "Say --yes" in nobody.stderr
    assert registered not in {one["revision"] for one in before}
    assert done.stdout.startswith(f"Published as revision {registered}:\n")
    assert sources.stdout.splitlines()[1].split()[:3] == ["drill", "registered", "2"]
    assert f"{name}/standard-lrs, withdrawn: can no longer be ordered" in withdrawn.stdout
    (plan,) = (one for one in shown["offerings"][0]["plans"] if one["name"] == "standard-lrs")
    assert plan["withdrawn"]
    assert shown["summary"]["reason"] == "A drill."
    assert f"{name}/standard-lrs, withdrawn: can be ordered again" in restored.stdout
    assert f"{name}/standard-lrs, withdrawn: can no longer be ordered" in rolled_back.stdout
    assert f"{name}: the service offering is no longer there" in gone.stdout
    assert again.returncode == 5


def test_each_fault_is_told_with_its_place_and_the_exit_status_says_so(osb, folder, name):
    (file,) = folder.glob("*.yaml")
    file.write_text(file.read_text().replace("bindable: true", "bindabel: true", 1))

    refused = osb("catalog", "register", folder, "--name", "drill", *AS_ALICE, "--yes")

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert f"{name}.yaml:" in refused.stderr
    assert "bindabel: is not known to this version" in refused.stderr
    assert "It would be refused; revision" in refused.stderr


def test_a_pipeline_is_told_that_somebody_else_was_faster(osb, folder):
    late = osb(
        "catalog", "register", folder, "--name", "drill", *AS_ALICE, "--yes", "--expected-revision", 999
    )

    assert late.returncode == 1
    assert "somebody else was faster" in late.stderr


def test_a_folder_that_leads_outside_is_not_sent(osb, folder):
    (folder / "more.yaml").symlink_to("/etc/passwd")

    refused = osb("catalog", "register", folder, "--name", "drill", *AS_ALICE, "--yes")

    assert refused.returncode == 1
    assert "leads out of the catalog's folder" in refused.stderr


def test_a_broker_tells_what_a_folder_would_change_and_what_it_would_refuse(osb, folder, name):
    osb("catalog", "register", folder, "--name", "drill", *AS_ALICE, "--yes")
    against = ("--against", "alice", "--name", "drill")
    file = folder / f"{name}.yaml"
    text = file.read_text(encoding="utf-8")

    same = osb("catalog", "diff", folder, *against)
    file.write_text(text.replace("free: false", "free: true", 1), encoding="utf-8")
    cheaper = osb("catalog", "diff", folder, *against)
    file.write_text(text.replace("name: standard-zrs", "name: cheap", 1), encoding="utf-8")
    renamed = osb("catalog", "diff", folder, *against, "-o", "json")
    both = osb("catalog", "diff", folder, folder, *against)
    neither = osb("catalog", "diff", folder)
    osb("catalog", "unregister", "drill", *AS_ALICE, "--yes")

    assert (same.returncode, same.stdout) == (0, "Nothing changes.\n")
    assert cheaper.stdout.splitlines()[1].split() == [
        f"{name}/standard-lrs", "free", "changed", "False", "becomes", "True",
    ]  # fmt: skip
    (fault,) = (one for one in json.loads(renamed.stdout)["faults"] if one["severity"] == "refused")
    assert renamed.returncode == 1
    assert f"the plan 'standard-zrs' of '{name}' is now called 'cheap'" in fault["message"]
    assert fault["line"] > 0
    assert (both.returncode, neither.returncode) == (2, 2)
