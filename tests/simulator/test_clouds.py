"""The four clouds as their clients find them: metadata, tokens, names, locations; and the ways that lead there."""

import json
import socket
import ssl
import uuid

import httpx
import pytest

from broker.simulator.clouds import CLOUDS
from broker.simulator.server import SimulatorCannotStart, SimulatorOptions, running
from tests.simulated import POSTGRES, StandInDatabases, a_simulator, wait_until
from tests.simulator.templates import SERVERS, a_password

NAMED = ("public", "china", "usgov")
SCOPES = {
    "public": "https://management.azure.com/.default",
    "china": "https://management.chinacloudapi.cn/.default",
    "usgov": "https://management.core.usgovcloudapi.net/.default",
}


@pytest.fixture(scope="module", params=CLOUDS)
def cloud(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    named = request.param in NAMED
    with a_simulator(folder, cloud=request.param, data_planes=False, http=True, proxy=named) as started:
        yield started


@pytest.fixture
def played(cloud):
    return CLOUDS[cloud.access.cloud]


def through_the_proxy(simulator):
    """A client that knows the cloud's own names and no other address."""
    context = ssl.create_default_context(cafile=simulator.access.ca_file)
    return httpx.Client(proxy=simulator.access.proxy, verify=context, trust_env=False)


def scope_of(simulator):
    return SCOPES.get(simulator.access.cloud, f"{simulator.endpoint}/.default")


def a_form(simulator, **changed):
    return {
        "grant_type": "client_credentials",
        "client_id": simulator.access.client_id,
        "client_secret": simulator.access.client_secret,
        "scope": scope_of(simulator),
        **changed,
    }


def ask_for_a_token(simulator, tenant=None, **changed):
    path = f"/{tenant or simulator.access.tenant_id}/oauth2/v2.0/token"
    return simulator.client.post(path, data=a_form(simulator, **changed), headers={"Authorization": ""})


def test_a_client_that_comes_by_loopback_is_not_sent_to_the_real_azure(cloud, played):
    for version in ("2022-09-01", "2019-05-01"):
        told = httpx.get(
            f"{cloud.access.http_endpoint}/metadata/endpoints?api-version={version}", trust_env=False
        ).json()
        (one,) = told if version == "2019-05-01" else [told]

        assert one["name"] == played.environment
        assert one["resourceManager"] == f"{cloud.access.http_endpoint}/"
        assert one["authentication"]["loginEndpoint"] == cloud.access.http_endpoint
        assert one["suffixes"]["storage"] == played.suffixes["storage"]


def test_a_client_that_comes_by_the_clouds_own_name_finds_its_own_addresses(cloud, played):
    if cloud.access.proxy is None:
        return  # A custom cloud has no names of its own.

    with through_the_proxy(cloud) as client:
        told = client.get(f"https://{played.management}/metadata/endpoints?api-version=2022-09-01").json()

    assert told["resourceManager"] == f"https://{played.management}/"
    assert told["authentication"]["loginEndpoint"] == f"https://{played.login}"
    assert SCOPES[played.name].removesuffix(".default") in told["authentication"]["audiences"]


@pytest.mark.parametrize("version", ["", "2016-01-01", "tomorrow"])
def test_metadata_of_an_unknown_version_are_refused(cloud, version):
    reply = cloud.client.get(f"/metadata/endpoints?api-version={version}")

    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "InvalidApiVersionParameter")


def test_an_issued_token_opens_resource_manager_for_its_time(cloud):
    issued = ask_for_a_token(cloud).json()
    path = f"{cloud.subscription}?api-version=2022-12-01"
    seen = cloud.client.get(path, headers={"Authorization": f"Bearer {issued['access_token']}"})
    stranger = cloud.client.get(path, headers={"Authorization": f"Bearer {issued['access_token']}x"})

    assert (issued["token_type"], issued["expires_in"]) == ("Bearer", 3600)
    assert seen.json()["tenantId"] == cloud.access.tenant_id
    assert stranger.status_code == 401
    assert f"/{cloud.access.tenant_id}" in stranger.headers["www-authenticate"]


@pytest.mark.parametrize("other", [*NAMED, "custom"])
def test_a_token_is_issued_for_this_clouds_scope_and_no_other(cloud, other):
    scope = SCOPES.get(other, f"{cloud.endpoint}/.default")

    reply = ask_for_a_token(cloud, scope=scope)

    if other == cloud.access.cloud:
        assert reply.status_code == 200
    else:
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_resource")
        assert "AADSTS500011" in reply.json()["error_description"]


