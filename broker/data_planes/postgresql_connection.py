"""Connections of the broker to PostgreSQL servers, and what their failures mean."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator

import psycopg

from broker.data_planes import failures
from broker.data_planes.addresses import addresses_of
from broker.data_planes.base import (
    DatabaseMissing,
    DataPlaneFailure,
    Server,
    StatementFailed,
)
from broker.data_planes.failures import first_line

Connection = psycopg.AsyncConnection[tuple[object, ...]]

# The database that every server of Azure has and that nobody may drop.
MAINTENANCE_DATABASE = "postgres"

_UNDEFINED_DATABASE = "3D000"
# What an app could otherwise set for its whole database, and so for the administrator's sessions in it too.
_OWN_SETTINGS = (
    "search_path=pg_catalog,pg_temp",
    "role=none",
    "default_transaction_read_only=off",
    "lock_timeout=5000",
    "idle_in_transaction_session_timeout=0",
    "idle_session_timeout=0",
    "tcp_user_timeout=0",
    "exit_on_error=off",
    "local_preload_libraries=",
)
_TRANSACTION_TIMEOUT_SINCE = 170000
# Another session changed the same role or database at the same moment; the same transaction will do.
_CONFLICTS = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "23505",  # unique_violation, in a system catalogue: two made the same thing
        "42710",  # duplicate_object, likewise
        "42704",  # undefined_object: dropped between the look and the statement
        "55006",  # object_in_use
        "XX000",  # internal_error: "tuple concurrently updated"
    }
)


class Conflict(StatementFailed):
    """Another session was quicker; the same transaction may be tried at once."""


@contextlib.asynccontextmanager
async def connected(server: Server, database: str) -> AsyncIterator[Connection]:
    """
    A connection of the administrator to *database*, with the server's certificate and name checked.

    Statements are their own transactions unless put in one. Names resolve in `pg_catalog` alone: the
    users of the database may have put an operator or function of their own into `public`, and the
    administrator must never call it. Nor does what they set for their database (`ALTER DATABASE ... SET`)
    hold for these sessions. A statement waits five seconds for a lock.

    Raises:
        DatabaseMissing: The server answers and has no such database.
        DataPlaneFailure: Any other failure of the connection, or of a statement within the block.
    """
    connection = await _connect(server, database)
    async with connection:
        try:
            if connection.info.server_version >= _TRANSACTION_TIMEOUT_SINCE:
                # Older servers refuse a connection with a setting that they do not know.
                await connection.execute("SET transaction_timeout = 0")
            yield connection
        except psycopg.Error as error:
            raise _statement_failure(server, connection, error) from error


async def _connect(server: Server, database: str) -> Connection:
    addresses = await addresses_of(server)
    try:
        return await psycopg.AsyncConnection.connect(
            host=",".join([server.host] * len(addresses)),
            # Resolved above, where an unknown name can be told from a server that does not answer.
            hostaddr=",".join(addresses),
            port=",".join([str(server.port)] * len(addresses)),
            user=server.administrator,
            password=server.password,
            dbname=database,
            sslmode="verify-full",
            sslrootcert=str(server.ca_file) if server.ca_file else _system_certificates(),
            gssencmode="disable",
            client_encoding="UTF8",
            connect_timeout=max(2, round(server.connect_timeout.total_seconds())),
            application_name="azure-service-broker",
            options=(
                f"-c statement_timeout={round(server.statement_timeout.total_seconds() * 1000)}"
                + "".join(f" -c {setting}" for setting in _OWN_SETTINGS)
            ),
            autocommit=True,
        )
    except psycopg.OperationalError as error:
        # The protocol library gives no SQLSTATE for a connection that was refused. A signed-in
        # administrator may have been refused because the database is gone: another one knows.
        if (
            database != MAINTENANCE_DATABASE
            and error.pgconn is not None
            and error.pgconn.used_password
            and not await _exists(server, database)
        ):
            raise DatabaseMissing(server, database, sqlstate=_UNDEFINED_DATABASE) from error
        raise _connection_failure(server, error) from error


async def _exists(server: Server, database: str) -> bool:
    async with connected(server, MAINTENANCE_DATABASE) as connection:
        found = await connection.execute("SELECT FROM pg_database WHERE datname = %s", [database])
        return await found.fetchone() is not None


def _system_certificates() -> str:
    # libpq's own word for this is `system`, but the library within psycopg's binary wheel looks in a
    # folder that exists on no machine. Python knows where this machine keeps its certificates.
    return ssl.get_default_verify_paths().cafile or "system"


def _connection_failure(server: Server, error: psycopg.OperationalError) -> DataPlaneFailure:
    # Text is all there is (see above), in English unless the server's owner chose another language.
    # What is not understood counts as unreachable, which is tried again until the deadline.
    text = str(error)
    if "password authentication failed" in text:
        return failures.password_refused(server)
    if "certificate" in text:
        return failures.certificate_refused(server, _reason(error))
    if "pg_hba.conf" in text:
        return failures.address_refused(server, _reason(error))
    return failures.not_reached(server, _reason(error))


def _statement_failure(server: Server, connection: Connection, error: psycopg.Error) -> DataPlaneFailure:
    if error.sqlstate is None or connection.broken or error.sqlstate.startswith(("08", "57P")):
        return failures.broken_off(server, _reason(error))
    failure = Conflict if error.sqlstate in _CONFLICTS else StatementFailed
    return failure(
        f"The database server {server.host} answered: {error.diag.message_primary or 'no reason given'} "
        f"(SQLSTATE {error.sqlstate}).",
        sqlstate=error.sqlstate,
        # Out of memory, disk, connections or time, or about to stop: not the statement's fault.
        retryable=error.sqlstate in _CONFLICTS or error.sqlstate.startswith(("53", "55", "57", "58")),
    )


def _reason(error: psycopg.Error) -> str:
    return first_line(str(error), error)
