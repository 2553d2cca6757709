"""
The roles and grants of the broker inside PostgreSQL servers, version 14 and later.

A database belongs to an *owner role* that nobody can sign in as. Each binding has a *login*, a member of
the owner role, whose sessions work as the owner role. So whatever an app creates belongs to the owner
role, every binding of the database may use it, and the end of one binding orphans nothing.

The administrator is no superuser (Azure keeps that role to itself): it may end the sessions of a role and
hand over what the role owns only as its member. From PostgreSQL 16 on the creator of a role has to grant
itself that membership.

Every function may be killed between any two statements and called again, at any later time and in several
processes at once. Roles that the broker did not make are never changed: ours carry a comment that says so.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar

import structlog
from psycopg import sql
from psycopg.errors import InsufficientPrivilege, LockNotAvailable

from broker.data_planes.base import DatabaseMissing, EntraPrincipal, Server, SessionsRemain, StatementFailed
from broker.data_planes.postgresql_connection import (
    MAINTENANCE_DATABASE,
    Conflict,
    Connection,
    connected,
)

log = structlog.get_logger(__name__)

_DEPENDENT_OBJECTS = "2BP01"
_DUPLICATE_OBJECT = "42710"
_UNDEFINED_OBJECT = "42704"
_ROLE_MEMBERSHIP_OPTIONS_SINCE = 160000

# A session that is told to end does so at its next look for interrupts, which few loops delay for long.
_SESSIONS_END_WITHIN = timedelta(seconds=10)
_ENTRA_TYPES = {"ServicePrincipal": "service", "Group": "group", "User": "user"}
_TRIES = 6
_FIRST_PAUSE = timedelta(milliseconds=20)

LONGEST_USERNAME = 53
"""Of 63 bytes that PostgreSQL keeps; what the broker's logins have always had."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _again_on_conflict(
    function: Callable[Arguments, Awaitable[Result]],
) -> Callable[Arguments, Coroutine[Any, Any, Result]]:
    """Call again, a few times, where another session was quicker; the functions here may be repeated."""

    @functools.wraps(function)
    async def until_free(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        for attempt in range(1, _TRIES):
            try:
                return await function(*args, **kwargs)
            except Conflict:
                pause = _FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1)  # noqa: S311  # only spreads
                await asyncio.sleep(pause.total_seconds())
        return await function(*args, **kwargs)

    return until_free


async def check_administrator(server: Server) -> None:
    """
    See that the administrator can sign in and may make roles; nothing is changed.

    Raises:
        Refused: The server does not accept the name and the password.
        StatementFailed: Whoever this is may make no roles.
        DataPlaneFailure: See `broker.data_planes.base`.
    """
    async with connected(server, MAINTENANCE_DATABASE) as connection:
        if not await _asks(
            connection, "SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user"
        ):
            raise StatementFailed(
                f"The role {server.administrator!r} may make no logins on {server.host}.",
                sqlstate=InsufficientPrivilege.sqlstate or "42501",
            )


@_again_on_conflict
async def prepare_database(
    server: Server, database: str, *, owner_role: str, extensions: Iterable[str] = ()
) -> None:
    """
    Make *database* ready for bindings: the owner role owns it, only its members may enter, and the
    *extensions* are installed, with those that they need.

    A second call changes nothing; one with further extensions installs these. None is ever removed.

    Raises:
        DatabaseMissing: ARM has not made the database yet, or it is gone.
        StatementFailed: For an extension: the server does not have or not allow it.
        DataPlaneFailure: See `broker.data_planes.base`.
    """
    async with connected(server, database) as connection:
        async with connection.transaction():
            await _lock(connection, owner_role)
            if not await _is_owner(connection, owner_role):
                await _run(connection, "CREATE ROLE {} NOLOGIN", sql.Identifier(owner_role))
                await _mark(connection, owner_role, _owner_mark(database))
            await _join(connection, owner_role)
            await _take_database(connection, database, owner_role)
        await _take_public_schema(connection, owner_role)
        for extension in extensions:
            async with connection.transaction():
                # Where the extension's functions go. Its script resolves names by a path of its own.
                await connection.execute("SET LOCAL search_path = public")
                await _run(connection, "CREATE EXTENSION IF NOT EXISTS {} CASCADE", sql.Identifier(extension))
    log.info("database is ready for bindings", server=server.host, database=database)


