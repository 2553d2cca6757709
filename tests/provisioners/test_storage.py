"""Storage accounts, containers and their three ways to bind; the credentials are used by Azure's own client."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.storage.blob import BlobServiceClient, ContainerClient, generate_container_sas

from broker.data_planes import storage
from broker.domain.operations import Refusal
from broker.provisioners.base import Outcome
from tests.provisioners.engine import resources_in

pytestmark = pytest.mark.anyio

VERSION = "2026-09-01"
SEVEN = {
    "storageAccountName",
    "accessKey",
    "primaryBlobServiceEndPoint",
    "primaryFileServiceEndPoint",
    "primaryQueueServiceEndPoint",
    "primaryTableServiceEndPoint",
    "containerName",
}
CONTRACT = {"type", "provider", "auth", "resourceId"}
DATA_CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
DATA_READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"


@pytest.fixture
def azure(simulator):
    return simulator


@pytest.fixture
async def blob(order):
    ordered = order("azure-storage-blob")
    created = await ordered.create()
    assert created.outcome is Outcome.DONE, created.description
    return ordered


def the_container(azure, credentials):
    """Azure's own client with what a binding gave, and nothing else."""
    trust = {"connection_verify": azure.access.ca_file, "retry_total": 0}
    if "uri" in credentials:
        return ContainerClient.from_container_url(credentials["uri"], **trust)
    service = BlobServiceClient.from_connection_string(credentials["connectionString"], **trust)
    return service.get_container_client(credentials["containerName"])


def uses(azure, credentials, *, writes=True):
    with the_container(azure, credentials) as container:
        if writes:
            container.upload_blob("greeting", b"hello", overwrite=True)
        return container.download_blob("greeting").readall()


def assignments(azure, scope):
    found = azure.state()["role_assignments"]
    return [each for each in found if each["properties"]["scope"].lower() == scope.lower()]


def policies(azure, blob):
    """The names of the container's policies, as Azure's own client sees them with the account's key."""
    account = blob.instance.record["main"]["id"]
    keys = azure.call("POST", f"{account}/listKeys", version=VERSION).json()["keys"]
    outputs, names = blob.instance.record["outputs"], blob.instance.record["names"]
    with ContainerClient(
        outputs["endpoints"]["blob"],
        names["container"],
        credential={"account_name": names["account"], "account_key": keys[1]["value"]},
        connection_verify=azure.access.ca_file,
    ) as container:
        return [one.id for one in container.get_container_access_policy()["signed_identifiers"]]


@pytest.mark.proves("azure-storage-blob", "provision")
@pytest.mark.proves("azure-storage-blob", "bind key")
@pytest.mark.proves("azure-storage-blob", "revoke key (cannot be)")
async def test_an_order_is_created_bound_by_key_unbound_and_deleted(azure, group, blob):
    binding, bound = await blob.bind()

    assert bound.outcome is Outcome.DONE, bound.description
    assert SEVEN | CONTRACT | {"connectionString"} == set(binding.credentials)
    assert binding.credentials["auth"] == "key"
    assert uses(azure, binding.credentials) == b"hello"

    assert (await blob.unbind(binding)).outcome is Outcome.DONE
    deleted = await blob.delete()

    assert deleted.outcome is Outcome.DONE, deleted.description
    assert resources_in(azure, group) == []


async def test_no_key_is_in_a_template_an_output_or_a_record(azure, group, blob):
    binding, _ = await blob.bind()
    key = binding.credentials["accessKey"]

    [deployment] = blob.instance.record["deployments"]
    told = azure.call(
        "GET", f"/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{deployment}"
    )

    assert told.status_code == 200
    assert key not in told.text
    assert key not in repr(blob.instance.record) + repr(binding.record) + repr(binding.secrets)
    assert "listKeys" not in str(blob.plan.recipe["template"])


async def test_a_key_that_was_changed_in_azure_is_the_one_that_the_next_binding_gets(azure, blob):
    first, _ = await blob.bind()
    account = blob.instance.record["main"]["id"]
    azure.call("POST", f"{account}/regenerateKey", {"keyName": "key1"}, VERSION)

    second, _ = await blob.bind()
    other, _ = await blob.bind(keyName="secondary")

    assert len({one.credentials["accessKey"] for one in (first, second, other)}) == 3
    with pytest.raises(ClientAuthenticationError):
        uses(azure, first.credentials)
    assert uses(azure, second.credentials) == uses(azure, other.credentials) == b"hello"


