"""
The statements by which users of Azure SQL databases are made and removed, as Transact-SQL. Pure.

None of them takes parameters where a name or a password stands, so these are quoted here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

ROLES = (
    "db_accessadmin",
    "db_backupoperator",
    "db_datareader",
    "db_datawriter",
    "db_ddladmin",
    "db_denydatareader",
    "db_denydatawriter",
    "db_owner",
    "db_securityadmin",
)
"""The fixed roles of a database (Transact-SQL reference, "Database-level roles"); Azure knows them all."""


def identifier(name: str) -> str:
    """A name, of at most 128 characters."""
    if not name or len(name) > 128:
        raise ValueError("An identifier has 1 to 128 characters.")
    return "[" + name.replace("]", "]]") + "]"


def text(value: str) -> str:
    """A string of Unicode characters."""
    return "N'" + value.replace("'", "''") + "'"


def sid_of(known_by: UUID) -> str:
    """The security identifier under which a database knows a principal of Entra."""
    # SQL Server keeps GUIDs as Windows does: the first three parts with their last byte first.
    return "0x" + known_by.bytes_le.hex().upper()


def create_user(username: str, password: str, roles: Iterable[str]) -> str:
    """
    Make a user of the one database who signs in by a password; one that is there gets this password and these roles.

    One transaction, so that there is never a user with some of the roles.
    """
    user = identifier(username)
    return _whole(
        f"IF DATABASE_PRINCIPAL_ID({text(username)}) IS NULL\n"
        f"CREATE USER {user} WITH PASSWORD = {text(password)}, DEFAULT_SCHEMA = [dbo];\n"
        f"ELSE ALTER USER {user} WITH PASSWORD = {text(password)};",
        *_allowed(user, roles),
    )


def create_entra_user(username: str, known_by: UUID, letter: str, roles: Iterable[str]) -> str:
    """
    Make a user who signs in by Entra tokens: E, an application *known by* its client id or a person by the object id,
    or X, a group by its object id. Azure looks nothing up in the directory.

    `FROM EXTERNAL PROVIDER` would need a server with rights to read the directory.
    """
    if letter not in {"E", "X"}:
        raise ValueError(f"There is no type {letter!r} of users that sign in by Entra.")
    user = identifier(username)
    return _whole(
        f"IF DATABASE_PRINCIPAL_ID({text(username)}) IS NULL\n"
        f"CREATE USER {user} WITH SID = {sid_of(known_by)}, TYPE = {letter}, DEFAULT_SCHEMA = [dbo];",
        *_allowed(user, roles),
    )


def lock_password(username: str, password: str) -> str:
    """Give a user another password, if there is one who has any."""
    return (
        f"IF EXISTS (SELECT 1 FROM sys.database_principals WHERE name = {text(username)}"
        " AND authentication_type = 2)\n"
        f"ALTER USER {identifier(username)} WITH PASSWORD = {text(password)};"
    )


def shut_out(username: str) -> str:
    """Let a user in no more."""
    return f"IF DATABASE_PRINCIPAL_ID({text(username)}) IS NOT NULL\nDENY CONNECT TO {identifier(username)};"


def drop_user(username: str) -> str:
    """Remove a user; none is no error."""
    return f"DROP USER IF EXISTS {identifier(username)};"


def find_user(username: str) -> str:
    return f"SELECT principal_id FROM sys.database_principals WHERE name = {text(username)};"


def find_users() -> str:
    """All who sign in to the database itself: by a password, or by Entra."""
    return "SELECT name FROM sys.database_principals WHERE type IN ('S', 'E', 'X') AND authentication_type IN (2, 4);"


def find_database(database: str) -> str:
    """Asked in `master`."""
    return f"SELECT 1 FROM sys.databases WHERE name = {text(database)};"


def find_sessions(username: str) -> str:
    """
    The sessions of a user of this database, but this one. For these `login_name` shows no name, so they are found by
    the user's own identifier, whoever they act as now.
    """
    return (
        "SELECT s.session_id FROM sys.dm_exec_sessions AS s"
        " JOIN sys.database_principals AS p ON s.original_security_id = p.sid OR s.security_id = p.sid"
        f" WHERE p.name = {text(username)} AND s.session_id <> @@SPID;"
    )


def end_session(session: int) -> str:
    return f"KILL {int(session)};"


def find_owned(username: str) -> str:
    """What a user owns, as a class of securables, the schema where it has one, and a name."""
    owner = f"DATABASE_PRINCIPAL_ID({text(username)})"
    return (
        f"SELECT 'SCHEMA' AS class, NULL AS above, name FROM sys.schemas WHERE principal_id = {owner}\n"
        "UNION ALL SELECT 'ROLE', NULL, name FROM sys.database_principals"
        f" WHERE type = 'R' AND owning_principal_id = {owner}\n"
        "UNION ALL SELECT 'OBJECT', SCHEMA_NAME(schema_id), name FROM sys.objects"
        f" WHERE principal_id = {owner}\n"
        "UNION ALL SELECT 'TYPE', SCHEMA_NAME(schema_id), name FROM sys.types"
        f" WHERE principal_id = {owner};"
    )


def hand_over(securable: str, above: str | None, name: str) -> str:
    """Give what a user owns to the database's owner; what lies in a schema to the schema's."""
    if securable not in {"SCHEMA", "ROLE", "OBJECT", "TYPE"}:
        raise ValueError(f"A {securable} is handed over to nobody.")
    what = identifier(name) if above is None else f"{identifier(above)}.{identifier(name)}"
    owner = "[dbo]" if above is None else "SCHEMA OWNER"
    return f"ALTER AUTHORIZATION ON {securable}::{what} TO {owner};"


def _allowed(user: str, roles: Iterable[str]) -> list[str]:
    wanted = list(dict.fromkeys(roles))
    unknown = sorted(set(wanted) - set(ROLES))
    if unknown or not wanted:
        raise ValueError(f"{', '.join(unknown) or 'nothing'} is no fixed role of a database.")
    return [f"ALTER ROLE {identifier(role)} ADD MEMBER {user};" for role in wanted]


def _whole(*statements: str) -> str:
    return "\n".join(["SET XACT_ABORT ON;", "BEGIN TRANSACTION;", *statements, "COMMIT TRANSACTION;"])
