"""
Connection strings, as named functions of the parts. Pure.

All of them ask for TLS with the server's certificate and name checked, and all encode
their values, so that no password ends one early or adds an option.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

_MONGODB_PORT = 27017
_SCRAM = "SCRAM-SHA-256"


@dataclass(frozen=True)
class DatabaseAccess:
    """What an app needs to sign in to one database; without a password it signs in by Entra tokens."""

    host: str
    port: int
    database: str
    username: str
    password: str | None = field(repr=False)


def uri(access: DatabaseAccess) -> str:
    """A libpq URI (PostgreSQL manual, "Connection URIs")."""
    return f"{_url('postgresql', access)}?sslmode=verify-full"


def jdbc(access: DatabaseAccess) -> str:
    """A URL of the PostgreSQL JDBC driver; it decodes the path and each value as a browser would."""
    return f"{_jdbc_url('postgresql', access)}&sslmode=verify-full"


def libpq(access: DatabaseAccess) -> str:
    """A keyword and value string of libpq; values are in single quotes, with backslashes inside escaped."""
    parts = {
        "host": access.host,
        "port": str(access.port),
        "dbname": access.database,
        "user": access.username,
        **_if_any("password", access.password),
        "sslmode": "verify-full",
    }
    return " ".join(
        "{}='{}'".format(name, value.replace("\\", "\\\\").replace("'", "\\'"))
        for name, value in parts.items()
    )


def ado_net(access: DatabaseAccess) -> str:
    """A connection string of Npgsql; values are in double quotes, and one inside is doubled."""
    parts = {
        "Host": access.host,
        "Port": str(access.port),
        "Database": access.database,
        "Username": access.username,
        **_if_any("Password", access.password),
        "SSL Mode": "VerifyFull",
    }
    return _quoted(parts)


def mysql_uri(access: DatabaseAccess) -> str:
    """A URI-like string of MySQL's shell and many clients (MySQL manual, "Connecting Using URI-Like Strings")."""
    return f"{_url('mysql', access)}?ssl-mode=VERIFY_IDENTITY"


def mysql_jdbc(access: DatabaseAccess) -> str:
    """A URL of MySQL Connector/J; it decodes the path and each value."""
    return f"{_jdbc_url('mysql', access)}&sslMode=VERIFY_IDENTITY"


def mysql_ado_net(access: DatabaseAccess) -> str:
    """A connection string of MySqlConnector; values are in double quotes, and one inside is doubled."""
    parts = {
        "Server": access.host,
        "Port": str(access.port),
        "Database": access.database,
        "User ID": access.username,
        **_if_any("Password", access.password),
        "SSL Mode": "VerifyFull",
    }
    return _quoted(parts)


def sqlserver_uri(access: DatabaseAccess) -> str:
    """
    A URL of go-mssqldb, which most URL parsers read (its README, "The connection string"). Without a password the
    app's own identity signs in, and gives no name.
    """
    place = f"{_bracketed(access.host)}:{access.port}?database={_encoded(access.database)}"
    if access.password is None:
        return f"sqlserver://{place}&encrypt=true&TrustServerCertificate=false&fedauth=ActiveDirectoryDefault"
    return f"{_credentials_of('sqlserver', access)}@{place}&encrypt=true&TrustServerCertificate=false"


def sqlserver_jdbc(access: DatabaseAccess) -> str:
    """A URL of Microsoft's JDBC driver; values are in braces, and a closing one inside is doubled."""
    parts = {
        "databaseName": access.database,
        **_signed(access, ("user", "password"), ("authentication", "ActiveDirectoryDefault")),
        "encrypt": "true",
        "trustServerCertificate": "false",
    }
    values = ";".join("{}={{{}}}".format(name, value.replace("}", "}}")) for name, value in parts.items())
    return f"jdbc:sqlserver://{_bracketed(access.host)}:{access.port};{values}"


def sqlserver_ado_net(access: DatabaseAccess) -> str:
    """A connection string of Microsoft.Data.SqlClient; values are in double quotes, and one inside is doubled."""
    parts = {
        "Server": f"tcp:{access.host},{access.port}",
        "Database": access.database,
        **_signed(access, ("User ID", "Password"), ("Authentication", "Active Directory Default")),
        "Encrypt": "True",
        "TrustServerCertificate": "False",
    }
    return _quoted(parts)


