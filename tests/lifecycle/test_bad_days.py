"""The database is full, read-only, crowded, or lost its sense of time; the broker says so, loses nothing, recovers."""

import asyncio
import os
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import event, literal_column, select, text

from broker.app import database_answers
from broker.domain.requests import Caller, ProvisionRequest
from broker.errors import StoreUnavailable
from broker.lifecycle.instances import Instances
from broker.lifecycle.options import LifecycleOptions
from broker.operations.runner import Runner, RunnerOptions
from broker.store import postgresql
from broker.store.columns import UtcTime
from broker.store.database import Database
from broker.store.errors import UnsupportedDatabase
from broker.store.tables import operations
from tests.lifecycle.conftest import Desk, Shop, catalog_with_children
from tests.osb.external import External, ExternalProvisioner
from tests.osb.offerings import CATALOG, SERVICE, SMALL
from tests.postgresql import dsn_of

pytestmark = pytest.mark.anyio

SHORT = LifecycleOptions(
    request_wait=timedelta(milliseconds=300),
    quick_wait=timedelta(milliseconds=300),
    look_again=timedelta(milliseconds=50),
)
ORDERS_AT_MOST = 2000
"""Far more than fit on the small disk."""


@dataclass
class Hindered:
    """A broker at work on a database that a test can put into a bad state and out of it."""

    desk: Desk
    hinder: Callable
    mend: Callable
    why: str


async def _at_work(stack: AsyncExitStack, url, key_ring, **options) -> Desk:
    database = await Database.open(url, sealing=key_ring)
    stack.push_async_callback(database.close)
    external = External()
    runner = Runner(database, {"external": ExternalProvisioner(external)}, RunnerOptions(name="t", **options))
    running = asyncio.create_task(runner.run())

    async def end() -> None:
        runner.stop()
        await running

    stack.push_async_callback(end)
    return Desk(database, Shop(catalog_with_children()), external, SHORT)


async def _pragma(database: Database, pragma: str) -> int | None:
    async with database.transaction() as tx:
        return (await tx.execute(text(f"PRAGMA {pragma}"))).scalar()


@pytest.fixture
async def sqlite_page_limit(sqlite_url, key_ring):
    async with AsyncExitStack() as stack:
        desk = await _at_work(stack, sqlite_url, key_ring)
        pages = await _pragma(desk.database, "page_count")

        async def limit(to: int) -> None:
            await _pragma(desk.database, f"max_page_count = {to}")

        yield Hindered(desk, lambda: limit(pages + 20), lambda: limit(1_000_000), "has no room left")


@pytest.fixture
async def sqlite_full_disk(small_disk, migrated_file, key_ring):
    file = small_disk.folder / "broker.db"
    shutil.copy(migrated_file, file)
    async with AsyncExitStack() as stack:
        desk = await _at_work(stack, f"sqlite:///{file}", key_ring)
        yield Hindered(
            desk,
            lambda: asyncio.to_thread(small_disk.fill),
            lambda: asyncio.to_thread(small_disk.free),
            "has no room left",
        )


@pytest.fixture
async def postgresql_full_disk(small_disk, postgres_dsn, migrated_template, key_ring):
    name, place = f"full_{migrated_template}"[:60], small_disk.folder / "data"
    place.mkdir()
    with psycopg.connect(postgres_dsn, autocommit=True) as operator:
        home = operator.execute("SHOW data_directory").fetchone()[0]
        shutil.chown(place, *_owner_of(home))
        operator.execute(sql.SQL("CREATE TABLESPACE full_disk LOCATION {}").format(sql.Literal(str(place))))
        operator.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} TABLESPACE full_disk").format(
                sql.Identifier(name), sql.Identifier(migrated_template)
            )
        )
    async with AsyncExitStack() as stack:
        desk = await _at_work(stack, dsn_of(postgres_dsn, name), key_ring)
        yield Hindered(
            desk,
            lambda: asyncio.to_thread(small_disk.fill),
            lambda: asyncio.to_thread(small_disk.free),
            "has no room left",
        )
    with psycopg.connect(postgres_dsn, autocommit=True) as operator:
        operator.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        operator.execute("DROP TABLESPACE full_disk")


def _owner_of(folder: str) -> tuple[int, int]:
    found = os.stat(folder)  # noqa: PTH116 - a path is a text here
    return found.st_uid, found.st_gid


@pytest.fixture
async def sqlite_read_only(sqlite_url, key_ring):
    async with AsyncExitStack() as stack:
        desk = await _at_work(stack, sqlite_url, key_ring)
        read_only = False

        def before_each_transaction(connection, *_) -> None:
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA query_only = {read_only}")
            cursor.close()

        event.listen(desk.database._writing.sync_engine, "checkout", before_each_transaction)

        async def set_to(value: bool) -> None:
            nonlocal read_only
            read_only = value

        yield Hindered(desk, lambda: set_to(True), lambda: set_to(False), "is read-only")


