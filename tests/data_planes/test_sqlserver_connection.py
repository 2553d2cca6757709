"""
How the broker signs in to an Azure SQL server, and what it says of the ways in which that fails.

No SQL Server can be had here: at the other end is a socket that gets as far as the packet with the sign-in.
"""

import socket
import struct
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from broker.data_planes import sqlserver
from broker.data_planes.base import DatabaseMissing, NotTrusted, Refused, Server, ServerGone, Unreachable
from broker.data_planes.sqlserver_connection import is_for, statement_failure
from broker.simulator.certificates import CertificateAuthority
from tests.data_planes.tds_peer import (
    ENCRYPTION_ON,
    NO_ENCRYPTION,
    error,
    listening,
    login_of,
    prelogin,
    server_context,
)

PASSWORD = "not-to-be-told-Aa1"
AUTHORITY = CertificateAuthority("An authority for tests")

pytestmark = pytest.mark.anyio


@pytest.fixture
def server(tmp_path):
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.certificate_pem)
    return Server(
        "localhost",
        1,
        "osb_admin",
        PASSWORD,
        ca_file=tmp_path / "ca.pem",
        connect_timeout=timedelta(seconds=5),
        statement_timeout=timedelta(seconds=5),
    )


@pytest.fixture
def certified(tmp_path):
    return server_context(AUTHORITY.issue("localhost"), tmp_path)


def signing_in(context, seen, *, then):
    """TLS, the packet with the sign-in, and *then* an answer to it."""

    def answer(peer):
        seen.append(peer.read_packet())
        peer.send(prelogin(ENCRYPTION_ON))
        peer.encrypt(context)
        seen.append(peer.read_packet())
        peer.send(then)

    return answer


async def failure(server, port, expected):
    with pytest.raises(expected) as failed:
        await sqlserver.sign_in(replace(server, port=port), "db_app")
    assert PASSWORD not in str(failed.value)
    return failed.value


async def test_the_administrator_signs_in_to_the_one_database_within_tls(server, certified, caplog):
    caplog.set_level("DEBUG")
    seen = []
    with listening(signing_in(certified, seen, then=error(40613, "Not available."))) as port:
        await failure(server, port, Unreachable)

    first, login = seen
    assert PASSWORD not in caplog.text
    assert PASSWORD.encode("utf-16-le") not in first[1]
    assert login_of(login[1]) == {
        "user": "osb_admin",
        "password": PASSWORD,
        "program": "azure-service-broker",
        "server": "localhost",
        "database": "db_app",
    }


@pytest.mark.proves("azure-sql", "entra")
@pytest.mark.proves("azure-sql-database", "entra")
@pytest.mark.proves("azure-sql-database-from-existing", "entra")
async def test_the_brokers_entra_identity_signs_in_by_its_token_alone(server, certified):
    seen = []
    by_token = replace(server, administrator="the-broker", entra=True)
    with listening(signing_in(certified, seen, then=error(40613, "Not available."))) as port:
        await failure(by_token, port, Unreachable)

    login = seen[1][1]
    assert login_of(login) | {"user": "", "password": ""} == login_of(login), "neither name nor password"
    assert login_of(login)["database"] == "db_app"
    assert PASSWORD.encode("utf-16-le") in login, "the token, as the feature extension FEDAUTH has it"
    assert PASSWORD.encode("utf-16-le") not in seen[0][1]


async def test_a_database_that_was_paused_is_asked_for_again(server, certified):
    text = "Database 'db_app' on server 'x' is not currently available. Please retry."
    with listening(signing_in(certified, [], then=error(40613, text))) as port:
        told = await failure(server, port, Unreachable)

    assert (told.retryable, told.not_reached) == (True, True)
    assert text.rstrip(".") in told.message
    assert "error 40613" in told.message


async def test_a_firewall_that_does_not_let_the_broker_in_is_told_as_that(server, certified):
    text = (
        "Cannot open server 'x' requested by the login. Client with IP address '203.0.113.9' is not allowed."
    )
    with listening(signing_in(certified, [], then=error(40615, text))) as port:
        told = await failure(server, port, Unreachable)

    assert "refuses the broker's address" in told.message
    assert "203.0.113.9" in told.message
    assert "A firewall rule must let the broker in" in told.message


@pytest.mark.proves("azure-sql-server-registered", "update")
async def test_a_wrong_password_is_told_apart_from_a_database_that_is_not_there(server, certified):
    refused = error(18456, "Login failed for user 'osb_admin'.")
    seen = []
    with listening(
        signing_in(certified, seen, then=refused), signing_in(certified, seen, then=refused)
    ) as port:
        told = await failure(server, port, Refused)

    assert "does not accept the password of 'osb_admin'" in told.message
    assert [login_of(packet)["database"] for _, packet in seen[1::2]] == ["db_app", "master"]


async def test_a_database_that_is_not_there_is_missed_by_asking_master(server, certified):
    def master(peer):
        signing_in(certified, [], then=signed_in())(peer)
        while True:
            asked = peer.read_packet()[1].decode("utf-16-le", "ignore")
            peer.send(no_rows() if "sys.databases" in asked else empty())

    refused = error(18456, "Login failed for user 'osb_admin'.")
    with listening(signing_in(certified, [], then=refused), master) as port:
        told = await failure(server, port, DatabaseMissing)
        assert "has no database 'db_app'" in told.message

    with listening(signing_in(certified, [], then=refused), master) as port:
        # A user of it went with it.
        username = "app_" + "a" * 32
        await sqlserver.drop_login(replace(server, port=port), "db_app", username=username)


