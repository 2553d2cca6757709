"""More is ordered at once than a broker, its database and Azure can take, and the broker is killed meanwhile."""

import asyncio
import secrets
from collections import Counter
from datetime import timedelta
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from broker.errors import Unforeseen
from tests.end_to_end.world import PLATFORM, World
from tests.service_catalog.controller import Controller
from tests.service_catalog.machine import Flags

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

NUMBER = 40
CONNECTIONS = 9
"""One listens and up to four read; all requests and the runner share the rest, where they would open ten."""
TOO_SMALL = {"in_flight": "8", "lease": "2s", "request_wait": "300ms"}
THROTTLED = 3
"""So many of the first calls to Azure are answered with 429."""
SPEED = 20.0
"""How much faster Service Catalog's own pauses are: it gives up polling after eight seconds without the broker."""
FLAGS = Flags(operation_polling_maximum_backoff=timedelta(seconds=10))
CLASS, PLAN = "azure-storage-blob", "standard-lrs"
WITHIN = 60.0
"""Seconds for each half of the lives; a busy machine needs twenty."""


class Told:
    """What the controller was answered: requests by kind and status (None: no answer), and the words of errors."""

    def __init__(self):
        self.statuses = Counter()
        self.errors = Counter()

    def __call__(self, request, answer, _took):
        about = "binding" if "/service_bindings/" in request.path else "instance"
        self.statuses["poll" if request.polls else f"{request.method} {about}", answer.status] += 1
        if answer.status is not None and answer.status >= 400:
            self.errors[(answer.document or {}).get("description")] += 1


@pytest.fixture
def few_connections(postgresql_url):
    """URL of the test's database for a user who gets few connections to it."""
    name, password = f"broker_{secrets.token_hex(8)}", secrets.token_urlsafe(24)
    user = sql.Identifier(name)
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT {}").format(
                user, sql.Literal(password), sql.Literal(CONNECTIONS)
            )
        )
        connection.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}").format(user))
        connection.execute(sql.SQL("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {}").format(user))
    parts = urlsplit(postgresql_url)
    where = parts.netloc.rpartition("@")[2]
    yield urlunsplit(parts._replace(netloc=f"{name}:{quote(password, safe='')}@{where}"))
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP OWNED BY {}").format(user))
        connection.execute(sql.SQL("DROP ROLE {}").format(user))


@pytest.fixture
def world(simulator, postgresql_url, few_connections, tmp_path):
    made = World(simulator, postgresql_url, tmp_path)
    simulator.clock(speed=400)
    inside = f"/{made.group}/"
    simulator.fault("throttle", path=inside, count=THROTTLED, retry_after=1)
    simulator.fault("slow", method="PUT", path=inside, seconds=0.1, count=None)
    yield made
    made.end()


async def test_forty_lives_come_to_their_end_through_a_broker_that_is_too_small_and_killed_once(
    world, few_connections
):
    told = Told()
    brokers = [world.start(database_url=few_connections, **TOO_SMALL)]

    async with Controller(
        lambda: brokers[-1].url,
        (PLATFORM, world.password),
        flags=FLAGS,
        speed=SPEED,
        syncs=NUMBER,
        told=told,
    ) as controller:
        await controller.relist()
        instances = [controller.provision(f"life-{n}", CLASS, PLAN) for n in range(NUMBER)]
        bindings = []

        def some_are_ready():
            return sum(one.condition.ready for one in instances) >= NUMBER // 4

        async def bind(number):
            await controller.settled(instances[number], within=WITHIN)
            assert instances[number].condition.ready, instances[number].condition
            binding = controller.bind(f"life-{number}", instances[number])
            bindings.append(binding)
            await controller.settled(binding, within=WITHIN)

        async def restart():
            await controller.until(some_are_ready, within=WITHIN)
            await asyncio.to_thread(brokers[-1].kill)
            brokers.append(await asyncio.to_thread(world.start, database_url=few_connections, **TOO_SMALL))

        await asyncio.gather(restart(), *(bind(number) for number in range(NUMBER)))
        conditions = [one.condition for one in instances]
        bound = [one.condition for one in bindings]
        made = len(world.resources("storageAccounts"))
        for one in (*bindings, *instances):
            one.delete()
        await controller.settled(*bindings, *instances, within=WITHIN)

    assert told.statuses["PUT instance", 503] > 0, "the broker was not too small"
    assert told.statuses["PUT binding", None] > 0, "nobody has noticed that it was killed"
    assert [call for call in world.azure.ledger() if call["status"] == 429], "Azure has not throttled"
    assert str(Unforeseen()) not in told.errors
    assert [one for one in conditions if not one.ready] == []
    assert [one for one in bound if not (one.ready or (one.failed and one.message))] == []
    assert made == NUMBER
    assert all(one.gone for one in (*bindings, *instances))
    assert world.resources() == []
    assert world.recorded() == set()
    assert world.count("service_instances") == world.count("service_bindings") == 0
    assert world.count("operations", "status = 'in progress'") == 0
