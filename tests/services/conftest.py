"""
A shop for each family's tests: one broker with its runner, on SQLite, for all tests of a module.

A module whose service needs real servers behind the simulated Azure overrides `azure`:

    @pytest.fixture(scope="module")
    def azure(simulator_with_databases):
        return simulator_with_databases
"""

import shutil
from collections.abc import Iterator

import pytest

from tests.end_to_end.world import World
from tests.services.shop import Shop


@pytest.fixture(scope="module")
def azure(simulator):
    """The simulated Azure that a module's tests share; nothing listens behind its servers."""
    return simulator


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Settings of the module's broker besides the usual ones."""
    return {}


@pytest.fixture(scope="module")
def shop(azure, settings, migrated_file, tmp_path_factory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("services")
    shutil.copy(migrated_file, folder / "broker.db")
    world = World(azure, f"sqlite:///{folder / 'broker.db'}", folder)
    try:
        yield Shop(world, world.start(**settings).platform)
    finally:
        world.end()
