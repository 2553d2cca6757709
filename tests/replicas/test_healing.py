"""What becomes of a process whose parts fail: its probes say so, and say when it is well again."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import psycopg
import pytest
from psycopg import sql

from broker.store.sealing import KeyRing
from tests.chaos.checker import second_deployments
from tests.chaos.evidence import gather
from tests.end_to_end.orders import Ordered
from tests.end_to_end.world import World
from tests.osb.platform import an_id
from tests.postgresql import dsn_of
from tests.simulated import wait_until

pytestmark = pytest.mark.slow

ACCOUNT = Ordered.of("azure-storage-account")


@pytest.fixture
def world(simulator, postgresql_url, tmp_path):
    made = World(simulator, postgresql_url, tmp_path)
    yield made
    made.end()


def probed(broker, path):
    answer = httpx.get(broker.health_url + path, timeout=20)
    return answer.status_code, {name: said for name, said in answer.json()["checks"].items() if said != "ok"}


def test_a_runner_that_cannot_look_at_the_queue_fails_liveness_and_heals_by_itself(world):
    lease = timedelta(milliseconds=500)
    broker = world.start(lease=f"{lease.total_seconds()}s")
    assert probed(broker, "/healthz") == (200, {})

    with psycopg.connect(world.database_url) as holding:
        holding.execute("LOCK TABLE operations IN ACCESS EXCLUSIVE MODE")
        status, checks = wait_until(lambda: (seen := probed(broker, "/healthz"))[0] == 503 and seen, 40)

    assert (status, checks) == (503, {"queue": "the runner does not look at the queue"})
    wait_until(lambda: probed(broker, "/healthz")[0] == 200, 40)
    instance = broker.platform.ready(ACCOUNT.order(), instance_id=an_id())
    assert world.rows(f"SELECT state FROM service_instances WHERE instance_id = '{instance}'") == [("ready",)]


def test_a_process_whose_database_is_away_is_alive_and_not_ready_until_it_is_back(world, postgres_dsn):
    broker = world.start()
    name = world.database_url.rpartition("/")[2]

    def allow(*, connections):
        with psycopg.connect(dsn_of(postgres_dsn, "postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(
                    sql.Identifier(name), sql.SQL("true" if connections else "false")
                )
            )
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )

    instance = an_id()
    assert broker.platform.provision(instance, ACCOUNT.order()).status_code == 202
    allow(connections=False)
    status, checks = wait_until(lambda: (seen := probed(broker, "/readyz"))[0] == 503 and seen)
    alive = probed(broker, "/healthz")
    allow(connections=True)

    assert (status, list(checks)) == (503, ["database"])
    assert alive == (200, {})
    wait_until(lambda: probed(broker, "/readyz")[0] == 200)
    assert broker.platform.settle(instance).json()["state"] == "succeeded"


def test_two_of_six_processes_take_over_what_four_killed_ones_held_and_nothing_is_made_twice(world):
    lease, orders = 3.0, 12
    with ThreadPoolExecutor(6) as pool:
        brokers = list(pool.map(lambda _: world.start(lease=f"{lease}s"), range(6)))
        hangs = world.azure.fault(
            "slow", method="PUT", path=f"/{world.group}/.*/deployments/", seconds=10, count=None
        )
        instances = [an_id() for _ in range(orders)]
        asked = pool.map(
            lambda n: brokers[n % 6].platform.provision(instances[n], ACCOUNT.order()), range(orders)
        )
        assert {answer.status_code for answer in asked} == {202}
        dying = [f"%-{broker.process.pid}" for broker in brokers[:4]]
        theirs = " OR ".join(f"owner LIKE '{each}'" for each in dying)
        wait_until(lambda: world.count("operations", theirs) >= 3)
        world.azure.lift(hangs)

        began = time.monotonic()
        list(pool.map(lambda broker: broker.kill(), brokers[:4]))
        wait_until(lambda: world.count("operations", f"({theirs}) AND status = 'in progress'") == 0)
        took = time.monotonic() - began

    assert took <= lease + 2
    for instance in instances:
        assert brokers[-1].platform.settle(instance).json()["state"] == "succeeded"
    evidence = gather(world.azure, world.database_url, KeyRing([("k1", world.key)]), world.group)
    assert list(second_deployments(evidence)) == []
    assert len(world.resources("storageAccounts")) == orders
