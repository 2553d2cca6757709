"""The MySQL servers behind simulated ones: who gets in, and what is said where there is no MySQL."""

import asyncio
import secrets
import ssl
import stat
from pathlib import Path

import pymysql
import pytest

from broker.simulator.certificates import CertificateAuthority
from broker.simulator.databases.hosting import SettingRefused
from broker.simulator.databases.mysql_process import NoMysqlServer, found_mysqld
from broker.simulator.databases.mysql_servers import AbsentMysqlServers, MysqlServers
from tests.needs import the_program

pytestmark = pytest.mark.anyio

ACCESS_DENIED, NOT_ADMITTED, NO_SERVER = 1045, 9000, 1105
EVERYBODY_HERE = [("127.0.0.0", "127.255.255.255")]


def refusal(address, user, password, **options):
    """The number and words of a refused sign-in; None if it works."""
    try:
        pymysql.connect(host=address, port=3306, user=user, password=password, **options).close()
    except pymysql.err.OperationalError as error:
        return error.args
    return None


@pytest.mark.needs("mysql")
async def test_the_administrator_gets_in_through_the_firewall_and_root_never(tmp_path):
    authority = CertificateAuthority()

    def issue(names):
        issued = authority.issue(*names, by_rsa=True)
        return issued.certificate_pem, issued.key_pem

    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    tls = {"ssl": ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))}
    password = f"A1-{secrets.token_urlsafe(20)}"
    servers = MysqlServers(tmp_path, program=Path(the_program("mysql")[0]), issue_certificate=issue)
    try:
        address = await servers.create("one", administrator="adm", password=password, version="8.4")

        shut = await asyncio.to_thread(refusal, address, "adm", password, **tls)
        await servers.set_firewall("one", EVERYBODY_HERE)
        entered = await asyncio.to_thread(refusal, address, "adm", password, **tls)
        as_root = await asyncio.to_thread(refusal, address, "root", "", **tls)
        await servers.set_password("one", f"{password}-new")
        former = await asyncio.to_thread(refusal, address, "adm", password, **tls)

        assert shut is not None
        assert shut[0] == NOT_ADMITTED
        assert entered is None
        assert as_root is not None
        assert as_root[0] == ACCESS_DENIED
        assert former is not None
        assert former[0] == ACCESS_DENIED
        with pytest.raises(SettingRefused, match="TLS only"):
            await servers.set_configuration("one", "require_secure_transport", "OFF")
        with pytest.raises(SettingRefused, match="no_such_thing"):
            await servers.set_configuration("one", "no_such_thing", "1")
        with pytest.raises(SettingRefused, match="root"):
            await servers.create("two", administrator="root", password=password, version="8.4")
    finally:
        await servers.close()


async def test_without_mysql_a_server_is_made_and_tells_whoever_connects_what_to_do():
    servers = AbsentMysqlServers()
    try:
        address = await servers.create("one", administrator="adm", password="x", version="8.4")
        await servers.set_firewall("one", EVERYBODY_HERE)

        told = await asyncio.to_thread(refusal, address, "adm", "x")

        assert told is not None
        assert told[0] == NO_SERVER
        assert "--mysqld" in told[1]
    finally:
        await servers.close()


@pytest.mark.parametrize("words", ["mysqld  Ver 10.11.6-MariaDB for Linux", "teapot"])
def test_a_program_that_is_no_mysql_server_is_refused_by_its_name(tmp_path, words):
    program = tmp_path / "mysqld"
    program.write_text(f"#!/bin/sh\necho '{words}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)

    with pytest.raises(NoMysqlServer, match=str(program)):
        found_mysqld(program)
    with pytest.raises(NoMysqlServer):
        found_mysqld(tmp_path / "nothing")
