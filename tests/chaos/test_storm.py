import asyncio

import pytest

from tests.chaos.report import as_json, as_markdown
from tests.chaos.storm import Chosen, storm

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("database", "seconds"), [("postgresql", 9), ("sqlite", 6)])
def test_a_short_storm_breaks_no_promise(database, seconds):
    chosen = Chosen(1, 6, kills=3, processes=2, database=database, duration=seconds, pace=0.3, at_once=6)

    outcome = asyncio.run(storm(chosen))

    assert outcome.well, as_json([outcome])
    assert sum(outcome.kills.values()) >= 1
    assert sum(outcome.faults.values()) >= 3
    assert outcome.operations["provision succeeded"] >= 2, as_markdown([outcome])
