"""The broker's database: opening it, transactions, and what differs between PostgreSQL and SQLite."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import psycopg_pool
from sqlalchemy import (
    CursorResult,
    Executable,
    QueuePool,
    Select,
    delete,
    literal_column,
    make_url,
    select,
)
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from broker.domain.handlers import Handlers
from broker.errors import StoreUnavailable
from broker.store import postgresql, sqlite
from broker.store.columns import UtcTime
from broker.store.errors import CROWDED, FULL, READ_ONLY, Duplicate, SchemaOutdated, UnsupportedDatabase
from broker.store.plain_query import SQLITE_NOW, PlainQuery
from broker.store.sealing import KeyRing
from broker.store.tables import REVISIONS, operation_events
from broker.store.wakeups import Wakeups

_SQLITE_NOW = select(literal_column(SQLITE_NOW, UtcTime()))


class Transaction:
    """
    One transaction: everything in it is committed at its end or nothing is.

    `now` is the database's time, read once, aware UTC. No replica's clock decides anything.
    """

    def __init__(self, database: Database, connection: AsyncConnection, now: datetime) -> None:
        self.database = database
        self.connection = connection
        self.now = now
        self.wakes = False
        self.ended: list[UUID] = []
        self.undone: list[Callable[[], None]] = []
        """What is to be put back in this process if the transaction does not come to its end."""
        self.catalog_published = False
        """Whether replicas are to look for a newer catalog as soon as this is committed."""
        self.opens_all = True
        """Whether a value that cannot be opened is a fault. Deletions turn this off: they go by the record."""

    @property
    def sealing(self) -> KeyRing:
        return self.database.sealing

    async def execute(
        self, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> CursorResult[Any]:
        """
        Execute one statement.

        Raises:
            Duplicate: A unique constraint refused a row; leave the transaction and decide again.
        """
        try:
            return await self.connection.execute(statement, values)
        except IntegrityError as refused:
            cause = refused.orig
            if cause is not None and (sqlite.is_duplicate(cause) or postgresql.is_duplicate(cause)):
                raise Duplicate(str(cause)) from refused
            raise

    def wake(self) -> None:
        """Let the runners look at the queue as soon as this is committed."""
        self.wakes = True

    def finished(self, operation_id: UUID) -> None:
        """Let those who await this operation know as soon as this is committed."""
        self.ended.append(operation_id)


class Database:
    """The broker's database; one object a process, shared by all its parts."""

    def __init__(
        self,
        *,
        sealing: KeyRing,
        broker_id: str,
        writing: AsyncEngine,
        reading: AsyncEngine,
        wakeups: Wakeups,
        beginning: Select[Any] = _SQLITE_NOW,
    ) -> None:
        self.sealing = sealing
        self.broker_id = broker_id
        self.wakeups = wakeups
        self.handlers = Handlers()
        """What this build can carry on, and so in which version it accepts operations."""
        self.recovered = False
        """Whether claims of a former process were looked for."""
        self.refuses_writes: str | None = None
        """Why a transaction could not write, such as "has no room left"; `takes_writes` sees whether that is over."""
        self._writing = writing
        self._reading = reading
        self._beginning = beginning
        self._pool: psycopg_pool.AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]] | None = None
        self._lock: sqlite.FileLock | None = None

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        listen_url: str | None = None,
        sealing: KeyRing,
        broker_id: str = "",
        pool_size: int = 10,
        reading_pool_size: int = 4,
    ) -> Database:
        """
        Open the database that *url* names, `sqlite:///file` or `postgresql://...`; it may be away for now.

        *listen_url* leads to the same PostgreSQL without a transaction pooler in between.

        Raises:
            DatabaseInUse: Another process has the SQLite file.
            UnsupportedDatabase: The URL is neither.
        """
        if is_sqlite(url):
            path = sqlite.path_of(url)
            lock = sqlite.FileLock(path)
            writing, reading = sqlite.writing_engine(path), sqlite.reading_engine(path)
            database = cls(
                sealing=sealing, broker_id=broker_id, writing=writing, reading=reading, wakeups=Wakeups()
            )
            database._lock = lock
        else:
            server = postgresql.Server(url)
            listening = postgresql.Server(listen_url or url)
            wakeups = Wakeups(conninfo=None if listening.pooled else listening.conninfo)
            writing = server.engine(pool_size)
            database = cls(
                sealing=sealing,
                broker_id=broker_id,
                writing=writing,
                reading=writing,
                wakeups=wakeups,
                beginning=server.beginning,
            )
            database._pool = server.reading_pool(reading_pool_size)
            await database._pool.open()
        await database.wakeups.start(database)
        return database

    async def close(self) -> None:
        """Close all connections; a second call does nothing."""
        await self.wakeups.stop()
        if self._pool is not None:
            await self._pool.close()
        await self._writing.dispose()
        if self._reading is not self._writing:
            await self._reading.dispose()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def kind(self) -> str:
        """`postgresql` or `sqlite`."""
        return self._writing.dialect.name

    @property
    def writers(self) -> int:
        """How many transactions can run at once; more wait in turn, and too long for some of them."""
        pool = self._writing.pool
        return pool.size() if isinstance(pool, QueuePool) else 1

    @asynccontextmanager
    async def transaction(self, *, read_only: bool = False) -> AsyncIterator[Transaction]:
        """
        Begin a transaction; it is committed at the end of the block and rolled back by any exception.

        Hold it for database work alone, never across a call to Azure.

        Raises:
            StoreUnavailable: The database is away, locked, full or too slow. Nothing is known to have changed
                (a connection lost in the middle of the commit leaves it open).
        """
        engine = self._reading if read_only else self._writing
        try:
            connection, now = await self._begun(engine)
            transaction = Transaction(self, connection, now)
            try:
                yield transaction
                await self.wakeups.announce(transaction)
                await connection.commit()
            except BaseException:
                for put_back in transaction.undone:
                    put_back()
                raise
            finally:
                await asyncio.shield(connection.close())
        except (DBAPIError, PoolTimeout) as fault:
            translated = _translated(fault)
            if isinstance(translated, StoreUnavailable) and translated.why in {FULL, READ_ONLY}:
                self.refuses_writes = translated.why
            raise translated from fault
        self.wakeups.committed(transaction)

    async def _begun(self, engine: AsyncEngine) -> tuple[AsyncConnection, datetime]:
        for stale in (True, False):
            connection = await engine.connect()
            try:
                return connection, (await connection.execute(self._beginning)).scalar_one()
            except DBAPIError as fault:
                await asyncio.shield(connection.close())
                # The server was restarted while the connection was in the pool: nothing has begun yet.
                if stale and fault.connection_invalidated:
                    continue
                raise
            except BaseException:
                await asyncio.shield(connection.close())
                raise
        raise AssertionError("unreachable")

    async def fetch_one(self, query: PlainQuery, *values: str | int | UUID | None) -> tuple[Any, ...] | None:
        """
        Read one row outside any transaction, without locks, in one round trip.

        Raises:
            StoreUnavailable: The database is away or too slow.
        """
        if self._pool is not None:
            try:
                async with self._pool.connection() as connection:
                    cursor = await connection.execute(query.postgresql, values)
                    return await cursor.fetchone()
            except (psycopg.OperationalError, psycopg.InterfaceError, psycopg_pool.PoolTimeout) as fault:
                raise StoreUnavailable from fault
        plain = tuple(value.hex if isinstance(value, UUID) else value for value in values)
        try:
            async with self._reading.connect() as reader:
                row = (await reader.exec_driver_sql(query.sqlite, plain)).first()
        except (DBAPIError, PoolTimeout) as fault:
            raise _translated(fault) from fault
        return None if row is None else tuple(row)

    async def ping(self) -> None:
        """
        See whether the database answers.

        Raises:
            StoreUnavailable: It does not.
        """
        await self.fetch_one(_PING)

    async def takes_writes(self) -> None:
        """
        See whether the database takes writes again, once it has refused one; costs nothing while it has not.

        A row of some size is written, deleted and committed: a full disk shows in no read, and not in every change.

        Raises:
            StoreUnavailable: It does not.
        """
        if self.refuses_writes is not None:
            async with self.transaction() as tx:
                trial = {"operation_id": _NO_OPERATION, "at": tx.now, "what": "trial"}
                detail = os.urandom(_TRIAL_BYTES).hex()
                await tx.execute(operation_events.insert().values(**trial, detail=detail))
                mine = operation_events.c.operation_id == _NO_OPERATION
                await tx.execute(delete(operation_events).where(mine))
            self.refuses_writes = None

    async def revision_is_current(self) -> None:
        """
        See with one SELECT whether the tables are those of this release, or of a later one.

        Raises:
            SchemaOutdated: `osb migrate` has to run first.
            StoreUnavailable: The database does not answer.
        """
        try:
            row = await self.fetch_one(_REVISION)
        except (psycopg.errors.UndefinedTable, DBAPIError) as fault:
            raise SchemaOutdated(None, REVISIONS[-1]) from fault
        found = None if row is None else str(row[0])
        # A revision unknown here was made by a later release; releases keep their predecessor working.
        if found is None or found in REVISIONS[:-1]:
            raise SchemaOutdated(found, REVISIONS[-1])


_PING = PlainQuery("SELECT 1")
_NO_OPERATION, _TRIAL_BYTES = UUID(int=0), 32 * 1024
_REVISION = PlainQuery("SELECT version_num FROM alembic_version")


def is_sqlite(url: str) -> bool:
    """
    Whether *url* names a SQLite file; otherwise it names a PostgreSQL.

    Raises:
        UnsupportedDatabase: It names neither.
    """
    backend = make_url(url).get_backend_name()
    if backend not in {"sqlite", "postgresql", "postgres"}:
        raise UnsupportedDatabase(f"The database must be PostgreSQL or SQLite, not {backend}.")
    return backend == "sqlite"


def _translated(fault: DBAPIError | PoolTimeout) -> Exception:
    if isinstance(fault, PoolTimeout):
        return StoreUnavailable(CROWDED)
    cause = fault.orig
    if cause is not None and (
        fault.connection_invalidated or sqlite.is_unavailable(cause) or postgresql.is_unavailable(cause)
    ):
        why = sqlite.why_unavailable(cause) or postgresql.why_unavailable(cause)
        return StoreUnavailable(why, lasting=why in {FULL, READ_ONLY}) if why else StoreUnavailable()
    return fault
