"""Ways to sign in: chosen explicitly, checked at the start, and no network touched before the first call."""

import json
from urllib.parse import parse_qs

import httpx
import pytest

from broker.azure.arm import Arm
from broker.azure.clouds import custom
from broker.azure.credentials import AuthMode, AzureSettingsError, credential_for
from broker.azure.failures import NotSent, TokenRefused
from broker.azure.transport import http_client
from tests.azure.stand_in import CLOUD

pytestmark = pytest.mark.anyio

TENANT = "8b1a9953-c461-4296-a827-abf8c47804d7"


class Entra:
    """A token issuer and Resource Manager in one."""

    def __init__(self):
        self.token_requests = []
        self.authorizations = []
        self.refuses = False
        self.unreachable = False

    async def handle_async_request(self, request):
        await request.aread()
        if request.url.path.endswith("/oauth2/v2.0/token"):
            if self.unreachable:
                raise httpx.ReadError("reset")
            self.token_requests.append((request.url, parse_qs(request.content.decode())))
            if self.refuses:
                return httpx.Response(
                    401,
                    json={"error": "invalid_client", "error_description": "AADSTS7000215: Invalid secret."},
                )
            return httpx.Response(
                200,
                json={
                    "token_type": "Bearer",
                    "expires_in": 3600,
                    "access_token": f"token-{len(self.token_requests)}",
                },
            )
        self.authorizations.append(request.headers["authorization"])
        return httpx.Response(200, content=json.dumps({"id": "x"}))

    async def aclose(self):
        pass

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass


@pytest.fixture
def entra():
    return Entra()


@pytest.fixture
async def client(entra):
    async with http_client(transport=entra) as client:
        yield client


def arm_as(mode, client, **given):
    return Arm(
        cloud=CLOUD, credential=credential_for(mode, cloud=CLOUD, client=client, **given), client=client
    )


async def test_a_client_secret_is_exchanged_once_for_a_token_of_the_clouds_scope(client, entra):
    arm = arm_as(
        "client-secret",
        client,
        tenant_id=TENANT,
        client_id="the-app",
        client_secret="anything",
    )
    for _ in range(3):
        await arm.get_group("s", "g", client_request_id="r")

    ((url, form),) = entra.token_requests
    assert url.host == "login.microsoftonline.com"
    assert form["scope"] == ["https://arm.test/.default"]
    assert form["client_id"] == ["the-app"]
    assert entra.authorizations == ["Bearer token-1"] * 3


async def test_a_workload_identity_presents_the_clusters_token(client, entra, tmp_path):
    token_file = tmp_path / "federated"
    token_file.write_text("from-the-cluster")
    arm = arm_as("workload-identity", client, tenant_id=TENANT, client_id="the-app", token_file=token_file)

    await arm.get_group("s", "g", client_request_id="r")

    ((_, form),) = entra.token_requests
    assert form["client_assertion"] == ["from-the-cluster"]


async def test_a_refused_sign_in_is_the_operators_job_and_nothing_is_sent(client, entra):
    entra.refuses = True
    arm = arm_as("client-secret", client, tenant_id=TENANT, client_id="the-app", client_secret="wrong-one")

    with pytest.raises(TokenRefused) as refused:
        await arm.get_group("s", "g", client_request_id="r")

    assert refused.value.job == "operator"
    assert entra.authorizations == []


async def test_a_token_server_that_gives_no_answer_means_that_the_request_was_not_sent(client, entra):
    entra.unreachable = True
    arm = arm_as("client-secret", client, tenant_id=TENANT, client_id="the-app", client_secret="any-one")

    with pytest.raises(NotSent):
        await arm.put_group("s", "g", "here", {}, client_request_id="r")

    assert entra.authorizations == []


@pytest.mark.parametrize("mode", AuthMode)
async def test_no_mode_touches_the_network_before_it_is_used(mode, client, entra, tmp_path):
    credential = credential_for(
        mode,
        cloud=CLOUD,
        client=client,
        tenant_id=TENANT,
        client_id="the-app",
        client_secret="anything",
        token_file=tmp_path / "token",
    )
    await credential.close()

    assert entra.token_requests == []


@pytest.mark.parametrize(
    ("mode", "given", "setting"),
    [
        ("guess", {}, "azure_authentication"),
        ("simulator", {}, "azure_token_file"),
        ("client-secret", {"client_id": "a", "client_secret": "b"}, "azure_tenant_id"),
        ("client-secret", {"tenant_id": TENANT, "client_secret": "b"}, "azure_client_id"),
        ("client-secret", {"tenant_id": TENANT, "client_id": "a"}, "azure_client_secret"),
        (
            "client-secret",
            {"tenant_id": "no tenant!", "client_id": "a", "client_secret": "b"},
            "azure_tenant_id",
        ),
        ("workload-identity", {}, "azure_tenant_id"),
        ("workload-identity", {"tenant_id": TENANT}, "azure_client_id"),
        ("workload-identity", {"tenant_id": TENANT, "client_id": "a"}, "azure_federated_token_file"),
    ],
)
async def test_a_missing_setting_is_named_at_the_start(mode, given, setting, client, monkeypatch):
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(AzureSettingsError) as refused:
        credential_for(mode, cloud=CLOUD, client=client, **given)

    assert refused.value.setting == setting


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:1", "127.0.0.1:1", "https://u:p@host", "https://host?x=1"]
)
def test_a_cloud_without_tls_cannot_be_named(endpoint):
    with pytest.raises(ValueError, match="address"):
        custom(endpoint)
