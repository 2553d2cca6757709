from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.store.database import Database
from tests.operations.engine import a_runner
from tests.operations.imagined import Imagined, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world")


@pytest.fixture
async def at_work(database: Database, world: World) -> AsyncIterator[Imagined]:
    """A runner is at work; gives its provisioner."""
    provisioner = Imagined(world)
    async with a_runner(database, provisioner):
        yield provisioner
