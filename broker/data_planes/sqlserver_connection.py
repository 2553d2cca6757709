"""Connections of the broker to Azure SQL servers, over TDS, and what their failures mean."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pytds
from cryptography import x509
from OpenSSL import SSL
from OpenSSL.crypto import X509
from pytds import tds_base

from broker.data_planes import failures
from broker.data_planes.addresses import addresses_of, reached
from broker.data_planes.base import (
    DatabaseMissing,
    DataPlaneFailure,
    NotTrusted,
    Server,
    StatementFailed,
    Unreachable,
)
from broker.data_planes.failures import first_line
from broker.data_planes.sqlserver_statements import find_database
from broker.data_planes.threads import in_a_thread

Result = TypeVar("Result")

# The driver logs how statements begin, and a password may stand there.
logging.getLogger("pytds").setLevel(logging.WARNING)

MASTER = "master"

# What the driver makes of an answer that is no TDS.
_GARBLED = (ValueError, LookupError, struct.error)
# Numbers of the engine's messages (SQL Server documentation, "Database engine events and errors").
_LOGIN_FAILED = frozenset({18456, 18470, 18486, 18487, 18488})
_CANNOT_OPEN_DATABASE = 4060
_ADDRESS_REFUSED = frozenset({40615, 40914, 47073})
# The database is on its way: it moves, or resumes after a pause, or is busy beyond its size. The same call will do.
_COMING_BACK = frozenset(
    {615, 926, 4221, 10928, 10929, 40143, 40197, 40501, 40540, 40613, 42108, 42109, 49918, 49919, 49920}
)
# Another session was quicker, or has what is waited for.
_PASSING = frozenset({1205, 1222, 3960, 8645, 8651, 15023, 15151})
# OpenSSL's numbers for what is wrong with a certificate.
_DISTRUST = {
    10: "it has expired",
    9: "it is not valid yet",
    18: "it is self-signed",
    19: "its authority is not trusted",
    20: "its authority is not known",
    21: "its authority is not known",
    23: "it was revoked",
}
# What the server says of a connection that it ends.
_FATAL_SEVERITY = 20


@dataclass(frozen=True)
class Session:
    """A connection of the administrator to one database; each statement is a transaction of its own."""

    connection: Any
    given_up: threading.Event

    def run(self, statement: str) -> None:
        """Carry out a statement, or several that make one batch."""
        _ended(self._cursor(statement))

    def rows(self, question: str) -> list[tuple[Any, ...]]:
        cursor = self._cursor(question)
        found = [tuple(row) for row in cursor.fetchall()]
        _ended(cursor)
        return found

    def _cursor(self, statement: str) -> Any:
        if self.given_up.is_set():
            raise pytds.InterfaceError("the call was given up")
        cursor = self.connection.cursor()
        cursor.execute(statement)
        return cursor


def _ended(cursor: Any) -> None:
    """Read all that a batch answers: what a later statement of it fails with comes last."""
    while cursor.nextset():
        pass


async def administering(server: Server, database: str, work: Callable[[Session], Result]) -> Result:
    """
    Do *work* with the administrator's connection to *database*, in a thread.

    The connection has TLS, with the server's certificate and name checked, or does not come about: nothing, the
    password least of all, goes to a server that offers none. Nor does it when Azure names another address to go to:
    that one has to prove its own name. When the awaiting task is cancelled the statement that is under way goes on,
    for its time-out at most, and no other follows it.

    Raises:
        DatabaseMissing: The server answers and has no such database.
        DataPlaneFailure: The connection did not come about or broke, or a statement was refused.
    """
    addresses = await addresses_of(server)
    return await in_a_thread(lambda given_up: _worked(server, addresses, database, work, given_up))


def _worked(
    server: Server,
    addresses: Sequence[str],
    database: str,
    work: Callable[[Session], Result],
    given_up: threading.Event,
) -> Result:
    with _connected(server, addresses, database, given_up) as session, _told(server):
        session.run("SET LOCK_TIMEOUT 5000;")
        return work(session)


@contextlib.contextmanager
def _connected(
    server: Server, addresses: Sequence[str], database: str, given_up: threading.Event
) -> Iterator[Session]:
    login = _login(server, database)
    distrust: list[str] = []
    login.tls_ctx = _trusting(server, distrust)
    reached_socket = reached(server, addresses)
    try:
        connection = _signed_in(login, server, reached_socket)
    except tds_base.DatabaseError as error:
        reached_socket.close()
        if _number(error) in {*_LOGIN_FAILED, _CANNOT_OPEN_DATABASE} and database != MASTER:
            # The server tells of a database that is not there as it tells of a wrong password.
            with _connected(server, addresses, MASTER, given_up) as master, _told(server):
                missing = not master.rows(find_database(database))
            if missing:
                raise DatabaseMissing(server, database, sqlstate=str(_CANNOT_OPEN_DATABASE)) from error
            raise failures.not_reached(server, f"it does not open the database {database!r} now") from error
        raise _refusal(server, error) from error
    except SSL.Error as error:
        reached_socket.close()
        raise failures.certificate_refused(server, (distrust or [_of_tls(error)])[0]) from error
    except (tds_base.Error, OSError, *_GARBLED) as error:
        reached_socket.close()
        raise _broken_off_sign_in(server, login, error) from error
    try:
        yield Session(connection, given_up)
    finally:
        with contextlib.suppress(tds_base.Error, SSL.Error, OSError):
            connection.close()


def _login(server: Server, database: str) -> Any:
    """
    What to sign in with, as `pytds.connect` would put it together.

    That function itself is passed by: it tries again by itself, on a socket that it has closed, and checks names in
    certificates by a function that pyOpenSSL no longer has.
    """
    login = tds_base._TdsLogin()  # noqa: SLF001 - see above
    if server.entra:
        token = server.password
        login.access_token_callable = lambda: token
    else:
        login.user_name = server.administrator
        login.password = server.password
    login.database = database
    login.app_name = "azure-service-broker"
    login.library = "python-tds"
    login.client_host_name = "azure-service-broker"
    login.port = server.port
    login.client_lcid = pytds.lcid.LANGID_ENGLISH_US
    login.option_flag2 = tds_base.TDS_ODBC_ON
    login.enc_flag = tds_base.PreLoginEnc.ENCRYPT_ON
    login.validate_host = False  # `_trusting` does
    login.connect_timeout = server.connect_timeout.total_seconds()
    login.query_timeout = server.statement_timeout.total_seconds()
    login.bytes_to_unicode = True
    return login


def _signed_in(login: Any, server: Server, reached_socket: socket.socket) -> Any:
    return pytds._connect(  # noqa: SLF001 - see `_login`
        login=login,
        host=server.host,
        port=server.port,
        instance="",
        timeout=server.connect_timeout.total_seconds(),
        pooling=False,
        key=(),
        autocommit=True,
        isolation_level=0,
        tzinfo_factory=None,
        sock=reached_socket,
        use_tz=None,
        row_strategy=pytds.tuple_row_strategy,
    )


def _trusting(server: Server, distrust: list[str]) -> SSL.Context:
    """TLS that believes a certificate only if it leads to one that is trusted and is for the name spoken to."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    # Within TDS 7.4 servers speak no newer one.
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    if server.ca_file:
        context.load_verify_locations(str(server.ca_file))
    else:
        context.set_default_verify_paths()

    def verified(connection: SSL.Connection, certificate: X509, number: int, depth: int, ok: int) -> bool:
        if not ok:
            distrust.append(_DISTRUST.get(number, f"OpenSSL's verification error {number}"))
            return False
        name = (connection.get_servername() or b"").decode("ascii", "replace")
        if depth == 0 and not is_for(certificate.to_cryptography(), name):
            distrust.append(f"it is not for the name {name!r}")
            return False
        return True

    context.set_verify(SSL.VERIFY_PEER, verified)
    return context


