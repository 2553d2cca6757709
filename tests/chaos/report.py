"""The tables of a run, for people and for machines."""

import json
from collections import Counter
from collections.abc import Iterable

from tests.chaos.doom import POINTS
from tests.chaos.storm import RANDOM_KILL, Outcome
from tests.chaos.violations import Kind
from tests.chaos.weather import EXCLUDED


def as_markdown(outcomes: list[Outcome]) -> str:
    """Three tables: the storms, the deaths and faults by kind, the violations."""
    storms = [
        [
            str(one.chosen.seed),
            one.chosen.database,
            str(one.chosen.processes if one.chosen.database == "postgresql" else 1),
            str(one.instances),
            str(one.real_databases),
            str(sum(one.operations.values())),
            str(sum(one.kills.values())),
            str(sum(one.faults.values())),
            str(len(one.violations) + len(one.known.surprises)),
            f"{one.took:.0f} s",
        ]
        for one in outcomes
    ]
    total = ["all", "", "", *(_sum(row[column] for row in storms) for column in range(3, 9)), ""]
    total[-1] = f"{sum(one.took for one in outcomes):.0f} s"
    heads = ["seed", "store", "brokers", "instances", "real databases", "operations", "kills", "faults"]
    kills, faults = _all(one.kills for one in outcomes), _all(one.faults for one in outcomes)
    found = Counter(violation.kind for one in outcomes for violation in one.violations)
    found_rows = [[kind.value, str(found[kind])] for kind in Kind]
    found_rows.append(["surprise of the platform", str(sum(len(one.known.surprises) for one in outcomes))])
    again = sum(one.put_again for one in outcomes)
    found_rows.append(
        ["(no violation: a deployment put again while a former PUT was on its way)", str(again)]
    )
    parts = [
        _table([*heads, "violations", "took"], [*storms, total]),
        _table(["broker killed", "times"], [[point, str(kills[point])] for point in (*POINTS, RANDOM_KILL)]),
        _table(["fault", "times"], [[name, str(count)] for name, count in sorted(faults.items())]),
        _table(["violation", "found"], found_rows),
    ]
    left_out = [f"Not drawn: {kind}, {reason}." for kind, reason in EXCLUDED.items()]
    left_out += sorted({f"Not covered: {line}." for one in outcomes for line in one.not_covered})
    return "\n\n".join([*parts, *left_out]) + "\n"


def as_json(outcomes: list[Outcome]) -> str:
    """The same figures, one object for each storm."""
    return json.dumps(
        [
            {
                "seed": one.chosen.seed,
                "database": one.chosen.database,
                "instances": one.instances,
                "real_databases": one.real_databases,
                "operations": dict(one.operations),
                "kills": dict(one.kills),
                "faults": dict(one.faults),
                "brokers": dict(one.brokers),
                "answers": dict(one.known.answers),
                "violations": [str(violation) for violation in one.violations],
                "surprises": one.known.surprises,
                "put_again": one.put_again,
                "not_covered": one.not_covered,
                "took_seconds": round(one.took, 1),
            }
            for one in outcomes
        ],
        indent=2,
    )


def _all(counters: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total += counter
    return total


def _sum(texts: Iterable[str]) -> str:
    return str(sum(int(text) for text in texts))


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
