"""Logins in a real MySQL server."""

import asyncio
import dataclasses
import secrets
import socket
import ssl
import threading
from contextlib import closing

import pymysql
import pytest

from broker.data_planes import mysql
from broker.data_planes.base import (
    DatabaseMissing,
    NotTrusted,
    Refused,
    ServerGone,
    SessionsRemain,
    StatementFailed,
    Unreachable,
)
from broker.data_planes.mysql_connection import administering
from broker.data_planes.secrets import generated_password, generated_username
from broker.simulator.certificates import CertificateAuthority
from tests.mysql_servers import MysqlServer

pytestmark = [pytest.mark.anyio, pytest.mark.needs("mysql")]


@dataclasses.dataclass
class Login:
    username: str
    password: str
    database: str


@pytest.fixture
def database(mysql_server: MysqlServer):
    made = mysql_server.database()
    yield made
    mysql_server.drop(made)


async def bind(server: MysqlServer, database: str, key: str | None = None) -> Login:
    username = generated_username("app", key or secrets.token_hex(8), longest=mysql.LONGEST_USERNAME)
    login = Login(username, generated_password(), database)
    await mysql.create_login(server.broker, database, username=username, password=login.password)
    return login


async def unbind(server: MysqlServer, login: Login, database: str | None = "its own") -> None:
    await mysql.drop_login(
        server.broker, login.database if database == "its own" else database, username=login.username
    )


def connect(server: MysqlServer, login: Login, **other) -> pymysql.Connection:
    given = {
        "host": server.broker.host,
        "port": server.broker.port,
        "user": login.username,
        "password": login.password,
        "database": login.database,
        "autocommit": True,
        "ssl": ssl.create_default_context(cafile=server.broker.ca_file),
        **other,
    }
    return pymysql.connect(**given)


def run(server: MysqlServer, login: Login, *statements: str):
    with closing(connect(server, login)) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


def refused(server: MysqlServer, login: Login) -> int:
    with pytest.raises(pymysql.err.OperationalError) as error:
        connect(server, login)
    return error.value.args[0]


def users(server: MysqlServer, username: str) -> list:
    with server.root() as cursor:
        cursor.execute("SELECT account_locked FROM mysql.user WHERE User = %s", (username,))
        return [row[0] for row in cursor.fetchall()]


async def test_every_binding_has_the_same_rights_on_what_any_of_them_has_made(mysql_server, database):
    await mysql.prepare_database(mysql_server.broker, database)
    first, second = await bind(mysql_server, database), await bind(mysql_server, database)

    run(
        mysql_server,
        first,
        "CREATE TABLE notes (id INT PRIMARY KEY, text TEXT)",
        "CREATE VIEW latest AS SELECT * FROM notes",
        "CREATE PROCEDURE note(n INT) INSERT INTO notes VALUES (n, 'noted')",
        "CREATE TRIGGER numbered BEFORE INSERT ON notes FOR EACH ROW SET NEW.text = CONCAT(NEW.text, '!')",
    )
    run(
        mysql_server,
        second,
        "CALL note(1)",
        "ALTER TABLE notes ADD COLUMN more INT",
        "CREATE INDEX i ON notes (more)",
    )

    assert run(mysql_server, first, "SELECT text FROM latest") == (("noted!",),)


async def test_a_login_enters_no_other_database_not_even_one_that_its_grant_could_be_taken_for(
    mysql_server, database
):
    login = await bind(mysql_server, database)
    alike = database.replace("_", "x", 1)
    with mysql_server.root() as cursor:
        cursor.execute(f"CREATE DATABASE `{alike}`")
    try:
        for other in (alike, "mysql"):
            with pytest.raises(pymysql.err.OperationalError) as error:
                connect(mysql_server, login, database=other)
            assert error.value.args[0] == 1044
    finally:
        mysql_server.drop(alike)


async def test_an_unbound_login_is_refused_and_so_are_its_open_sessions(mysql_server, database):
    login, other = await bind(mysql_server, database), await bind(mysql_server, database)
    session, others = connect(mysql_server, login), connect(mysql_server, other)

    await unbind(mysql_server, login)

    assert refused(mysql_server, login) == 1045
    with pytest.raises(pymysql.err.OperationalError), session.cursor() as cursor:
        cursor.execute("SELECT 1")
    with closing(others), others.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert users(mysql_server, login.username) == []


