"""The real MySQL servers behind simulated ones, and what stands in for them where there is no MySQL."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pymysql
import structlog
from pymysql.cursors import Cursor

from broker.simulator.databases.gate import MYSQL, Gate, mysql_error
from broker.simulator.databases.hosting import Hosted, Hosting, SettingRefused
from broker.simulator.databases.mysql_process import MysqlProcess
from broker.simulator.databases.process import Access, alone

log = structlog.get_logger(__name__)

# What Azure's page on creating users lists; neither SUPER nor CONNECTION_ADMIN is among it.
ADMINISTRATORS_RIGHTS = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES,"
    " CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW,"
    " CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER"
)
# Azure's way for an administrator to end somebody's session.
PLATFORM = (
    "DROP PROCEDURE IF EXISTS mysql.az_kill",
    "CREATE PROCEDURE mysql.az_kill(session BIGINT) KILL CONNECTION session",
)
_RESERVED = frozenset({"root", "mysql.sys", "mysql.session", "mysql.infoschema", "azure_superuser"})
_WORD = re.compile(r"[a-z0-9_]{1,64}", re.IGNORECASE)
_UNKNOWN_ERROR = 1105
_READ_ONLY_SETTING = 1238


class MysqlServers(Hosting[MysqlProcess]):
    """One MySQL per simulated server, by the *program* of a MySQL server; see `Hosting`."""

    dialect = MYSQL

    def __init__(self, folder: Path, *, program: Path, port: int = 3306, **options: Any) -> None:
        super().__init__(folder, port=port, **options)
        self._program = program

    def is_reserved(self, login: str) -> bool:
        return login in _RESERVED

    def access(self, address: str, certificate: bytes, key: bytes) -> Access:
        return Access(address, certificate=certificate, key=key)

    async def prepare(self) -> tuple[Path, MysqlProcess]:
        place = self.folder / "servers"
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left_over in (entry for entry in place.iterdir() if entry.is_dir()):
            await MysqlProcess(self._program, left_over).remove()
        return place, await template(self._program, self.template_folder / "mysql-template")

    async def put_away(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self.folder / "servers", ignore_errors=True)

    async def settle(self, server: Hosted[MysqlProcess]) -> None:
        await server.process.as_root(
            partial(make_administrator, login=server.administrator, password=server.password)
        )

    async def make_database(
        self, server: Hosted[MysqlProcess], database: str, charset: str, collation: str
    ) -> None:
        for word in (charset, collation):
            if not _WORD.fullmatch(word):
                raise SettingRefused(f"{word!r} is no character set or collation.")
        statement = (
            f"CREATE DATABASE IF NOT EXISTS {quoted(database)} CHARACTER SET {charset} COLLATE {collation}"
        )
        try:
            await server.process.as_root(lambda cursor: cursor.execute(statement))
        except pymysql.err.MySQLError as error:
            raise SettingRefused(f"MySQL makes no such database: {error.args[-1]}.") from error

    async def unmake_database(self, server: Hosted[MysqlProcess], database: str) -> None:
        def drop(cursor: Cursor) -> None:
            # A session that has used a table holds it, and the statement below would wait for it.
            cursor.execute("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = %s", (database,))
            for (session,) in cursor.fetchall():
                with contextlib.suppress(pymysql.err.MySQLError):
                    cursor.execute("KILL CONNECTION %s", (session,))
            cursor.execute(f"DROP DATABASE IF EXISTS {quoted(database)}")

        await server.process.as_root(drop)

    async def change_setting(self, server: Hosted[MysqlProcess], setting: str, value: str) -> None:
        if not _WORD.fullmatch(setting):
            raise SettingRefused(f"{setting!r} is no parameter of MySQL.")
        given: int | str = int(value) if re.fullmatch(r"-?[0-9]{1,19}", value) else value

        def change(cursor: Cursor) -> None:
            try:
                cursor.execute(f"SET PERSIST {setting} = %s", (given,))
            except pymysql.err.MySQLError as error:
                if error.args[0] != _READ_ONLY_SETTING:
                    raise
                cursor.execute(f"SET PERSIST_ONLY {setting} = %s", (given,))

        try:
            await server.process.as_root(change)
        except pymysql.err.MySQLError as error:
            raise SettingRefused(
                f"The server does not take {setting} = {value!r}: {error.args[-1]}."
            ) from error


class AbsentMysqlServers:
    """
    Doors without a server behind them, for a machine without MySQL.

    Azure's own calls work; whoever connects reads why nothing answers and what to do about it.
    """

    def __init__(self, *, port: int = 3306) -> None:
        self._port = port
        self._gates: dict[str, Gate] = {}
        self._dialect = replace(
            MYSQL,
            refusal="the simulator was started without a MySQL server; name its program with --mysqld or OSB_MYSQLD",
            packet=partial(mysql_error, number=_UNKNOWN_ERROR),
        )

    async def create(self, name: str, *, administrator: str, password: str, version: str) -> str:
        """Open a door that lets nobody in, and return its address."""
        del administrator, password, version
        gate = self._gates.get(name) or Gate(name, contextlib.nullcontext, self._dialect)  # type: ignore[arg-type]
        self._gates[name] = gate
        if gate.address is None:
            await gate.open(self._port)
        assert gate.address is not None
        return gate.address

    async def set_password(self, name: str, password: str) -> None:
        """There is nobody to have it."""

    async def create_database(self, name: str, database: str, charset: str, collation: str) -> None:
        """There is no place for it."""

    async def drop_database(self, name: str, database: str) -> None:
        """There is none."""

    async def set_firewall(self, name: str, ranges: Sequence[tuple[str, str]]) -> None:
        """Nobody is let in, whatever the ranges."""

    async def set_configuration(self, name: str, setting: str, value: str) -> None:
        """There is nothing that it could change."""

    async def delete(self, name: str) -> None:
        """Close the door."""
        gate = self._gates.pop(name, None)
        if gate is not None:
            await gate.close()

    async def close(self) -> None:
        """Close all doors."""
        for name in list(self._gates):
            await self.delete(name)


def make_administrator(cursor: Cursor, *, login: str, password: str) -> None:
    """Make the administrator, or give it this password."""
    cursor.execute("CREATE USER IF NOT EXISTS %s@'%%' IDENTIFIED BY %s", (login, password))
    cursor.execute("ALTER USER %s@'%%' IDENTIFIED BY %s", (login, password))
    cursor.execute(f"GRANT {ADMINISTRATORS_RIGHTS} ON *.* TO %s@'%%' WITH GRANT OPTION", (login,))


def quoted(name: str) -> str:
    """A name as an identifier, for a statement without arguments."""
    return "`" + name.replace("`", "``") + "`"


async def template(program: Path, place: Path) -> MysqlProcess:
    """
    The stopped server whose folder all are copied from, in *place*, made by the first call that ever asks for it.

    Several processes may ask at once; one makes it, and a half-made one is made again.

    Raises:
        ServerFailed: MySQL did not start.
    """
    folder = await asyncio.to_thread(_folder_of_template, program, place)
    async with alone(folder.with_name(f"{folder.name}.lock")):
        ready = MysqlProcess(program, folder)
        if (folder / "complete").exists():
            return ready
        await ready.remove()
        await asyncio.to_thread(ready.initialise)
        await ready.start()
        try:
            await asyncio.to_thread(ready.keep_root, secrets.token_urlsafe(24))
            for statement in PLATFORM:
                await ready.as_root(partial(_run, statement=statement))
        finally:
            await ready.stop()
        for leftover in ("log", "data/auto.cnf"):  # the latter tells servers apart
            (folder / leftover).unlink(missing_ok=True)
        (folder / "complete").touch()
        return ready


def _folder_of_template(program: Path, place: Path) -> Path:
    """Another program, or other statements of ours, mean another folder."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = program.resolve().stat()
    words = [str(program.resolve()), str(about.st_mtime_ns), str(about.st_size), *PLATFORM]
    return place / hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]


def _run(cursor: Cursor, *, statement: str) -> None:
    cursor.execute(statement)
