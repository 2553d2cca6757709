"""The real PostgreSQL servers behind simulated ones."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from broker.simulator.databases.cluster import SUPERUSER, Cluster
from broker.simulator.databases.gate import POSTGRESQL
from broker.simulator.databases.hosting import Hosted, Hosting, SettingRefused
from broker.simulator.databases.process import Access
from broker.simulator.databases.runtime import find_runtime, open_folder, remove_folder
from broker.simulator.databases.template import ADMINISTRATORS, template

__all__ = ["DatabaseServers", "SettingRefused"]

# TLS only, and never the superuser. A plain connection finds no line and gets the error that Azure gives.
_AUTHENTICATION = (
    f"hostssl all {SUPERUSER} 0.0.0.0/0 reject",
    "hostssl all all 0.0.0.0/0 scram-sha-256",
)
_RESERVED = frozenset(
    {SUPERUSER, ADMINISTRATORS, "azure_superuser", "admin", "administrator", "root", "guest"}
)


class DatabaseServers(Hosting[Cluster]):
    """One PostgreSQL per simulated server; see `Hosting`."""

    dialect = POSTGRESQL

    def __init__(self, folder: Path, *, port: int = 5432, **options: Any) -> None:
        super().__init__(folder, port=port, **options)

    def is_reserved(self, login: str) -> bool:
        return login in _RESERVED or login.startswith("pg_")

    def access(self, address: str, certificate: bytes, key: bytes) -> Access:
        return Access(address, _AUTHENTICATION, certificate, key)

    async def prepare(self) -> tuple[Path, Cluster]:
        runtime = await asyncio.to_thread(find_runtime, self.folder)
        place = open_folder(self.folder, "servers")
        for left_over in (entry for entry in place.iterdir() if entry.is_dir()):
            await Cluster(runtime, left_over).remove()
        shared = open_folder(self.template_folder, "template")
        return place, await template(runtime, shared)

    async def put_away(self) -> None:
        await asyncio.to_thread(remove_folder, self.folder, "servers")
        if self.template_folder == self.folder:
            await asyncio.to_thread(remove_folder, self.folder, "template", keep_if_inside=True)
        await asyncio.to_thread(remove_folder, self.folder, "programs", keep_if_inside=True)

    async def settle(self, server: Hosted[Cluster]) -> None:
        async with server.process.superuser() as connection:
            role = sql.Identifier(server.administrator)
            verifier = connection.pgconn.encrypt_password(
                server.password.encode(), server.administrator.encode(), b"scram-sha-256"
            )
            found = await connection.execute(
                "SELECT FROM pg_roles WHERE rolname = %s", [server.administrator]
            )
            if await found.fetchone() is None:
                await connection.execute(sql.SQL("CREATE ROLE {}").format(role))
            await connection.execute(
                sql.SQL("ALTER ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {}").format(
                    role, sql.Literal(verifier.decode())
                )
            )
            await connection.execute(
                sql.SQL("GRANT {} TO {} WITH ADMIN TRUE").format(sql.Identifier(ADMINISTRATORS), role)
            )

    async def make_database(
        self, server: Hosted[Cluster], database: str, charset: str, collation: str
    ) -> None:
        """
        Make a database that belongs to the administrator.

        Azure gives databases made by ARM to the administrator (cyrilgdn/terraform-provider-postgresql
        issue 500, hashicorp/terraform-provider-azurerm issue 27895). The *collation* is not looked at:
        text sorts by code point here, as the languages of this machine are not Azure's.

        Raises:
            SettingRefused: The *charset* is not UTF8.
        """
        del collation
        if charset.upper() not in {"UTF8", "UTF-8"}:
            raise SettingRefused(f"A simulated database has the character set UTF8, not {charset!r}.")
        async with server.process.superuser() as connection:
            create = sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(database), sql.Identifier(server.administrator)
            )
            with contextlib.suppress(psycopg.errors.DuplicateDatabase):
                await connection.execute(create)

    async def unmake_database(self, server: Hosted[Cluster], database: str) -> None:
        async with server.process.superuser() as connection:
            await connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
            )

    async def change_setting(self, server: Hosted[Cluster], setting: str, value: str) -> None:
        if not setting.lower().startswith("azure."):
            await _try_setting(server, setting, value)
        server.process.write_settings({**server.settings, setting.lower(): value})
        server.process.reload()


async def _try_setting(server: Hosted[Cluster], setting: str, value: str) -> None:
    """Ask the server whether it would take a value, without keeping it: a bad one would stop its start."""
    async with server.process.superuser() as connection:
        name = sql.Identifier(setting.lower())
        try:
            await connection.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(name, sql.Literal(value)))
            await connection.execute(sql.SQL("ALTER SYSTEM RESET {}").format(name))
        except psycopg.Error as error:
            raise SettingRefused(
                f"The server does not take {setting} = {value!r}: {error.diag.message_primary}."
            ) from error