@_again_on_conflict
async def create_login(
    server: Server,
    database: str,
    *,
    owner_role: str,
    username: str,
    password: str,
    valid_until: datetime | None = None,
) -> None:
    """
    Make a login for one binding of a prepared database. A second call sets password and time again.

    The password does not travel: the server gets a SCRAM-SHA-256 verifier, which its log and statistics
    may hold and which signs nobody in.

    Args:
        server: Where, and as whom.
        database: The one database that the login may enter and that the broker prepared.
        owner_role: The role that the login's sessions work as.
        username: At most 63 bytes.
        password: Anything without a NUL character.
        valid_until: From when on the password is refused; None: never. Running sessions go on.

    Raises:
        DatabaseMissing: The database is gone.
        StatementFailed: Among others, the database was never prepared, or *username* is somebody else's.
        DataPlaneFailure: See `broker.data_planes.base`.
    """
    _not_the_administrator(server, username)
    async with connected(server, database) as connection, connection.transaction():
        await _lock(connection, owner_role)
        if not await _is_owner(connection, owner_role):
            raise StatementFailed(
                f"The database {database!r} was not prepared for bindings.", sqlstate=_UNDEFINED_OBJECT
            )
        verb = "ALTER" if await _is_ours(connection, username) else "CREATE"
        await _run(
            connection,
            verb + " ROLE {} LOGIN PASSWORD {} VALID UNTIL {}",
            sql.Identifier(username),
            sql.Literal(_verifier(connection, username, password)),
            sql.Literal("infinity" if valid_until is None else valid_until.isoformat()),
        )
        await _mark(connection, username, _login_mark(owner_role))
        await _work_as_owner(connection, database, username, owner_role)
    log.info("login made", server=server.host, database=database, username=username)


@_again_on_conflict
async def create_entra_login(
    server: Server,
    database: str,
    *,
    owner_role: str,
    username: str,
    principal: EntraPrincipal,
    administrator: Server,
) -> None:
    """
    Make a login for one binding of a prepared database as which *principal* signs in by its Entra tokens.

    A second call leaves the login as it is. Only an administrator that is an Entra principal itself may make such a
    login (https://learn.microsoft.com/azure/postgresql/flexible-server/how-to-manage-azure-ad-users); it hands the
    login over to the administrator with the password, who ends it as any other.

    Args:
        server: Where, and as whom.
        database: The one database that the login may enter and that the broker prepared.
        owner_role: The role that the login's sessions work as.
        username: At most 63 bytes; the principal gives this name, with a token as its password.
        principal: Whose tokens are taken.
        administrator: The same server, with the name of the broker's own Entra principal and a token of it.

    Raises:
        Refused: The server does not take the broker's token.
        StatementFailed: As of `create_login`.
        DataPlaneFailure: See `broker.data_planes.base`.
    """
    _not_the_administrator(server, username)
    async with connected(server, database) as connection:
        if not await _is_owner(connection, owner_role):
            raise StatementFailed(
                f"The database {database!r} was not prepared for bindings.", sqlstate=_UNDEFINED_OBJECT
            )
        there = await _is_ours(connection, username)
    if not there:
        # The function is in this database alone. All of it or nothing: a role without our mark could not be dropped.
        async with (
            connected(administrator, MAINTENANCE_DATABASE) as connection,
            connection.transaction(),
        ):
            await _lock(connection, owner_role)
            if not await _is_ours(connection, username):
                await connection.execute(
                    "SELECT pgaadauth_create_principal_with_oid(%s, %s, %s, false, false)",
                    [username, principal.object_id, _ENTRA_TYPES[principal.kind]],
                )
                await _mark(connection, username, _login_mark(owner_role))
                await _run(
                    connection,
                    "GRANT {} TO {} WITH ADMIN OPTION",
                    sql.Identifier(username),
                    sql.Identifier(server.administrator),
                )
    async with connected(server, database) as connection, connection.transaction():
        await _lock(connection, owner_role)
        await _work_as_owner(connection, database, username, owner_role)
    log.info("Entra login made", server=server.host, database=database, username=username)