def test_the_us_governments_scope_is_not_its_endpoint(cloud):
    reply = ask_for_a_token(cloud, scope="https://management.usgovcloudapi.net/.default")

    assert reply.json()["error"] == "invalid_resource"


@pytest.mark.parametrize(
    ("changed", "status", "error"),
    [
        ({"client_secret": "guessed"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"client_id": str(uuid.uuid4())}, 400, "unauthorized_client"),
        ({"tenant": str(uuid.uuid4())}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"scope": "openid"}, 400, "invalid_scope"),
        ({"scope": ""}, 400, "invalid_scope"),
    ],
)
def test_whoever_asks_wrongly_gets_no_token_and_hears_why(cloud, changed, status, error):
    reply = ask_for_a_token(cloud, **changed)

    assert (reply.status_code, reply.json()["error"]) == (status, error)
    assert reply.json()["error_description"].startswith("AADSTS")
    assert "access_token" not in reply.text
    last = cloud.client.get("/_simulator/sign-ins").json()["sign_ins"][-1]
    assert (last["status"], last["error"]) == (status, error)


def test_a_form_of_thousands_of_fields_or_of_no_letters_is_refused(cloud):
    path = f"/{cloud.access.tenant_id}/oauth2/v2.0/token"

    many = cloud.client.post(path, content="&".join(f"a{n}=1" for n in range(1000)))
    binary = cloud.client.post(path, content=b"\xff\xfe")
    long = cloud.client.post(path, content=b"a" * 100_000)

    assert [reply.status_code for reply in (many, binary, long)] == [400, 400, 413]


def test_no_secret_is_told_of_those_who_signed_in(cloud):
    token = ask_for_a_token(cloud).json()["access_token"]

    told = cloud.client.get("/_simulator/sign-ins").text

    assert scope_of(cloud) in told
    assert token not in told
    assert cloud.access.client_secret not in told


def test_a_tenants_configuration_leads_to_its_token_endpoint(cloud):
    for tenant in (cloud.access.tenant_id, "organizations"):
        told = cloud.client.get(f"/{tenant}/v2.0/.well-known/openid-configuration").json()

        assert told["token_endpoint"] == f"{cloud.endpoint}/{tenant}/oauth2/v2.0/token"
        assert told["issuer"] == f"{cloud.endpoint}/{cloud.access.tenant_id}/v2.0"
    assert cloud.client.get("/somebody/v2.0/.well-known/openid-configuration").status_code == 400
    assert "tenant_discovery_endpoint" in cloud.client.get("/common/discovery/instance").json()


def test_resources_have_the_clouds_host_names_and_stand_in_its_regions(cloud, played):
    region, name = next(iter(played.locations)), f"s{uuid.uuid4().hex[:12]}"
    group = f"rg-{name}"
    cloud.call("PUT", f"/resourceGroups/{group}", {"location": region})
    below = f"/resourceGroups/{group}/providers"
    server, account = f"{below}/{SERVERS}/{name}", f"{below}/Microsoft.Storage/storageAccounts/{name}"
    body = {
        "location": region,
        "sku": {"name": "Standard_B1ms", "tier": "Burstable"},
        "properties": {"administratorLogin": "osbadmin", "administratorLoginPassword": a_password()},
    }
    stored = {"location": region, "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": {}}

    cloud.call("PUT", server, body, version=POSTGRES)
    cloud.call("PUT", account, stored, version="2026-09-01")

    def host():
        return (
            cloud.call("GET", server, version=POSTGRES).json()["properties"].get("fullyQualifiedDomainName")
        )

    assert wait_until(host) == f"{name}.{played.suffixes['postgresqlServerEndpoint']}"
    endpoints = cloud.call("GET", account, version="2026-09-01").json()["properties"]["primaryEndpoints"]
    assert endpoints["blob"] == f"https://{name}.blob.{played.suffixes['storage']}/"


def test_another_clouds_region_is_refused(cloud):
    foreign = "westeurope" if cloud.access.cloud in {"china", "usgov"} else "chinanorth3"

    reply = cloud.call("PUT", "/resourceGroups/elsewhere", {"location": foreign})

    assert reply.json()["error"]["code"] == "LocationNotAvailableForResourceGroup"


