"""`osb azure smoke` as a real process against a simulated Azure, with real Ctrl-C."""

import json
import os
import queue
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

import pytest

from broker.shipped import shipped

PLAN = "azure-postgresql/burstable"
CHILD = "azure-postgresql-database/database"
# One run starts three processes and a database server, on a machine that other tests share.
ENDS_WITHIN = 60


@dataclass
class Smoke:
    """A running smoke test and what it has said so far."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)
    _lines: queue.Queue[str | None] = field(default_factory=queue.Queue)

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def until(self, pattern: str) -> str:
        """Read on until a line matches."""
        ends = time.monotonic() + ENDS_WITHIN
        while (line := self._lines.get(timeout=max(0.1, ends - time.monotonic()))) is not None:
            self.said.append(line)
            if re.search(pattern, line):
                return line
        raise AssertionError(f"It ended without {pattern!r}:\n" + "".join(self.said))

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def ended(self) -> int:
        """Read to the end; return the exit status."""
        ends = time.monotonic() + ENDS_WITHIN
        while (line := self._lines.get(timeout=max(0.1, ends - time.monotonic()))) is not None:
            self.said.append(line)
        return self.process.wait(timeout=10)

    @property
    def text(self) -> str:
        return "".join(self.said)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)


@pytest.fixture
def azure(simulator_with_databases):
    """A simulated Azure that holds nothing of ours before and, since that is each test's point, after the test."""
    yield simulator_with_databases
    simulator_with_databases.reset()
    assert ours(simulator_with_databases) == []


def ours(azure):
    """What lives or runs in Azure of any smoke test: resources by tag, deployments by name."""
    state = azure.state()
    resources = [one["id"] for one in state["resources"] if "osb-broker-id" in one["tags"]]
    servers = [one["id"] for one in state["resources"] if "/flexibleservers" in one["id"].lower()]
    deployments = [one["name"] for one in state["deployments"] if one["name"].startswith("osb-")]
    return [*resources, *servers, *deployments]


@pytest.fixture
def environment(azure, tmp_path):
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("BROKER_")},
        "TMPDIR": str(tmp_path),
        "BROKER_AZURE_CLOUD": "custom",
        "BROKER_AZURE_ENDPOINT": azure.endpoint,
        "BROKER_AZURE_SCOPE": f"{azure.endpoint}/.default",
        "BROKER_AZURE_AUTHORITY": azure.endpoint,
        "BROKER_AZURE_CA_FILE": str(azure.access.ca_file),
        "BROKER_AZURE_AUTHENTICATION": "simulator",
        "BROKER_AZURE_TOKEN_FILE": str(azure.access.token_file),
        "BROKER_AZURE_SUBSCRIPTION_ID": azure.access.subscription_id,
        "BROKER_AZURE_LOCATION": "westeurope",
        "BROKER_AZURE_RESOURCE_GROUP": azure.a_group(),
        "BROKER_AZURE_POLL_INTERVAL": "100ms",
        "BROKER_DATA_PLANE_CA_FILE": str(azure.access.ca_file),
        "BROKER_EGRESS_ADDRESSES": "127.0.0.1",
    }


@pytest.fixture
def smoke(environment):
    started = []

    def start(*arguments: str) -> Smoke:
        process = subprocess.Popen(
            [sys.executable, "-m", "broker", "azure", "smoke", *arguments],
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        started.append(process)
        return Smoke(process)

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def checked(environment, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "broker", "azure", "check", *arguments],
        env=environment,
        text=True,
        capture_output=True,
        timeout=ENDS_WITHIN,
        check=False,
    )


def test_a_child_and_its_parent_live_through_everything_and_leave_nothing(smoke, azure, tmp_path):
    run = smoke(CHILD, "--yes")

    status = run.ended()

    assert status == 0, run.text
    assert re.search(r"^11 of 11 ", run.text, re.MULTILINE)
    assert "password authentication failed" in run.text
    assert "THIS COSTS MONEY" in run.text
    assert list(tmp_path.glob("osb-smoke-*")) == []