async def test_a_session_in_the_middle_of_a_statement_ends_too(mysql_server, database):
    login = await bind(mysql_server, database)
    session = connect(mysql_server, login)
    ended = threading.Event()

    def sleeping():
        try:
            with session.cursor() as cursor:
                cursor.execute("SELECT SLEEP(600)")
        except pymysql.err.OperationalError:
            ended.set()

    thread = threading.Thread(target=sleeping, daemon=True)
    thread.start()
    with mysql_server.root() as cursor:
        while not cursor.execute(
            "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP(600)'"
        ):
            await asyncio.sleep(0.01)

    await unbind(mysql_server, login)

    assert await asyncio.to_thread(ended.wait, 10)


async def test_what_an_unbound_login_has_defined_goes_on_working(mysql_server, database):
    first, second = await bind(mysql_server, database), await bind(mysql_server, database)
    run(
        mysql_server,
        first,
        "CREATE TABLE notes (id INT PRIMARY KEY)",
        "CREATE VIEW latest AS SELECT * FROM notes",
        "CREATE TRIGGER counted BEFORE INSERT ON notes FOR EACH ROW SET NEW.id = NEW.id + 1",
    )

    await unbind(mysql_server, first)
    await unbind(mysql_server, first)

    assert refused(mysql_server, first) in {1045, 3118}
    run(mysql_server, second, "INSERT INTO notes VALUES (1)")
    assert run(mysql_server, second, "SELECT id FROM latest") == ((2,),)
    assert users(mysql_server, first.username) == ["Y"]
    assert await mysql.logins(mysql_server.broker, database=database) == [second.username]


async def test_what_stays_of_a_deleted_database_is_removed(mysql_server, database):
    locked, living = await bind(mysql_server, database), await bind(mysql_server, database)
    elsewhere = mysql_server.database()
    neighbour = await bind(mysql_server, elsewhere)
    run(mysql_server, locked, "CREATE VIEW one AS SELECT 1 AS one")
    await unbind(mysql_server, locked)
    with pytest.raises(StatementFailed, match="still on") as still:
        await mysql.drop_database_roles(mysql_server.broker, database)
    mysql_server.drop(database)

    await mysql.drop_database_roles(mysql_server.broker, database)
    await mysql.drop_database_roles(mysql_server.broker, database)

    assert still.value.retryable
    assert users(mysql_server, locked.username) == users(mysql_server, living.username) == []
    assert run(mysql_server, neighbour, "SELECT 1") == ((1,),)
    mysql_server.drop(elsewhere)


async def test_everything_may_be_said_twice_and_in_any_order(mysql_server, database):
    login = await bind(mysql_server, database, "one")

    again = await bind(mysql_server, database, "one")
    assert again.username == login.username
    assert refused(mysql_server, login) == 1045
    assert run(mysql_server, again, "SELECT 1") == ((1,),)
    await unbind(mysql_server, again)
    await unbind(mysql_server, again)
    mysql_server.drop(database)
    await unbind(mysql_server, again, database=None)
    with pytest.raises(DatabaseMissing):
        await bind(mysql_server, database, "one")
    with pytest.raises(DatabaseMissing):
        await mysql.prepare_database(mysql_server.broker, database)
    assert users(mysql_server, login.username) == []


async def test_ten_calls_at_once_leave_one_login_that_works_and_ten_removals_none(mysql_server, database):
    username = generated_username("app", database, longest=mysql.LONGEST_USERNAME)
    login = Login(username, generated_password(), database)

    async def once():
        await mysql.create_login(mysql_server.broker, database, username=username, password=login.password)

    await asyncio.gather(*(once() for _ in range(10)))
    assert run(mysql_server, login, "SELECT 1") == ((1,),)
    await asyncio.gather(*(unbind(mysql_server, login) for _ in range(10)))
    assert users(mysql_server, username) == []


async def test_a_login_needs_tls_even_where_the_server_does_not(mysql_server, database):
    login = await bind(mysql_server, database)
    with mysql_server.root() as cursor:
        cursor.execute("SET GLOBAL require_secure_transport = OFF")
    try:
        with pytest.raises(pymysql.err.OperationalError) as error:
            connect(mysql_server, login, ssl=None, ssl_disabled=True)
    finally:
        with mysql_server.root() as cursor:
            cursor.execute("SET GLOBAL require_secure_transport = ON")

    assert error.value.args[0] == 1045


@pytest.mark.parametrize("username", ["broker_admin", "root", "app_x", "mysql.sys", "app_" + "a" * 40, ""])
async def test_users_that_are_not_the_brokers_are_never_touched(mysql_server, database, username):
    with pytest.raises(ValueError, match="no login of the broker's"):
        await mysql.drop_login(mysql_server.broker, database, username=username)
    with pytest.raises(ValueError, match="no login of the broker's"):
        await mysql.create_login(
            mysql_server.broker, database, username=username, password=generated_password()
        )


