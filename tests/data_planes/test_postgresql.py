import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta

import asyncpg
import psycopg
import pytest

from broker.data_planes import postgresql
from broker.data_planes.base import (
    DatabaseMissing,
    DataPlaneFailure,
    NotTrusted,
    Refused,
    ServerGone,
    StatementFailed,
    Unreachable,
)
from broker.data_planes.connection_strings import DatabaseAccess, libpq, uri
from broker.data_planes.postgresql_connection import connected
from broker.data_planes.secrets import generated_password, generated_username
from broker.simulator.certificates import CertificateAuthority

pytestmark = pytest.mark.anyio

OWNER = "orders_owner"


@pytest.fixture
async def server(simulated):
    """A server with a prepared database `orders`."""
    server = await simulated.server()
    await simulated.database()
    await postgresql.prepare_database(server, "orders", owner_role=OWNER)
    return server


async def bind(server, key="b1", *, database="orders", owner_role=OWNER, **other):
    """A login as a binding would have it."""
    access = DatabaseAccess(
        server.host, server.port, database, generated_username("osb", key), generated_password()
    )
    await postgresql.create_login(
        server, database, owner_role=owner_role, username=access.username, password=access.password, **other
    )
    return access


async def unbind(server, access, *, owner_role=OWNER):
    await postgresql.drop_login(server, access.database, username=access.username, owner_role=owner_role)


async def connect(server, access, **other):
    return await psycopg.AsyncConnection.connect(
        libpq(access), sslrootcert=str(server.ca_file), autocommit=True, **other
    )


async def ask(server, access, question, **other):
    async with await connect(server, access, **other) as connection:
        return await (await connection.execute(question)).fetchone()


async def change(server, *statements):
    """Change something on the server as its administrator."""
    access = DatabaseAccess(server.host, server.port, "postgres", server.administrator, server.password)
    async with await connect(server, access) as connection:
        for statement in statements:
            await connection.execute(statement)


async def ask_administrator(server, question, database="postgres"):
    access = DatabaseAccess(server.host, server.port, database, server.administrator, server.password)
    return await ask(server, access, question)


async def test_what_a_login_makes_belongs_to_the_owner_role_and_to_every_binding(server):
    first, second = await bind(server, "b1"), await bind(server, "b2")

    async with await connect(server, first) as connection:
        await connection.execute("CREATE TABLE notes (id int)")
        await connection.execute("CREATE SCHEMA more")
    async with await connect(server, second) as connection:
        await connection.execute("INSERT INTO notes VALUES (1)")
        await connection.execute("ALTER TABLE notes ADD COLUMN text text")

    owner = await ask(server, first, "SELECT tableowner FROM pg_tables WHERE tablename = 'notes'")
    assert owner == (OWNER,)


async def test_both_drivers_sign_in_with_the_uri(server):
    access = await bind(server)

    through_psycopg = await psycopg.AsyncConnection.connect(uri(access), sslrootcert=str(server.ca_file))
    through_asyncpg = await asyncpg.connect(f"{uri(access)}&sslrootcert={server.ca_file}")

    async with through_psycopg:
        assert through_psycopg.info.dbname == "orders"
    assert await through_asyncpg.fetchval("SELECT session_user") == access.username
    await through_asyncpg.close()


async def test_a_login_enters_no_database_but_its_own(server, simulated):
    await simulated.database(database="billing")
    await postgresql.prepare_database(server, "billing", owner_role="billing_owner")
    access = await bind(server)

    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        await connect(server, dataclasses.replace(access, database="billing"))


async def test_an_unbound_login_is_refused_and_what_it_made_stays(server):
    first, second = await bind(server, "b1"), await bind(server, "b2")
    async with await connect(server, first) as connection:
        await connection.execute("CREATE TABLE notes (id int)")
        await connection.execute("SET ROLE NONE")
        await connection.execute("CREATE TABLE of_the_login_itself (id int)")
        await connection.execute("SELECT lo_create(4711)")

    await unbind(server, first)
    await unbind(server, first)

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await connect(server, first)
    assert await ask(server, second, "SELECT count(*) FROM notes, of_the_login_itself") == (0,)
    assert await postgresql.logins(server, owner_role=OWNER) == [second.username]


async def test_an_unbind_ends_running_sessions(server):
    access = await bind(server)
    async with await connect(server, access) as idle, await connect(server, access) as busy:
        await busy.execute("BEGIN")
        sleeping = asyncio.create_task(busy.execute("SELECT pg_sleep(600)"))

        await unbind(server, access)

        with pytest.raises(psycopg.OperationalError):
            await idle.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError):
            await sleeping


