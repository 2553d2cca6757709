"""A provisioner on the simulated Azure, with a resource group of each test's own."""

from datetime import timedelta
from pathlib import Path

import pytest

from broker.azure.arm import Arm
from broker.azure.clouds import custom
from broker.azure.credentials import credential_for
from broker.azure.transport import http_client
from broker.catalog.reader import read_catalog
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.registry import registry
from broker.shipped import shipped
from tests.provisioners.engine import Order

OFFERINGS = {offering.name: offering for offering in read_catalog(shipped("catalog")).offerings}


@pytest.fixture
def azure(simulator_with_databases):
    return simulator_with_databases


@pytest.fixture
def group(azure):
    return azure.a_group()


@pytest.fixture
async def arm(azure):
    access = azure.access
    async with http_client(ca_file=Path(access.ca_file)) as client:
        cloud = custom(access.endpoint)
        credential = credential_for(
            "simulator", cloud=cloud, client=client, token_file=Path(access.token_file)
        )
        yield Arm(cloud=cloud, credential=credential, client=client)


@pytest.fixture
def options(azure, group):
    return ProvisionerOptions(
        broker_id="broker-under-test",
        subscription=azure.access.subscription_id,
        location="westeurope",
        resource_group=group,
        poll_interval=timedelta(milliseconds=20),
        egress_addresses=("127.0.0.1",),
        data_plane_ca_file=Path(azure.access.ca_file),
    )


@pytest.fixture
def provisioner(arm, options):
    return registry(options, arm)["arm_template"]


@pytest.fixture
def order(provisioner):
    def ordered(name="azure-postgresql", plan=0, parent=None, repeat=False, instance_id=None, **parameters):
        offering = OFFERINGS[name]
        more = {"instance_id": instance_id} if instance_id else {}
        return Order(
            provisioner, offering.plans[plan], offering.id, parameters, parent=parent, repeat=repeat, **more
        )

    return ordered
