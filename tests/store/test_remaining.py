"""What a broker still answers for, asked of its database alone."""

import os
import subprocess
import sys

import pytest

from broker.store import instances
from broker.store.remaining import Remaining, remaining
from tests.store.nouns import an_instance

pytestmark = pytest.mark.anyio


async def kept(database, *made):
    async with database.transaction() as tx:
        for one in made:
            await instances.add(tx, one)


def told(url):
    return subprocess.run(
        [sys.executable, "-m", "broker", "remaining"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "BROKER_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_living_instances_are_counted_by_platform(database, database_url):
    await kept(database, an_instance(), an_instance(), an_instance(platform="cf"))

    assert remaining(database_url) == Remaining({"cf": 1, "kubernetes": 2}, 0)


async def test_a_broker_with_instances_is_not_done_and_says_whose_they_are(database, database_url):
    await kept(database, an_instance(), an_instance(platform="cf"))

    answer = told(database_url)

    assert answer.returncode == 1
    assert "Service instances that remain: 2 (cf: 1, kubernetes: 1)" in answer.stderr
    assert "Delete them at their platforms first" in answer.stderr


def test_a_broker_without_instances_is_done(database_url):
    answer = told(database_url)

    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "No service instance remains. Resources in Azure on record: 0.\n"


def test_a_database_without_tables_holds_nothing(tmp_path):
    assert remaining(f"sqlite:///{tmp_path}/empty.sqlite3") == Remaining({}, 0)


def test_a_database_that_is_away_is_no_reason_to_say_that_nothing_remains():
    answer = told("postgresql://nobody@127.0.0.1:1/none")

    assert answer.returncode == 1
    assert "No service instance remains" not in answer.stdout
    assert "Traceback" not in answer.stderr
