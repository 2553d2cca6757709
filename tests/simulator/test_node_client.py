"""Azure's own JavaScript client, in a language and with a poller of its own, completes its work unchanged."""

import json
import subprocess
import uuid

import pytest

from tests.clients.scripts import a_script, an_environment
from tests.simulated import StandInDatabases, a_simulator
from tests.simulator.templates import deployment_body

pytestmark = [pytest.mark.needs("azure-js"), pytest.mark.slow]


@pytest.fixture(scope="module")
def azure(tmp_path_factory):
    with a_simulator(tmp_path_factory.mktemp("node"), StandInDatabases(), http=True) as started:
        yield started


def deploy(azure, group, body, *flags, **environment):
    file = azure.access.token_file.removesuffix("token") + "simulator.json"
    return subprocess.run(
        [*a_script("azure-js", "deploy.cjs"), file, group, "first", *flags],
        env=an_environment("azure-js", **environment), input=json.dumps(body),
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("way", ["tls", "http"])
def test_the_javascript_client_sees_a_deployment_succeed(azure, way):
    group, name = azure.a_group(), f"srv-{uuid.uuid4().hex[:8]}"
    trusting = {"NODE_EXTRA_CA_CERTS": azure.access.ca_file} if way == "tls" else {}

    ran = deploy(azure, group, deployment_body(name), *(["--http"] if way == "http" else []), **trusting)

    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["state"] == "Succeeded"
    assert told["outputs"]["host"]["value"].startswith("127.")
    assert told["operations"] == [["Succeeded", None]] * 3


def test_the_javascript_client_sees_a_deployment_fail_with_its_innermost_reason(azure):
    group = azure.a_group()
    azure.fault(
        "deployment_failed", path=f"{group}/.*/deployments/", code="SkuNotAvailable", message="None left."
    )

    body = deployment_body(f"srv-{uuid.uuid4().hex[:8]}")
    ran = deploy(azure, group, body, NODE_EXTRA_CA_CERTS=azure.access.ca_file)

    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told.get("state") is None
    assert "DeploymentFailed" in told["error"]
    assert [state for state, code in told["operations"] if code == "SkuNotAvailable"] == ["Failed"]
    kept = azure.call(
        "GET", f"/resourceGroups/{group}/providers/Microsoft.Resources/deployments/first"
    ).json()
    assert kept["properties"]["provisioningState"] == "Failed"


def test_the_javascript_client_does_not_believe_a_stranger(azure):
    ran = deploy(azure, azure.a_group(), deployment_body("never-made"))

    assert ran.returncode == 1
    assert "UNABLE_TO_VERIFY_LEAF_SIGNATURE" in ran.stderr + ran.stdout