@pytest.mark.proves("azure-storage-blob", "bind sas")
@pytest.mark.proves("azure-storage-blob", "revoke sas (driver only)")
async def test_a_token_is_refused_once_its_binding_is_gone_and_the_others_work_on(azure, blob):
    first, bound = await blob.bind(auth="sas")
    reader, _ = await blob.bind(auth="sas", access="read")

    assert bound.outcome is Outcome.DONE, bound.description
    assert {"sasToken", "uri", "connectionString"} <= set(first.credentials)
    assert "accessKey" not in first.credentials
    assert uses(azure, first.credentials) == b"hello"
    without_uri = {key: value for key, value in first.credentials.items() if key != "uri"}
    assert uses(azure, without_uri) == b"hello"
    assert uses(azure, reader.credentials, writes=False) == b"hello"
    with pytest.raises(HttpResponseError, match="AuthorizationPermissionMismatch"):
        uses(azure, reader.credentials)

    unbound = await blob.unbind(first)

    assert unbound.outcome is Outcome.DONE, unbound.description
    with pytest.raises(ClientAuthenticationError):
        uses(azure, first.credentials)
    assert uses(azure, reader.credentials, writes=False) == b"hello"
    assert policies(azure, blob) == [reader.record["made"][0]["policy"]]


async def test_a_sixth_token_is_refused_by_name_and_leaves_the_five(azure, blob):
    bindings = [(await blob.bind(auth="sas"))[0] for _ in range(5)]

    sixth, refused = await blob.bind(auth="sas")

    assert refused.outcome is Outcome.FAILED
    assert "5 stored access policies" in refused.description
    assert refused.refusal == Refusal("LimitReached", never=False)
    assert len(policies(azure, blob)) == 5
    assert (await blob.unbind(sixth)).outcome is Outcome.DONE
    assert (await blob.unbind(bindings[0])).outcome is Outcome.DONE
    assert (await blob.bind(auth="sas"))[1].outcome is Outcome.DONE
    assert uses(azure, bindings[4].credentials) == b"hello"


@pytest.mark.proves("azure-storage-blob", "bind entra")
@pytest.mark.proves("azure-storage-blob", "revoke entra (not provable here)")
async def test_a_role_is_assigned_on_the_container_and_taken_away(azure, blob):
    principal, scope = str(uuid.uuid4()), blob.instance.record["outputs"]["containerId"]

    binding, bound = await blob.bind(auth="entra", principalId=principal, clientId=str(uuid.uuid4()))

    assert bound.outcome is Outcome.DONE, bound.description
    assert {"accessKey", "sasToken", "connectionString"} & set(binding.credentials) == set()
    assert {"endpoint", "clientId", "scope", "containerName"} | CONTRACT <= set(binding.credentials)
    [found] = assignments(azure, scope)
    assert found["properties"]["principalId"] == principal
    assert found["properties"]["principalType"] == "ServicePrincipal"
    assert found["properties"]["roleDefinitionId"].endswith(DATA_CONTRIBUTOR)
    assert [each for each in blob.living if "roleAssignments" in each] == [found["id"]]

    unbound = await blob.unbind(binding)

    assert unbound.outcome is Outcome.DONE, unbound.description
    assert assignments(azure, scope) == []
    assert not [each for each in blob.living if "roleAssignments" in each]


async def test_a_role_that_the_principal_has_already_is_not_shared(azure, blob):
    principal, scope = str(uuid.uuid4()), blob.instance.record["outputs"]["containerId"]
    await blob.bind(auth="entra", principalId=principal)

    second, refused = await blob.bind(auth="entra", principalId=principal)
    _, read = await blob.bind(auth="entra", principalId=principal, access="read")

    assert refused.outcome is Outcome.FAILED
    assert "has this role here already" in refused.description
    assert read.outcome is Outcome.DONE
    assert (await blob.unbind(second)).outcome is Outcome.DONE
    roles = {each["properties"]["roleDefinitionId"][-36:] for each in assignments(azure, scope)}
    assert roles == {DATA_CONTRIBUTOR, DATA_READER}