def test_a_failed_creation_is_told_with_azures_reason_and_leaves_nothing(smoke, azure, tmp_path):
    azure.fault(
        "deployment_failed", method="PUT", path="/deployments/", code="SkuNotAvailable", message="Sold out."
    )

    run = smoke(PLAN, "--yes")
    status = run.ended()

    assert status == 1
    assert "Sold out." in run.text
    assert "Nothing is left in Azure." in run.text
    assert len(list(tmp_path.glob("osb-smoke-*"))) == 1, "what was not seen can be looked up"


@pytest.mark.parametrize(
    "sight",
    [
        r"See what Azure allows",
        r"Start a broker",
        r"Order azure-postgresql/burstable",
        r"\| .*Azure works on",
        r"by its tag",
        r"Bind it",
        r"Connect with",
        r"Unbind",
        r"Deprovision azure-postgresql/burstable",
        r"Look for what is left",
    ],
)
def test_ctrl_c_after_each_step_leaves_nothing(smoke, azure, tmp_path, sight):
    run = smoke(PLAN, "--yes")
    run.until(sight)

    run.interrupt()
    status = run.ended()

    # The last look may be over before the signal arrives: then all was seen.
    came_too_late = sight == "Look for what is left" and "All was seen" in run.text
    assert status == (0 if came_too_late else 130), run.text
    assert came_too_late or "Interrupted." in run.text
    assert ours(azure) == []
    assert list(tmp_path.glob("osb-smoke-*")) == []


def test_a_broker_that_dies_is_started_again_to_delete_what_it_made(smoke, azure, tmp_path):
    run = smoke(PLAN, "--yes")
    run.until(r"\| .*Azure works on")
    [ready] = tmp_path.glob("osb-smoke-*/broker.json")

    os.kill(json.loads(ready.read_text(encoding="utf-8"))["pid"], signal.SIGKILL)
    status = run.ended()

    assert status == 1, run.text
    assert run.text.count("The broker answers at") == 2
    assert "Nothing is left in Azure." in run.text


def test_a_group_of_the_instances_own_goes_too_and_the_data_folder_stays_if_wanted(
    smoke, azure, environment, tmp_path
):
    catalog = shutil.copytree(shipped("catalog"), tmp_path / "catalog")
    offering = catalog / "postgresql" / "azure-postgresql.yaml"
    told = offering.read_text(encoding="utf-8").replace(
        "placement: {group: shared}", "placement: {group: own}"
    )
    offering.write_text(told, encoding="utf-8")
    in_file = {name: environment.pop(name) for name in list(environment) if name.startswith("BROKER_")}
    lines = [
        f"{name.removeprefix('BROKER_').lower()} = {json.dumps(value)}" for name, value in in_file.items()
    ]
    settings = tmp_path / "settings.toml"
    settings.write_text("\n".join([*lines, f"catalog_folder = {json.dumps(str(catalog))}"]), encoding="utf-8")
    environment["BROKER_SETTINGS_FILE"] = str(settings)

    run = smoke(PLAN, "--yes", "--keep-data-folder")
    status = run.ended()

    assert status == 0, run.text
    assert "/resourceGroups/osb-" in run.text
    assert [group for group in azure.state()["groups"] if group["name"].startswith("osb-")] == []
    [folder] = tmp_path.glob("osb-smoke-*")
    assert (folder / "broker.sqlite3").exists()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_second_ctrl_c_says_what_is_left_and_how_to_remove_it(smoke, azure, environment):
    run = smoke(PLAN, "--yes")
    run.until(r"by its tag")
    azure.fault("stuck", method="DELETE", path="flexibleservers", count=None)

    run.interrupt()
    run.until(r"Waiting until")
    run.interrupt()
    status = run.ended()

    assert status == 1, run.text
    left = ours(azure)
    assert "az resource list --tag osb-broker-id=smoke-" in run.text
    assert any(f"az resource delete --ids {one}" in run.text for one in left), run.text
    azure.lift()
    for one in left:
        if "/flexibleServers/" in one:
            azure.call("DELETE", one, version="2026-10-01")
        elif one.startswith("osb-"):
            group = environment["BROKER_AZURE_RESOURCE_GROUP"]
            azure.call("DELETE", f"/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{one}")
    ends = time.monotonic() + 20
    while ours(azure) and time.monotonic() < ends:
        time.sleep(0.05)


