"""A deletion ends, with nothing left, wherever the creation stopped."""

import asyncio
import uuid
from datetime import timedelta

import pytest

from broker.domain.operations import OperationKind
from broker.operations.failpoints import Failpoints
from broker.operations.runner import Runner, RunnerOptions
from broker.provisioners.base import LeaseLost, Outcome
from broker.store.database import Database
from tests.provisioners.engine import resources_in
from tests.provisioners.test_with_the_engine import PATIENCE, Customer, told

pytestmark = pytest.mark.anyio

ACCOUNT, DATABASE_SERVER = "azure-storage-account", "azure-postgresql"
PHASES = ["", "submit", "wait"]
POINTS = [Failpoints.BEFORE_STEP, Failpoints.AFTER_STEP, Failpoints.SAVED]


class Stopping(Failpoints):
    """Lets a creation go no further than one point; its claim then lies there until its lease is over."""

    def __init__(self, point, phase):
        self._at = point, phase
        self.stopped = asyncio.Event()

    def reached(self, point, operation):
        if operation.kind is OperationKind.PROVISION and (point, operation.phase) == self._at:
            self.stopped.set()
            raise LeaseLost


@pytest.fixture
async def sqlite_database(anyio_backend, sqlite_url, key_ring):
    opened = await Database.open(sqlite_url, sealing=key_ring, broker_id="test")
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("offering", "point", "phase"),
    [(ACCOUNT, point, phase) for phase in PHASES for point in POINTS]
    + [(DATABASE_SERVER, point, "database") for point in POINTS[:2]],
)
async def test_a_deletion_ends_wherever_the_creation_stopped(
    sqlite_database, azure, group, provisioner, options, arm, offering, point, phase
):
    instance_id, stopping = str(uuid.uuid4()), Stopping(point, phase)
    runner = Runner(
        sqlite_database,
        {"arm_template": provisioner},
        RunnerOptions(name="test", lease=timedelta(milliseconds=600)),
        failpoints=stopping,
    )
    customer = Customer(sqlite_database, told(options, arm))

    async with asyncio.TaskGroup() as tasks, asyncio.timeout(PATIENCE):
        tasks.create_task(runner.run())
        await customer.order(offering, instance_id)
        await stopping.stopped.wait()
        await asyncio.gather(*(customer.delete(offering, instance_id) for _ in range(2)))
        ended = await customer.ended(instance_id)
        runner.stop()

    assert ended is None
    assert resources_in(azure, group) == []


async def test_a_deletion_finds_a_deployment_that_azure_takes_in_after_its_creator_was_stopped(
    azure, group, order, provisioner
):
    ordered = order("azure-storage-account")
    ordered.operation = ordered.an_operation(OperationKind.PROVISION)
    await ordered.take_step("create")
    creation, deletion = ordered.operation, ordered.an_operation(OperationKind.DEPROVISION)

    ordered.operation = deletion
    await ordered.take_step("delete")
    await ordered.take_step("delete")
    azure.clock(speed=0)
    deletion, ordered.operation = ordered.operation, creation
    await ordered.take_step("create", save=False)  # What was on its way arrives now.
    ordered.operation = deletion
    await asyncio.sleep(0.1)  # more than the time after which what was not found twice is gone
    seen = await ordered.take_step("delete")
    azure.clock(speed=azure.speed)
    ended = await ordered.go_on("delete")

    assert seen.description == "Stopping the deployment that still runs."
    assert ended.outcome is Outcome.DONE
    assert resources_in(azure, group) == []
