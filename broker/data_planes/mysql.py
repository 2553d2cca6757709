"""
The logins and grants of the broker inside MySQL servers, version 8.0 and later.

MySQL knows no owners: whatever an app creates in the database belongs to the database, and each binding's *login* has
the same rights on it. What an app's login has defined as views, routines, triggers and events works with that login's
rights for ever: so a login that defined any is not dropped while the database is there, but locked, which lets nobody
sign in and leaves these objects at work (MySQL manual, "Account Locking").

The administrator is no superuser (Azure keeps that to itself): it may make users, and grant what it has itself.

Every function may be killed between any two statements and called again, at any later time and in several processes at
once. Logins are told from other users by their names, which hold 136 bits drawn from the binding.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pymysql
import structlog
from pymysql.constants import ER

from broker.data_planes.base import DatabaseMissing, EntraPrincipal, Server, SessionsRemain, StatementFailed
from broker.data_planes.mysql_connection import administering
from broker.data_planes.secrets import generated_password

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

log = structlog.get_logger(__name__)

LONGEST_USERNAME = 32
"""Characters (MySQL manual, "Account User Names and Passwords")."""

# What an app needs to create and use all kinds of objects in its one database.
_RIGHTS = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX, ALTER, REFERENCES, CREATE TEMPORARY TABLES, LOCK TABLES,"
    " CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EXECUTE, EVENT, TRIGGER"
)
_OURS = re.compile(r"[a-z][a-z0-9_]{0,19}_[a-z2-7]{20,30}")
_DEFINED = (
    "SELECT 1 FROM information_schema.VIEWS WHERE DEFINER = %(user)s"
    " UNION ALL SELECT 1 FROM information_schema.ROUTINES WHERE DEFINER = %(user)s"
    " UNION ALL SELECT 1 FROM information_schema.TRIGGERS WHERE DEFINER = %(user)s"
    " UNION ALL SELECT 1 FROM information_schema.EVENTS WHERE DEFINER = %(user)s LIMIT 1"
)
_NO_SUCH_THREAD = ER.NO_SUCH_THREAD
_NOT_THE_OWNER = frozenset({ER.KILL_DENIED_ERROR, ER.SPECIFIC_ACCESS_DENIED_ERROR})

# A session that is told to end does so at its next look, which few statements delay for long.
_SESSIONS_END_WITHIN = timedelta(seconds=10)
_LOOK_EVERY = timedelta(milliseconds=50)


async def check_administrator(server: Server) -> None:
    """
    See that the administrator can sign in; nothing is changed.

    Raises:
        Refused: The server does not accept the name and the password.
        DataPlaneFailure: See `broker.data_planes.base`.
    """
    await administering(server, lambda cursor: cursor.execute("SELECT 1"))


async def prepare_database(
    server: Server, database: str, *, owner_role: str = "", extensions: Iterable[str] = ()
) -> None:
    """
    See that *database* is there; nobody but the administrator may enter it until there are logins.

    Raises:
        DatabaseMissing: ARM has not made the database yet, or it is gone.
        ValueError: For an owner role or extensions, which MySQL does not have.
        DataPlaneFailure: See `broker.data_planes.base`.
    """
    if owner_role or list(extensions):
        raise ValueError("MySQL has neither owner roles nor extensions.")
    await administering(server, lambda cursor: _must_exist(cursor, server, database))
    log.info("database is ready for bindings", server=server.host, database=database)


async def create_login(
    server: Server,
    database: str,
    *,
    owner_role: str = "",
    username: str,
    password: str,
    valid_until: datetime | None = None,
) -> None:
    """
    Make a login for one binding of *database*. A second call sets the password again.

    The password travels in the statement, over TLS with the server's certificate checked; MySQL keeps it out of its
    logs (MySQL manual, "Passwords and Logging").

    Args:
        server: Where, and as whom.
        database: The one database that the login may enter.
        owner_role: Empty; MySQL needs none.
        username: At most 32 characters, of the form that `generated_username` gives.
        password: Anything.
        valid_until: None; MySQL knows a password's age in days only.

    Raises:
        DatabaseMissing: The database is gone.
        ValueError: The name or the time does not fit.
        DataPlaneFailure: See `broker.data_planes.base`.
    """
    _must_be_ours(server, username)
    if owner_role or valid_until is not None:
        raise ValueError("MySQL has no owner roles, and no password that ends at a time.")

    def make(cursor: Cursor) -> None:
        _must_exist(cursor, server, database)
        cursor.execute(
            "CREATE USER IF NOT EXISTS %s@'%%' IDENTIFIED BY %s REQUIRE SSL ACCOUNT LOCK",
            (username, password),
        )
        cursor.execute(f"GRANT {_RIGHTS} ON {_pattern(database)}.* TO %s@'%%'", (username,))
        # Last: nobody signs in to a half-made login, and one that a removal has locked is whole again.
        cursor.execute("ALTER USER %s@'%%' IDENTIFIED BY %s REQUIRE SSL ACCOUNT UNLOCK", (username, password))

    await administering(server, make)
    log.info("login made", server=server.host, database=database, username=username)


async def create_entra_login(
    server: Server,
    database: str,
    *,
    owner_role: str = "",
    username: str,
    principal: EntraPrincipal,
    administrator: Server,
) -> None:
    """
    Make a login for one binding of *database* as which *principal* signs in by its Entra tokens.

    A second call leaves the login as it is, and needs no token. Only the server's Entra administrator may make such a
    login, whose identifier is the client id of a service principal or managed identity (Azure, "Connect with managed
    identity to Azure Database for MySQL"). The administrator with the password gives it its rights, and ends it.

    Args:
        server: Where, and as whom.
        database: The one database that the login may enter.
        owner_role: Empty; MySQL needs none.
        username: At most 32 characters, of the form that `generated_username` gives.
        principal: A service principal with its client id.
        administrator: The same server, with the name of the broker's own Entra principal and a token of it.

    Raises:
        DatabaseMissing: The database is gone.
        Refused: The server does not take the broker's token.
        ValueError: The name does not fit, or the principal is none that MySQL knows.
        DataPlaneFailure: See `broker.data_planes.base`.
    """
    _must_be_ours(server, username)
    if owner_role or principal.kind != "ServicePrincipal" or principal.client_id is None:
        raise ValueError("MySQL knows no owner roles, and service principals by their client id alone.")
    client = principal.client_id

    def is_there(cursor: Cursor) -> bool:
        _must_exist(cursor, server, database)
        return _is_known(cursor, username)

    def make(cursor: Cursor) -> None:
        for statement, arguments in entra_statements(username, client):
            try:
                cursor.execute(statement, arguments)
            except pymysql.err.OperationalError as error:
                # Another process, which works on the same binding, was quicker.
                if error.args[0] != ER.CANNOT_USER or not _is_known(cursor, username):
                    raise

    if not await administering(server, is_there):
        await administering(administrator, make)
    await administering(
        server,
        lambda cursor: cursor.execute(f"GRANT {_RIGHTS} ON {_pattern(database)}.* TO %s@'%%'", (username,)),
    )
    log.info("Entra login made", server=server.host, database=database, username=username)


def entra_statements(username: str, client_id: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The statements, with arguments, that make a login of Entra. Azure's server alone knows them."""
    return (
        # Else the server would look the principal up, for which its identity needs rights in Entra.
        ("SET aad_auth_validate_oids_in_tenant = OFF", ()),
        ("CREATE AADUSER %s IDENTIFIED BY %s", (username, client_id)),
    )


async def drop_login(server: Server, database: str | None, *, username: str, owner_role: str = "") -> None:
    """
    End a binding's login: no new session, no running session; and no user, unless views or routines are its own.

    Such a user is locked, has a password that nobody knows, and goes with its database. Succeeds if the login or the
    database is gone already.

    Args:
        server: Where, and as whom.
        database: The login's own database; None: it was deleted.
        username: The login.
        owner_role: Not needed.

    Raises:
        SessionsRemain: Its sessions did not end within ten seconds. New ones are refused already.
        ValueError: *username* is no login of the broker's.
        DataPlaneFailure: See `broker.data_planes.base`.
    """
    del database, owner_role
    _must_be_ours(server, username)
    await administering(server, lambda cursor: _drop(cursor, server, username, keep_definers=True))


async def drop_database_roles(server: Server, database: str, *, owner_role: str = "") -> None:
    """
    Remove what stays on the server after *database* was deleted: its logins.

    A second call finds nothing and returns.

    Raises:
        StatementFailed: The database is still there (retryable).
        DataPlaneFailure: See `broker.data_planes.base`.
    """
    del owner_role

    def remove(cursor: Cursor) -> None:
        if _exists(cursor, database):
            raise StatementFailed(
                f"The database {database!r} is still on {server.host}; its logins stay with it.",
                sqlstate=str(ER.DB_DROP_EXISTS),
                retryable=True,
            )
        for username in _logins(cursor, database):
            _drop(cursor, server, username, keep_definers=False)

    await administering(server, remove)
    log.info("logins of a deleted database dropped", server=server.host, database=database)


async def logins(server: Server, *, database: str) -> list[str]:
    """The names of the broker's logins that may sign in to *database*, in order."""
    return await administering(
        server, lambda cursor: [one for one in _logins(cursor, database) if not _is_locked(cursor, one)]
    )


def _drop(cursor: Cursor, server: Server, username: str, *, keep_definers: bool) -> None:
    if not _is_known(cursor, username):
        return
    # First of all: no new session begins while the running ones end.
    cursor.execute(
        "ALTER USER IF EXISTS %s@'%%' IDENTIFIED BY %s ACCOUNT LOCK", (username, generated_password())
    )
    _end_sessions(cursor, server, username)
    if keep_definers and _rows(cursor, _DEFINED, {"user": f"{username}@%"}):
        log.info("login locked; it defined views or routines", server=server.host, username=username)
        return
    cursor.execute("DROP USER IF EXISTS %s@'%%'", (username,))
    log.info("login dropped", server=server.host, username=username)


def _end_sessions(cursor: Cursor, server: Server, username: str) -> None:
    ends_at = time.monotonic() + _SESSIONS_END_WITHIN.total_seconds()
    while sessions := _sessions(cursor, username):
        if time.monotonic() > ends_at:
            raise SessionsRemain(
                f"{len(sessions)} sessions of the login {username!r} on {server.host} were told to end and go on. "
                "New ones are refused."
            )
        for session in sessions:
            _kill(cursor, session)
        time.sleep(_LOOK_EVERY.total_seconds())  # in a thread of the driver's own


def _sessions(cursor: Cursor, username: str) -> list[int]:
    rows = _rows(cursor, "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = %s", (username,))
    return [int(row[0]) for row in rows]


def _kill(cursor: Cursor, session: int) -> None:
    """End one session; Azure's administrator may not do so itself, and has a procedure for it."""
    for statement in ("KILL CONNECTION %s", "CALL mysql.az_kill(%s)"):
        try:
            cursor.execute(statement, (session,))
        except pymysql.err.MySQLError as error:
            if error.args[0] == _NO_SUCH_THREAD:
                return
            if error.args[0] not in _NOT_THE_OWNER:
                raise
        else:
            return


def _logins(cursor: Cursor, database: str) -> list[str]:
    rows = _rows(
        cursor,
        "SELECT DISTINCT GRANTEE FROM information_schema.SCHEMA_PRIVILEGES WHERE TABLE_SCHEMA IN (%s, %s)",
        (database, _escaped(database)),
    )
    named = (re.fullmatch(r"'(.*)'@'%'", str(row[0])) for row in rows)
    return sorted(found[1] for found in named if found and _OURS.fullmatch(found[1]))


def _is_known(cursor: Cursor, username: str) -> bool:
    return bool(_rows(cursor, "SELECT 1 FROM mysql.user WHERE User = %s AND Host = '%%'", (username,)))


def _is_locked(cursor: Cursor, username: str) -> bool:
    return bool(
        _rows(
            cursor,
            "SELECT 1 FROM mysql.user WHERE User = %s AND Host = '%%' AND account_locked = 'Y'",
            (username,),
        )
    )


def _must_exist(cursor: Cursor, server: Server, database: str) -> None:
    if not _exists(cursor, database):
        raise DatabaseMissing(server, database, sqlstate=str(ER.BAD_DB_ERROR))


def _exists(cursor: Cursor, database: str) -> bool:
    return bool(
        _rows(cursor, "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s", (database,))
    )


def _rows(cursor: Cursor, question: str, arguments: Any) -> Sequence[tuple[Any, ...]]:
    cursor.execute(question, arguments)
    return cursor.fetchall()


def _escaped(database: str) -> str:
    """In a grant `_` and `%` stand for any characters, so that one for `a_b` would open `axb`, too."""
    return re.sub(r"([\\_%])", r"\\\1", database)


def _pattern(database: str) -> str:
    # The driver reads `%` as its own.
    return "`" + _escaped(database).replace("`", "``").replace("%", "%%") + "`"


def _must_be_ours(server: Server, username: str) -> None:
    if username == server.administrator or not _OURS.fullmatch(username) or len(username) > LONGEST_USERNAME:
        raise ValueError(f"{username!r} is no login of the broker's.")
