"""What the provisioner makes of replies that are cut, empty, mistyped or untrue, and of tokens that run out."""

import uuid

import pytest

from broker.domain.operations import OperationKind
from broker.provisioners.base import Outcome, StepFailed
from tests.provisioners.engine import calls_in, resources_in

pytestmark = pytest.mark.anyio

METHODS = ("GET", "PUT", "DELETE")
LIES = {
    "truncated": {"kind": "truncated"},
    "empty": {"kind": "empty"},
    "html with 200": {"kind": "error", "status": 200, "html": True},
    "html with 502": {"kind": "error", "status": 502, "html": True},
    "expired token": {"kind": "expired_token"},
}


@pytest.fixture
def azure(simulator):
    """No database server is needed for what the management API does."""
    return simulator


@pytest.fixture
def server(order):
    return order("azure-postgresql-server")


def servers_in(azure, group):
    return [each for each in resources_in(azure, group) if each.split("/")[-2].lower() == "flexibleservers"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_of_any_call_costs_time_and_nothing_else(azure, group, server, lie, method):
    azure.fault(method=method, path=group, **LIES[lie])

    created = await server.create()
    made = servers_in(azure, group)
    deleted = await server.delete()

    assert created.outcome is Outcome.DONE, created.description
    assert len(made) == 1
    assert deleted.outcome is Outcome.DONE, deleted.description
    assert resources_in(azure, group) == []
    assert server.living == []
    struck = [call for call in azure.ledger() if group in call["path"] and call["fault"]]
    assert len(struck) == 1


@pytest.mark.parametrize("kind", ["wrong_type", "trickle"])
async def test_a_reply_that_is_only_odd_is_believed(azure, group, server, kind):
    options = {"seconds": 0.2} if kind == "trickle" else {}
    azure.fault(kind, path=group, count=4, **options)

    created = await server.create()

    assert created.outcome is Outcome.DONE, created.description
    assert server.failures == []


async def test_a_deployment_that_is_not_seen_at_once_is_not_made_twice(azure, group, server):
    azure.fault("unseen", method="PUT", path=f"{group}/.*/deployments/", reads=3)

    created = await server.create()

    assert created.outcome is Outcome.DONE, created.description
    assert len(servers_in(azure, group)) == 1
    accepted = [call for call in calls_in(azure, group, "PUT", "/deployments/") if call["status"] == 201]
    assert len(accepted) == 1


async def test_a_server_that_a_read_does_not_find_is_not_taken_for_gone(azure, group, server):
    await server.create()
    azure.fault("unseen", method="GET", path=f"{group}/.*flexibleServers/[^/]+$")

    deleted = await server.delete()

    assert deleted.outcome is Outcome.DONE
    assert resources_in(azure, group) == []


async def test_a_database_whose_parent_a_read_does_not_find_is_not_taken_for_gone(azure, group, order):
    server = order("azure-postgresql-server")
    await server.create()
    child = order("azure-postgresql-database", parent=server)
    await child.carry_out(OperationKind.PROVISION, "create", until="database")
    azure.fault("unseen", method="GET", path=f"{group}/.*flexibleServers/[^/]+$")

    deleted = await child.carry_out(OperationKind.DEPROVISION, "delete", until="roles")

    assert deleted.phase == "roles"
    assert not [each for each in resources_in(azure, group) if "/databases/" in each]


async def test_a_token_that_azure_calls_expired_is_a_matter_for_the_operator(azure, group, server):
    azure.fault("expired_token", path=group, count=None)
    server.operation = server.an_operation(OperationKind.PROVISION)

    with pytest.raises(StepFailed) as failed:
        await server.take_step("create")

    assert failed.value.retryable
    assert "sign-in" in failed.value.description
    assert "ExpiredAuthenticationToken" in failed.value.description


async def test_a_role_that_a_read_does_not_find_is_taken_away_all_the_same(azure, group, order):
    blob = order("azure-storage-blob")
    await blob.create()
    principal = {"principalId": str(uuid.uuid4()), "clientId": str(uuid.uuid4())}
    binding, bound = await blob.bind(auth="entra", **principal)
    assert bound.outcome is Outcome.DONE, bound.description
    azure.fault("unseen", method="GET", path=f"{group}/.*/roleAssignments/")

    unbound = await blob.unbind(binding)

    assert unbound.outcome is Outcome.DONE, unbound.description
    assert not [each for each in azure.state()["role_assignments"] if group in each["id"]]