POSTGRESQL: Mapping[str, Callable[[DatabaseAccess], str]] = {
    "uri": uri,
    "jdbc": jdbc,
    "libpq": libpq,
    "ado_net": ado_net,
}
MYSQL: Mapping[str, Callable[[DatabaseAccess], str]] = {
    "uri": mysql_uri,
    "jdbc": mysql_jdbc,
    "ado_net": mysql_ado_net,
}
SQLSERVER: Mapping[str, Callable[[DatabaseAccess], str]] = {
    "uri": sqlserver_uri,
    "jdbc": sqlserver_jdbc,
    "ado_net": sqlserver_ado_net,
}


def azure_storage(account: str, secret: str, endpoints: Mapping[str, str]) -> str:
    """
    A connection string of the Azure Storage libraries, with explicit endpoints for clouds of any name.

    *secret* is an account key or a SAS token, and tells by itself which one: a token has the parameter `sig`.
    *endpoints* are by service: `Blob`, `File`, `Queue`, `Table`.
    """
    signed = (
        {"SharedAccessSignature": secret}
        if "&sig=" in secret
        else {"AccountName": account, "AccountKey": secret}
    )
    parts = {f"{service}Endpoint": endpoint for service, endpoint in endpoints.items()}
    return ";".join(f"{name}={value}" for name, value in {**parts, **signed}.items())


def redis_uri(host: str, port: int, password: str) -> str:
    """A URI of Redis over TLS for the user that needs no name (IANA, "rediss")."""
    return f"rediss://:{_encoded(password)}@{_bracketed(host)}:{port}/0"


def mongodb(
    account: str, *, username: str | None = None, password: str | None = None, database: str | None = None
) -> str:
    """
    The URI of an account for MongoDB, as Azure gave it but for what has to be encoded.

    With *username* and *password* for that user instead of the account: it signs in to the *database* where it was
    defined, by the one mechanism that Azure has for it
    (https://learn.microsoft.com/azure/cosmos-db/mongodb/how-to-setup-rbac).
    """
    parts, options = parts_of(account), account.partition("?")[2]
    who = (username or parts.get("username", ""), password or parts.get("password", ""))
    if username and database:
        options = "&".join(
            filter(None, [options, f"authSource={_encoded(database)}", f"authMechanism={_SCRAM}"])
        )
    place = f"{parts['host']}:{parts.get('port', _MONGODB_PORT)}/{_encoded(database or '')}"
    return (
        f"mongodb://{_encoded(str(who[0]))}:{_encoded(str(who[1]))}@{place}{'?' if options else ''}{options}"
    )


def parts_of(uri: str) -> dict[str, str | int]:
    """
    Return `host`, `port`, `username`, `password` of a URI, those that it has.

    A key in it may stand there as it is, with slashes: only the last @ before the options ends it.
    """
    whole = uri.partition("://")[2].partition("?")[0]
    signed, _, place = whole.rpartition("@")
    username, _, password = signed.partition(":")
    host, _, port = place.partition("/")[0].partition(":")
    found: dict[str, str | int] = {
        "host": host,
        "username": unquote(username),
        "password": unquote(password),
    }
    return {key: value for key, value in found.items() if value} | (
        {"port": int(port)} if port.isdecimal() else {}
    )


def _url(scheme: str, access: DatabaseAccess) -> str:
    return f"{_credentials_of(scheme, access)}@{_place(access)}"


def _signed(access: DatabaseAccess, names: tuple[str, str], otherwise: tuple[str, str]) -> dict[str, str]:
    """The name and the password by their *names*; without a password what asks for the app's own identity."""
    if access.password is None:
        return dict([otherwise])
    return dict(zip(names, (access.username, access.password), strict=True))


def _credentials_of(scheme: str, access: DatabaseAccess) -> str:
    secret = "" if access.password is None else f":{_encoded(access.password)}"
    return f"{scheme}://{_encoded(access.username)}{secret}"


def _jdbc_url(scheme: str, access: DatabaseAccess) -> str:
    secret = "" if access.password is None else f"&password={_encoded(access.password)}"
    return f"jdbc:{scheme}://{_place(access)}?user={_encoded(access.username)}{secret}"


def _if_any(name: str, value: str | None) -> dict[str, str]:
    return {} if value is None else {name: value}


def _place(access: DatabaseAccess) -> str:
    return f"{_bracketed(access.host)}:{access.port}/{_encoded(access.database)}"


def _quoted(parts: Mapping[str, str]) -> str:
    """As .NET's drivers read it: each value in double quotes, and one inside doubled."""
    return ";".join('{}="{}"'.format(name, value.replace('"', '""')) for name, value in parts.items())


def _encoded(part: str) -> str:
    return quote(part, safe="")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
