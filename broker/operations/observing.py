"""What a runner tells whoever measures it."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol


class Observer(Protocol):
    """Told of what happens; must be quick and must not raise."""

    def operation_finished(self, kind: str, state: str, plan: str) -> None:
        """An operation of *kind* on an instance of the service plan with this id has ended."""
        ...

    def claimed_late(self, by: timedelta) -> None:
        """An operation was taken up this much later than it was due."""
        ...

    def lease_lost(self) -> None:
        """A step's result was dropped since its claim was lost."""
        ...


class Unobserved:
    """Measures nothing."""

    def operation_finished(self, kind: str, state: str, plan: str) -> None:
        """Do nothing."""

    def claimed_late(self, by: timedelta) -> None:
        """Do nothing."""

    def lease_lost(self) -> None:
        """Do nothing."""
