"""A deletion ends, with nothing left, wherever the creation stopped."""

import asyncio
import uuid
from datetime import timedelta

import pytest

from broker.domain.operations import OperationKind
from broker.operations.failpoints import Failpoints
from broker.operations.runner import Runner, RunnerOptions
from broker.provisioners.base import LeaseLost
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
