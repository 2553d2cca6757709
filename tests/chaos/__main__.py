"""`python -m tests.chaos`: storms, one for each seed, and a table of what they did and what was found broken."""

import argparse
import asyncio
import sys
from pathlib import Path

from tests.chaos.report import as_json, as_markdown
from tests.chaos.storm import Chosen, Outcome, storm


def _tell(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


def _seeds(text: str) -> list[int]:
    return [int(seed) for seed in text.split(",")]


def main() -> None:
    """Run the storms; the exit status tells whether every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--seeds", type=int, default=10, help="storms with the seeds 1 to this one (default 10)"
    )
    parser.add_argument("--seed", type=_seeds, help="these seeds instead, parted by commas")
    parser.add_argument("--instances", type=int, default=100, help="of each storm, at least (default 100)")
    parser.add_argument("--kills", type=int, default=33, help="of each storm, at least (default 33)")
    parser.add_argument("--processes", type=int, default=3, help="brokers on one PostgreSQL (default 3)")
    parser.add_argument(
        "--duration", type=float, default=360, help="seconds of a storm at most (default 360)"
    )
    parser.add_argument(
        "--database",
        choices=["postgresql", "sqlite", "both"],
        default="both",
        help="both: SQLite each fifth seed",
    )
    parser.add_argument("--into", type=Path, default=Path(".work/chaos"), help="where tables and logs go")
    chosen = parser.parse_args()
    outcomes: list[Outcome] = []
    for seed in chosen.seed or range(1, chosen.seeds + 1):
        database = chosen.database
        if database == "both":
            database = "postgresql" if seed % 5 else "sqlite"
        _tell(f"seed {seed} on {database}")
        outcome = asyncio.run(
            storm(
                Chosen(seed, chosen.instances, chosen.kills, chosen.processes, database, chosen.duration),
                _tell,
                chosen.into,
            )
        )
        for line in (*map(str, outcome.violations), *outcome.known.surprises):
            _tell(f"VIOLATION {line}")
        outcomes.append(outcome)
        chosen.into.mkdir(parents=True, exist_ok=True)
        (chosen.into / "chaos.md").write_text(as_markdown(outcomes), encoding="utf-8")
        (chosen.into / "chaos.json").write_text(as_json(outcomes), encoding="utf-8")
    print(as_markdown(outcomes))
    sys.exit(0 if all(outcome.well for outcome in outcomes) else 1)


if __name__ == "__main__":
    main()
