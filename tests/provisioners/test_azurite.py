"""
Bindings on a real storage server: Azurite, which Azure's own team makes for development.

The simulated Azure keeps the account and its keys, Azurite serves its blobs with the same keys. `make tools` has it.
"""

import os
import socket
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import AccessPolicy, BlobServiceClient, ContainerClient, PublicAccess

from broker.provisioners.base import Outcome
from broker.provisioners.registry import registry
from broker.simulator.certificates import CertificateAuthority
from tests.needs import the_program
from tests.provisioners.conftest import OFFERINGS
from tests.provisioners.engine import Order

VERSION = "2026-09-01"

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.needs("azurite")]


@pytest.fixture
def azure(simulator):
    yield simulator
    simulator.client.post("/_simulator/storage", json={"base": f"{simulator.endpoint}/_blobs"})


@pytest.fixture
def trusted(tmp_path):
    authority = CertificateAuthority()
    issued = authority.issue("127.0.0.1")
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "azurite.pem").write_bytes(issued.certificate_pem)
    (tmp_path / "azurite.key").write_bytes(issued.key_pem)
    return tmp_path / "ca.pem"


@pytest.fixture
async def blob(azure, arm, options, trusted, tmp_path):
    """An order whose account Azurite serves, with its container made there as Resource Manager would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    azure.client.post("/_simulator/storage", json={"base": f"https://127.0.0.1:{port}"})
    offering = OFFERINGS["azure-storage-blob"]
    provisioner = registry(replace(options, data_plane_ca_file=trusted), arm)["arm_template"]
    ordered = Order(provisioner, offering.plans[0], offering.id)
    assert (await ordered.create()).outcome is Outcome.DONE
    account, names = ordered.instance.record["main"]["id"], ordered.instance.record["names"]
    keys = [one["value"] for one in azure.call("POST", f"{account}/listKeys", version=VERSION).json()["keys"]]
    served = subprocess.Popen(
        [
            *(
                *the_program("azurite"),
                "--silent",
                "--skipApiVersionCheck",
                "--location",
                tmp_path / "data",
                "--blobPort",
                str(port),
            ),
            *("--cert", tmp_path / "azurite.pem", "--key", tmp_path / "azurite.key"),
        ],
        env={"PATH": os.environ["PATH"], "AZURITE_ACCOUNTS": ":".join([names["account"], *keys])},
        stdout=subprocess.DEVNULL,
    )
    try:
        with ContainerClient(
            ordered.instance.record["outputs"]["endpoints"]["blob"],
            names["container"],
            credential={"account_name": names["account"], "account_key": keys[0]},
            connection_verify=str(trusted),
        ) as container:
            accepts(port)
            container.create_container()
            ordered.container = container
            yield ordered
    finally:
        served.kill()
        served.wait()


def accepts(port):
    deadline = time.monotonic() + 60  # node reads some thousands of files first
    while time.monotonic() < deadline:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("Azurite does not accept connections")


def uses(trusted, credentials, *, writes=True):
    service = BlobServiceClient.from_connection_string(
        credentials["connectionString"], connection_verify=str(trusted), retry_total=0
    )
    with service, service.get_container_client(credentials["containerName"]) as container:
        if writes:
            container.upload_blob("greeting", b"hello", overwrite=True)
        assert [one.name for one in container.list_blobs()] == ["greeting"]
        return container.download_blob("greeting").readall()


@pytest.mark.proves("azure-storage-blob", "revoke sas (real server)")
async def test_a_real_server_takes_keys_and_tokens_and_refuses_the_revoked_one(trusted, blob):
    key, _ = await blob.bind()
    token, bound = await blob.bind(auth="sas")
    reader, _ = await blob.bind(auth="sas", access="read")

    assert bound.outcome is Outcome.DONE, bound.description
    assert uses(trusted, key.credentials) == uses(trusted, token.credentials) == b"hello"
    assert uses(trusted, reader.credentials, writes=False) == b"hello"
    with pytest.raises(HttpResponseError):
        uses(trusted, reader.credentials)

    unbound = await blob.unbind(token)

    assert unbound.outcome is Outcome.DONE, unbound.description
    with pytest.raises(HttpResponseError, match="AuthorizationFailure"):
        uses(trusted, token.credentials, writes=False)
    assert uses(trusted, reader.credentials, writes=False) == b"hello"


async def test_a_real_server_holds_five_tokens_and_what_others_have_set(trusted, blob):
    theirs = {"theirs": AccessPolicy(permission="r", expiry=datetime.now(UTC) + timedelta(days=1))}
    blob.container.set_container_access_policy(theirs, public_access=PublicAccess.BLOB)
    bindings = [(await blob.bind(auth="sas"))[0] for _ in range(4)]

    _, refused = await blob.bind(auth="sas")

    assert refused.outcome is Outcome.FAILED
    assert "5 stored access policies" in refused.description
    for binding in bindings:
        assert (await blob.unbind(binding)).outcome is Outcome.DONE
    left = blob.container.get_container_access_policy()
    assert [one.id for one in left["signed_identifiers"]] == ["theirs"]
    assert left["public_access"] == "blob"


async def test_a_lease_of_somebody_else_is_waited_for(trusted, blob):
    lease = blob.container.acquire_lease(lease_duration=-1)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(released, lease, blob)
        _, bound = await blob.bind(auth="sas")

    assert bound.outcome is Outcome.DONE, bound.description
    assert "holds the lease" in blob.failures[0].description


async def released(lease, blob):
    """Give the lease back once the bind has met it."""
    with anyio.fail_after(20):
        while not blob.failures:
            await anyio.sleep(0.01)
    lease.release()
