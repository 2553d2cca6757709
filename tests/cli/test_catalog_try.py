"""`osb catalog try` as a real process, with a catalog of the test's own."""

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from broker.cli.catalog import app
from broker.shipped import shipped
from tests import teapots
from tests.simulated import wait_until

PLAN = "teapot-store/small"
# Three processes are started, on a machine that other tests share.
ENDS_WITHIN = 90


@pytest.fixture
def started(tmp_path):
    processes = []
    folder = tmp_path / "tmp"
    folder.mkdir()

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "broker", "catalog", "try", *arguments],
            env={**os.environ, "TMPDIR": str(folder), "BROKER_AZURE_CLIENT_ID": "of-another-broker"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        processes.append(process)
        return process, folder

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def ended(process):
    out, errors = process.communicate(timeout=ENDS_WITHIN)
    return process.returncode, out, errors


def of(report, name):
    return next(step for step in report["steps"] if step["name"].startswith(name))


def test_a_plan_lives_its_whole_life_and_each_call_is_shown(started, tmp_path):
    folder = teapots.catalog(tmp_path / "catalog")

    process, kept = started(
        PLAN, "--folder", str(folder), "--params", '{"cups": 3}', "--bind-params", "{}",
        "--bind-params", '{"access": "read"}', "--update-params", '{"cups": 4}', "-o", "json",
    )  # fmt: skip
    status, out, errors = ended(process)

    report = json.loads(out)
    assert (status, report["ok"], report["left"], report["unchecked"]) == (0, True, [], []), errors
    assert [step["name"] for step in report["steps"]] == [
        f"Order {PLAN}",
        f"Bind {PLAN}",
        f"Bind {PLAN} with access",
        f"Update {PLAN}",
        f"Unbind {PLAN}",
        f"Unbind {PLAN}",
        f"Deprovision {PLAN}",
    ]
    assert of(report, "Bind")["credentials"] == {"endpoint": "string", "key": "string"}
    ordered = [(call["method"], call["status"]) for call in of(report, "Order")["calls"]]
    assert ("PUT", 201) in ordered
    assert any(text.endswith("is ready.") for text in of(report, "Order")["descriptions"])
    assert f"1  Order {PLAN}" in errors
    assert list(kept.iterdir()) == []


def test_a_type_without_a_model_is_tried_in_an_overlay_and_named_as_unchecked(started, tmp_path):
    folder = teapots.catalog(tmp_path / "catalog", with_model=False, pick="answer.primaryKey")

    process, _ = started(PLAN, "--overlay", str(folder))
    status, out, errors = ended(process)

    assert status == 0, out + errors
    assert f"Not checked, for want of a model: {teapots.TYPE} at {teapots.VERSION}." in out
    assert f"warning: {teapots.TYPE} at {teapots.VERSION} has no model file" in errors


def test_what_is_left_over_is_named_and_a_failure(started, tmp_path):
    folder = teapots.catalog(tmp_path / "catalog")
    process, kept = started(PLAN, "--folder", str(folder), "--params", '{"location": "atlantis"}')
    access = wait_until(lambda: next(kept.glob("*/azure/simulator.json"), None), at_most=ENDS_WITHIN)
    left = plant(json.loads(access.read_text()))

    status, out, _ = ended(process)

    assert status == 1
    assert "FAILED: " in out
    assert "atlantis" in out
    assert f"Left over in Azure:\n  {left}\n" in out
    assert f"The broker's database, its log and the simulator's are in {access.parents[1]}" in out


def plant(where):
    path = f"/subscriptions/{where['subscription_id']}/resourceGroups/osb-demo/providers/{teapots.TYPE}/forgotten"
    headers = {"Authorization": f"Bearer {Path(where['token_file']).read_text().strip()}"}
    with httpx.Client(
        base_url=where["endpoint"],
        headers=headers,
        verify=ssl.create_default_context(cafile=where["ca_file"]),
        trust_env=False,
    ) as client:
        # The group is made by the command itself, right after the simulator's start.
        wait_until(lambda: client.post("/_simulator/plant", json={"id": path}).status_code == 201)
    return path


def test_ctrl_c_ends_all_that_was_started(started, tmp_path):
    folder = teapots.catalog(tmp_path / "catalog")
    process, kept = started(PLAN, "--folder", str(folder))
    ready = wait_until(lambda: next(kept.glob("*/azure/simulator.json"), None), at_most=ENDS_WITHIN)
    simulator = json.loads(ready.read_text())["pid"]

    process.send_signal(signal.SIGINT)
    status, _, _ = ended(process)

    assert status == 130
    assert not alive(simulator)
    assert list(kept.iterdir()) == []


def alive(pid):
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.05)
                continue
        return False
    return True


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["azure-teapot/small"], "There is no plan 'azure-teapot/small'; there are azure-"),
        (["azure-postgresql/burstable", "--params", "{"], "--params is no JSON"),
        (["azure-postgresql/burstable", "--params", "[]"], "--params has to be a JSON object"),
        (["azure-postgresql/burstable", "--params", "@/nowhere"], "--params: /nowhere cannot be read"),
        (["azure-postgresql/burstable", "--params", '{"colour": 1}'], "colour"),
        (
            ["azure-postgresql-database/database", "--parent-params", '{"storageGB": 33}'],
            "azure-postgresql-server",
        ),
        (["azure-postgresql/burstable", "--bind-params", '{"colour": 1}'], "--bind-params: "),
    ],
)
def test_a_wrong_order_is_refused_before_anything_is_started(arguments, says):
    refused = CliRunner().invoke(app, ["try", *arguments])

    assert refused.exit_code == 2
    assert says in refused.stderr


def test_a_catalog_with_faults_is_not_tried(tmp_path):
    folder = teapots.catalog(tmp_path / "catalog")
    offering = folder / "teapots" / "teapot-store.yaml"
    offering.write_text(offering.read_text() + "colour: red\n")

    refused = CliRunner().invoke(app, ["try", PLAN, "--folder", str(folder)])

    assert refused.exit_code == 1
    assert "teapots/teapot-store.yaml" in refused.stderr


def test_the_shipped_catalog_is_tried_when_no_folder_is_named():
    assert (shipped("catalog") / "postgresql").is_dir()
    refused = CliRunner().invoke(app, ["try", "x"])

    assert "azure-postgresql/burstable" in refused.stderr
