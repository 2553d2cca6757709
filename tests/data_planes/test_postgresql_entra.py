"""Logins of Entra principals: what they may do and how they end. A stand-in makes them; see `tests.entra_stand_ins`."""

import secrets
from dataclasses import replace

import psycopg
import pytest

from broker.data_planes import postgresql
from broker.data_planes.base import EntraPrincipal, Refused, StatementFailed
from broker.data_planes.connection_strings import DatabaseAccess, ado_net, jdbc, libpq, uri
from broker.data_planes.secrets import generated_username
from tests.entra_stand_ins import give_password, make_administrator, principals, superuser

pytestmark = pytest.mark.anyio

OWNER = "orders_owner"
APP = EntraPrincipal("3f2504e0-4f89-41d3-9a0c-0305e82c3301")
BROKER = "osb broker"


@pytest.fixture
async def server(simulated):
    server = await simulated.server()
    await simulated.database()
    await postgresql.prepare_database(server, "orders", owner_role=OWNER)
    return server


@pytest.fixture
def administrator(server, simulated):
    """The broker's own Entra identity on that server."""
    token = secrets.token_urlsafe(200)
    make_administrator(simulated.folder, BROKER, token)
    return replace(server, administrator=BROKER, password=token, entra=True)


async def bind(server, administrator, *, key="b1", principal=APP):
    username = generated_username("osb", key)
    await postgresql.create_entra_login(
        server,
        "orders",
        owner_role=OWNER,
        username=username,
        principal=principal,
        administrator=administrator,
    )
    return username


async def sign_in(simulated, server, username):
    """As the principal, by a password where a real server takes its token."""
    password = secrets.token_urlsafe(24)
    give_password(simulated.folder, username, password)
    access = DatabaseAccess(server.host, server.port, "orders", username, password)
    return await psycopg.AsyncConnection.connect(
        libpq(access), sslrootcert=str(server.ca_file), autocommit=True
    )


@pytest.mark.proves("azure-postgresql", "bind entra")
@pytest.mark.proves("azure-postgresql-database", "bind entra")
async def test_a_login_of_a_principal_works_as_the_owner_role(simulated, server, administrator):
    username = await bind(server, administrator)

    async with await sign_in(simulated, server, username) as connection:
        await connection.execute("CREATE TABLE notes (id int)")
        found = await connection.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'notes'")
        owner = await found.fetchone()

    assert owner == (OWNER,)
    assert principals(simulated.folder) == [(username, APP.object_id, "service", False, False)]
    assert await postgresql.logins(server, owner_role=OWNER) == [username]


@pytest.mark.parametrize(("kind", "told"), [("Group", "group"), ("User", "user")])
async def test_groups_and_people_are_told_as_what_they_are(simulated, server, administrator, kind, told):
    await bind(server, administrator, principal=replace(APP, kind=kind))

    assert [row[2] for row in principals(simulated.folder)] == [told]


async def test_a_second_call_makes_no_second_login_and_needs_no_token(simulated, server, administrator):
    username = await bind(server, administrator)

    again = await bind(server, replace(administrator, password="expired"))

    assert again == username
    assert len(principals(simulated.folder)) == 1


async def test_a_crash_after_the_login_was_made_leaves_it_to_the_next_call(simulated, server, administrator):
    username = await bind(server, administrator)
    with superuser(simulated.folder) as connection:
        connection.execute(f'REVOKE "{OWNER}" FROM "{username}"')
        connection.execute(f'ALTER ROLE "{username}" IN DATABASE orders RESET role')

    await bind(server, administrator)

    async with await sign_in(simulated, server, username) as connection:
        found = await connection.execute("SELECT current_user")
        assert await found.fetchone() == (OWNER,)


@pytest.mark.proves("azure-postgresql", "revoke entra (not provable here)")
@pytest.mark.proves("azure-postgresql-database", "revoke entra (not provable here)")
async def test_unbinding_ends_sessions_and_drops_the_login_without_a_token(simulated, server, administrator):
    username = await bind(server, administrator)
    connection = await sign_in(simulated, server, username)

    await postgresql.drop_login(server, "orders", username=username, owner_role=OWNER)

    with pytest.raises(psycopg.OperationalError):
        await connection.execute("SELECT 1")
    await connection.close()
    assert await postgresql.logins(server, owner_role=OWNER) == []
    with superuser(simulated.folder) as there:
        assert there.execute("SELECT FROM pg_roles WHERE rolname = %s", [username]).fetchone() is None


async def test_a_token_that_the_server_does_not_take_makes_nothing(simulated, server, administrator):
    with pytest.raises(Refused):
        await bind(server, replace(administrator, password="another"))

    assert await postgresql.logins(server, owner_role=OWNER) == []


async def test_a_role_of_somebody_else_is_left_alone(simulated, server, administrator):
    username = generated_username("osb", "b1")
    with superuser(simulated.folder) as connection:
        connection.execute(f'CREATE ROLE "{username}" LOGIN')

    with pytest.raises(StatementFailed, match="was not made by the broker"):
        await bind(server, administrator)

    assert principals(simulated.folder) == []


async def test_a_login_that_cannot_be_handed_over_is_not_made_at_all(simulated, server, administrator):
    with superuser(simulated.folder) as connection:
        # Then the role is the superuser's, and nobody else may mark it or pass it on.
        connection.execute("ALTER FUNCTION pg_catalog.pgaadauth_create_principal_with_oid SECURITY DEFINER")

    with pytest.raises(StatementFailed, match="permission denied"):
        await bind(server, administrator)

    assert principals(simulated.folder) == []
    username = generated_username("osb", "b1")
    with superuser(simulated.folder) as connection:
        assert connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [username]).fetchone() is None
    await postgresql.drop_login(server, "orders", username=username, owner_role=OWNER)


def test_connection_strings_without_a_password_name_none():
    access = DatabaseAccess("h", 5432, "d", "u", None)

    assert uri(access) == "postgresql://u@h:5432/d?sslmode=verify-full"
    assert jdbc(access) == "jdbc:postgresql://h:5432/d?user=u&sslmode=verify-full"
    assert libpq(access) == "host='h' port='5432' dbname='d' user='u' sslmode='verify-full'"
    assert "Password" not in ado_net(access)
