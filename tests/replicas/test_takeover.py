"""A process that holds an operation dies or freezes: another one goes on with it when the lease is over."""

import os
import signal
import time

import psycopg
import pytest

from tests.end_to_end.orders import Ordered
from tests.osb.platform import an_id, at_once
from tests.simulated import wait_until

pytestmark = pytest.mark.slow

ACCOUNT = Ordered.of("azure-storage-account")
LEASE = 3.0
LATE_BY = 2.0
"""Seconds; what is promised beyond the lease."""


def owner(connection):
    """The process that holds the one operation in progress; None while nobody does."""
    row = connection.execute("SELECT owner FROM operations WHERE status = 'in progress'").fetchone()
    return int(row[0].rpartition("-")[2]) if row and row[0] else None


@pytest.mark.parametrize("ends_by", [signal.SIGKILL, signal.SIGSTOP])
def test_an_operation_is_taken_over_within_the_lease_and_two_seconds(osb, ends_by):
    one, other = at_once(2, lambda _: osb.start("serve", lease=f"{LEASE}s", stop_within="2s"))
    azure, instance = osb.world.azure, an_id()
    # The step that puts the deployment hangs, longer than any lease: its process holds the operation.
    hangs = azure.fault("slow", method="PUT", path="/deployments/", seconds=60, count=None)
    with psycopg.connect(osb.world.database_url, autocommit=True) as connection:
        assert one.platform.provision(instance, ACCOUNT.order()).status_code == 202
        wait_until(lambda: osb.world.calls("PUT", "/deployments/"))
        holder = owner(connection)
        dying, living = (one, other) if holder == one.process.pid else (other, one)
        time.sleep(LEASE / 2)  # so that the lease in force is a renewed one
        assert owner(connection) == dying.process.pid

        azure.lift(hangs)
        began = time.monotonic()
        os.kill(dying.process.pid, ends_by)
        wait_until(lambda: owner(connection) != dying.process.pid)
        took = time.monotonic() - began

    assert took <= LEASE + LATE_BY
    assert living.platform.settle(instance).json()["state"] == "succeeded"
    if ends_by == signal.SIGSTOP:
        os.kill(dying.process.pid, signal.SIGCONT)
        dying.stop()
    assert osb.world.operations("provision") == ["succeeded"]
    assert len(set(osb.world.deployments())) == 1
    assert len(osb.world.resources("storageAccounts")) == 1
    events = osb.world.rows("SELECT what FROM operation_events ORDER BY number")
    assert [what for (what,) in events].count("taken over") == 1