async def test_a_certificate_of_another_name_gets_no_password(server, tmp_path):
    context = server_context(AUTHORITY.issue("elsewhere.database.windows.net"), tmp_path)
    seen = []
    with listening(signing_in(context, seen, then=b"")) as port:
        told = await failure(server, port, NotTrusted)

    assert "it is not for the name 'localhost'" in told.message
    assert len(seen) == 1, "nothing came after the handshake"


async def test_a_certificate_of_another_authority_gets_no_password(server, tmp_path):
    context = server_context(CertificateAuthority("Somebody else").issue("localhost"), tmp_path)
    seen = []
    with listening(signing_in(context, seen, then=b"")) as port:
        told = await failure(server, port, NotTrusted)

    assert "its authority is not known" in told.message
    assert len(seen) == 1


async def test_a_server_without_tls_gets_no_password(server):
    seen = []

    def answer(peer):
        seen.append(peer.read_packet())
        peer.send(prelogin(NO_ENCRYPTION))
        seen.append(peer.read_packet())

    with listening(answer) as port:
        told = await failure(server, port, NotTrusted)

    assert "offers no TLS" in told.message
    assert len(seen) == 1


async def test_a_port_where_nobody_listens_is_told(server):
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]

    told = await failure(server, port, Unreachable)

    assert f"cannot be reached on port {port}" in told.message
    assert (told.retryable, told.not_reached) == (True, True)


async def test_a_server_that_is_silent_is_given_up_in_time(server):
    started = time.monotonic()
    with listening(lambda peer: peer.connection.recv(65536) and peer.connection.recv(65536)) as port:
        told = await failure(replace(server, connect_timeout=timedelta(milliseconds=300)), port, Unreachable)

    assert time.monotonic() - started < 5
    assert "broke off the sign-in" in told.message


async def test_a_connection_that_is_reset_is_told(server):
    def answer(peer):
        peer.read_packet()
        peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with listening(answer) as port:
        told = await failure(server, port, Unreachable)

    assert told.not_reached


async def test_another_service_at_the_port_is_told(server):
    with listening(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        told = await failure(server, port, Unreachable)

    assert "broke off the sign-in" in told.message


async def test_a_name_that_nobody_knows_is_told_as_a_server_that_is_gone(server):
    with pytest.raises(ServerGone, match=r"DNS knows no database server sql-x\.invalid"):
        await sqlserver.sign_in(replace(server, host="sql-x.invalid"), "db_app")


@pytest.mark.parametrize(
    ("names", "asked", "answer"),
    [
        (["sql-a.database.windows.net"], "sql-a.database.windows.net", True),
        (["*.database.windows.net"], "SQL-A.database.windows.net", True),
        (["*.database.windows.net"], "a.b.database.windows.net", False),
        (["*.database.windows.net"], "database.windows.net", False),
        (["*.net"], "windows.net", False),
        (["sql-a.database.windows.net.example.org"], "sql-a.database.windows.net", False),
        (["127.0.0.1"], "127.0.0.1", True),
        (["127.0.0.1"], "127.0.0.2", False),
    ],
)
async def test_a_star_in_a_certificate_stands_for_one_label(names, asked, answer):
    from cryptography.x509 import load_pem_x509_certificate

    certificate = load_pem_x509_certificate(AUTHORITY.issue(*names).certificate_pem)

    assert is_for(certificate, asked) is answer


@pytest.mark.parametrize(
    ("number", "severity", "code", "retryable"),
    [
        (15023, 16, "StatementFailed", True),  # another runner made it in the same moment
        (1205, 13, "StatementFailed", True),
        (40501, 20, "StatementFailed", True),
        (15247, 16, "StatementFailed", False),
        (15118, 16, "StatementFailed", False),
        (0, 0, "Unreachable", True),
        (596, 21, "Unreachable", True),
    ],
)
async def test_what_the_engine_says_is_told_by_its_number(server, number, severity, code, retryable):
    from pytds import OperationalError

    said = OperationalError("Because.")
    said.msg_no, said.severity, said.text = number, severity, "Because."

    told = statement_failure(server, said)

    assert (told.code, told.retryable) == (code, retryable)
    assert "Because" in told.message


def signed_in() -> bytes:
    """A server's consent to a sign-in, the shortest there is ([MS-TDS] 2.2.7.14)."""
    from tests.data_planes.tds_peer import REPLY, done, frame

    name = "none".encode("utf-16-le")
    body = bytes([1]) + struct.pack(">I", 0x74000004) + bytes([4]) + name + bytes([16, 0, 0, 0])
    return frame(REPLY, b"\xad" + struct.pack("<H", len(body)) + body + done())


def empty() -> bytes:
    from tests.data_planes.tds_peer import REPLY, done, frame

    return frame(REPLY, done())


def no_rows() -> bytes:
    """A result of one whole-number column without a name, and no row of it ([MS-TDS] 2.2.7.4)."""
    from tests.data_planes.tds_peer import REPLY, done, frame

    column = struct.pack("<H", 1) + struct.pack("<IHB", 0, 0, 0x38) + bytes([0])
    return frame(REPLY, b"\x81" + column + done())