@_again_on_conflict
async def drop_login(server: Server, database: str | None, *, username: str, owner_role: str) -> None:
    """
    End a binding's login: no new session, no running session, no role; what it owned goes to the owner role.

    Succeeds if the login, the owner role or the database is gone already.

    Args:
        server: Where, and as whom.
        database: The login's own database; None: it was deleted.
        username: The login.
        owner_role: Who gets what the login owned. Gone too: the administrator.

    Raises:
        SessionsRemain: Its sessions did not end within ten seconds. New ones are refused already.
        StatementFailed: Among others, *username* is a role that the broker did not make.
        DataPlaneFailure: See `broker.data_planes.base`.
    """
    _not_the_administrator(server, username)
    async with connected(server, MAINTENANCE_DATABASE) as connection:
        if not await _is_ours(connection, username):
            return
        # From a database that no app can close: whatever follows, nobody signs in any more.
        await _shut_out(connection, username, owner_role)
        if database is None:
            await _drop_login(server, connection, username, owner_role)
            return
        await _open(connection, database)
    try:
        async with connected(server, database) as connection:
            await _drop_login(server, connection, username, owner_role)
    except DatabaseMissing:
        async with connected(server, MAINTENANCE_DATABASE) as connection:
            await _drop_login(server, connection, username, owner_role)


@_again_on_conflict
async def drop_database_roles(server: Server, database: str, *, owner_role: str) -> None:
    """
    Remove what stays on the server after *database* was deleted: its logins and its owner role.

    A second call finds nothing and returns.

    Raises:
        StatementFailed: The database is still there (retryable), or something else needs the role.
        DataPlaneFailure: See `broker.data_planes.base`.
    """
    _not_the_administrator(server, owner_role)
    async with connected(server, MAINTENANCE_DATABASE) as connection:
        if await _asks(connection, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)", database):
            raise StatementFailed(
                f"The database {database!r} is still on {server.host}; its roles stay with it.",
                sqlstate=_DEPENDENT_OBJECTS,
                retryable=True,
            )
        for username in await _logins(connection, owner_role):
            await _shut_out(connection, username, owner_role)
            await _drop_login(server, connection, username, owner_role)
        # One that somebody else made, and the database before it was adopted, stays.
        if not await _is_plain(connection, owner_role) and await _is_ours(connection, owner_role):
            async with connection.transaction():
                await _lock(connection, owner_role)
                await _join(connection, owner_role)
            await _drop_role(server, connection, owner_role, heir=None)
    log.info("roles of a deleted database dropped", server=server.host, database=database)


async def logins(server: Server, *, owner_role: str) -> list[str]:
    """The names of the broker's logins that belong to *owner_role*, in order; no such role: none."""
    async with connected(server, MAINTENANCE_DATABASE) as connection:
        return await _logins(connection, owner_role)


async def _work_as_owner(connection: Connection, database: str, username: str, owner_role: str) -> None:
    """Let the sessions of a login work as the owner role, and as nobody else."""
    await _join(connection, username)
    if not await _asks(connection, "SELECT pg_has_role(%s, %s, 'MEMBER')", username, owner_role):
        await _run(connection, "GRANT {} TO {}", sql.Identifier(owner_role), sql.Identifier(username))
    await _run(
        connection,
        "ALTER ROLE {} IN DATABASE {} SET role = {}",
        sql.Identifier(username),
        sql.Identifier(database),
        sql.Literal(owner_role),
    )


