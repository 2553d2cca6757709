"""Bringing the database's tables to this release: alembic, configured in code, synchronous."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from broker.errors import StoreUnavailable
from broker.shipped import shipped
from broker.store import postgresql, sqlite
from broker.store.database import is_sqlite
from broker.store.errors import TablesInUse

# Any number that all releases share: two migrations at once take turns.
_ADVISORY_LOCK = 2_017_021_700
_LOCK_FOR = timedelta(seconds=1)
_PATIENCE = timedelta(minutes=2)


def upgrade(url: str, revision: str = "head", *, patience: timedelta = _PATIENCE) -> None:
    """
    Bring the tables of the database at *url* to *revision*; nothing happens when they are there already.

    All of it is one transaction: it succeeds or changes nothing. On PostgreSQL a table that somebody else holds
    is waited for a second at a time, for *patience* in all: everybody who wants to use the table
    queues up behind the one who waits to change it.

    Raises:
        DatabaseInUse: A broker runs on this SQLite file.
        UnsupportedDatabase: The URL names neither PostgreSQL nor SQLite.
        TablesInUse: A table was held by somebody else for longer than *patience*.
        StoreUnavailable: The database does not answer.
    """
    give_up_at = time.monotonic() + patience.total_seconds()
    while True:
        try:
            with connected(url, alone=True) as connection:
                command.upgrade(_configured(connection), revision)
        except TablesInUse:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(_LOCK_FOR.total_seconds() * random.uniform(0.5, 1))  # noqa: S311 - those who queued go first
        else:
            return


def current(url: str) -> str | None:
    """Return the revision that the tables are at; None before the first migration."""
    with connected(url, alone=False) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def revisions() -> tuple[str, ...]:
    """Return all revisions that this installation carries, oldest first."""
    scripts = ScriptDirectory.from_config(_configured(None))
    return tuple(reversed([script.revision for script in scripts.walk_revisions()]))


def _configured(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(shipped("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@contextmanager
def connected(url: str, *, alone: bool) -> Iterator[Connection]:
    """
    Give one transaction on the database at *url*, without the rest of a broker.

    *alone* is for a migration: a second one waits, and a broker on the same SQLite file is a refusal.

    Raises:
        DatabaseInUse: A broker runs on this SQLite file, and *alone* was asked for.
        UnsupportedDatabase: The URL names neither PostgreSQL nor SQLite.
        StoreUnavailable: The database does not answer.
    """
    lock = None
    if is_sqlite(url):
        path = sqlite.path_of(url)
        lock = sqlite.FileLock(path) if alone else None
        engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
        sqlite.configure(engine, begin="BEGIN IMMEDIATE" if alone else "BEGIN")
    else:
        server = postgresql.Server(url)
        engine = create_engine(server.url, poolclass=NullPool, connect_args={"connect_timeout": 10})
    try:
        with engine.begin() as connection:
            if alone and engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
                wait = f"{_LOCK_FOR // timedelta(milliseconds=1)}ms"
                connection.execute(text("SELECT set_config('lock_timeout', :wait, true)"), {"wait": wait})
            yield connection
    except OperationalError as fault:
        if postgresql.waited_for_a_lock(fault.orig):
            raise TablesInUse from fault
        raise StoreUnavailable from fault
    finally:
        engine.dispose()
        if lock is not None:
            lock.release()