async def test_a_password_of_the_administrators_that_is_not_right_says_whose_affair_it_is(
    mysql_server, database
):
    wrong = dataclasses.replace(mysql_server.broker, password=secrets.token_urlsafe(9))

    with pytest.raises(Refused, match="does not accept the password") as refusal:
        await mysql.prepare_database(wrong, database)

    assert refusal.value.not_reached
    assert wrong.password not in refusal.value.message


async def test_a_certificate_that_is_not_trusted_or_for_another_name_is_refused(
    mysql_server, database, tmp_path
):
    other = tmp_path / "other.pem"
    other.write_bytes(CertificateAuthority().certificate_pem)

    for server in (
        dataclasses.replace(mysql_server.broker, ca_file=other),
        dataclasses.replace(mysql_server.broker, ca_file=None),
    ):
        with pytest.raises(NotTrusted, match="not trusted"):
            await mysql.prepare_database(server, database)


async def test_a_server_that_cannot_be_reached_or_found_is_told_apart(mysql_server):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        away = dataclasses.replace(mysql_server.broker, host="127.0.0.1", port=silent.getsockname()[1])
        with pytest.raises(Unreachable, match="cannot be reached") as failure:
            await mysql.prepare_database(away, "orders")
    assert failure.value.not_reached

    unknown = dataclasses.replace(mysql_server.broker, host="gone.invalid")
    with pytest.raises(ServerGone):
        await mysql.prepare_database(unknown, "orders")


async def test_a_server_without_tls_never_gets_the_password(mysql_server):
    """What stands between says that the server has no TLS, and listens."""
    heard = bytearray()
    greeting = _greeting_without_tls(mysql_server)

    def listen(server: socket.socket) -> None:
        client, _ = server.accept()
        with client:
            client.settimeout(5)
            client.sendall(greeting)
            try:
                while more := client.recv(4096):
                    heard.extend(more)
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as between:
        thread = threading.Thread(target=listen, args=(between,), daemon=True)
        thread.start()
        meant = dataclasses.replace(mysql_server.broker, host="127.0.0.1", port=between.getsockname()[1])
        with pytest.raises(NotTrusted, match="offers no TLS"):
            await mysql.prepare_database(meant, "orders")
        thread.join(10)

    assert bytes(heard) == b""


def _greeting_without_tls(server: MysqlServer) -> bytes:
    """The server's own first packet, with the flag for TLS taken out (MySQL manual, "Protocol::HandshakeV10")."""
    with socket.create_connection((server.broker.host, server.broker.port), timeout=5) as connection:
        length = int.from_bytes(connection.recv(3), "little")
        packet = bytearray(connection.recv(1))
        while len(packet) < length + 1:
            packet += connection.recv(length + 1 - len(packet))
    flags = packet.index(0, 2) + 1 + 4 + 8 + 1
    capabilities = int.from_bytes(packet[flags : flags + 2], "little") & ~0x0800
    packet[flags : flags + 2] = capabilities.to_bytes(2, "little")
    return length.to_bytes(3, "little") + bytes(packet)


async def test_sessions_that_do_not_end_are_told_and_nobody_signs_in_meanwhile(
    mysql_server, database, monkeypatch
):
    login = await bind(mysql_server, database)
    session = connect(mysql_server, login)
    monkeypatch.setattr(mysql, "_SESSIONS_END_WITHIN", mysql._LOOK_EVERY)
    monkeypatch.setattr(mysql, "_kill", lambda _cursor, _session: None)

    with closing(session), pytest.raises(SessionsRemain, match="1 sessions"):
        await unbind(mysql_server, login)

    assert refused(mysql_server, login) in {1045, 3118}


async def test_a_call_that_is_cut_off_says_no_more_to_the_server(mysql_server):
    begun, ended = threading.Event(), threading.Event()
    username = generated_username("app", secrets.token_hex(8), longest=mysql.LONGEST_USERNAME)

    def slowly(cursor):
        try:
            begun.set()
            cursor.execute("SELECT SLEEP(0.5)")
            cursor.execute("CREATE USER %s@'%%' ACCOUNT LOCK", (username,))
        finally:
            ended.set()

    call = asyncio.create_task(administering(mysql_server.broker, slowly))
    await asyncio.to_thread(begun.wait, 10)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    assert await asyncio.to_thread(ended.wait, 10)
    assert users(mysql_server, username) == []
