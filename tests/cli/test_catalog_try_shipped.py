"""A service that is data alone: it lives its whole life without a line of Python of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from broker.shipped import shipped

PRINCIPAL = "0f3d8f5e-7d5b-4c43-9ce0-6a3e6a1d3c11"
# Three processes are started, on a machine that other tests share.
ENDS_WITHIN = 90
BINDINGS = (
    {},
    {"access": "write", "keyName": "secondary"},
    {"auth": "entra", "principalId": PRINCIPAL},
)


@pytest.fixture(scope="module")
def report():
    bindings = [word for given in BINDINGS for word in ("--bind-params", json.dumps(given))]
    ended = subprocess.run(
        [sys.executable, "-m", "broker", "catalog", "try", "azure-app-configuration/standard",
         "--params", '{"publicNetworkAccess": "Disabled"}', *bindings, "-o", "json"],
        capture_output=True, text=True, timeout=ENDS_WITHIN, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_app_configuration_is_ordered_bound_in_each_way_and_deleted_without_a_trace(report):
    by_key, writing, by_role = (step["credentials"] for step in report["steps"] if "credentials" in step)

    assert (report["ok"], report["left"], report["unchecked"]) == (True, [], [])
    assert by_key["connectionString"] == writing["connectionString"] == "string"
    assert "connectionString" not in by_role
    assert by_role["endpoint"] == "string"


def test_app_configuration_has_a_role_assigned_and_taken_away(report):
    calls = [call for step in report["steps"] for call in step["calls"] if "roleAssignments" in call["path"]]

    assert [call["method"] for call in calls if call["method"] != "GET"] == ["PUT", "DELETE"]


def test_the_broker_has_no_python_that_knows_it():
    words = ("appconfiguration", "configurationstores", "app-configuration")
    package = Path(__file__).parents[2] / "broker"

    assert list(shipped("catalog").glob("appconfiguration/*.yaml"))
    assert not [
        file for file in package.rglob("*.py") if any(word in file.read_text().lower() for word in words)
    ]
