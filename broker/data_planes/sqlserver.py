"""
The users of the broker inside Azure SQL databases.

Each binding is a *contained* user: it lives in its one database, signs in there by a password of its own or by Entra,
is unknown to the server, and goes with the database. Its default schema is `dbo` and by default it is `db_owner`, so
all bindings of a database share what they create.

The administrator of a server on Azure is no `sysadmin`: it may make users, and end sessions (Transact-SQL reference,
"KILL").

Every function may be killed between any two statements and called again, at any later time and in several processes at
once. Users are told from others by their names, which hold bits drawn from the binding.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from pytds.tds_base import DatabaseError

from broker.data_planes import sqlserver_statements as statements
from broker.data_planes.base import DatabaseMissing, EntraPrincipal, Server, SessionsRemain
from broker.data_planes.secrets import generated_password
from broker.data_planes.sqlserver_connection import Session, administering

log = structlog.get_logger(__name__)

LONGEST_USERNAME = 53
"""Characters; an identifier may have 128, and nobody needs more bits of a name."""

OWNER = ("db_owner",)

_OURS = re.compile(r"[a-z][a-z0-9_]{0,19}_[a-z2-7]{20,40}")
# What a user owns, runs as, or has granted in its own name holds it; it is shut out and goes with its database.
_HELD = frozenset({15136, 15138, 15139, 15141, 15155, 15284, 15421, 33148})
_NO_SUCH_SESSION = frozenset({6101, 6106})
_SESSIONS_END_WITHIN = timedelta(seconds=10)
_LOOK_EVERY = timedelta(milliseconds=200)


async def prepare_database(
    server: Server, database: str, *, owner_role: str = "", extensions: Iterable[str] = ()
) -> None:
    """
    Nothing: a database on Azure is ready for users as it is, and no server is asked.

    Raises:
        ValueError: Something is asked for that such databases do not know.
    """
    del server, database
    if owner_role or list(extensions):
        raise ValueError("Azure SQL has no owner roles and no extensions.")


async def check_administrator(server: Server) -> None:
    """
    See that the administrator can sign in to `master`; nothing is changed.

    Raises:
        DataPlaneFailure: See `broker.data_planes.base`.
    """
    await sign_in(server, "master")


async def sign_in(server: Server, database: str) -> None:
    """
    Sign in as the administrator and out again. A database that was paused begins to resume.

    Raises:
        DataPlaneFailure: See `broker.data_planes.base`.
    """
    await administering(server, database, lambda _: None)


async def create_login(
    server: Server,
    database: str,
    *,
    owner_role: str = "",
    username: str,
    password: str,
    valid_until: datetime | None = None,
    roles: Iterable[str] = OWNER,
) -> None:
    """
    Make a binding's user, who may do in *database* what *roles* may; one that is there gets this password.

    Args:
        server: Where, and as whom.
        database: The one database that the user may enter.
        owner_role: Empty.
        username: Of the form that `generated_username` gives.
        password: Anything that the server's rules allow.
        valid_until: None; users of Azure SQL do not end at a time.
        roles: Fixed roles of the database, at least one.

    Raises:
        DatabaseMissing: The database is gone.
        ValueError: The name, the time or a role does not fit.
        DataPlaneFailure: See `broker.data_planes.base`.
    """
    _must_be_ours(server, username)
    if owner_role or valid_until is not None:
        raise ValueError("Azure SQL has no owner roles, and no password that ends at a time.")
    statement = statements.create_user(username, password, roles)
    await administering(server, database, lambda session: session.run(statement))
    log.info("login made", server=server.host, database=database, username=username)


async def create_entra_login(
    server: Server,
    database: str,
    *,
    owner_role: str = "",
    username: str,
    principal: EntraPrincipal,
    administrator: Server,
    roles: Iterable[str] = OWNER,
) -> None:
    """
    Make a binding's user, as whom *principal* signs in by its Entra tokens; one that is there gets these roles.

    Only an administrator that is an Entra principal itself may make one. The user is made by the principal's
    identifier, so that neither the server nor the broker needs rights to read the directory
    (https://learn.microsoft.com/azure/azure-sql/database/authentication-aad-service-principal tells what else would).

    Args:
        server: Where; it is not signed in to by password.
        database: The one database that the user may enter.
        owner_role: Empty.
        username: Of the form that `generated_username` gives. No app gives it: a token names the principal.
        principal: Whose tokens are taken; of an application or managed identity with its client id.
        administrator: The same server, with a token of the broker's own Entra principal.
        roles: Fixed roles of the database, at least one.

    Raises:
        DatabaseMissing: The database is gone.
        ValueError: The name or a role does not fit, or an application's client id is not known.
        DataPlaneFailure: See `broker.data_planes.base`; the server refuses a second user of one *principal*.
    """
    _must_be_ours(server, username)
    if owner_role:
        raise ValueError("Azure SQL has no owner roles.")
    known_by = principal.client_id if principal.kind == "ServicePrincipal" else principal.object_id
    if known_by is None:
        raise ValueError("Azure SQL knows an application by its client id.")
    letter = "X" if principal.kind == "Group" else "E"
    statement = statements.create_entra_user(username, UUID(known_by), letter, roles)
    await administering(administrator, database, lambda session: session.run(statement))
    log.info("Entra login made", server=server.host, database=database, username=username)


async def drop_login(server: Server, database: str | None, *, username: str, owner_role: str = "") -> None:
    """
    End a binding's user: no new session, no running session, and no user. What it owned goes to `dbo`.

    A user who granted rights in its own name, or as whom a procedure runs, cannot be dropped: it stays, shut out, with
    a password that nobody knows, and goes with its database. Succeeds if the user or the database is gone already.

    Args:
        server: Where, and as whom.
        database: The user's own database; None: it was deleted.
        username: The user.
        owner_role: Not needed.

    Raises:
        SessionsRemain: Its sessions did not end within ten seconds. New ones are refused already.
        ValueError: *username* is no login of the broker's.
        DataPlaneFailure: See `broker.data_planes.base`.
    """
    del owner_role
    _must_be_ours(server, username)
    if database is None:
        return
    try:
        await administering(server, database, lambda session: _drop(session, server, username))
    except DatabaseMissing:
        log.info("login gone with its database", server=server.host, database=database, username=username)


async def drop_database_roles(server: Server, database: str, *, owner_role: str = "") -> None:
    """Nothing: a database's users are gone with it, and no server is asked."""
    del server, database, owner_role


async def logins(server: Server, *, database: str) -> list[str]:
    """The names of the broker's users in *database*, in order."""
    rows = await administering(server, database, lambda session: session.rows(statements.find_users()))
    return sorted(str(name) for (name,) in rows if _OURS.fullmatch(str(name)))


def _drop(session: Session, server: Server, username: str) -> None:
    if not session.rows(statements.find_user(username)):
        return
    # First of all: no new session begins while the running ones end.
    session.run(statements.lock_password(username, generated_password()))
    session.run(statements.shut_out(username))
    _end_sessions(session, server, username)
    for securable, above, name in session.rows(statements.find_owned(username)):
        session.run(statements.hand_over(securable, above, name))
    try:
        session.run(statements.drop_user(username))
    except DatabaseError as error:
        if error.msg_no not in _HELD:
            raise
        log.info("login shut out; the database holds it", username=username, error=error.msg_no)
    else:
        log.info("login dropped", server=server.host, username=username)


def _end_sessions(session: Session, server: Server, username: str) -> None:
    ends_at = time.monotonic() + _SESSIONS_END_WITHIN.total_seconds()
    while found := session.rows(statements.find_sessions(username)):
        if time.monotonic() > ends_at:
            raise SessionsRemain(
                f"{len(found)} sessions of the login {username!r} on {server.host} were told to end and go on. "
                "New ones are refused."
            )
        for (number,) in found:
            try:
                session.run(statements.end_session(number))
            except DatabaseError as error:
                if error.msg_no not in _NO_SUCH_SESSION:
                    raise
        time.sleep(_LOOK_EVERY.total_seconds())  # in a thread of the driver's own


def _must_be_ours(server: Server, username: str) -> None:
    if username == server.administrator or not _OURS.fullmatch(username) or len(username) > LONGEST_USERNAME:
        raise ValueError(f"{username!r} is no login of the broker's.")
