"""The stock deployments and resource clients complete their work against the simulator, unchanged."""

import uuid

import pytest
import requests
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from azure.mgmt.resource.resources import ResourceManagementClient

from tests.simulator.templates import a_server_template, deployment_body

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:azure")


class FileToken:
    """What azure-core asks of a credential."""

    def __init__(self, access) -> None:
        self.access = access

    def get_token(self, *scopes, **kwargs) -> AccessToken:
        return AccessToken(self.access.token, 2**31)


def a_client(cls, simulator):
    session = requests.Session()
    session.trust_env = False
    return cls(
        credential=FileToken(simulator.access),
        subscription_id=simulator.access.subscription_id,
        base_url=simulator.endpoint,
        credential_scopes=["https://management.azure.com/.default"],
        transport=RequestsTransport(
            session=session, session_owner=True, connection_verify=simulator.access.ca_file
        ),
        polling_interval=0.05,
    )


@pytest.fixture
def deployments(simulator):
    with a_client(DeploymentsMgmtClient, simulator) as client:
        yield client


@pytest.fixture
def resources(simulator):
    with a_client(ResourceManagementClient, simulator) as client:
        yield client


def test_the_stock_client_sees_a_deployment_succeed(simulator, deployments):
    group, name = simulator.a_group(), f"srv-{uuid.uuid4().hex[:8]}"

    poller = deployments.deployments.begin_create_or_update(group, "first", deployment_body(name))
    result = poller.result(timeout=30)

    assert result.properties.provisioning_state == "Succeeded"
    assert result.properties.outputs["host"]["value"].startswith("127.")
    assert [each.id.rsplit("/", 1)[1] for each in result.properties.output_resources] == [name, "app"]
    steps = list(deployments.deployment_operations.list(group, "first"))
    assert [step.properties.provisioning_state for step in steps] == ["Succeeded"] * 3


def test_the_stock_client_sees_a_deployment_fail_with_its_innermost_reason(simulator, deployments):
    group = simulator.a_group()
    simulator.fault(
        "deployment_failed", path=f"{group}/.*/deployments/", code="SkuNotAvailable", message="None left."
    )

    poller = deployments.deployments.begin_create_or_update(
        group, "first", deployment_body(f"srv-{uuid.uuid4().hex[:8]}")
    )
    with pytest.raises(HttpResponseError) as failure:
        poller.result(timeout=30)

    assert failure.value.error.code == "DeploymentFailed"
    assert "SkuNotAvailable" in failure.value.error.details[0].message


def test_the_stock_client_validates(simulator, deployments):
    group = simulator.a_group()
    good, bad = deployment_body(f"srv-{uuid.uuid4().hex[:8]}"), deployment_body("Not_A_Name")

    valid = deployments.deployments.begin_validate(group, "x", good).result(timeout=30)
    with pytest.raises(HttpResponseError) as refused:
        deployments.deployments.begin_validate(group, "x", bad).result(timeout=30)

    assert valid.properties.provisioning_state == "Succeeded"
    assert refused.value.error.code == "InvalidTemplateDeployment"
    assert refused.value.error.details[0].code == "InvalidServerName"
    assert simulator.call("GET", f"/resourceGroups/{group}/resources").json()["value"] == []


def test_the_stock_resource_client_makes_finds_and_deletes(simulator, resources):
    name = f"rg-{uuid.uuid4().hex[:8]}"
    resources.resource_groups.create_or_update(name, {"location": "westeurope"})
    server = f"srv-{uuid.uuid4().hex[:8]}"
    identity = (
        f"{simulator.subscription}/resourceGroups/{name}"
        f"/providers/Microsoft.DBforPostgreSQL/flexibleServers/{server}"
    )
    body = a_server_template()["resources"][0]
    body = {
        "location": "westeurope",
        "sku": body["sku"],
        "tags": {"made-by": server},
        "properties": {"administratorLogin": "osbadmin", "administratorLoginPassword": f"A1-{uuid.uuid4()}"},
    }

    made = resources.resources.begin_create_or_update_by_id(identity, body, api_version="2026-10-01").result(
        30
    )
    found = list(resources.resources.list(filter=f"tagName eq 'made-by' and tagValue eq '{server}'"))
    resources.resources.begin_delete_by_id(identity, api_version="2026-10-01").result(30)
    gone = list(resources.resources.list_by_resource_group(name))
    resources.resource_groups.begin_delete(name).result(30)

    assert made.properties["state"] == "Ready"
    assert [each.id for each in found] == [identity]
    assert gone == []
    assert not resources.resource_groups.check_existence(name)