@pytest.mark.parametrize(
    "parameters", [{}, {"auth": "sas"}, {"auth": "entra", "principalId": str(uuid.uuid4())}]
)
async def test_each_step_may_be_repeated(azure, group, order, parameters):
    ordered = order("azure-storage-blob", repeat=True)

    created = await ordered.create()
    binding, bound = await ordered.bind(**parameters)

    assert created.outcome is Outcome.DONE, created.description
    assert bound.outcome is Outcome.DONE, bound.description
    scope = ordered.instance.record["outputs"]["containerId"]
    assert len(assignments(azure, scope)) == (parameters.get("auth") == "entra")
    assert len(policies(azure, ordered)) == (parameters.get("auth") == "sas")
    assert (await ordered.unbind(binding)).outcome is Outcome.DONE
    assert policies(azure, ordered) == assignments(azure, scope) == []
    assert (await ordered.delete()).outcome is Outcome.DONE
    assert resources_in(azure, group) == []


@pytest.mark.proves("azure-storage-account", "bind entra")
@pytest.mark.proves("azure-storage-account", "revoke entra (not provable here)")
async def test_an_account_without_keys_is_bound_by_role_only(azure, order):
    ordered = order("azure-storage-account", allowSharedKeyAccess=False)
    await ordered.create()

    _, refused = await ordered.bind()
    binding, bound = await ordered.bind(auth="entra", principalId=str(uuid.uuid4()))

    assert refused.outcome is Outcome.FAILED
    assert "allowSharedKeyAccess" in refused.description
    assert bound.outcome is Outcome.DONE, bound.description
    account = ordered.instance.record["main"]["id"]
    assert len(assignments(azure, account)) == 1
    assert (await ordered.unbind(binding)).outcome is Outcome.DONE
    assert assignments(azure, account) == []


@pytest.mark.proves("azure-storage-blob-container", "provision")
@pytest.mark.proves("azure-storage-blob-container", "bind sas")
@pytest.mark.proves("azure-storage-account", "provision")
@pytest.mark.proves("azure-storage-blob-container", "bind key")
@pytest.mark.proves("azure-storage-blob-container", "revoke key (cannot be)")
@pytest.mark.proves("azure-storage-blob-container", "bind entra")
@pytest.mark.proves("azure-storage-blob-container", "revoke entra (not provable here)")
@pytest.mark.proves("azure-storage-blob-container", "revoke sas (driver only)")
async def test_a_container_lives_in_its_parents_account(azure, order):
    parent = order("azure-storage-account")
    assert (await parent.create()).outcome is Outcome.DONE
    child, sibling = (order("azure-storage-blob-container", parent=parent) for _ in range(2))
    for each in (child, sibling):
        created = await each.create()
        assert created.outcome is Outcome.DONE, created.description

    token, _ = await child.bind(auth="sas")
    key, _ = await child.bind()
    other, _ = await sibling.bind(auth="sas")

    assert uses(azure, token.credentials) == uses(azure, key.credentials) == b"hello"
    assert uses(azure, other.credentials) == b"hello"
    stolen = token.credentials["uri"].replace(
        token.credentials["containerName"], other.credentials["containerName"]
    )
    with pytest.raises(HttpResponseError):
        uses(azure, {"uri": stolen}, writes=False)
    assert token.credentials["storageAccountName"] == parent.instance.record["names"]["account"]

    role, _ = await child.bind(auth="entra", principalId=str(uuid.uuid4()))
    assert len(assignments(azure, role.credentials["resourceId"])) == 1
    assert (await child.unbind(role)).outcome is Outcome.DONE
    assert assignments(azure, role.credentials["resourceId"]) == []

    assert (await child.unbind(token)).outcome is Outcome.DONE
    with pytest.raises(HttpResponseError):
        uses(azure, token.credentials)
    assert (await child.delete()).outcome is Outcome.DONE
    assert uses(azure, other.credentials) == b"hello"


async def test_unbinding_succeeds_when_somebody_deleted_the_account(azure, blob):
    token, _ = await blob.bind(auth="sas")
    role, _ = await blob.bind(auth="entra", principalId=str(uuid.uuid4()))
    azure.call("DELETE", blob.instance.record["main"]["id"], version=VERSION)

    assert (await blob.unbind(token)).outcome is Outcome.DONE
    assert (await blob.unbind(role)).outcome is Outcome.DONE
    assert (await blob.delete()).outcome is Outcome.DONE


async def test_unbinding_succeeds_when_somebody_deleted_the_container(azure, blob):
    token, _ = await blob.bind(auth="sas")
    container = blob.instance.record["outputs"]["containerId"]
    azure.call("DELETE", container, version=VERSION)

    assert (await blob.unbind(token)).outcome is Outcome.DONE


