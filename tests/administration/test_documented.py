"""The examples of the documents that act as an operator, run as they stand there."""

import subprocess
import sys

import pytest

from tests.administration.test_deletions import family
from tests.docs.test_examples import OPERATING, TOP, blocks
from tests.lifecycle.conftest import PARENT, PARENTS
from tests.osb.platform import an_id, order

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")

PAGES = (OPERATING, TOP / "docs" / "catalog-sources.md")
EXAMPLES = [block for page in PAGES for block in blocks(page) if block.marks[:1] == ("operator",)]
assert len(EXAMPLES) >= 7, "the marks above the examples have changed"


def bound(platform):
    namespace = an_id()
    instance = platform.ready(order(context={"platform": "kubernetes", "namespace": namespace}))
    return {"INSTANCE": instance, "BINDING": platform.bound(instance)[0], "NAMESPACE": namespace}


def failed_deletion(platform, external, alice):
    instance = platform.ready()
    external.fail(instance, "delete", "A lock is on it.")
    platform.deprovision(instance)
    platform.settle(instance)
    external.mend(instance)
    (operation,) = alice.all("/operations", instance_id=instance, kind="deprovision")
    return {"INSTANCE": instance, "OPERATION": operation["id"]}


def creation(platform, external, alice):
    instance = an_id()
    external.hold(instance, "create")
    platform.provision(instance)
    return {"INSTANCE": instance, "OPERATION": alice.running(instance)["id"]}


def a_family(platform):
    parent, _ = family(platform)
    return {"PARENT": parent}


def burning(platform, external):
    names = bound(platform)
    external.fail(names["INSTANCE"], "delete", "The server is on fire.")
    return names


def a_folder(place, files):
    names = {"FOLDER": str(place / "folder")}
    for path, text in files.items():
        (place / "folder" / path).parent.mkdir(parents=True, exist_ok=True)
        (place / "folder" / path).write_text(text, encoding="utf-8")
        if path.endswith(".yaml"):
            names["OFFERING"] = path.split("/")[1].removesuffix(".yaml")
    return names


def past(platform):
    instance = platform.ready()
    platform.gone(instance)
    return {"INSTANCE": instance}


@pytest.mark.parametrize("block", EXAMPLES, ids=str)
def test_each_example_of_an_operator_runs(
    block, environment, platform, external, alice, tmp_path, offering_files
):
    names = {
        "look": lambda: bound(platform),
        "failed-deletion": lambda: failed_deletion(platform, external, alice),
        "creation": lambda: creation(platform, external, alice),
        "family": lambda: a_family(platform),
        "burning": lambda: burning(platform, external),
        "keep": lambda: bound(platform),
        "past": lambda: past(platform),
        "keys": lambda: {"INSTANCE": platform.ready()},
        "resources": dict,
        "catalog": lambda: a_folder(tmp_path, offering_files),
    }[block.marks[1]]()
    script = f'set -eu\nosb() {{ "{sys.executable}" -m broker "$@"; }}\n{block.code}'

    ran = subprocess.run(
        ["bash", "-c", script],
        env={**environment, **names, "OSB_PROFILE": "alice"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,  # eight processes on a busy machine
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    match block.marks[1]:
        case "look":
            assert names["NAMESPACE"] in ran.stdout
            assert names["BINDING"] in ran.stdout
        case "failed-deletion":
            assert platform.poll(names["INSTANCE"]).status_code == 410
        case "creation":
            assert platform.settle(names["INSTANCE"]).json()["state"] == "failed"
            external.release(names["INSTANCE"])
        case "family":
            assert platform.deprovision(names["PARENT"], PARENT, PARENTS).status_code == 410
        case "burning":
            assert "The server is on fire." in ran.stdout
            assert alice.get(f"/instances/{names['INSTANCE']}").status_code == 404
        case "keep":
            assert external.living(names["INSTANCE"])
            assert "Moved to another broker." in ran.stdout
        case "keys":
            assert ran.stdout.splitlines()[0].split() == ["KEY", "VALUES", "AT", "HAND", "SEALS"]
        case "resources":
            assert "There is no orphan." in ran.stdout
        case "catalog":
            assert "can be ordered again" in ran.stdout
            assert alice.get("/catalog/sources").json()["items"] == []
        case "past":
            assert "Deprovisioned." in ran.stdout
