import tempfile
from pathlib import Path

import pytest

from tests.end_to_end.world import World
from tests.replicas.pgbouncer import pgbouncer
from tests.replicas.processes import replicas


@pytest.fixture(scope="module")
def pooler(postgres_dsn):
    with (
        tempfile.TemporaryDirectory(prefix="osb-pgbouncer-") as folder,
        pgbouncer(postgres_dsn, Path(folder)) as it,
    ):
        yield it


@pytest.fixture
def osb(simulator, postgresql_url, tmp_path):
    """Starts processes of one broker on one PostgreSQL, in an Azure whose servers are empty."""
    with replicas(World(simulator, postgresql_url, tmp_path)) as started:
        yield started
