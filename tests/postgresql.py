"""A PostgreSQL for the tests: one server a process, an empty database a test."""

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from broker.simulator.databases.cluster import SUPERUSER, Access, Cluster
from broker.simulator.databases.runtime import find_runtime

FreshDatabase = Callable[..., str]


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """
    URL (`postgresql://...`) of a superuser on a server that lives as long as the session.

    `TEST_POSTGRES_DSN` names another server. Each worker of pytest-xdist has a server of its own.
    """
    if given := os.environ.get("TEST_POSTGRES_DSN"):
        yield given
        return
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="osb-test-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        access = Access(
            address="127.0.0.1",
            authentication=(
                f"host all {SUPERUSER} 127.0.0.1/32 scram-sha-256",
                "host all all 127.0.0.1/32 scram-sha-256",
            ),
        )
        options = {"max_connections": "200", "shared_buffers": "32MB"}
        cluster = Cluster(find_runtime(folder), folder / "server", access, options)
        password = secrets.token_urlsafe(24)
        cluster.initialise(password)
        stack.callback(lambda: asyncio.run(cluster.stop()))
        asyncio.run(cluster.start())
        yield f"postgresql://{SUPERUSER}:{quote(password, safe='')}@127.0.0.1:{cluster.port}/postgres"


@pytest.fixture
def fresh_database(postgres_dsn: str) -> Iterator[FreshDatabase]:
    """
    Makes databases: each call returns the URL of a new one, dropped after the test.

    `fresh_database()` is empty; `fresh_database(template=name)` is a copy of the database *name*, which
    nobody may be connected to.
    """
    made: list[str] = []

    def make(*, template: str = "template1") -> str:
        name = f"test_{secrets.token_hex(8)}"
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template)
        )
        with psycopg.connect(postgres_dsn, autocommit=True) as connection:
            connection.execute(create)
        made.append(name)
        return dsn_of(postgres_dsn, name)

    yield make
    if made:
        with psycopg.connect(postgres_dsn, autocommit=True) as connection:
            for name in made:
                connection.execute(
                    sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
                )


def dsn_of(postgres_dsn: str, database: str) -> str:
    """*postgres_dsn* with another database."""
    return urlunsplit(urlsplit(postgres_dsn)._replace(path=f"/{quote(database, safe='')}"))
