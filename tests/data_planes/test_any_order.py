"""Whatever is done in whatever order, and wherever it is broken off: no login of a dropped binding."""

import asyncio
import contextlib

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.data_planes import postgresql
from broker.data_planes.base import DatabaseMissing, StatementFailed
from broker.data_planes.secrets import generated_username
from tests.database_servers import simulated_in

OWNER = "orders_owner"
PASSWORD = "Abc1~of-this-test-only"
STEPS = st.lists(
    st.one_of(
        st.just(("prepare",)),
        st.just(("drop database",)),
        st.just(("drop roles too early",)),
        st.tuples(st.just("bind"), st.integers(1, 3)),
        st.tuples(st.just("unbind"), st.integers(1, 3)),
        # Broken off at the n-th statement that the server is sent.
        st.tuples(st.just("broken bind"), st.integers(1, 3), st.integers(0, 12)),
        st.tuples(st.just("broken unbind"), st.integers(1, 3), st.integers(0, 12)),
    ),
    max_size=14,
)


class BrokenOff(BaseException):
    pass


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def simulated(runner, template_folder, tmp_path_factory):
    made = simulated_in(tmp_path_factory.mktemp("servers"), template_folder=template_folder)
    yield runner.run(made.__aenter__())
    runner.run(made.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def server(runner, simulated):
    return runner.run(simulated.server())


@given(STEPS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_order_leaves_a_login_of_a_dropped_binding(runner, simulated, server, steps):
    runner.run(History(simulated, server).play(steps))


class History:
    """Plays the steps on a real server and remembers which logins must, may and must not be there."""

    def __init__(self, simulated, server):
        self.simulated = simulated
        self.server = server
        self.bound: set[int] = set()
        self.unknown: set[int] = set()

    async def play(self, steps):
        await self.simulated.database()
        for step, *arguments in steps:
            await getattr(self, step.replace(" ", "_"))(*arguments)

        present = set(await postgresql.logins(self.server, owner_role=OWNER))
        assert present >= {name(number) for number in self.bound}
        assert present <= {name(number) for number in self.bound | self.unknown}

        for number in (1, 2, 3):
            await self.unbind(number)
        assert await postgresql.logins(self.server, owner_role=OWNER) == []
        await self.drop_database()
        assert await self.roles() == []

    async def prepare(self):
        await postgresql.prepare_database(self.server, "orders", owner_role=OWNER)

    async def bind(self, number):
        await self.prepare()
        await self.create(number)
        self.bound.add(number)
        self.unknown.discard(number)

    async def broken_bind(self, number, after):
        await self.prepare()
        if number not in self.bound:
            self.unknown.add(number)
        await broken(self.create(number), after)

    async def unbind(self, number):
        await self.drop(number)
        self.bound.discard(number)
        self.unknown.discard(number)

    async def broken_unbind(self, number, after):
        if number in self.bound:
            self.unknown.add(number)
            self.bound.discard(number)
        await broken(self.drop(number), after)

    async def drop_database(self):
        await self.simulated.servers.drop_database("server-one", "orders")
        await postgresql.drop_database_roles(self.server, "orders", owner_role=OWNER)
        self.bound.clear()
        self.unknown.clear()
        await self.simulated.database()

    async def drop_roles_too_early(self):
        with pytest.raises(StatementFailed, match="still on"):
            await postgresql.drop_database_roles(self.server, "orders", owner_role=OWNER)

    async def create(self, number):
        await postgresql.create_login(
            self.server, "orders", owner_role=OWNER, username=name(number), password=PASSWORD
        )

    async def drop(self, number):
        await postgresql.drop_login(self.server, "orders", username=name(number), owner_role=OWNER)

    async def roles(self):
        async with await psycopg.AsyncConnection.connect(
            host=self.server.host,
            user=self.server.administrator,
            password=self.server.password,
            dbname="postgres",
            sslmode="verify-full",
            sslrootcert=str(self.server.ca_file),
        ) as connection:
            found = await connection.execute(
                "SELECT rolname FROM pg_roles WHERE rolname = %s OR rolname LIKE 'osb%%'", [OWNER]
            )
            return await found.fetchall()


def name(number):
    return generated_username("osb", str(number))


async def broken(work, after):
    """Run *work* and break it off, as a killed process would, when the n-th statement is to be sent."""
    real = psycopg.AsyncConnection.execute
    sent = 0

    async def execute(self, *args, **kwargs):
        nonlocal sent
        if sent == after:
            self.pgconn.finish()  # no rollback is sent either: the process is dead
            raise BrokenOff
        sent += 1
        return await real(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(psycopg.AsyncConnection, "execute", execute)
        with contextlib.suppress(BrokenOff, psycopg.Error, DatabaseMissing):
            await work
