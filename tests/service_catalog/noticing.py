"""How long after the end of an operation Service Catalog notices it, by the flag that limits its pauses."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from tests.service_catalog.envelopes import Account, Cluster, InstanceEnvelopes, Request
from tests.service_catalog.instance import Instance, Spec
from tests.service_catalog.machine import Answer, Flags
from tests.service_catalog.playing import Play

FLAG = "--operation-polling-maximum-backoff-duration"
LIMITS = tuple(timedelta(seconds=seconds) for seconds in (1200, 300, 60, 30, 10))
LASTING = (
    ("1 to 5 minutes", range(60, 301, 7)),
    ("5 to 15 minutes", range(300, 901, 7)),
    ("15 to 40 minutes", range(900, 2401, 7)),
)
"""Storage accounts and small databases; database servers and caches; clusters and gateways."""


@dataclass(frozen=True)
class Noticed:
    """How late operations of a range of lengths were noticed, and how often they were polled."""

    late: list[float]
    polls: list[int]

    @property
    def median(self) -> float:
        return statistics.median(self.late)

    @property
    def longest(self) -> float:
        return max(self.late)


def noticed(limit: timedelta, lasting: range) -> Noticed:
    """Let the double provision instances of a broker that has each done after so many seconds."""
    late, polls = [], []
    for seconds in lasting:
        play = Play(_done_after(seconds))
        own = InstanceEnvelopes(Cluster("a-cluster", "a-namespace", "its-uid"), "db", "an-id", "a-service")
        flags = Flags(operation_polling_maximum_backoff=limit)
        instance = Instance(flags, envelopes=own, spec=Spec("a-plan"), user=Account("alice"))
        play.add(instance)
        play.until(settled=[instance])
        assert instance.condition.ready
        late.append(play.now - seconds)
        polls.append(len(play.sent) - 1)
    return Noticed(late, polls)


def _done_after(seconds: float) -> Callable[[Request, float], Answer]:
    def broker(request: Request, at: float) -> Answer:
        if not request.polls:
            return Answer(202, b'{"operation": "an-operation"}')
        state = "succeeded" if at >= seconds else "in progress"
        return Answer(200, json.dumps({"state": state}).encode())

    return broker


def table() -> str:
    """Return the table of the documentation."""
    rows = [
        f"| `{FLAG}` | "
        + " | ".join(f"{name}: p50, longest" for name, _ in LASTING)
        + " | polls of 40 minutes |",
        "|---" * (len(LASTING) + 2) + "|",
    ]
    for limit in LIMITS:
        seen = [noticed(limit, lasting) for _, lasting in LASTING]
        cells = [f"{_told(each.median)}, {_told(each.longest)}" for each in seen]
        name = _told(limit.total_seconds()) + (" (default)" if limit == LIMITS[0] else "")
        rows.append(f"| {name} | " + " | ".join(cells) + f" | {seen[-1].polls[-1]} |")
    return "\n".join(rows)


def _told(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