def test_a_template_learns_in_which_cloud_it_runs(cloud, played):
    region = next(iter(played.locations))
    cloud.call("PUT", "/resourceGroups/templates", {"location": region})
    path = "/resourceGroups/templates/providers/Microsoft.Resources/deployments/where"
    template = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [],
        "outputs": {"environment": {"type": "object", "value": "[environment()]"}},
    }

    cloud.call("PUT", path, {"properties": {"mode": "Incremental", "template": template}})
    told = wait_until(lambda: cloud.call("GET", path).json()["properties"].get("outputs"))["environment"]

    environment = told["value"]
    assert environment["name"] == played.environment
    assert environment["suffixes"]["keyvaultDns"] == f".{played.suffixes['keyVaultDns']}"
    management = f"https://{played.management}" if played.management else cloud.endpoint
    assert environment["resourceManager"] == f"{management}/"


# Who is served, and how.


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:443", ""])
@pytest.mark.parametrize("path", ["/_simulator/state", "/metadata/endpoints?api-version=2022-09-01", "/"])
def test_a_name_that_was_led_to_loopback_is_not_served(simulator, path, host):
    reply = simulator.client.get(path, headers={"Host": host})

    assert (reply.status_code, reply.json()["error"]["code"]) == (421, "MisdirectedRequest")


@pytest.mark.parametrize("host", ["localhost", "localhost:8443", "127.3.2.1", "[::1]:443"])
def test_loopback_by_any_of_its_names_is_served(simulator, host):
    assert simulator.client.get("/_simulator/state", headers={"Host": host}).status_code == 200


def test_without_tls_it_is_the_same_azure_and_wants_the_same_token(cloud):
    path = f"{cloud.access.http_endpoint}{cloud.subscription}/resourcegroups?api-version=2025-04-01"

    stranger = httpx.get(path, trust_env=False)
    known = httpx.get(path, headers={"Authorization": f"Bearer {cloud.access.token}"}, trust_env=False)

    assert stranger.status_code == 401
    assert known.status_code == 200


def test_there_is_no_way_without_tls_unless_asked_for(simulator):
    assert simulator.access.http_endpoint is None
    assert simulator.access.proxy is None


def test_links_stay_without_tls_where_the_client_came_without(cloud, played):
    region = next(iter(played.locations))
    headers = {"Authorization": f"Bearer {cloud.access.token}"}
    with httpx.Client(base_url=cloud.access.http_endpoint, headers=headers, trust_env=False) as client:
        group = f"{cloud.subscription}/resourceGroups/plain?api-version=2025-04-01"
        client.put(group, json={"location": region})

        reply = client.delete(group)

    assert reply.status_code == 202
    assert reply.headers["location"].startswith(f"{cloud.access.http_endpoint}/")


@pytest.mark.parametrize(
    "line",
    [
        "CONNECT example.org:443 HTTP/1.1",
        "CONNECT 127.0.0.1:22 HTTP/1.1",
        "CONNECT management.azure.com:22 HTTP/1.1",
        "GET http://management.azure.com/ HTTP/1.1",
        "nothing",
        "x" * 70_000,
    ],
)
def test_the_proxy_leads_to_its_cloud_and_nowhere_else(cloud, line):
    if cloud.access.cloud != "public":
        return
    host, _, port = cloud.access.proxy.removeprefix("http://").rpartition(":")

    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(f"{line}\r\n\r\n".encode())
        reply = connection.recv(4096)

    assert reply.startswith(b"HTTP/1.1 403 ")


def test_the_proxy_lets_go_of_those_who_hang_up(cloud):
    if cloud.access.cloud != "public":
        return
    host, _, port = cloud.access.proxy.removeprefix("http://").rpartition(":")

    for sent in (b"", b"CONNECT", b"CONNECT management.azure.com:443 HTTP/1.1\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(sent)

    with through_the_proxy(cloud) as client:
        reply = client.get("https://management.azure.com/metadata/endpoints?api-version=2022-09-01")
        assert reply.status_code == 200


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cloud": "atlantis"}, "known are public, china, usgov, custom"),
        ({"cloud": "custom", "proxy": True}, "no names of its own"),
        ({"api_versions": {"Microsoft.Nothing/things": "2024-01-01"}}, "Microsoft.Nothing/things"),
    ],
)
async def test_what_cannot_be_played_is_refused_at_the_start(tmp_path, options, said):
    with pytest.raises(SimulatorCannotStart, match=said):
        async with running(SimulatorOptions(tmp_path, **options), StandInDatabases()):
            pass


@pytest.mark.anyio
async def test_the_ready_file_names_no_secret_but_where_it_is(tmp_path):
    async with running(SimulatorOptions(tmp_path), StandInDatabases()) as started:
        told = (tmp_path / "simulator.json").read_text()

        assert json.loads(told)["client_id"] == started.access.client_id
        assert started.access.token not in told
        assert started.access.client_secret not in told
        assert (tmp_path / "client-secret").stat().st_mode & 0o777 == 0o600
