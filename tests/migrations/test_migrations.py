import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import NullPool, create_engine, make_url, text

from broker.store import instances, migrations
from broker.store.database import Database
from broker.store.errors import DatabaseInUse, SchemaOutdated, TablesInUse, UnsupportedDatabase
from broker.store.sealing import KeyRing
from broker.store.tables import REVISIONS, metadata
from tests.simulated import wait_until

TOP = Path(__file__).parent.parent.parent


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    return request.getfixturevalue("fresh_database")()


def _engine(url: str):
    driver = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}[make_url(url).drivername]
    return create_engine(make_url(url).set(drivername=driver), poolclass=NullPool)


def test_the_migrations_make_the_tables_that_the_code_works_with(database_url: str):
    engine = _engine(database_url)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)

    assert differences == []


def test_the_migrations_lead_from_nothing_to_the_newest_revision_and_twice_is_harmless(empty_url: str):
    assert migrations.current(empty_url) is None

    migrations.upgrade(empty_url)
    migrations.upgrade(empty_url)

    assert migrations.current(empty_url) == REVISIONS[-1]


def test_the_code_knows_the_revisions_that_are_shipped():
    assert migrations.revisions() == REVISIONS


@pytest.mark.anyio
async def test_generations_that_only_the_history_knew_are_known_after_the_migration(
    empty_url: str, key_ring: KeyRing
):
    migrations.upgrade(empty_url, "0001")
    with _engine(empty_url).begin() as connection:
        for number, (kind, generation) in enumerate([("instance", 2), ("instance", 3), ("binding", 9)]):
            connection.execute(
                text(
                    "INSERT INTO history (number, kind, key, platform, instance_id, generation, document, reason, "
                    "created_at, removed_at) VALUES (:number, :kind, :key, 'kubernetes', 'an-id', :generation, '{}', "
                    "'Deprovisioned.', '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000')"
                ),
                {"number": number, "kind": kind, "key": uuid4().hex, "generation": generation},
            )

    migrations.upgrade(empty_url)
    with _engine(empty_url).begin() as connection:
        # A broker of the former release, which still runs, prunes.
        connection.execute(text("DELETE FROM history"))
    database = await Database.open(empty_url, sealing=key_ring)
    async with database.transaction() as tx:
        following = await instances.next_generation(tx, "kubernetes", "an-id")
    await database.close()

    assert following == 4


def test_a_table_that_somebody_holds_is_waited_for_while_others_go_on_using_it(fresh_database):
    url = fresh_database()
    migrations.upgrade(url, "0002")
    with (
        ThreadPoolExecutor() as pool,
        psycopg.connect(url) as holding,
        psycopg.connect(url, autocommit=True, options="-c statement_timeout=10s") as working,
    ):
        holding.execute("SELECT 1 FROM service_instances")
        migrating = pool.submit(migrations.upgrade, url, "0003")
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
        wait_until(lambda: working.execute(waiting).fetchone())

        working.execute("SELECT 1 FROM service_instances")  # queues up behind the migration
        holding.rollback()
        migrating.result(30)

    assert migrations.current(url) == "0003"


def test_a_table_that_is_held_for_long_ends_a_migration_with_words_for_it(fresh_database):
    url = fresh_database()
    migrations.upgrade(url, "0002")
    with psycopg.connect(url) as holding:
        holding.execute("SELECT 1 FROM service_instances")

        with pytest.raises(TablesInUse, match="Nothing was changed"):
            migrations.upgrade(url, "0003", patience=timedelta(0))

    assert migrations.current(url) == "0002"


@pytest.mark.anyio
async def test_a_start_on_an_empty_database_says_what_to_do(empty_url: str, key_ring: KeyRing):
    database = await Database.open(empty_url, sealing=key_ring)

    with pytest.raises(SchemaOutdated, match="run `osb migrate`"):
        await database.revision_is_current()

    await database.close()


@pytest.mark.anyio
async def test_the_predecessor_of_a_later_release_still_starts(database_url: str, key_ring: KeyRing):
    with _engine(database_url).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database = await Database.open(database_url, sealing=key_ring)

    await database.revision_is_current()

    await database.close()


@pytest.mark.anyio
async def test_one_process_at_a_time_works_on_a_sqlite_file(sqlite_url: str, key_ring: KeyRing):
    database = await Database.open(sqlite_url, sealing=key_ring)

    with pytest.raises(DatabaseInUse, match="Another broker process uses the database"):
        await Database.open(sqlite_url, sealing=key_ring)
    with pytest.raises(DatabaseInUse):
        migrations.upgrade(sqlite_url)
    await database.close()

    await (await Database.open(sqlite_url, sealing=key_ring)).close()


@pytest.mark.anyio
async def test_another_name_of_a_sqlite_file_is_no_way_around_its_lock(
    sqlite_url: str, key_ring: KeyRing, tmp_path
):
    (tmp_path / "alias.db").symlink_to(make_url(sqlite_url).database)
    database = await Database.open(sqlite_url, sealing=key_ring)

    with pytest.raises(DatabaseInUse):
        await Database.open(f"sqlite:///{tmp_path}/alias.db", sealing=key_ring)

    await database.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url", ["mysql://host/name", "sqlite://", "sqlite:///:memory:", "sqlite:////nowhere/at/all.db"]
)
async def test_what_is_no_database_for_a_broker_is_refused(url: str, key_ring: KeyRing):
    with pytest.raises(UnsupportedDatabase):
        await Database.open(url, sealing=key_ring)


def test_two_migrations_at_once_take_turns_and_both_succeed(fresh_database):
    url = fresh_database()
    command = [sys.executable, "-m", "broker", "migrate"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(TOP), "BROKER_DATABASE_URL": url}
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"

    with psycopg.connect(url) as here:
        here.execute("SELECT pg_advisory_xact_lock(%s)", [migrations._ADVISORY_LOCK])
        with (
            subprocess.Popen(command, env=environment) as first,
            subprocess.Popen(command, env=environment) as second,
        ):
            wait_until(lambda: here.execute(waiting).fetchone() == (2,), at_most=60)
            here.rollback()
            ends = [first.wait(60), second.wait(60)]

    assert ends == [0, 0]
    assert migrations.current(url) == REVISIONS[-1]
