"""A broker whose PostgreSQL stands behind PgBouncer in transaction mode."""

from urllib.parse import urlsplit

import psycopg
import pytest
from sqlalchemy import text

from broker.store import migrations
from broker.store.database import Database
from tests.end_to_end.orders import Ordered
from tests.osb.platform import at_once
from tests.replicas.pgbouncer import SERVER_CONNECTIONS

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.needs("pgbouncer")]

ACCOUNT = Ordered.of("azure-storage-account")
WARNING = "No wake-ups through a transaction pooler"


def lives(platform):
    """Order an account, bind and unbind, delete it."""
    instance = platform.ready(ACCOUNT.order())
    binding, bound = platform.bound(instance, ACCOUNT.body())
    assert bound["credentials"]
    assert platform.unbind(instance, binding, ACCOUNT.plan_id, ACCOUNT.service_id).status_code == 200
    platform.gone(instance, ACCOUNT.plan_id, ACCOUNT.service_id)


def server_connections(pooler, url):
    name = url.rpartition("/")[2]
    (pool,) = [pool for pool in pooler.ask("SHOW POOLS") if pool["database"] == name]
    assert pool["pool_mode"] == "transaction"
    return {key: value for key, value in pool.items() if key.startswith(("cl_", "sv_"))}


@pytest.mark.parametrize("direct", [True, False], ids=["with a direct listener", "by polling alone"])
def test_processes_share_the_work_through_a_transaction_pooler(osb, pooler, direct):
    url = osb.world.database_url
    settings = {"database_url": pooler.url(url)} | ({"listen_database_url": url} if direct else {})
    serving = osb.start("serve", "--no-runner", **settings)
    runner = osb.start("run-operations", **settings)

    at_once(8, lambda _: lives(serving.platform))

    statuses = osb.world.rows(
        "SELECT kind, status, count(*) FROM operations GROUP BY kind, status ORDER BY kind"
    )
    kinds = ("bind", "deprovision", "provision", "unbind")
    assert statuses == [(kind, "succeeded", 8) for kind in kinds]
    assert osb.world.resources() == []
    used = server_connections(pooler, url)
    assert used["sv_active"] + used["sv_idle"] + used["sv_used"] <= SERVER_CONNECTIONS < used["cl_active"]
    for replica in (serving, runner):
        replica.stop()
        assert replica.said(WARNING) is not direct
        assert not [one for one in replica.events() if one["level"] == "error"]


def test_tables_are_made_through_the_pooler(pooler, fresh_database):
    empty = fresh_database()

    migrations.upgrade(pooler.url(empty))

    assert migrations.current(empty) == migrations.revisions()[-1]


async def test_each_transaction_brings_its_limits_and_leaves_none_behind(pooler, postgresql_url, key_ring):
    ours = await Database.open(pooler.url(postgresql_url), sealing=key_ring)
    asked = text("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')")

    async with ours.transaction() as tx:
        inside = (await tx.execute(asked)).one()
        # Nobody else has a transaction: the pooler has one connection to the server, and gives it to us again.
    with psycopg.connect(pooler.url(postgresql_url).partition("?")[0], prepare_threshold=None) as others:
        outside = others.execute(str(asked)).fetchone()
    await ours.close()

    assert inside == ("15s", "10s")
    assert outside == ("0", "0")


def test_a_url_that_does_not_name_the_pooler_is_told_apart_in_the_log(osb, pooler):
    plain = pooler.url(osb.world.database_url).removesuffix("?pgbouncer=true")

    with pytest.raises(AssertionError, match="unsupported startup parameter: options") as refused:
        osb.start("serve", database_url=plain)

    assert urlsplit(plain).password not in str(refused.value)
    assert "The broker's database does not answer" in str(refused.value)
