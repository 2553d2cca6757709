"""The stock deployments and resource clients complete their work against the simulator, unchanged."""

import uuid

import pytest
import requests
from azure.core import AzureClouds
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ServiceRequestError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import AzureAuthorityHosts, ClientSecretCredential
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from azure.mgmt.resource.resources import ResourceManagementClient

from tests.simulated import a_simulator
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


def test_the_stock_client_cancels_what_runs(simulator, deployments):
    group = simulator.a_group()
    simulator.clock(speed=0)
    poller = deployments.deployments.begin_create_or_update(
        group, "first", deployment_body(f"srv-{uuid.uuid4().hex[:8]}")
    )

    deployments.deployments.cancel(group, "first")
    simulator.clock(speed=simulator.speed)
    with pytest.raises(HttpResponseError):
        poller.result(timeout=30)

    assert poller.status() == "Canceled"
    with pytest.raises(HttpResponseError) as refused:
        deployments.deployments.cancel(group, "first")
    assert refused.value.status_code == 409


def test_the_stock_client_deletes_from_the_history_and_leaves_what_was_made(
    simulator, deployments, resources
):
    group, name = simulator.a_group(), f"srv-{uuid.uuid4().hex[:8]}"
    deployments.deployments.begin_create_or_update(group, "first", deployment_body(name)).result(timeout=30)

    deployments.deployments.begin_delete(group, "first").result(timeout=30)

    assert not deployments.deployments.check_existence(group, "first")
    assert list(deployments.deployments.list_by_resource_group(group)) == []
    assert name in [each.name for each in resources.resources.list_by_resource_group(group)]


def test_the_stock_client_hears_why_each_operation_failed(simulator, deployments):
    group, name = simulator.a_group(), f"srv-{uuid.uuid4().hex[:8]}"
    simulator.fault(
        "deployment_failed", path=f"{group}/.*/deployments/", code="QuotaExceeded", message="Full."
    )
    with pytest.raises(HttpResponseError):
        deployments.deployments.begin_create_or_update(group, "first", deployment_body(name)).result(
            timeout=30
        )

    failed = [
        each.properties
        for each in deployments.deployment_operations.list(group, "first")
        if each.properties.provisioning_state == "Failed"
    ]

    assert "QuotaExceeded" in str(failed[0].status_message.error.as_dict())
    assert failed[0].target_resource.resource_type.startswith("Microsoft.DBforPostgreSQL/")


def test_the_stock_client_follows_a_list_from_page_to_page(simulator, resources):
    group = simulator.a_group()
    accounts = sorted(f"st{uuid.uuid4().hex[:16]}" for _ in range(5))
    for name in accounts:
        simulator.plant(
            id=f"{simulator.subscription}/resourceGroups/{group}/providers/Microsoft.Storage/storageAccounts/{name}",
            location="westeurope",
        )

    pages = resources.resources.list_by_resource_group(group, top=2).by_page()
    seen = [[each.name for each in page] for page in pages]

    assert [len(page) for page in seen] == [2, 2, 1]
    assert sorted(name for page in seen for name in page) == accounts


# Azure's clients without TLS, with a credential of their own, and in the other clouds.


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    with a_simulator(tmp_path_factory.mktemp("plain"), data_planes=False, http=True) as started:
        yield started


class AlwaysTheToken(SansIOHTTPPolicy):
    """Puts the token on each request: Azure's own policy refuses to do so without TLS."""

    def __init__(self, token: str) -> None:
        self.token = token

    def on_request(self, request) -> None:
        request.http_request.headers["Authorization"] = f"Bearer {self.token}"


def without_tls(plain, **options):
    return ResourceManagementClient(
        FileToken(plain.access),
        plain.access.subscription_id,
        base_url=plain.access.http_endpoint,
        credential_scopes=["https://management.azure.com/.default"],
        **options,
    )


def test_azures_own_policy_sends_no_token_without_tls(plain):
    with without_tls(plain, retry_total=0) as client, pytest.raises(ServiceRequestError, match="non-TLS"):
        client.resource_groups.create_or_update("refused", {"location": "westeurope"})


def test_a_policy_of_ones_own_sends_it_all_the_same(plain):
    with without_tls(plain, authentication_policy=AlwaysTheToken(plain.access.token)) as client:
        made = client.resource_groups.create_or_update("plain", {"location": "westeurope"})
        client.resource_groups.begin_delete("plain").result(30)

        assert made.name == "plain"
        assert not client.resource_groups.check_existence("plain")


def test_the_stock_credential_signs_in_at_the_simulators_own_address(simulator):
    access = simulator.access
    credential = ClientSecretCredential(
        access.tenant_id,
        access.client_id,
        access.client_secret,
        authority=access.endpoint.removeprefix("https://"),
        disable_instance_discovery=True,
        connection_verify=access.ca_file,
    )

    with credential:
        token = credential.get_token("https://management.azure.com/.default").token
        with pytest.raises(ClientAuthenticationError, match="AADSTS500011"):
            credential.get_token("https://vault.azure.net/.default")

    headers = {"Authorization": f"Bearer {token}"}
    assert simulator.call("GET", "/resourcegroups", headers=headers).status_code == 200


CLOUDS = {
    "public": (AzureClouds.AZURE_PUBLIC_CLOUD, AzureAuthorityHosts.AZURE_PUBLIC_CLOUD, "westeurope"),
    "china": (AzureClouds.AZURE_CHINA_CLOUD, AzureAuthorityHosts.AZURE_CHINA, "chinanorth3"),
    "usgov": (AzureClouds.AZURE_US_GOVERNMENT, AzureAuthorityHosts.AZURE_GOVERNMENT, "usgovvirginia"),
}


@pytest.mark.parametrize("cloud", CLOUDS)
def test_stock_clients_that_know_nothing_but_their_clouds_name_reach_it_by_the_proxy(cloud, tmp_path):
    setting, authority, location = CLOUDS[cloud]
    with a_simulator(tmp_path, cloud=cloud, data_planes=False, proxy=True) as played:
        access = played.access
        way = {"proxies": {"https": access.proxy}, "connection_verify": access.ca_file}
        signs_in = ClientSecretCredential(
            access.tenant_id, access.client_id, access.client_secret, authority=authority, **way
        )
        with (
            signs_in as credential,
            ResourceManagementClient(
                credential, access.subscription_id, cloud_setting=setting, **way
            ) as client,
        ):
            made = client.resource_groups.create_or_update("by-name", {"location": location})

        assert made.location == location
        (asked,) = played.client.get("/_simulator/sign-ins").json()["sign_ins"]
        assert asked["authority"] == f"https://{authority}"
