"""Three processes are replaced by three others while orders, polls and binds go on: nobody notices."""

import pytest

from tests.end_to_end.world import World
from tests.replicas.processes import replicas
from tests.rolling.releases import THIS, HistoryMissing, release_before
from tests.rolling.roll import roll

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture
def osb(simulator, fresh_database, tmp_path):
    with replicas(World(simulator, fresh_database(), tmp_path)) as started:
        simulator.clock(speed=100)
        yield started


@pytest.fixture
def former(tmp_path):
    try:
        return release_before(tmp_path)
    except HistoryMissing as missing:
        pytest.skip(f"there is no former release here: {missing}")


async def test_the_release_before_serves_on_new_tables_and_is_replaced_without_a_failed_request(osb, former):
    # Two at a time: `make rolling` does it with three.
    observed = await roll(osb.world, osb, [former, THIS, THIS], 2)

    assert observed.failures == []
    assert observed.lost == []
    assert observed.replaced == 4
    assert observed.lives >= 5
