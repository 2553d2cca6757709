import contextlib
import gc
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys

import httpx
import psycopg
import pytest

from broker.simulator.certificates import CertificateAuthority
from broker.simulator.server import SimulatorCannotStart, SimulatorOptions, running
from tests.simulated import POSTGRES, StandInDatabases, a_simulator, wait_until
from tests.simulator.templates import SERVERS, deployment_body

START = """
import asyncio, sys
from pathlib import Path
from broker.simulator.server import SimulatorOptions, serve
asyncio.run(serve(SimulatorOptions(folder=Path(sys.argv[1]), speed=1000)))
"""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_process_says_when_it_is_ready_and_clears_up_when_asked_to_end(tmp_path, end):
    folder = tmp_path / "work"
    process = subprocess.Popen([sys.executable, "-c", START, folder])
    try:
        ready = folder / "simulator.json"
        wait_until(lambda: ready.exists() or process.poll() is not None)

        access = json.loads(ready.read_text())
        token = (folder / "token").read_text().strip()
        reply = httpx.get(
            f"{access['endpoint']}/subscriptions/{access['subscription_id']}",
            params={"api-version": "2022-12-01"},
            headers={"Authorization": f"Bearer {token}"},
            verify=ssl.create_default_context(cafile=access["ca_file"]),
            trust_env=False,
        )
        process.send_signal(end)

        assert reply.json()["tenantId"] == access["tenant_id"]
        assert access["pid"] == process.pid
        assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
        assert process.wait(timeout=20) == 0
        assert not ready.exists()
        assert not list(folder.glob(".tls-*"))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.anyio
async def test_the_token_stays_the_same_in_one_folder(tmp_path):
    tokens = []
    for _ in range(2):
        async with running(SimulatorOptions(tmp_path), StandInDatabases()) as simulator:
            tokens.append(simulator.access.token)

    assert tokens[0] == tokens[1]
    assert len(tokens[0]) > 32


@pytest.mark.anyio
async def test_a_port_that_is_held_is_named_with_what_to_do(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]

        with pytest.raises(SimulatorCannotStart) as refused:
            async with running(SimulatorOptions(tmp_path, port=port), StandInDatabases()):
                pass

    assert str(refused.value).startswith(f"port {port} on 127.0.0.1 is held by another program; stop it")


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org"])
async def test_nobody_from_elsewhere_is_served(tmp_path, host):
    with pytest.raises(SimulatorCannotStart, match="no loopback address"):
        async with running(SimulatorOptions(tmp_path, host=host), StandInDatabases()):
            pass


@pytest.mark.anyio
async def test_an_unknown_duration_is_named_with_those_that_are_known(tmp_path):
    options = SimulatorOptions(tmp_path, durations={"coffee": 1})

    with pytest.raises(SimulatorCannotStart) as refused:
        async with running(options, StandInDatabases()):
            pass

    assert "unknown duration coffee; known are configuration, cosmos_account" in str(refused.value)


def test_certificates_hold_for_their_names_and_their_authority_only(tmp_path):
    authority = CertificateAuthority()
    issued = authority.issue("127.83.12.7", "localhost")
    chain = tmp_path / "chain.pem"
    chain.write_bytes(issued.key_pem + issued.certificate_pem)

    assert handshake(authority, "127.83.12.7", chain) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(authority, "127.83.12.8", chain)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(CertificateAuthority(), "localhost", chain)


def handshake(trusted, name, chain):
    """The TLS version that a client who trusts this authority agrees on with a server of this chain."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.create_default_context(cadata=trusted.certificate_pem.decode())
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(chain)
    client = trusting.wrap_bio(to_client, to_server, server_hostname=name)
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return client.version()


def test_a_certificate_without_a_name_is_refused():
    with pytest.raises(ValueError, match="at least one name"):
        CertificateAuthority().issue()


def test_a_real_database_stands_behind_a_deployed_server(simulator_with_databases):
    simulator, name = simulator_with_databases, f"srv-{os.urandom(4).hex()}"
    group, body = simulator.a_group(), deployment_body(name)
    path = f"/resourceGroups/{group}/providers/Microsoft.Resources/deployments/first"
    server = f"/resourceGroups/{group}/providers/{SERVERS}/{name}"
    login = {
        "user": "osbadmin",
        "password": body["properties"]["parameters"]["password"]["value"],
        "dbname": "app",
        "sslmode": "verify-full",
        "sslrootcert": simulator.access.ca_file,
        "connect_timeout": 20,
    }
    rule = {"properties": {"startIpAddress": "127.0.0.0", "endIpAddress": "127.255.255.255"}}

    simulator.call("PUT", path, body)
    deployed = wait_until(lambda: _ended(simulator, path))
    assert deployed["provisioningState"] == "Succeeded", deployed
    simulator.call("PUT", f"{server}/firewallRules/loopback", rule, version=POSTGRES)
    wait_until(lambda: _state(simulator, server) == "Ready")
    host = deployed["outputs"]["host"]["value"]
    with psycopg.connect(host=host, **login) as connection:
        seen = connection.execute("SELECT current_database(), rolsuper FROM pg_roles WHERE rolname = user")
        row = seen.fetchone()
    simulator.call("DELETE", server, version=POSTGRES)
    wait_until(lambda: simulator.call("GET", server, version=POSTGRES).status_code == 404)

    assert row == ("app", False)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(host=host, **login)


def _ended(simulator, path):
    properties = simulator.call("GET", path).json()["properties"]
    return properties if properties["provisioningState"] in {"Succeeded", "Failed"} else None


def _state(simulator, path):
    return simulator.call("GET", path, version=POSTGRES).json()["properties"]["state"]


@pytest.mark.parametrize("wish", ["keep-alive", "close"])
def test_a_client_that_stays_connected_is_let_go_of_at_the_end(tmp_path, wish):
    with a_simulator(tmp_path, StandInDatabases(), http=True) as stopping:
        context = ssl.create_default_context(cafile=stopping.access.ca_file)
        staying = []
        for endpoint in (stopping.access.endpoint, stopping.access.http_endpoint):
            host, _, port = endpoint.partition("://")[2].rpartition(":")
            plain = socket.create_connection((host, int(port)), timeout=10)
            secure = endpoint.startswith("https")
            staying.append(context.wrap_socket(plain, server_hostname=host) if secure else plain)
            staying[-1].sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: {wish}\r\n\r\n".encode())
            assert staying[-1].recv(12) == b"HTTP/1.1 303"

    gc.collect()  # An unclosed socket of the server's would be a warning, and so an error, here.
    for connection in staying:
        with contextlib.suppress(ConnectionResetError), connection:
            while connection.recv(4096):
                pass
