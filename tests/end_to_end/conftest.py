"""A world for each test: a broker's database on either kind, a resource group, and real servers in Azure."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.end_to_end.lasting import Lasting, an_instance_that_lasts
from tests.end_to_end.world import World
from tests.postgresql import dsn_of


@contextmanager
def a_world(azure, database_url: str, folder: Path) -> Iterator[World]:
    world = World(azure, database_url, folder)
    try:
        yield world
    finally:
        world.end()


@pytest.fixture
def world(simulator_with_databases, database_url, tmp_path) -> Iterator[World]:
    with a_world(simulator_with_databases, database_url, tmp_path) as made:
        yield made


@pytest.fixture
def sqlite_world(simulator_with_databases, sqlite_url, tmp_path) -> Iterator[World]:
    with a_world(simulator_with_databases, sqlite_url, tmp_path) as made:
        yield made


@pytest.fixture
def postgresql_world(simulator_with_databases, postgresql_url, tmp_path) -> Iterator[World]:
    with a_world(simulator_with_databases, postgresql_url, tmp_path) as made:
        yield made


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def lasting(request, simulator_with_databases, tmp_path_factory) -> Iterator[Lasting]:
    """An instance that the tests of a module share, one broker at a time."""
    folder = tmp_path_factory.mktemp("lasting")
    if request.param == "sqlite":
        file = folder / "broker.db"
        shutil.copy(request.getfixturevalue("migrated_file"), file)
        with a_world(simulator_with_databases, f"sqlite:///{file}", folder) as world:
            yield an_instance_that_lasts(world)
        return
    dsn, template = request.getfixturevalue("postgres_dsn"), request.getfixturevalue("migrated_template")
    name = f"lasting_{folder.name}_{template}".replace("-", "_")[:60]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
    with a_world(simulator_with_databases, dsn_of(dsn, name), folder) as world:
        yield an_instance_that_lasts(world)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
