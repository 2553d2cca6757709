"""What is on the wire when connections fail, seen by a real server over real TLS."""

import asyncio
import contextlib
import ssl
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from azure.core.exceptions import ServiceRequestError

from broker.azure.arm import Arm
from broker.azure.clouds import custom
from broker.azure.credentials import FileToken
from broker.azure.failures import NotSent, OutcomeUnknown
from broker.azure.transport import HttpxTransport, http_client
from broker.simulator.certificates import CertificateAuthority

pytestmark = pytest.mark.anyio

SERVER = "/subscriptions/s/resourceGroups/g/providers/Microsoft.DBforPostgreSQL/flexibleServers/pg"


@pytest.fixture(scope="module")
def authority():
    return CertificateAuthority()


@pytest.fixture
def ca_file(authority, tmp_path):
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.certificate_pem)
    return path


@pytest.fixture
def tls(authority, tmp_path):
    issued = authority.issue("127.0.0.1")
    chain = tmp_path / "server.pem"
    chain.write_bytes(issued.certificate_pem + issued.key_pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)
    return context


@asynccontextmanager
async def server(tls, answer):
    """Serve; *answer* gets the writer once a whole request has come. Yields the port and the requests seen."""
    seen = []

    async def handle(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            ),
            0,
        )
        await reader.readexactly(length)
        seen.append(head.split(b" ", 1)[0].decode())
        await answer(writer)

    listening = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    async with listening:
        yield listening.sockets[0].getsockname()[1], seen


async def reset(writer):
    writer.transport.abort()


async def half_an_answer(writer):
    writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.transport.abort()


async def drip(writer):
    writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 100000\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)


async def silence(_writer):
    await asyncio.Event().wait()


@asynccontextmanager
async def arm_at(port, tmp_path, limit=timedelta(seconds=45), **options):
    token = tmp_path / "token"
    token.write_text("a-token")
    async with http_client(**options) as client:
        cloud = custom(f"https://127.0.0.1:{port}")
        yield Arm(cloud=cloud, credential=FileToken(token), client=client, limit=limit)


@pytest.mark.parametrize("fault", [reset, half_an_answer])
async def test_a_lost_reply_is_one_request_on_the_wire_and_an_unknown_outcome(fault, tls, ca_file, tmp_path):
    async with server(tls, fault) as (port, seen), arm_at(port, tmp_path, ca_file=ca_file) as arm:
        with pytest.raises(OutcomeUnknown):
            await arm.put_resource(SERVER, "2024-08-01", {}, client_request_id="op-1")

    assert seen == ["PUT"]


async def test_an_answer_that_takes_too_long_is_an_unknown_outcome_and_no_second_request(
    tls, ca_file, tmp_path
):
    options = {"ca_file": ca_file, "read": timedelta(milliseconds=200)}
    async with server(tls, silence) as (port, seen), arm_at(port, tmp_path, **options) as arm:
        with pytest.raises(OutcomeUnknown):
            await arm.put_resource(SERVER, "2024-08-01", {}, client_request_id="op-1")

        assert seen == ["PUT"]


async def test_an_answer_that_drips_ends_with_the_calls_limit(tls, ca_file, tmp_path):
    options = {"ca_file": ca_file, "limit": timedelta(milliseconds=500)}
    async with server(tls, drip) as (port, seen), arm_at(port, tmp_path, **options) as arm:
        with pytest.raises(OutcomeUnknown):
            await arm.put_resource(SERVER, "2024-08-01", {}, client_request_id="op-1")

        assert seen == ["PUT"]


async def test_a_refused_connection_means_that_nothing_was_sent(tls, ca_file, tmp_path):
    async with server(tls, reset) as (port, _):
        pass

    async with arm_at(port, tmp_path, ca_file=ca_file) as arm:
        with pytest.raises(NotSent):
            await arm.put_resource(SERVER, "2024-08-01", {}, client_request_id="op-1")


async def test_a_server_that_nobody_vouches_for_gets_nothing(tls, tmp_path):
    async with server(tls, reset) as (port, seen), arm_at(port, tmp_path) as arm:
        with pytest.raises(NotSent, match=r"(?i)certificate"):
            await arm.put_resource(SERVER, "2024-08-01", {}, client_request_id="op-1")

    assert seen == []


async def test_the_transport_survives_being_closed_by_a_credential(ca_file):
    from azure.core.rest import HttpRequest

    async with http_client(ca_file=ca_file) as client:
        async with HttpxTransport(client) as transport:
            await transport.close()
        with pytest.raises(ServiceRequestError):
            await transport.send(HttpRequest("GET", "https://127.0.0.1:9/"))
