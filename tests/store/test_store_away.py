import asyncio
import contextlib
import socket
import sqlite3
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import text

from broker.errors import StoreUnavailable
from broker.store import instances, operations, postgresql, sqlite
from broker.store.database import Database
from broker.store.sealing import KeyRing
from tests.store.nouns import an_instance

pytestmark = pytest.mark.anyio


@pytest.fixture
def nobody_listens() -> str:
    """URL of a PostgreSQL that is not there; the port is held, so that nobody else takes it meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"postgresql://127.0.0.1:{held.getsockname()[1]}/broker"


async def test_a_server_that_is_away_is_unavailable_and_neither_opening_nor_closing_waits_for_it(
    nobody_listens: str, key_ring: KeyRing
):
    async with asyncio.timeout(20):
        database = await Database.open(nobody_listens, sealing=key_ring)
        with pytest.raises(StoreUnavailable):
            async with database.transaction():
                pytest.fail("nothing begins without a server")
        with pytest.raises(StoreUnavailable):
            await operations.poll(database, "p", "i")
        with pytest.raises(StoreUnavailable):
            await database.revision_is_current()
        with database.wakeups.finished(an_instance().key) as awaited:
            assert not await awaited.wait(timedelta(milliseconds=10))
        await database.close()


async def test_a_file_that_somebody_else_has_locked_is_unavailable_and_heals(
    sqlite_url: str, key_ring: KeyRing, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 100)
    database = await Database.open(sqlite_url, sealing=key_ring)
    instance = an_instance()

    with contextlib.closing(sqlite3.connect(sqlite.path_of(sqlite_url), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            async with database.transaction() as tx:
                await instances.add(tx, instance)
        assert await operations.poll(database, "p", "i") is None, "reading goes on"
        other.execute("ROLLBACK")

    async with database.transaction() as tx:
        assert await instances.by_key(tx, instance.key) is None
    await database.close()


async def test_a_fault_of_the_program_is_not_taken_for_a_database_that_is_away(database: Database):
    with pytest.raises(Exception, match="no_such_table") as raised:
        async with database.transaction() as tx:
            await tx.execute(text("SELECT * FROM no_such_table"))

    assert not isinstance(raised.value, StoreUnavailable)


async def test_connections_that_died_in_the_pool_are_not_noticed(postgresql_url: str, key_ring: KeyRing):
    database = await Database.open(postgresql_url, sealing=key_ring)
    async with database.transaction(), database.transaction():
        pass

    with psycopg.connect(postgresql_url, autocommit=True) as operator:
        operator.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    async with database.transaction() as tx, database.transaction() as other:
        assert tx.now <= other.now
    await database.close()


def test_a_server_that_became_read_only_is_away_and_no_fault_of_the_statement():
    assert postgresql.is_unavailable(psycopg.errors.ReadOnlySqlTransaction("cannot execute UPDATE"))
