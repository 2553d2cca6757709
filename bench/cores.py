"""Which core a process runs on: what is measured on one, what measures it on the other."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    """The cores of a run; on a machine with one core both are the same, and the table says so."""

    server: frozenset[int]
    client: frozenset[int]

    @property
    def apart(self) -> bool:
        return self.server != self.client


def two_cores() -> Cores:
    """Divide the cores that this process may use."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(server=frozenset(allowed[:1]), client=frozenset(allowed[1:2] or allowed[:1]))


def stay_on(cores: frozenset[int], pid: int = 0) -> None:
    """Keep a process, and what it starts from now on, on these cores."""
    os.sched_setaffinity(pid, cores)
