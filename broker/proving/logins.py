"""A binding's credentials as an app would use them, over a driver that knows nothing of the broker."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg
import pymysql
from psycopg.conninfo import conninfo_to_dict
from pymysql.constants import ER

Result = TypeVar("Result")

DriverError = (psycopg.Error, pymysql.Error)

# A server that was just let through a firewall may need several seconds to answer.
_CONNECTS_WITHIN_S = 30
_WRITTEN = "written by the smoke test"
_ACCOUNT_LOCKED = 3118  # MySQL manual, "Server Error Message Reference"


class LoginUnproven(Exception):
    """What was to be seen of a login was not; the message says what was seen instead."""


def provable(credentials: Mapping[str, Any]) -> bool:
    """Whether there is a driver at hand that can try these credentials."""
    return credentials.get("type") in _DRIVERS and credentials.get("auth", "password") == "password"


async def use(credentials: dict[str, Any], ca_file: Path | None) -> str:
    """
    Connect with the credentials' own `uri`, write and read; return what the server says it is.

    Raises:
        LoginUnproven: The `uri` does not ask for a checked certificate, or what was written did not come back.
        psycopg.Error: No connection came about, or a statement was refused; likewise pymysql.Error.
    """
    driver = _DRIVERS[credentials["type"]]
    driver.must_check_certificates(str(credentials["uri"]))
    lines, version = await driver.written_and_read(str(credentials["uri"]), ca_file)
    if lines != [_WRITTEN]:
        raise LoginUnproven("What was written did not come back.")
    return f"{driver.product} {version}, TLS with certificate and name checked"


async def refusal(credentials: dict[str, Any], ca_file: Path | None) -> str:
    """
    Try to connect; return the server's words of refusal.

    Raises:
        LoginUnproven: The login works, or the server did not get as far as asking for the password.
    """
    words = await _DRIVERS[credentials["type"]].refused(str(credentials["uri"]), ca_file)
    if words is None:
        raise LoginUnproven(f"The login {credentials['username']} still works.")
    return words


class _Driver(Protocol):
    product: str

    def must_check_certificates(self, uri: str) -> None: ...

    async def written_and_read(self, uri: str, ca_file: Path | None) -> tuple[list[str], str]: ...

    async def refused(self, uri: str, ca_file: Path | None) -> str | None: ...


class _Postgresql:
    product = "PostgreSQL"

    def must_check_certificates(self, uri: str) -> None:
        if conninfo_to_dict(uri).get("sslmode") != "verify-full":
            raise LoginUnproven("The uri of the credentials does not ask for sslmode=verify-full.")

    async def written_and_read(self, uri: str, ca_file: Path | None) -> tuple[list[str], str]:
        async with await self._connected(uri, ca_file) as connection:
            await connection.execute("CREATE TABLE osb_smoke (line text)")
            await connection.execute("INSERT INTO osb_smoke VALUES (%s)", [_WRITTEN])
            read = await connection.execute("SELECT line FROM osb_smoke")
            lines = [str(row[0]) for row in await read.fetchall()]
            await connection.execute("DROP TABLE osb_smoke")
            asked = await connection.execute("SHOW server_version")
            row = await asked.fetchone()
            return lines, str(row[0]) if row else "?"

    async def refused(self, uri: str, ca_file: Path | None) -> str | None:
        try:
            connection = await self._connected(uri, ca_file)
        except psycopg.OperationalError as error:
            words = " ".join(str(error).split())
            if error.pgconn is not None and error.pgconn.used_password:
                return words
            raise LoginUnproven(
                f"Nothing is known of the login, the server was not reached: {words}"
            ) from error
        await connection.close()
        return None

    async def _connected(self, uri: str, ca_file: Path | None) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        # libpq within the driver's wheel does not find this machine's roots under its own word, `system`.
        roots = str(ca_file) if ca_file else ssl.get_default_verify_paths().cafile or "system"
        return await psycopg.AsyncConnection.connect(
            uri, sslrootcert=roots, connect_timeout=_CONNECTS_WITHIN_S, autocommit=True
        )


class _Mysql:
    product = "MySQL"

    def must_check_certificates(self, uri: str) -> None:
        if parse_qs(urlsplit(uri).query).get("ssl-mode") != ["VERIFY_IDENTITY"]:
            raise LoginUnproven("The uri of the credentials does not ask for ssl-mode=VERIFY_IDENTITY.")

    async def written_and_read(self, uri: str, ca_file: Path | None) -> tuple[list[str], str]:
        def do(cursor: pymysql.cursors.Cursor) -> tuple[list[str], str]:
            cursor.execute("CREATE TABLE osb_smoke (line text)")
            cursor.execute("INSERT INTO osb_smoke VALUES (%s)", (_WRITTEN,))
            cursor.execute("SELECT line FROM osb_smoke")
            lines = [str(row[0]) for row in cursor.fetchall()]
            cursor.execute("DROP TABLE osb_smoke")
            cursor.execute("SELECT VERSION()")
            row = cursor.fetchone()
            return lines, str(row[0]) if row else "?"

        return await self._with_cursor(uri, ca_file, do)

    async def refused(self, uri: str, ca_file: Path | None) -> str | None:
        try:
            await self._with_cursor(uri, ca_file, lambda cursor: cursor.execute("SELECT 1"))
        except pymysql.err.OperationalError as error:
            words = " ".join(str(error.args[-1]).split())
            if error.args[0] in {ER.ACCESS_DENIED_ERROR, _ACCOUNT_LOCKED}:
                return words
            raise LoginUnproven(
                f"Nothing is known of the login, the server was not reached: {words}"
            ) from error
        return None

    async def _with_cursor(
        self, uri: str, ca_file: Path | None, do: Callable[[pymysql.cursors.Cursor], Result]
    ) -> Result:
        place = urlsplit(uri)

        def connected() -> Result:
            connection = pymysql.Connection(
                host=place.hostname,
                port=place.port or 3306,
                user=unquote(place.username or ""),
                password=unquote(place.password or ""),
                database=unquote(place.path.removeprefix("/")),
                ssl=ssl.create_default_context(cafile=str(ca_file) if ca_file else None),
                connect_timeout=_CONNECTS_WITHIN_S,
                autocommit=True,
            )
            with contextlib.closing(connection):
                return do(connection.cursor())

        return await asyncio.to_thread(connected)


_DRIVERS: Mapping[str, _Driver] = {"postgresql": _Postgresql(), "mysql": _Mysql()}