def test_nothing_is_ordered_when_something_is_missing(smoke, azure, environment):
    environment["BROKER_AZURE_RESOURCE_GROUP"] = "rg-that-nobody-made"

    run = smoke(PLAN, "--yes")
    status = run.ended()

    assert status == 1
    assert "az group create --name rg-that-nobody-made --location westeurope" in run.text
    assert "Nothing was ordered." in run.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such/plan", "--yes"], "There is no plan 'no-such/plan'; there are "),
        ([PLAN, "--yes", "--parameters", "{"], "--parameters is no JSON"),
        ([PLAN, "--yes", "--parameters", '{"storageGB": "much"}'], "storageGB"),
        ([PLAN], "Go on?"),
        ([PLAN, "--yes", "--parameters", "[]"], "has to be a JSON object"),
    ],
)
def test_a_wrong_or_unconfirmed_order_starts_nothing(smoke, arguments, words):
    run = smoke(*arguments)

    status = run.ended()

    assert status in {1, 2}
    assert words in run.text
    assert "Start a broker" not in run.text


def test_check_finds_nothing_missing_where_all_is_granted(environment):
    found = checked(environment, "-o", "json")

    told = json.loads(found.stdout)
    assert found.returncode == 0, found.stdout + found.stderr
    assert told["ok"]
    unsure = [one["subject"] for one in told["findings"] if one["state"] != "ok"]
    assert all(subject.startswith("roles on") for subject in unsure), "its token does not say whose it is"


def test_check_names_each_missing_permission_and_an_unregistered_provider(azure, environment):
    azure.client.post(
        "/_simulator/permissions",
        json={"actions": ["*"], "notActions": ["Microsoft.DBforPostgreSQL/*/delete"]},
    )
    azure.client.post(
        "/_simulator/providers", json={"namespace": "Microsoft.DBforPostgreSQL", "registered": False}
    )

    found = checked(environment)

    assert found.returncode == 1
    assert "permission Microsoft.DBforPostgreSQL/flexibleServers/delete: not granted" in found.stdout
    assert "az provider register --namespace Microsoft.DBforPostgreSQL" in found.stdout


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("BROKER_AZURE_LOCATION", "atlantis", "the subscription has no such region"),
        ("BROKER_AZURE_SUBSCRIPTION_ID", "00000000-0000-0000-0000-000000000000", "subscription"),
        ("BROKER_AZURE_TOKEN_FILE", "/nowhere", "sign-in"),
        ("BROKER_AZURE_ENDPOINT", "https://127.0.0.1:1", "cannot be reached"),
    ],
)
def test_check_says_what_is_wrong_without_a_trace(environment, setting, value, words):
    environment[setting] = value

    found = checked(environment)

    assert found.returncode == 1, found.stdout + found.stderr
    assert words in found.stdout
    assert "Traceback" not in found.stdout + found.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"BROKER_AZURE_CA_FILE": __file__}, "BROKER_AZURE_CA_FILE: "),
        ({"BROKER_AZURE_AUTHENTICATION": "workload-identity"}, "BROKER_AZURE_TENANT_ID: "),
    ],
)
def test_check_names_the_setting_that_is_wrong(environment, settings, words):
    environment |= settings

    found = checked(environment)

    assert found.returncode in {1, 2}
    assert found.stderr.startswith(words), found.stderr
    assert len(found.stderr.splitlines()) == 1