@pytest.fixture
async def postgresql_read_only(postgresql_url, key_ring):
    """As after a failover: sessions that go on lead to a server that takes no writes any more."""

    async def set_to(word: str, *, hang_up: bool) -> None:
        async with await psycopg.AsyncConnection.connect(postgresql_url, autocommit=True) as operator:
            name = sql.Identifier(operator.info.dbname)
            await operator.execute("SET default_transaction_read_only = off")
            await operator.execute(
                sql.SQL(f"ALTER DATABASE {{}} SET default_transaction_read_only = {word}").format(name)
            )
            if hang_up:
                await operator.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )

    async with AsyncExitStack() as stack:
        desk = await _at_work(stack, postgresql_url, key_ring)
        yield Hindered(
            desk, lambda: set_to("on", hang_up=True), lambda: set_to("off", hang_up=False), "is read-only"
        )


@pytest.fixture(
    params=[
        "sqlite_page_limit",
        "sqlite_full_disk",
        "sqlite_read_only",
        "postgresql_full_disk",
        "postgresql_read_only",
    ]
)
def hindered(request) -> Hindered:
    return request.getfixturevalue(request.param)


async def order_until_refused(desk: Desk, accepted: list[str]) -> None:
    for number in range(ORDERS_AT_MOST):
        await desk.order(f"i{number}")
        accepted.append(f"i{number}")


async def test_a_database_that_takes_no_writes_refuses_orders_answers_polls_and_loses_nothing(hindered):
    desk = hindered.desk
    desk.external.hold("first", "create")
    await desk.order("first")
    await hindered.hinder()

    accepted = []
    with pytest.raises(StoreUnavailable, match=hindered.why) as refused:
        await order_until_refused(desk, accepted)
    desk.external.release("first")
    polled = await desk.poll("first")
    unready = await database_answers(desk.database)()

    await hindered.mend()

    ends = [(await desk.ended(instance)).state for instance in ["first", *accepted]]
    assert (refused.value.status, refused.value.retry_after) == (503, 30)
    assert polled.state == "in progress"
    assert set(ends) == {"succeeded"}
    assert desk.external.creations == dict.fromkeys(["first", *accepted], 1)
    assert hindered.why in unready
    assert await database_answers(desk.database)() is None


async def test_a_file_on_a_read_only_disk_is_refused_at_the_start(small_disk, migrated_file, key_ring):
    file = small_disk.folder / "broker.db"
    shutil.copy(migrated_file, file)
    small_disk.remount("ro")

    with pytest.raises(UnsupportedDatabase, match="cannot be opened: Read-only file system"):
        await Database.open(f"sqlite:///{file}", sealing=key_ring)


async def test_when_all_connections_are_taken_a_request_is_refused_and_the_next_one_served(
    postgresql_url, key_ring, monkeypatch
):
    monkeypatch.setattr(postgresql, "POOL_TIMEOUT_S", 0.2)
    database = await Database.open(postgresql_url, sealing=key_ring, pool_size=2)
    lifecycle = Instances(database, Shop(CATALOG), SHORT)
    order = ProvisionRequest(Caller("cf"), "i", SERVICE, SMALL, accepts_incomplete=True)

    async with database.transaction(), database.transaction():
        with pytest.raises(StoreUnavailable, match="has no connection free") as refused:
            await lifecycle.provision(order)
    accepted = await lifecycle.provision(order)
    await database.close()

    assert refused.value.retry_after == 5
    assert accepted.operation_id


def the_clock_jumps(database: Database, by: timedelta) -> None:
    """Let the database's clock tell another time from now on."""
    seconds = int(by.total_seconds())
    now = {
        "postgresql": f"clock_timestamp() + interval '{seconds} seconds'",
        "sqlite": f"strftime('%Y-%m-%d %H:%M:%f000', 'now', '{seconds:+} seconds')",
    }
    database._beginning = select(literal_column(now[database.kind], UtcTime()))


HOURS = timedelta(hours=3)
"""More than any deadline of the plans in these tests."""


async def test_a_clock_that_jumps_forward_ends_what_is_out_of_time_and_leaves_nothing(desk):
    desk.external.hold("i", "create")
    await desk.order("i")

    the_clock_jumps(desk.database, HOURS)

    assert (await desk.ended("i")).state == "failed"
    assert desk.external.living("i") == []
    desk.external.release("i")
    await desk.ready("another")
    assert desk.external.creations["another"] == 1


async def test_a_clock_that_jumps_back_stops_no_operation_and_doubles_none(database_url, key_ring):
    async with AsyncExitStack() as stack:
        # Sixteen of these leases, 3.2 seconds, are how long the wait may seem at most.
        quick = {"lease": timedelta(milliseconds=200), "longest_wait": timedelta(seconds=1)}
        desk = await _at_work(stack, database_url, key_ring, **quick)
        desk.external.hold("i", "create")
        await desk.order("i")

        jumped = False
        while not jumped:
            async with desk.database.transaction() as tx:
                # Between two steps: what is due in a moment seems to be due in hours.
                waits = select(operations.c.number).where(operations.c.owner.is_(None))
                if jumped := (await tx.execute(waits.with_for_update())).first() is not None:
                    the_clock_jumps(desk.database, -HOURS)
        desk.external.release("i")
        await desk.ready("another")

        assert (await desk.ended("i")).state == "succeeded"
        assert desk.external.creations == {"i": 1, "another": 1}
