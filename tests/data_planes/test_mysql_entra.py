"""Logins of Entra principals in MySQL: their statements by text, their rights and their end on a real server."""

import secrets
from dataclasses import replace

import pymysql
import pytest
from pymysql.constants import ER

from broker.data_planes import mysql
from broker.data_planes.base import EntraPrincipal, Refused, StatementFailed
from broker.data_planes.connection_strings import DatabaseAccess, mysql_ado_net, mysql_jdbc, mysql_uri
from broker.data_planes.secrets import generated_username

pytestmark = [pytest.mark.anyio, pytest.mark.needs("mysql")]

CLIENT = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
APP = EntraPrincipal(CLIENT, client_id=CLIENT)


@pytest.fixture
def database(mysql_server):
    name = mysql_server.database()
    yield name
    mysql_server.drop(name)


@pytest.fixture
def administrator(mysql_server):
    """The broker's own Entra identity, with a token in place of its password."""
    token = secrets.token_urlsafe(150)
    with mysql_server.root() as cursor:
        cursor.execute("CREATE USER 'osb broker'@'%%' IDENTIFIED BY %s", (token,))
        cursor.execute("GRANT CREATE USER, SELECT ON *.* TO 'osb broker'@'%'")
    yield replace(mysql_server.broker, administrator="osb broker", password=token, entra=True)
    with mysql_server.root() as cursor:
        cursor.execute("DROP USER 'osb broker'@'%'")


async def bind(server, database, administrator, username):
    await mysql.create_entra_login(
        server, database, username=username, principal=APP, administrator=administrator
    )


def as_azure_makes_it(mysql_server, username) -> str:
    """A user as CREATE AADUSER makes one, but with a password where Azure's server takes a token."""
    password = secrets.token_urlsafe(24)
    with mysql_server.root() as cursor:
        cursor.execute("CREATE USER %s@'%%' IDENTIFIED BY %s", (username, password))
    return password


def sign_in(mysql_server, database, username, password):
    server = mysql_server.broker
    return pymysql.Connection(
        host=server.host,
        port=server.port,
        user=username,
        password=password,
        database=database,
        ssl_ca=str(server.ca_file),
        ssl_verify_cert=True,
        autocommit=True,
    )


@pytest.mark.proves("azure-mysql", "bind entra")
@pytest.mark.proves("azure-mysql-database", "bind entra")
def test_the_statements_are_azures_own_with_every_value_quoted_by_the_driver():
    connection = pymysql.Connection(defer_connect=True)
    connection.server_status = 0
    cursor = connection.cursor()

    ours = [cursor.mogrify(*one) for one in mysql.entra_statements("app_x", CLIENT)]
    hostile = [cursor.mogrify(*one) for one in mysql.entra_statements("a'; DROP USER b", "\\' OR '1")]

    assert ours == [
        "SET aad_auth_validate_oids_in_tenant = OFF",
        f"CREATE AADUSER 'app_x' IDENTIFIED BY '{CLIENT}'",
    ]
    assert hostile[1] == r"CREATE AADUSER 'a\'; DROP USER b' IDENTIFIED BY '\\\' OR \'1'"


async def test_a_server_that_is_not_azures_says_so_and_no_login_is_left(
    mysql_server, database, administrator
):
    username = generated_username("app", database, longest=32)

    with pytest.raises(StatementFailed, match="aad_auth_validate_oids_in_tenant") as failed:
        await bind(mysql_server.broker, database, administrator, username)

    assert failed.value.sqlstate == str(ER.UNKNOWN_SYSTEM_VARIABLE)
    assert await mysql.logins(mysql_server.broker, database=database) == []


@pytest.mark.proves("azure-mysql", "revoke entra (not provable here)")
@pytest.mark.proves("azure-mysql-database", "revoke entra (not provable here)")
async def test_a_login_that_is_there_gets_its_rights_without_a_token_and_ends_as_any_other(
    mysql_server, database, administrator
):
    username = generated_username("app", database, longest=32)
    password = as_azure_makes_it(mysql_server, username)

    await bind(mysql_server.broker, database, replace(administrator, password="expired"), username)
    await bind(mysql_server.broker, database, replace(administrator, password="expired"), username)

    assert await mysql.logins(mysql_server.broker, database=database) == [username]
    session = sign_in(mysql_server, database, username, password)
    with session.cursor() as cursor:
        cursor.execute("CREATE TABLE notes (id int)")
    await mysql.drop_login(mysql_server.broker, database, username=username)
    with pytest.raises(pymysql.err.MySQLError), session.cursor() as cursor:
        cursor.execute("SELECT 1")
    session.close()
    with pytest.raises(pymysql.err.OperationalError) as refused:
        sign_in(mysql_server, database, username, password)
    assert refused.value.args[0] == ER.ACCESS_DENIED_ERROR


async def test_a_token_that_the_server_does_not_take_makes_nothing(mysql_server, database, administrator):
    username = generated_username("app", database, longest=32)

    with pytest.raises(Refused):
        await bind(mysql_server.broker, database, replace(administrator, password="another"), username)

    assert await mysql.logins(mysql_server.broker, database=database) == []


@pytest.mark.parametrize("principal", [EntraPrincipal(CLIENT), replace(APP, kind="Group")])
async def test_principals_that_mysql_does_not_know_are_refused(mysql_server, database, principal):
    with pytest.raises(ValueError, match="client id"):
        await mysql.create_entra_login(
            mysql_server.broker,
            database,
            username=generated_username("app", database, longest=32),
            principal=principal,
            administrator=mysql_server.broker,
        )


def test_connection_strings_without_a_password_name_none():
    access = DatabaseAccess("h", 3306, "d", "u", None)

    assert mysql_uri(access) == "mysql://u@h:3306/d?ssl-mode=VERIFY_IDENTITY"
    assert mysql_jdbc(access) == "jdbc:mysql://h:3306/d?user=u&sslMode=VERIFY_IDENTITY"
    assert "Password" not in mysql_ado_net(access)
