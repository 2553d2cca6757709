"""The embedded database: one file, one process, one writer at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from broker.store.errors import FULL, LOCKED, READ_ONLY, DatabaseInUse, UnsupportedDatabase

BUSY_TIMEOUT_MS = 10_000
POOL_TIMEOUT_S = 10.0
READERS = 4


class FileLock:
    """
    Keeps a second process away from a SQLite file; ends with the process, however it dies.

    Raises:
        DatabaseInUse: Another process holds it.
    """

    def __init__(self, database: Path) -> None:
        self._descriptor = os.open(f"{database}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise DatabaseInUse(str(database)) from None

    def release(self) -> None:
        os.close(self._descriptor)


class RolledBack(sqlite3.Connection):
    """
    A connection that ends its transaction when it is closed.

    SQLite keeps a closed connection, and its lock, until the last of its statements is forgotten; those of a cancelled
    task are only forgotten by the garbage collector.
    """

    def close(self) -> None:
        """Roll back, then close."""
        with contextlib.suppress(sqlite3.ProgrammingError):  # it is closed already
            self.rollback()
        super().close()


def path_of(url: str) -> Path:
    """
    Return the file that *url* names; it is made, readable by its owner alone, where it is missing.

    Raises:
        UnsupportedDatabase: No file, or its folder does not exist.
    """
    name = make_url(url).database
    if not name or name == ":memory:" or name.startswith("file:"):
        raise UnsupportedDatabase("A SQLite database must be a file: sqlite:///path/to/broker.db")
    # The lock and SQLite's own files stand beside the file itself, whatever link leads to it.
    path = Path(name).resolve()
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as fault:
        raise UnsupportedDatabase(f"The database file {path} cannot be opened: {fault.strerror}.") from None
    return path


def writing_engine(path: Path) -> AsyncEngine:
    """
    Return an engine with a single connection whose transactions hold the write lock from their beginning.

    Writers queue for the connection, not for the lock: in SQLite's own waiting, luck decides who is next.
    """
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        connect_args={"factory": RolledBack},
        pool_size=1,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
    )
    configure(engine.sync_engine, begin="BEGIN IMMEDIATE")
    return engine


def reading_engine(path: Path) -> AsyncEngine:
    """Return an engine whose transactions never wait for the writer."""
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}",
        connect_args={"factory": RolledBack},
        pool_size=READERS,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
    )
    configure(engine.sync_engine, begin="BEGIN")
    return engine


def configure(engine: Engine, *, begin: str) -> None:
    """
    Make the engine's transactions begin with *begin*, and its commits survive a power cut.

    The driver would begin lazily and deferred: reading first and writing then fails at once when another
    has written meanwhile, whatever the busy timeout.
    """

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def is_unavailable(fault: BaseException) -> bool:
    """Whether the database, and not the statement, is at fault: locked, full, unreadable."""
    if not isinstance(fault, sqlite3.OperationalError):
        return False
    code = getattr(fault, "sqlite_errorcode", sqlite3.SQLITE_BUSY)
    return code & 0xFF != sqlite3.SQLITE_ERROR


_WHY = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_BUSY: LOCKED,
    sqlite3.SQLITE_LOCKED: LOCKED,
}


def why_unavailable(fault: BaseException) -> str | None:
    """Return what is wrong with the database, if the fault tells."""
    return _WHY.get(getattr(fault, "sqlite_errorcode", -1) & 0xFF)


def is_duplicate(fault: BaseException) -> bool:
    """Whether a unique constraint refused a row."""
    codes = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
    return isinstance(fault, sqlite3.IntegrityError) and fault.sqlite_errorcode in codes
