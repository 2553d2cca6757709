"""What the provisioner changes in Azure it changes under a claim that is still held."""

import asyncio
import uuid
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from broker.azure.arm import Arm
from broker.azure.clouds import custom
from broker.azure.credentials import credential_for
from broker.azure.transport import http_client
from broker.operations.runner import Runner, RunnerOptions
from broker.provisioners.base import Outcome
from broker.provisioners.registry import registry
from broker.store.database import Database
from tests.chaos.clocks import PostgreSqlClock
from tests.provisioners.conftest import OFFERINGS
from tests.provisioners.engine import Order, calls_in
from tests.provisioners.test_with_the_engine import Customer, told

pytestmark = pytest.mark.anyio

LEASE = timedelta(seconds=30)


async def test_a_deployment_is_put_once_when_the_clock_jumps_between_its_question_and_its_put(
    azure, group, provisioner, options, arm, postgresql_url, key_ring
):
    clock = PostgreSqlClock(postgresql_url)
    clock.install()
    instance_id = str(uuid.uuid4())
    # The first question after the deployment is answered truly, and so slowly that the answer is old when it comes.
    azure.fault("trickle", method="GET", path=f"/{group}/.*/deployments/", seconds=1.5)

    async with AsyncExitStack() as stack:
        databases, runners = [], []
        for name in ("the first", "the second"):
            database = await Database.open(postgresql_url, sealing=key_ring, broker_id="test")
            stack.push_async_callback(database.close)
            databases.append(database)
            runners.append(
                Runner(database, {"arm_template": provisioner}, RunnerOptions(name=name, lease=LEASE))
            )
        group_of_tasks = await stack.enter_async_context(asyncio.TaskGroup())
        for runner in runners:
            stack.callback(runner.stop)
        customer = Customer(databases[1], told(options, arm))
        group_of_tasks.create_task(runners[0].run())
        await customer.order("azure-storage-account", instance_id)
        async with asyncio.timeout(20):
            while not [call for call in calls_in(azure, group, "GET", "/deployments/") if call["status"]]:
                await asyncio.sleep(0.01)
        clock.jump(2 * LEASE)
        group_of_tasks.create_task(runners[1].run())
        ended = await customer.ended(instance_id)
        async with asyncio.timeout(20):
            while runners[0].in_flight:
                await asyncio.sleep(0.01)

    assert ended.state == "succeeded"
    assert len(calls_in(azure, group, "PUT", "/deployments/")) == 1


class Noting(Order):
    """Notes when it was asked whether a change may pass."""

    events: list[str]

    async def before_change(self) -> None:
        self.events.append("asked")


async def test_each_change_in_azure_is_asked_for_right_before_it_is_made(azure, group, options):
    events: list[str] = []
    access = azure.access
    async with http_client(ca_file=Path(access.ca_file)) as client:
        cloud = custom(access.endpoint)
        credential = credential_for(
            "simulator", cloud=cloud, client=client, token_file=Path(access.token_file)
        )
        arm = Arm(
            cloud=cloud,
            credential=credential,
            client=client,
            on_call=lambda call: events.append(f"{call.method} {call.pattern}"),
        )
        offering = OFFERINGS["azure-postgresql"]
        rules = [{"name": "office", "startIPAddress": "192.0.2.1", "endIPAddress": "192.0.2.9"}]
        order = Noting(
            registry(options, arm)["arm_template"], offering.plans[0], offering.id, {"firewallRules": rules}
        )
        order.events = events

        assert (await order.create()).outcome is Outcome.DONE
        binding, bound = await order.bind()
        assert bound.outcome is Outcome.DONE
        assert (await order.unbind(binding)).outcome is Outcome.DONE
        assert (await order.update(firewallRules=[])).outcome is Outcome.DONE
        assert (await order.delete()).outcome is Outcome.DONE

    changes = [
        (before, event)
        for before, event in zip(["", *events], events, strict=False)
        if event.startswith(("PUT", "DELETE"))
    ]
    assert {before for before, _ in changes} == {"asked"}
    assert Counter(event.split()[0] for _, event in changes)["DELETE"] >= 3
