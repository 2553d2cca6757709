"""
`python -m bench`: how fast the broker is, as ratios to named baselines measured in the same run.

Server and client run on different cores where there are two. Rounds alternate between the broker and the baseline;
the table shows medians and, in brackets, the smallest and largest value. The exit status tells whether everything
was measured, not whether a target was met: the table says that.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.accepting import accepting
from bench.catalog_load import catalog_load, large_catalog
from bench.cores import two_cores
from bench.measures import Effort, Figure, catalog, first_request, polling, readiness, summary
from bench.publishing import publishing
from bench.takeover import takeover
from bench.waiting import waiting
from bench.world import world

STEADY = 5


def _tell(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


async def _measured(effort: Effort) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="osb-bench-") as folder:
        async with world(two_cores()) as made:
            orders, instance_id = await first_request(made, effort, _tell)
            figures = await catalog(made, effort, _tell)
            figures.append(catalog_load(effort, _tell))
            figures.append(large_catalog(effort, _tell))
            figures.append(await polling(made, instance_id, effort, _tell))
            figures.append(await accepting(made, effort, _tell))
            figures += orders
            figures.append(await readiness(made, effort, Path(folder), _tell))
            figures += await waiting(made, effort, _tell)
            figures.append(await takeover(made, effort, _tell))
            figures += await publishing(made, effort, _tell)
    return figures


def _spread(values: list[float]) -> str:
    digits = 0 if statistics.median(values) >= 100 else 2
    typical = f"{statistics.median(values):.{digits}f}"
    return typical if len(values) == 1 else f"{typical} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def _table(figures: list[Figure]) -> Table:
    table = Table(title=f"{platform.machine()}, Python {platform.python_version()}")
    for column in ("what", "broker", "baseline", "ratio", "target", "met"):
        table.add_column(column)
    for figure in figures:
        table.add_row(
            figure.name,
            f"{_spread(figure.values)} {figure.unit}",
            f"{_spread(figure.baseline_values)}" if figure.baseline_values else "",
            f"{figure.ratio:.2f}" if figure.ratio is not None else "",
            figure.target,
            "yes" if figure.reached else "NO",
        )
    return table


def main() -> None:
    """Measure, and print table and JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=STEADY, help="rounds of each comparison (default 5)")
    parser.add_argument("--seconds", type=float, default=STEADY, help="length of a round (default 5)")
    parser.add_argument(
        "--orders", type=int, default=200, help="orders whose first request is timed (default 200)"
    )
    parser.add_argument(
        "--waiting", type=int, default=10_000, help="operations that wait at once (default 10000)"
    )
    parser.add_argument("--kills", type=int, default=5, help="processes killed at work (default 5)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="see that it works: one round of half a second, 10 orders, one kill",
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    chosen = parser.parse_args()
    effort = Effort(
        chosen.rounds,
        timedelta(seconds=chosen.seconds),
        chosen.orders,
        chosen.waiting,
        timedelta(seconds=20),
        chosen.kills,
    )
    if chosen.quick:
        effort = Effort(1, timedelta(seconds=0.5), 10, 100, timedelta(seconds=1), 1)
    if not two_cores().apart:
        _tell("This machine gives one core only: client and server share it, and rates are too low.")
    figures = asyncio.run(_measured(effort))
    written = summary(figures)
    if chosen.json is not None:
        chosen.json.write_text(written + "\n", encoding="utf-8")
    Console(width=140).print(_table(figures))
    print(written)


if __name__ == "__main__":
    main()
