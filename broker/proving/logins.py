"""A binding's credentials as an app would use them, over a driver that knows nothing of the broker."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

DriverError = psycopg.Error

# A server that was just let through a firewall may need several seconds to answer.
_CONNECTS_WITHIN_S = 30


class LoginUnproven(Exception):
    """What was to be seen of a login was not; the message says what was seen instead."""


async def use(credentials: dict[str, Any], ca_file: Path | None) -> str:
    """
    Connect with the credentials' own `uri`, write and read; return what the server says it is.

    Raises:
        LoginUnproven: The `uri` does not ask for a checked certificate, or what was written did not come back.
        psycopg.Error: No connection came about, or a statement was refused.
    """
    uri = str(credentials["uri"])
    if conninfo_to_dict(uri).get("sslmode") != "verify-full":
        raise LoginUnproven("The uri of the credentials does not ask for sslmode=verify-full.")
    async with await _connected(uri, ca_file) as connection:
        await connection.execute("CREATE TABLE osb_smoke (line text)")
        await connection.execute("INSERT INTO osb_smoke VALUES ('written by the smoke test')")
        read = await connection.execute("SELECT line FROM osb_smoke")
        lines = await read.fetchall()
        await connection.execute("DROP TABLE osb_smoke")
        if lines != [("written by the smoke test",)]:
            raise LoginUnproven("What was written did not come back.")
        asked = await connection.execute("SHOW server_version")
        row = await asked.fetchone()
        return f"PostgreSQL {row[0] if row else '?'}, TLS with certificate and name checked"


async def refusal(credentials: dict[str, Any], ca_file: Path | None) -> str:
    """
    Try to connect; return the server's words of refusal.

    Raises:
        LoginUnproven: The login works, or the server did not get as far as asking for the password.
    """
    try:
        connection = await _connected(str(credentials["uri"]), ca_file)
    except psycopg.OperationalError as error:
        words = " ".join(str(error).split())
        if error.pgconn is not None and error.pgconn.used_password:
            return words
        raise LoginUnproven(f"Nothing is known of the login, the server was not reached: {words}") from error
    await connection.close()
    raise LoginUnproven(f"The login {credentials['username']} still works.")


async def _connected(uri: str, ca_file: Path | None) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    # libpq within the driver's wheel does not find this machine's roots under its own word, `system`.
    roots = str(ca_file) if ca_file else ssl.get_default_verify_paths().cafile or "system"
    return await psycopg.AsyncConnection.connect(
        uri, sslrootcert=roots, connect_timeout=_CONNECTS_WITHIN_S, autocommit=True
    )
