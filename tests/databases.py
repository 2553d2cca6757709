"""The broker's database for tests: every test that asks for `database` runs on SQLite and on PostgreSQL."""

import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from broker.store import migrations
from broker.store.database import Database
from broker.store.sealing import KeyRing
from tests.postgresql import FreshDatabase, dsn_of


@pytest.fixture(scope="session")
def key_ring() -> KeyRing:
    return KeyRing([("test", secrets.token_bytes(32))])


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory) -> Path:
    """A SQLite file that the migrations made; copied for each test."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrations.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_template(postgres_dsn: str) -> Iterator[str]:
    """The name of a PostgreSQL database that the migrations made; copied for each test."""
    name = f"template_{secrets.token_hex(8)}"
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    migrations.upgrade(dsn_of(postgres_dsn, name))
    yield name
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def sqlite_url(migrated_file: Path, tmp_path: Path) -> str:
    """URL of a migrated SQLite file of the test's own."""
    path = tmp_path / "broker.db"
    shutil.copy(migrated_file, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgresql_url(migrated_template: str, fresh_database: FreshDatabase) -> str:
    """URL of a migrated PostgreSQL database of the test's own."""
    return fresh_database(template=migrated_template)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of a migrated database of the test's own, once for each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    assert urlsplit(url).scheme == request.param
    return url


@pytest.fixture
async def database(anyio_backend: str, database_url: str, key_ring: KeyRing) -> AsyncIterator[Database]:
    """The broker's database, opened."""
    opened = await Database.open(database_url, sealing=key_ring, broker_id="test")
    yield opened
    await opened.close()
