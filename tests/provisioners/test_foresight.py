"""What is told at acceptance: the same place that the creation then takes, and contradictions at once."""

import pytest

from broker.errors import InvalidParameters
from broker.provisioners.base import Outcome
from broker.provisioners.foresight import foreseeing

pytestmark = pytest.mark.anyio


@pytest.fixture
def azure(simulator):
    return simulator


async def test_what_is_foreseen_is_where_it_is_made(arm, options, order):
    server = order("azure-postgresql-server", location="northeurope")

    seen = foreseeing(options, arm.cloud)(server.plan, server.instance, None)
    created = await server.create()

    first = server.steps[0][2]
    assert created.outcome is Outcome.DONE, created.description
    assert (seen.subscription, seen.region, seen.resource_group, seen.dashboard_url) == (
        first.subscription,
        first.region,
        first.resource_group,
        first.dashboard_url,
    )
    assert seen.region == "northeurope"


async def test_a_contradiction_is_refused_at_acceptance(arm, options, order):
    rule = {"name": "office", "startIPAddress": "192.0.2.9", "endIPAddress": "192.0.2.1"}
    server = order("azure-postgresql-server", firewallRules=[rule])

    with pytest.raises(InvalidParameters, match="ends before it begins"):
        foreseeing(options, arm.cloud)(server.plan, server.instance, None)


@pytest.mark.parametrize("address", ["01.2.3.4", "1.2.3.4\n", "1.2.3", "::1", "", "1.2.3.256"])
async def test_what_is_no_address_is_refused_whatever_the_plans_schema_lets_pass(
    arm, options, order, address
):
    rule = {"name": "office", "startIPAddress": address, "endIPAddress": "192.0.2.1"}
    server = order("azure-postgresql-server", firewallRules=[rule])

    with pytest.raises(InvalidParameters, match="is no IPv4 address"):
        foreseeing(options, arm.cloud)(server.plan, server.instance, None)