async def test_what_a_login_left_in_a_database_that_is_open_to_all_does_not_keep_it(server):
    access = await bind(server)
    async with await connect(server, dataclasses.replace(access, database="postgres")) as connection:
        await connection.execute("SELECT lo_create(4711)")

    await unbind(server, access)

    assert await ask_administrator(server, "SELECT count(*) FROM pg_largeobject_metadata") == (0,)


async def test_grants_and_default_privileges_do_not_keep_a_login(server):
    access, other = await bind(server, "b1"), await bind(server, "b2")
    async with await connect(server, access) as connection:
        await connection.execute("CREATE TABLE notes (id int)")
        await connection.execute(f"GRANT SELECT ON notes TO {access.username} WITH GRANT OPTION")
        await connection.execute("SET ROLE NONE")
        await connection.execute(f"GRANT SELECT ON notes TO {other.username}")
        await connection.execute(f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {other.username}")
        await connection.execute(f"GRANT CONNECT ON DATABASE orders TO {other.username}")

    await unbind(server, access)

    assert await postgresql.logins(server, owner_role=OWNER) == [other.username]


async def test_a_second_call_sets_the_password_again(server):
    access = await bind(server)
    again = dataclasses.replace(access, password="Another~1.password")

    await postgresql.create_login(
        server, "orders", owner_role=OWNER, username=again.username, password=again.password
    )

    assert await ask(server, again, "SELECT 1") == (1,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await connect(server, access)


async def test_a_login_is_refused_after_its_time(server):
    now = datetime.now(UTC)
    in_time = await bind(server, "b1", valid_until=now + timedelta(hours=1))
    late = await bind(server, "b2", valid_until=now - timedelta(seconds=1))

    assert await ask(server, in_time, "SELECT 1") == (1,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await connect(server, late)


async def test_the_password_reaches_the_server_as_a_verifier_only(server, simulated):
    await simulated.servers.set_configuration("server-one", "log_statement", "all")
    ((cluster),) = [one.process for one in simulated.servers._servers.values()]
    log = cluster.folder / "log"

    access = await bind(server)

    text = log.read_text()
    assert "SCRAM-SHA-256$" in text
    assert access.password not in text


@pytest.mark.parametrize("nasty", ['o"; DROP ROLE x; --', "o'rders", "Ümlaut & Größe", "a b\\c"])
async def test_names_and_passwords_are_quoted_by_the_driver(server, simulated, nasty):
    await simulated.database(database=nasty)
    await postgresql.prepare_database(server, nasty, owner_role=f"{nasty}_owner")
    access = DatabaseAccess(server.host, server.port, nasty, f"{nasty}_login", f"{nasty}'\"\\ 1A")

    await postgresql.create_login(
        server, nasty, owner_role=f"{nasty}_owner", username=access.username, password=access.password
    )

    assert await ask(server, access, "SELECT current_user::text") == (f"{nasty}_owner",)
    await unbind(server, access, owner_role=f"{nasty}_owner")
    assert await postgresql.logins(server, owner_role=f"{nasty}_owner") == []


async def test_the_public_schema_can_be_made_anew_by_an_app(server):
    access = await bind(server)

    async with await connect(server, access) as connection:
        await connection.execute("DROP SCHEMA public CASCADE")
        await connection.execute("CREATE SCHEMA public")
        await connection.execute("CREATE TABLE notes (id int)")
    await postgresql.prepare_database(server, "orders", owner_role=OWNER)

    assert await ask(server, access, "SELECT count(*) FROM notes") == (0,)


async def test_extensions_are_installed_with_those_they_need(server, simulated):
    with pytest.raises(StatementFailed, match="allow-listed"):
        await postgresql.prepare_database(server, "orders", owner_role=OWNER, extensions=["hstore"])
    await simulated.servers.set_configuration("server-one", "azure.extensions", "HSTORE,PG_TRGM")

    for _ in range(2):
        await postgresql.prepare_database(
            server, "orders", owner_role=OWNER, extensions=["hstore", "pg_trgm"]
        )

    access = await bind(server)
    assert await ask(server, access, "SELECT 'a=>1'::hstore -> 'a', similarity('a', 'a')") == ("1", 1.0)


async def test_an_extension_that_the_server_lacks_is_named(server, simulated):
    await simulated.servers.set_configuration("server-one", "azure.extensions", "POSTGIS")

    with pytest.raises(StatementFailed, match="postgis") as failed:
        await postgresql.prepare_database(server, "orders", owner_role=OWNER, extensions=["postgis"])

    assert not failed.value.retryable


async def test_what_a_deleted_database_leaves_is_removed(server, simulated):
    access = await bind(server)
    await bind(server, "b2")
    with pytest.raises(StatementFailed, match="still on") as failed:
        await postgresql.drop_database_roles(server, "orders", owner_role=OWNER)
    assert failed.value.retryable
    await simulated.servers.drop_database("server-one", "orders")

    await unbind(server, access)
    await postgresql.drop_database_roles(server, "orders", owner_role=OWNER)
    await postgresql.drop_database_roles(server, "orders", owner_role=OWNER)

    found = await ask_administrator(
        server, f"SELECT count(*) FROM pg_roles WHERE rolname = '{OWNER}' OR rolname LIKE 'osb%'"
    )
    assert found == (0,)


async def test_a_role_that_somebody_else_made_is_left_alone(server):
    administrator = DatabaseAccess(server.host, 5432, "postgres", server.administrator, server.password)
    async with await connect(server, administrator) as connection:
        await connection.execute("CREATE ROLE theirs LOGIN")

    for call in (
        lambda: postgresql.create_login(
            server, "orders", owner_role=OWNER, username="theirs", password="Abc1-xyz"
        ),
        lambda: postgresql.drop_login(server, "orders", username="theirs", owner_role=OWNER),
        lambda: postgresql.prepare_database(server, "orders", owner_role="theirs"),
    ):
        with pytest.raises(StatementFailed, match="not made by the broker"):
            await call()
    with pytest.raises(ValueError, match="administrator"):
        await postgresql.drop_login(server, "orders", username=server.administrator, owner_role=OWNER)


async def test_twenty_logins_at_once_all_come_about_and_all_go(server):
    accesses = await asyncio.gather(*(bind(server, f"b{number}") for number in range(20)))
    assert len(await postgresql.logins(server, owner_role=OWNER)) == 20

    await asyncio.gather(*(unbind(server, access) for access in accesses))

    assert await postgresql.logins(server, owner_role=OWNER) == []


async def test_the_same_work_twice_at_once_is_done_once(server, simulated):
    await simulated.database(database="billing")

    await asyncio.gather(
        *(postgresql.prepare_database(server, "billing", owner_role="billing_owner") for _ in range(5))
    )
    first = await bind(server)
    await asyncio.gather(*(unbind(server, first) for _ in range(5)))

    assert await postgresql.logins(server, owner_role=OWNER) == []


async def test_a_database_that_is_not_there_is_told_apart(server):
    with pytest.raises(DatabaseMissing, match="'nowhere'"):
        await postgresql.prepare_database(server, "nowhere", owner_role="nowhere_owner")
    with pytest.raises(StatementFailed, match="not prepared"):
        await bind(server, owner_role="somebody")


async def test_each_way_of_not_getting_in_has_its_name(server, simulated, tmp_path):
    another = tmp_path / "another.pem"
    another.write_bytes(CertificateAuthority("Another").certificate_pem)
    cases = [
        (dataclasses.replace(server, password="wrong"), Refused, False),
        (dataclasses.replace(server, ca_file=another), NotTrusted, False),
        (dataclasses.replace(server, ca_file=tmp_path / "none.pem"), NotTrusted, False),
        (dataclasses.replace(server, ca_file=None), NotTrusted, False),
        (dataclasses.replace(server, port=1), Unreachable, True),
        (dataclasses.replace(server, host="server-one.invalid"), ServerGone, True),
    ]

    for wrong, expected, retryable in cases:
        with pytest.raises(DataPlaneFailure) as failed:
            await bind(wrong)
        assert type(failed.value) is expected, failed.value.message
        assert failed.value.retryable is retryable
        assert failed.value.not_reached
        assert wrong.password not in failed.value.message


async def test_a_closed_firewall_counts_as_unreachable(server, simulated):
    await simulated.servers.set_firewall("server-one", [])

    with pytest.raises(Unreachable) as failed:
        await bind(server)

    assert failed.value.not_reached


async def test_a_server_that_dies_midway_leaves_the_outcome_open(server, simulated):
    ((cluster),) = [one.process for one in simulated.servers._servers.values()]
    blocker = DatabaseAccess(server.host, server.port, "orders", server.administrator, server.password)
    async with await connect(server, blocker) as connection:
        await connection.execute(
            "SELECT pg_advisory_lock(hashtextextended('Made by azure-service-broker: ' || %s, 0))", [OWNER]
        )
        binding = asyncio.create_task(bind(server))
        waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
        while await ask_administrator(server, waits) != (True,):
            pass

        await cluster.stop()

        with pytest.raises(Unreachable) as failed:
            await binding
    assert failed.value.retryable
    assert not failed.value.not_reached


async def test_the_administrators_statements_do_not_call_what_an_app_planted(server):
    access = await bind(server)
    async with await connect(server, access) as connection:
        # A closer match than PostgreSQL's own (text, bigint), which the broker means.
        await connection.execute(
            "CREATE FUNCTION public.hashtextextended(text, integer) RETURNS bigint"
            " LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$"
        )

    await postgresql.prepare_database(server, "orders", owner_role=OWNER)
    await bind(server, "b2")
    await unbind(server, access)


CLOSED = (
    "ALTER DATABASE orders ALLOW_CONNECTIONS false",
    "ALTER DATABASE orders CONNECTION LIMIT 0",
    "REVOKE ALL ON DATABASE orders FROM orders_owner",
    "ALTER DATABASE orders SET default_transaction_read_only = on",
    "ALTER DATABASE orders SET idle_in_transaction_session_timeout = 1",
    "ALTER DATABASE orders SET idle_session_timeout = 1",
    "ALTER DATABASE orders SET local_preload_libraries = 'nothing'",
    "ALTER DATABASE orders SET role = 'orders_owner'",
    "ALTER DATABASE orders SET transaction_timeout = 1",
)


async def test_no_app_can_keep_its_login_or_anothers_by_closing_its_database(server, simulated):
    await simulated.database(database="billing")
    await postgresql.prepare_database(server, "billing", owner_role="billing_owner")
    for number, sabotage in enumerate(CLOSED):
        access = await bind(server, f"b{number}")
        stranger = await bind(server, f"s{number}", database="billing", owner_role="billing_owner")
        async with await connect(server, access) as connection:
            await connection.execute(f"CREATE TABLE notes{number} (id int)")
            await connection.execute(f"GRANT SELECT ON notes{number} TO {stranger.username}")
            await connection.execute("SET ROLE NONE")
            await connection.execute(f"CREATE TABLE of_the_login_itself{number} (id int)")
        async with await connect(server, dataclasses.replace(access, database="postgres")) as connection:
            await connection.execute("SET ROLE orders_owner")
            await connection.execute(sabotage)

        await unbind(server, stranger, owner_role="billing_owner")
        await unbind(server, access)

        assert await postgresql.logins(server, owner_role="billing_owner") == [], sabotage
        assert await postgresql.logins(server, owner_role=OWNER) == [], sabotage
        async with connected(server, "postgres") as connection:
            await connection.execute("ALTER DATABASE orders RESET ALL")


async def test_no_app_can_hold_an_unbind_up_with_the_brokers_own_lock(server):
    access, other = await bind(server, "b1"), await bind(server, "b2")
    taken = "SELECT pg_advisory_lock(hashtextextended('Made by azure-service-broker: ' || %s, 0))"
    elsewhere = dataclasses.replace(other, database="postgres")
    async with await connect(server, other) as here, await connect(server, elsewhere) as there:
        await here.execute(taken, [OWNER])
        await there.execute(taken, [OWNER])

        await unbind(server, access)

    assert await postgresql.logins(server, owner_role=OWNER) == [other.username]


async def test_the_owner_of_an_adopted_database_is_worked_as_and_stays(server, simulated):
    await simulated.database(database="theirs")
    await change(server, "CREATE ROLE theirs", "GRANT theirs TO CURRENT_USER WITH INHERIT TRUE, SET TRUE")
    await change(server, "ALTER DATABASE theirs OWNER TO theirs")

    access = await bind(server, database="theirs", owner_role="theirs")
    worked_as = await ask(server, access, "SELECT current_user")
    await unbind(server, access, owner_role="theirs")
    await change(server, "DROP DATABASE theirs WITH (FORCE)")
    await postgresql.drop_database_roles(server, "theirs", owner_role="theirs")

    assert worked_as == ("theirs",)
    assert await postgresql.logins(server, owner_role="theirs") == []
    assert await ask_administrator(server, "SELECT count(*) FROM pg_roles WHERE rolname = 'theirs'") == (1,)


@pytest.mark.parametrize("can", ["LOGIN", "CREATEROLE", "CREATEDB"])
async def test_no_login_works_as_an_owner_that_can_do_more_than_own(server, simulated, can):
    await simulated.database(database="theirs")
    await change(
        server, f"CREATE ROLE theirs {can}", "GRANT theirs TO CURRENT_USER WITH INHERIT TRUE, SET TRUE"
    )
    await change(server, "ALTER DATABASE theirs OWNER TO theirs")

    with pytest.raises(StatementFailed, match="not made by the broker"):
        await bind(server, database="theirs", owner_role="theirs")


async def test_no_login_works_as_a_role_that_does_not_own_the_database(server, simulated):
    await simulated.database(database="theirs")
    await change(server, "CREATE ROLE another")

    with pytest.raises(StatementFailed, match="not made by the broker"):
        await bind(server, database="theirs", owner_role="another")