async def _take_database(connection: Connection, database: str, owner_role: str) -> None:
    owned = await _asks(
        connection,
        "SELECT pg_get_userbyid(datdba) = %s FROM pg_database WHERE datname = current_database()",
        owner_role,
    )
    if not owned:
        await _run(
            connection,
            "ALTER DATABASE {} OWNER TO {}",
            sql.Identifier(database),
            sql.Identifier(owner_role),
        )
    # Whoever can sign in to the server could else enter every database of it.
    if await _asks(
        connection, "SELECT has_database_privilege('public', current_database(), 'CONNECT, TEMP, CREATE')"
    ):
        await _run(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", sql.Identifier(database))


async def _take_public_schema(connection: Connection, owner_role: str) -> None:
    """
    Let the owner role own schema `public`, or at least create in it where somebody else owns it.

    From PostgreSQL 15 on it belongs to "the database's owner", which is right as it is. Azure has been
    seen to give it to `azure_pg_admin`, and to leave it out (Azure/azure-cli issue 26772).
    """
    role = sql.Identifier(owner_role)
    async with connection.transaction():
        await _lock(connection, owner_role)
        found = await connection.execute(
            "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'public'"
        )
        row = await found.fetchone()
        if row is None:
            await _run(connection, "CREATE SCHEMA public AUTHORIZATION {}", role)
        elif row[0] not in {owner_role, "pg_database_owner"}:
            try:
                async with connection.transaction():
                    await _run(connection, "ALTER SCHEMA public OWNER TO {}", role)
            except InsufficientPrivilege:
                await _run(connection, "GRANT ALL ON SCHEMA public TO {}", role)
        if await _asks(connection, "SELECT has_schema_privilege('public', 'public', 'CREATE')"):
            await connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")


async def _open(connection: Connection, database: str) -> None:
    """
    Let the administrator into a database of ours that an app, as its owner, has closed or filled up.

    It has to go in to remove a login, which may be another database's: privileges can be given to any role.
    """
    found = await connection.execute(
        "SELECT pg_get_userbyid(datdba), NOT datallowconn,"
        " datconnlimit >= 0 AND datconnlimit <= "
        " (SELECT count(*) FROM pg_stat_activity WHERE pg_stat_activity.datid = pg_database.oid),"
        " NOT has_database_privilege(oid, 'CONNECT') FROM pg_database WHERE datname = %s",
        [database],
    )
    row = await found.fetchone()
    if row is None or not any(row[1:]) or not await _is_ours(connection, owner := str(row[0])):
        return
    name = sql.Identifier(database)
    await _run(connection, "ALTER DATABASE {} WITH ALLOW_CONNECTIONS true CONNECTION LIMIT -1", name)
    await _run(connection, "GRANT CONNECT ON DATABASE {} TO {}", name, sql.Identifier(owner))
    log.warning("a database was closed to the administrator and is open again", database=database)


async def _shut_out(connection: Connection, username: str, owner_role: str) -> None:
    """Let a login of ours begin no session and own nothing new, and end its running sessions."""
    async with connection.transaction():
        await _lock(connection, owner_role)
        await _join(connection, username)
        # First of all, and for itself: no new session begins while the running ones end.
        await _run(connection, "ALTER ROLE {} NOLOGIN", sql.Identifier(username))
        # A member may have passed privileges on in its own name. DROP OWNED takes these back only from a
        # grantor who could not grant them still, as a member of the owner.
        if await _asks(
            connection,
            "SELECT EXISTS (SELECT FROM pg_auth_members"
            " WHERE roleid = to_regrole(%s) AND member = to_regrole(%s))",
            sql.Identifier(owner_role).as_string(connection),
            sql.Identifier(username).as_string(connection),
        ):
            await _run(connection, "REVOKE {} FROM {}", sql.Identifier(owner_role), sql.Identifier(username))
    await _end_sessions(connection, username)


async def _drop_login(server: Server, connection: Connection, username: str, owner_role: str) -> None:
    """Drop a login that was shut out; somebody else may have done so meanwhile."""
    if not await _is_ours(connection, username):
        return
    heir = owner_role if await _can_own(connection, owner_role) else None
    if connection.info.dbname != MAINTENANCE_DATABASE:
        await _hand_over(connection, username, heir or server.administrator)
    await _drop_role(server, connection, username, heir=heir)
    log.info("login dropped", server=server.host, username=username)


async def _drop_role(server: Server, connection: Connection, role: str, *, heir: str | None) -> None:
    """
    Drop a role that is ours, with its privileges everywhere.

    What it owns in databases of *heir* goes to *heir*; what it left in others goes with it.
    """
    found = await connection.execute(
        "SELECT DISTINCT datname, coalesce(pg_get_userbyid(datdba) = %s, false)"
        " FROM pg_shdepend JOIN pg_database ON pg_database.oid = dbid"
        " WHERE refclassid = 'pg_authid'::regclass AND refobjid = to_regrole(%s)"
        " AND datname <> current_database()",
        [heir, sql.Identifier(role).as_string(connection)],
    )
    for elsewhere, of_heir in await found.fetchall():
        # Anyone may leave a large object in a database that is open to all, such as `postgres`.
        await _open(connection, str(elsewhere))
        async with connected(server, str(elsewhere)) as there:
            if heir is not None and of_heir is True:
                await _hand_over(there, role, heir)
            await _run(there, "DROP OWNED BY {} CASCADE", sql.Identifier(role))
    async with connection.transaction():
        await _run(connection, "DROP OWNED BY {} CASCADE", sql.Identifier(role))
        # A session that was signing in at the very moment of NOLOGIN shows up a little later.
        await _end_sessions(connection, role)
        await _run(connection, "DROP ROLE {}", sql.Identifier(role))


async def _hand_over(connection: Connection, role: str, heir: str) -> None:
    await _run(connection, "REASSIGN OWNED BY {} TO {}", sql.Identifier(role), sql.Identifier(heir))


async def _end_sessions(connection: Connection, username: str) -> None:
    # pg_terminate_backend with a time waits for the session's end itself; all are told first.
    for wait in (0, round(_SESSIONS_END_WITHIN.total_seconds() * 1000)):
        await connection.execute(
            "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE usename = %s", [wait, username]
        )
    if await _asks(connection, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = %s)", username):
        raise SessionsRemain(f"Sessions of {username!r} have not ended in time.")


async def _is_ours(connection: Connection, role: str) -> bool:
    """
    Whether *role* exists and the broker made it.

    Raises:
        StatementFailed: It exists, and somebody else made it.
    """
    found = await connection.execute(
        "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %s", [role]
    )
    row = await found.fetchone()
    if row is not None and not str(row[0]).startswith(_MARK):
        raise StatementFailed(
            f"The role {role!r} exists and was not made by the broker; it is left alone.",
            sqlstate=_DUPLICATE_OBJECT,
        )
    return row is not None


async def _is_owner(connection: Connection, role: str) -> bool:
    """
    Whether the owner role is there: made by the broker, or, in a database that was adopted, by whoever made that.

    Raises:
        StatementFailed: It exists, somebody else made it, and it is not the owner of this database and nothing more.
    """
    owns = "SELECT pg_get_userbyid(datdba) = %s FROM pg_database WHERE datname = current_database()"
    if await _is_plain(connection, role) and await _asks(connection, owns, role):
        return True
    return await _is_ours(connection, role)


async def _can_own(connection: Connection, role: str) -> bool:
    """Whether there is a role to which a login's objects may go; raises as `_is_ours` does."""
    return await _is_plain(connection, role) or await _is_ours(connection, role)


async def _is_plain(connection: Connection, role: str) -> bool:
    """Whether somebody else made a role that owns things and can do nothing more, not even sign in."""
    return await _asks(
        connection,
        "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s AND NOT (rolcanlogin OR rolsuper OR rolcreaterole"
        " OR rolcreatedb OR rolreplication OR rolbypassrls) AND rolname !~ '^pg_'"
        " AND coalesce(shobj_description(oid, 'pg_authid') NOT LIKE %s, true))",
        role,
        f"{_MARK}%",
    )


_MARK = "Made by azure-service-broker"


def _owner_mark(database: str) -> str:
    return f"{_MARK}: owner of database {database}"


def _login_mark(owner_role: str) -> str:
    return f"{_MARK}: login for {owner_role}"


async def _mark(connection: Connection, role: str, mark: str) -> None:
    await _run(connection, "COMMENT ON ROLE {} IS {}", sql.Identifier(role), sql.Literal(mark))


async def _logins(connection: Connection, owner_role: str) -> list[str]:
    found = await connection.execute(
        "SELECT rolname FROM pg_roles WHERE shobj_description(oid, 'pg_authid') = %s ORDER BY rolname",
        [_login_mark(owner_role)],
    )
    return [str(name) for (name,) in await found.fetchall()]


async def _join(connection: Connection, role: str) -> None:
    """Make the administrator a member of *role* that may act as it and has what it has."""
    if connection.info.server_version < _ROLE_MEMBERSHIP_OPTIONS_SINCE:
        if not await _asks(connection, "SELECT pg_has_role(%s, 'USAGE')", role):
            await _run(connection, "GRANT {} TO CURRENT_USER", sql.Identifier(role))
    elif not await _asks(
        connection, "SELECT pg_has_role(%s, 'USAGE') AND pg_has_role(%s, 'SET')", role, role
    ):
        await _run(connection, "GRANT {} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE", sql.Identifier(role))


async def _lock(connection: Connection, owner_role: str) -> None:
    """
    Let one transaction at a time change the roles of one database.

    Two that change the same row of a system catalogue would not wait for each other but fail, and be tried
    again. So the lock saves work only: an app can take it too, and then nobody waits for long.
    """
    try:
        async with connection.transaction():
            await connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{_MARK}: {owner_role}"]
            )
    except LockNotAvailable:
        log.warning("somebody holds the lock on a database's roles", owner_role=owner_role)


def _verifier(connection: Connection, username: str, password: str) -> str:
    return connection.pgconn.encrypt_password(password.encode(), username.encode(), b"scram-sha-256").decode()


def _not_the_administrator(server: Server, role: str) -> None:
    if role == server.administrator:
        raise ValueError(f"{role!r} is the administrator.")


async def _asks(connection: Connection, question: str, *arguments: str) -> bool:
    found = await connection.execute(question.encode(), arguments)
    row = await found.fetchone()
    return row is not None and row[0] is True


async def _run(connection: Connection, statement: str, *parts: sql.Composable) -> None:
    """Run a statement that takes no arguments on its way: names and texts are quoted by the driver."""
    await connection.execute(sql.SQL(statement).format(*parts))