async def test_a_premium_account_has_no_endpoint_but_the_one_for_blobs(order):
    ordered = order("azure-storage-blob", plan=3)
    created = await ordered.create()

    binding, _ = await ordered.bind()

    assert created.outcome is Outcome.DONE, created.description
    missing = {"primaryFileServiceEndPoint", "primaryQueueServiceEndPoint", "primaryTableServiceEndPoint"}
    assert SEVEN - set(binding.credentials) == missing


@pytest.mark.proves("azure-storage-account", "update")
async def test_the_firewall_is_closed_but_for_the_broker_until_it_is_opened(azure, order):
    ordered = order("azure-storage-account")
    await ordered.create()

    def acls():
        return azure.call("GET", ordered.instance.record["main"]["id"], version=VERSION).json()["properties"][
            "networkAcls"
        ]

    before = acls()
    updated = await ordered.update(allowedAddresses=["192.0.2.0/24"])
    between = acls()
    await ordered.update(allowedAddresses=[])
    closed = acls()
    await ordered.update(allowAllNetworks=True)

    assert updated.outcome is Outcome.DONE, updated.description
    assert before == {
        "bypass": "None",
        "defaultAction": "Deny",
        "ipRules": [{"value": "127.0.0.1", "action": "Allow"}],
    }
    assert [rule["value"] for rule in between["ipRules"]] == ["192.0.2.0/24", "127.0.0.1"]
    assert closed == before
    assert acls()["defaultAction"] == "Allow"


async def test_a_declared_child_is_made_for_a_binding_and_deleted_with_it(azure, order):
    ordered = order("azure-storage-account")
    await ordered.create()
    verb = {
        "child": {
            "word": "own",
            "below": "{id: join('', [record.main.id, '/blobServices/default'])}",
            "type": "Microsoft.Storage/storageAccounts/blobServices/containers",
            "api_version": VERSION,
            "prefix": "mine-",
            "body": {
                "properties": {"publicAccess": "None", "metadata": {"who": {"pick": "parameters.auth"}}}
            },
        }
    }
    compose = {"compose": {"credentials": {"id": {"pick": "made.own.id"}}}}
    modes = {"by": "auth", "modes": {"key": {"binding": [verb, compose]}}}
    ordered.plan = replace(ordered.plan, recipe={**ordered.plan.recipe, "binding_modes": modes})

    binding, bound = await ordered.bind()

    assert bound.outcome is Outcome.DONE, bound.description
    made = azure.call("GET", binding.credentials["id"], version=VERSION).json()
    assert made["name"] == f"mine-{binding.key.hex}"
    assert made["properties"]["metadata"] == {"who": "key"}

    assert (await ordered.unbind(binding)).outcome is Outcome.DONE
    assert azure.call("GET", binding.credentials["id"], version=VERSION).status_code == 404


async def test_the_simulated_blobs_take_what_azures_own_library_signs(azure, blob):
    binding, _ = await blob.bind()
    told = binding.credentials
    token = generate_container_sas(
        told["storageAccountName"],
        told["containerName"],
        account_key=told["accessKey"],
        permission="rw",
        expiry=datetime.now(UTC) + timedelta(hours=1),
        protocol="https",
    )
    url = f"{told['primaryBlobServiceEndPoint']}{told['containerName']}"

    assert uses(azure, {"uri": f"{url}?{token}"}) == b"hello"
    with pytest.raises(ClientAuthenticationError):
        uses(azure, {"uri": f"{url}?{token}".replace("sp=rw", "sp=rwd")})


async def test_tokens_that_are_made_at_once_do_not_lose_each_others_policies(azure, blob):
    names = blob.instance.record["names"]
    account = blob.instance.record["main"]["id"]
    keys = azure.call("POST", f"{account}/listKeys", version=VERSION).json()["keys"]
    container = storage.Container(
        blob.instance.record["outputs"]["endpoints"]["blob"],
        names["account"],
        names["container"],
        keys[0]["value"],
        Path(azure.access.ca_file),
    )
    met = []

    async def put(number):
        while True:
            try:
                await storage.put_policy(
                    container, f"p{number}", permissions="r", expires_at=None, lease=uuid.uuid4()
                )
            except storage.ContainerBusy as busy:
                met.append(busy)
                await anyio.sleep(0.01)
            else:
                return

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(put, number)

    assert sorted(policies(azure, blob)) == ["p0", "p1", "p2", "p3", "p4"]
    assert met, "they never met"
