"""Clocks of databases that a test sets: the broker asks its database for the time, and nobody else."""

from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import event

from broker.store.columns import stored
from broker.store.database import Database


class PostgreSqlClock:
    """
    Stands before PostgreSQL's own `clock_timestamp()`, for all connections to one database made after `install`.

    It is the server's clock and what it was told to jump, or it stands where it was set.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def install(self) -> None:
        name = conninfo_to_dict(self._url)["dbname"]
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA weather")
            connection.execute("CREATE TABLE weather.clock (stands_at timestamptz, jumped interval NOT NULL)")
            connection.execute("INSERT INTO weather.clock VALUES (NULL, '0')")
            connection.execute(
                "CREATE FUNCTION weather.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS 'SELECT "
                "coalesce(stands_at, pg_catalog.clock_timestamp()) + jumped FROM weather.clock'"
            )
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET search_path = weather, public, pg_catalog").format(
                    sql.Identifier(str(name))
                )
            )

    def jump(self, by: timedelta) -> None:
        """Go forward, or back."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("UPDATE weather.clock SET jumped = jumped + %s", [by])

    def set(self, at: datetime) -> None:
        """Stand still at a moment."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("UPDATE weather.clock SET stands_at = %s", [at])


class SqliteClock:
    """Stands before SQLite's own `strftime`, on the connections that *database* makes from now on."""

    def __init__(self, database: Database) -> None:
        self._at = datetime.now(UTC)
        for engine in (database._writing, database._reading):
            event.listen(engine.sync_engine, "connect", self._connected)

    def _connected(self, connection, _record) -> None:
        # What the broker's statement asks for: milliseconds, and three zeros.
        connection.create_function("strftime", 2, lambda _form, _now: stored(self._at)[:23] + "000")

    def set(self, at: datetime) -> None:
        """Stand still at a moment."""
        self._at = at
