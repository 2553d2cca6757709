"""`python -m tests.rolling`: replace all processes of a broker again and again, and tell what clients have seen."""

import argparse
import asyncio
import contextlib
import secrets
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg

from broker.simulator.databases.cluster import SUPERUSER, Access, Cluster
from broker.simulator.databases.runtime import find_runtime
from tests.end_to_end.world import World
from tests.replicas.processes import replicas
from tests.rolling.releases import THIS, Release, release_before
from tests.rolling.roll import Observed, roll
from tests.simulated import StandInDatabases, a_simulator

SIMULATOR_SPEED = 100.0


@contextlib.contextmanager
def a_postgresql(folder: Path) -> Iterator[str]:
    folder.chmod(0o755)
    access = Access("127.0.0.1", authentication=(f"host all {SUPERUSER} 127.0.0.1/32 scram-sha-256",))
    cluster = Cluster(find_runtime(folder), folder / "server", access, {})
    password = secrets.token_urlsafe(24)
    cluster.initialise(password)
    asyncio.run(cluster.start())
    try:
        yield f"postgresql://{SUPERUSER}:{quote(password, safe='')}@127.0.0.1:{cluster.port}/postgres"
    finally:
        asyncio.run(cluster.stop())


def main() -> None:
    """Print a table; the exit status tells whether no request failed and nothing was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.rolling", description=__doc__)
    parser.add_argument("--processes", type=int, default=3, help="of each release (default 3)")
    parser.add_argument(
        "--again", type=int, default=1, help="replacements by this release itself (default 1)"
    )
    chosen = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="osb-rolling-")))
        former = release_before(folder)
        observed = []
        url = stack.enter_context(a_postgresql(folder))
        simulator = stack.enter_context(
            a_simulator(folder / "azure", StandInDatabases(), speed=SIMULATOR_SPEED)
        )
        for number, releases in enumerate(([former, THIS], [THIS] * (chosen.again + 1))):
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE roll_{number}")
            (folder / str(number)).mkdir()
            world = World(simulator, f"{url.removesuffix('/postgres')}/roll_{number}", folder / str(number))
            with replicas(world) as started:
                observed.append((releases, asyncio.run(roll(world, started, releases, chosen.processes))))
        print(_table(observed, chosen.processes))
    for _, seen in observed:
        for line in (*seen.failures, *map(str, seen.lost)):
            print(line, file=sys.stderr)
    sys.exit(1 if any(seen.failures or seen.lost for _, seen in observed) else 0)


def _table(observed: list[tuple[list[Release], Observed]], count: int) -> str:
    rows = [
        "| replaced | requests | failed | operations | lost | slowest answer |",
        "|---|---|---|---|---|---|",
    ]
    for releases, seen in observed:
        names = " by ".join(f"{count} of {release.name} (tables {release.revision})" for release in releases)
        rows.append(
            f"| {names} | {sum(seen.requests.values())} | {len(seen.failures)} | {seen.operations} | "
            f"{len(seen.lost)} | {seen.slowest:.2f} s |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
