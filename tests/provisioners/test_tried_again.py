"""A creation that is tried once more within its operation, after its clean-up."""

from dataclasses import replace

import pytest

from broker.domain.operations import OperationKind
from broker.provisioners.base import Outcome
from tests.provisioners.engine import calls_in, resources_in

pytestmark = pytest.mark.anyio


@pytest.fixture
def azure(simulator):
    """No database server is needed for what the management API does."""
    return simulator


@pytest.fixture
def server(order):
    return order("azure-postgresql-server")


@pytest.mark.parametrize("first", [Outcome.FAILED, Outcome.DONE])
async def test_a_creation_tried_again_in_its_operation_does_not_meet_its_former_deployment(
    azure, group, server, first
):
    if first is Outcome.FAILED:
        azure.fault("deployment_failed", path=group, code="SkuNotAvailable", message="Not offered here.")
    former = await server.create()
    azure.fault("delete_refused", path=f"{group}.*deployments")
    cleaned = await server.delete(within=server.operation)
    assert (former.outcome, cleaned.outcome) == (first, Outcome.DONE)

    server.instance = replace(
        server.instance,
        generation=1,
        record={},
        applied=None,
        asked=server.instance.asked or server.instance.applied,
    )
    again = await server.carry_out(OperationKind.PROVISION, "create", operation=server.operation)

    assert again.outcome is Outcome.DONE, again.description
    assert len(calls_in(azure, group, "PUT", "/deployments/")) == 2
    assert resources_in(azure, group)