def is_for(certificate: x509.Certificate, name: str) -> bool:
    """
    Tell whether a certificate is for a host's *name*, by its subject's alternative names alone (RFC 9525).

    A star stands for the whole first label, and for no more than one.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        wanted = name.lower().rstrip(".").split(".")
        listed = [one.lower().rstrip(".").split(".") for one in names.get_values_for_type(x509.DNSName)]
        return any(
            wanted == one or (one[0] == "*" and len(one) > 2 and len(wanted) > 2 and wanted[1:] == one[1:])
            for one in listed
        )
    return address in names.get_values_for_type(x509.IPAddress)


@contextlib.contextmanager
def _told(server: Server) -> Iterator[None]:
    try:
        yield
    except (tds_base.Error, SSL.Error, OSError) as error:
        raise statement_failure(server, error) from error


def _refusal(server: Server, error: tds_base.DatabaseError) -> DataPlaneFailure:
    """What the server's word against a sign-in means."""
    number = _number(error)
    if number in _LOGIN_FAILED:
        return failures.password_refused(server)
    if number in _ADDRESS_REFUSED:
        return failures.address_refused(server, f"{_reason(error)} (error {number})")
    return failures.not_reached(server, f"{_reason(error)} (error {number})")


def _broken_off_sign_in(server: Server, login: Any, error: BaseException) -> DataPlaneFailure:
    # A server without TLS is given up by the driver before anything is sent to it.
    if type(error) is tds_base.Error and login.server_enc_flag == tds_base.PreLoginEnc.ENCRYPT_NOT_SUP:
        return NotTrusted(
            f"The database server {server.host} offers no TLS, without which the broker does not sign in."
        )
    return Unreachable(
        f"The database server {server.host} broke off the sign-in: {_reason(error)}.", not_reached=True
    )


def statement_failure(server: Server, error: BaseException) -> DataPlaneFailure:
    """What the server's answer to a statement, or its silence, means."""
    number = _number(error)
    fatal = getattr(error, "severity", 0) >= _FATAL_SEVERITY and number not in _COMING_BACK
    if number == 0 or fatal:
        return failures.broken_off(server, _reason(error))
    return StatementFailed(
        f"The database server {server.host} answered: {_reason(error)} (error {number}).",
        sqlstate=str(number),
        retryable=number in _PASSING or number in _COMING_BACK,
    )


def _number(error: BaseException) -> int:
    found: Any = getattr(error, "msg_no", 0)
    return found if isinstance(found, int) else 0


def _reason(error: BaseException) -> str:
    return first_line(str(getattr(error, "text", "") or error), error)


def _of_tls(error: SSL.Error) -> str:
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return first_line(str(queue[0][-1]) if queue else "", error)
