"""
An order in each cloud, by a service principal, with nothing configured but the cloud's name.

A proxy leads the cloud's own names to a simulated Azure whose certificate bears them; the broker itself is told of a
proxy and of a CA file, as many an operator's is. Only the custom cloud has addresses of its own.
"""

import base64
import secrets
import uuid
from datetime import timedelta
from pathlib import Path

import pytest

from broker.app import cloud_of, resource_manager
from broker.azure.failures import TokenRefused
from broker.catalog.reader import read_catalog
from broker.metrics import Metrics
from broker.provisioners.base import Outcome
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.registry import registry
from broker.settings import SettingsError, read_settings
from broker.shipped import shipped
from tests.provisioners.engine import Order
from tests.simulated import a_simulator

pytestmark = pytest.mark.anyio

OFFERINGS = {offering.name: offering for offering in read_catalog(shipped("catalog")).offerings}
EXPECTED = {
    "public": (
        "https://login.microsoftonline.com",
        "https://management.azure.com/.default",
        "westeurope",
        "core.windows.net",
        "postgres.database.azure.com",
    ),
    "china": (
        "https://login.chinacloudapi.cn",
        "https://management.chinacloudapi.cn/.default",
        "chinanorth3",
        "core.chinacloudapi.cn",
        "postgres.database.chinacloudapi.cn",
    ),
    "usgov": (
        "https://login.microsoftonline.us",
        "https://management.core.usgovcloudapi.net/.default",
        "usgovvirginia",
        "core.usgovcloudapi.net",
        "postgres.database.usgovcloudapi.net",
    ),
    "custom": (None, None, "westeurope", "storage.simulated.invalid", "postgres.simulated.invalid"),
}


@pytest.fixture(scope="module", params=EXPECTED)
def simulated(request, tmp_path_factory):
    folder, proxy = tmp_path_factory.mktemp(request.param), request.param != "custom"
    with a_simulator(folder, cloud=request.param, data_planes=False, proxy=proxy) as started:
        yield started


def settings_for(simulated, **changed):
    access = simulated.access
    custom = {
        "azure_endpoint": access.endpoint,
        "azure_scope": f"{access.endpoint}/.default",
        "azure_authority": access.endpoint,
    }
    where = custom if access.cloud == "custom" else {"azure_proxy": access.proxy}
    return read_settings(
        **{
            "database_url": "sqlite:///unused.db",
            "broker_id": "clouds",
            "sealing_keys": f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}",
            "azure_cloud": access.cloud,
            "azure_ca_file": access.ca_file,
            "azure_authentication": "client-secret",
            "azure_tenant_id": access.tenant_id,
            "azure_client_id": access.client_id,
            "azure_client_secret": access.client_secret,
            "azure_subscription_id": access.subscription_id,
            "azure_location": EXPECTED[access.cloud][2],
            **where,
            **changed,
        }
    )


def an_order(settings, arm, offering, group):
    options = ProvisionerOptions(
        broker_id=settings.broker_id,
        subscription=settings.azure_subscription_id,
        location=settings.azure_location,
        resource_group=group,
        poll_interval=timedelta(milliseconds=20),
    )
    provisioner = registry(options, arm)["arm_template"]
    return Order(provisioner, OFFERINGS[offering].plans[0], OFFERINGS[offering].id)


@pytest.fixture
def group(simulated):
    name = f"rg-{uuid.uuid4().hex[:8]}"
    simulated.call("PUT", f"/resourceGroups/{name}", {"location": EXPECTED[simulated.access.cloud][2]})
    return name


async def test_an_order_is_carried_out_by_a_token_of_the_clouds_own_authority_and_scope(simulated, group):
    authority, scope, region, storage, postgresql = EXPECTED[simulated.access.cloud]
    settings = settings_for(simulated)

    async with resource_manager(settings, cloud_of(settings), Metrics()) as arm:
        blob = an_order(settings, arm, "azure-storage-blob", group)
        created = await blob.create()
        binding, bound = await blob.bind()
        server = an_order(settings, arm, "azure-postgresql-server", group)
        await server.create()
        deleted = await blob.delete()

    assert (created.outcome, bound.outcome, deleted.outcome) == (Outcome.DONE,) * 3
    account = blob.instance.record["names"]["account"]
    assert blob.instance.record["location"] == region
    assert f"https://{account}.blob.{storage}/" in str(binding.credentials)
    host = server.instance.record["outputs"]["host"]
    assert host == f"{server.instance.record['names']['server']}.{postgresql}"
    asked = simulated.client.get("/_simulator/sign-ins").json()["sign_ins"]
    own = simulated.endpoint
    assert {(one["authority"], one["scope"], one["status"]) for one in asked} == {
        (authority or own, scope or f"{own}/.default", 200)
    }


async def test_a_workload_identity_signs_in_at_the_same_authority_for_the_same_scope(simulated, group):
    authority, scope, *_ = EXPECTED[simulated.access.cloud]
    settings = settings_for(
        simulated,
        azure_authentication="workload-identity",
        azure_client_secret=None,
        # The simulated Entra believes this one assertion; what a cluster would sign it cannot check.
        azure_federated_token_file=simulated.access.client_secret_file,
    )

    async with resource_manager(settings, cloud_of(settings), Metrics()) as arm:
        found = await arm.get_group(settings.azure_subscription_id, group, client_request_id="g")

    last = simulated.client.get("/_simulator/sign-ins").json()["sign_ins"][-1]
    own = simulated.endpoint
    assert found["name"] == group
    assert (last["authority"], last["scope"]) == (authority or own, scope or f"{own}/.default")


async def test_a_wrong_secret_is_told_as_the_operators_affair(simulated, group):
    wrong = secrets.token_urlsafe()
    settings = settings_for(simulated, azure_client_secret=wrong)

    async with resource_manager(settings, cloud_of(settings), Metrics()) as arm:
        with pytest.raises(TokenRefused) as refused:
            await arm.get_group(settings.azure_subscription_id, group, client_request_id="g")

    assert wrong not in str(refused.value)


async def test_the_broker_speaks_to_no_resource_manager_without_tls(tmp_path):
    with a_simulator(tmp_path, data_planes=False, cloud="custom", http=True) as simulated:
        endpoint = simulated.access.http_endpoint
        with pytest.raises(SettingsError) as refused:
            settings_for(simulated, azure_endpoint=endpoint, azure_authority=endpoint)

    assert [fault.partition(":")[0] for fault in refused.value.faults] == [
        "BROKER_AZURE_ENDPOINT",
        "BROKER_AZURE_AUTHORITY",
    ]


async def test_a_cloud_that_is_not_the_configured_one_is_not_reached(simulated, group, tmp_path):
    """The proxy leads to the names of its own cloud alone, so another cloud's address goes nowhere."""
    if simulated.access.proxy is None:
        return  # A custom cloud is reached by its own address.
    other = "usgov" if simulated.access.cloud == "china" else "china"
    settings = settings_for(simulated, azure_cloud=other)

    async with resource_manager(settings, cloud_of(settings), Metrics()) as arm:
        with pytest.raises(Exception, match="403") as refused:
            await arm.get_group(settings.azure_subscription_id, group, client_request_id="g")

    assert type(refused.value).__name__ == "NotSent"
    assert Path(simulated.access.ca_file).is_file()
