"""Connections of the broker to MySQL servers, and what their failures mean."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import pymysql
from pymysql.constants import CR, ER
from pymysql.cursors import Cursor

from broker.data_planes import failures
from broker.data_planes.addresses import addresses_of, reached
from broker.data_planes.base import (
    DataPlaneFailure,
    NotTrusted,
    Server,
    StatementFailed,
    Unreachable,
)
from broker.data_planes.failures import first_line
from broker.data_planes.threads import in_a_thread

if TYPE_CHECKING:
    from pymysql.connections import Connection

Result = TypeVar("Result")

_NOT_ALLOWED_FROM_HERE = 9000  # Azure's own number for a client that no firewall rule admits
# Another session was quicker, or the server is short of something: the same call will do.
_PASSING = frozenset(
    {
        ER.LOCK_WAIT_TIMEOUT,
        ER.LOCK_DEADLOCK,
        ER.CON_COUNT_ERROR,
        ER.OUT_OF_RESOURCES,
        ER.TOO_MANY_USER_CONNECTIONS,
        ER.OPTION_PREVENTS_STATEMENT,  # read-only, while a standby takes over
        1836,  # ER_READ_ONLY_MODE, likewise
        3024,  # ER_QUERY_TIMEOUT
    }
)
_BROKEN = frozenset(
    {CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, ER.SERVER_SHUTDOWN, ER.NEW_ABORTING_CONNECTION, 1927, 4031}
)


async def administering(server: Server, work: Callable[[Cursor], Result]) -> Result:
    """
    Do *work* with the administrator's cursor, in a thread; each statement is a transaction of its own.

    The connection has TLS, with the server's certificate and name checked, or does not come about: nothing, the
    password least of all, goes to a server that offers none. When the awaiting task is cancelled the statement that is
    under way goes on, for its time-out at most, and no other follows it.

    Raises:
        DataPlaneFailure: The connection did not come about or broke, or a statement was refused.
    """
    addresses = await addresses_of(server)
    return await in_a_thread(lambda given_up: _worked(server, addresses, work, given_up))


def _worked(
    server: Server, addresses: list[str], work: Callable[[Cursor], Result], given_up: threading.Event
) -> Result:
    with contextlib.closing(_connected(server, addresses)) as connection, _told(server):
        cursor = connection.cursor(_AwaitedCursor)
        cursor.given_up = given_up
        return work(cursor)


class _AwaitedCursor(Cursor):
    """A cursor that says no more once nobody awaits the answer."""

    given_up: threading.Event

    def execute(self, query: str, args: object = None) -> int:
        if self.given_up.is_set():
            raise pymysql.err.InterfaceError(0, "the call was given up")
        return super().execute(query, args)


def _connected(server: Server, addresses: list[str]) -> Connection[Cursor]:
    trust = ssl.create_default_context(cafile=str(server.ca_file) if server.ca_file else None)
    trust.minimum_version = ssl.TLSVersion.TLSv1_2
    connection = pymysql.Connection(
        host=server.host,  # what the certificate has to be for
        port=server.port,
        user=server.administrator,
        password=server.password,
        ssl=trust,
        charset="utf8mb4",
        autocommit=True,
        local_infile=False,
        connect_timeout=max(1, round(server.connect_timeout.total_seconds())),
        read_timeout=server.statement_timeout.total_seconds(),
        write_timeout=server.statement_timeout.total_seconds(),
        # What names and texts look like in statements is not left to the server's settings.
        sql_mode="STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION",
        init_command="SET SESSION lock_wait_timeout = 5, innodb_lock_wait_timeout = 5",
        program_name="azure-service-broker",
        defer_connect=True,
    )
    socket = reached(server, addresses)
    try:
        connection.connect(socket)
    except pymysql.err.OperationalError as error:
        socket.close()
        raise _connection_failure(server, error) from error
    except (pymysql.Error, OSError) as error:
        socket.close()
        raise Unreachable(
            f"The database server {server.host} broke off the sign-in: {_reason(error)}.", not_reached=True
        ) from error
    return connection


@contextlib.contextmanager
def _told(server: Server) -> Iterator[None]:
    try:
        yield
    except (pymysql.Error, OSError) as error:
        raise _statement_failure(server, error) from error


def _connection_failure(server: Server, error: pymysql.err.OperationalError) -> DataPlaneFailure:
    number, cause = _number(error), _cause(error)
    if number == ER.ACCESS_DENIED_ERROR:
        return failures.password_refused(server)
    if isinstance(cause, ssl.SSLError):
        return failures.certificate_refused(server, _reason(cause))
    if number == CR.CR_SSL_CONNECTION_ERROR:
        return NotTrusted(
            f"The database server {server.host} offers no TLS, without which the broker does not sign in. "
            "Set its parameter require_secure_transport to ON."
        )
    if number in {ER.HOST_NOT_PRIVILEGED, _NOT_ALLOWED_FROM_HERE}:
        return failures.address_refused(server, _reason(error))
    return failures.not_reached(server, _reason(error))


def _statement_failure(server: Server, error: BaseException) -> DataPlaneFailure:
    number = _number(error)
    if number == 0 or number in _BROKEN:
        return failures.broken_off(server, _reason(error))
    return StatementFailed(
        f"The database server {server.host} answered: {_reason(error)} (error {number}).",
        sqlstate=str(number),
        retryable=number in _PASSING,
    )


def _number(error: BaseException) -> int:
    found: Any = error.args[0] if error.args else 0
    return found if isinstance(error, pymysql.Error) and isinstance(found, int) else 0


def _cause(error: BaseException) -> BaseException | None:
    """What the driver wraps: the fault of the socket or of TLS."""
    return getattr(error, "original_exception", None) or error.__cause__ or error.__context__


def _reason(error: BaseException | None) -> str:
    text = (
        str(error.args[1]) if isinstance(error, pymysql.Error) and len(error.args) > 1 else str(error or "")
    )
    return first_line(text, error)
