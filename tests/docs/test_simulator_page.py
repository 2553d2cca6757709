"""Each example of docs/simulator.md runs as it stands, from the folder in which the simulator was started."""

import re
import shutil
import subprocess
import sys

import pytest

from broker.simulator.faults import KINDS
from tests.clients.scripts import an_environment
from tests.docs.test_examples import TOP, blocks
from tests.simulated import a_simulator
from tools.programs import node

PAGE = TOP / "docs" / "simulator.md"
EXAMPLES = [block for block in blocks(PAGE) if block.marks == ("simulator",)]
NEEDS = {"js": [pytest.mark.needs("azure-js")]}
RUN_BY = {"sh": ["bash", "-eu"], "python": [sys.executable, "-"], "js": [node(), "-"]}


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """The folder in which the simulator of the examples runs, as `osb simulate-azure --proxy` would have it."""
    folder = tmp_path_factory.mktemp("examples")
    with a_simulator(folder / ".work" / "azure", data_planes=False, proxy=True) as simulator:
        yield folder, simulator


@pytest.mark.parametrize(
    "block", [pytest.param(one, id=str(one), marks=NEEDS.get(one.language, ())) for one in EXAMPLES]
)
def test_each_example_of_the_simulator_runs(block, started):
    folder, simulator = started
    if block.language == "sh" and shutil.which("curl") is None:
        pytest.skip("needs curl")
    before = len(simulator.client.get("/_simulator/sign-ins").json()["sign_ins"]) + len(simulator.ledger())

    ran = subprocess.run(
        RUN_BY[block.language],
        input=block.code,
        cwd=folder,
        env=an_environment("azure-js", NODE_EXTRA_CA_CERTS=".work/azure/ca.pem", HOME=str(folder)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    seen = len(simulator.client.get("/_simulator/sign-ins").json()["sign_ins"]) + len(simulator.ledger())
    faults = simulator.client.get("/_simulator/faults").json()["faults"]
    assert seen > before or faults or "AzureCloud" in ran.stdout


def test_every_kind_of_example_is_there():
    assert {block.language for block in EXAMPLES} == set(RUN_BY)
    assert all(block.marks for block in blocks(PAGE) if block.language in RUN_BY and "osb " not in block.code)


def test_every_kind_of_fault_is_in_the_table_with_its_name():
    table = PAGE.read_text(encoding="utf-8").partition("| kind | what happens | options |")[2]

    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) >= set(KINDS)


def test_every_key_of_the_ready_file_is_told(started):
    folder, _ = started
    told = PAGE.read_text(encoding="utf-8").partition("| key | |")[2].partition("\n\n")[0]

    keys = set(re.findall(r'"(\w+)":', (folder / ".work" / "azure" / "simulator.json").read_text()))

    assert keys == set(re.findall(r"`(\w+)`", told))
