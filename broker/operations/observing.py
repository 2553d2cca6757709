"""What a runner tells whoever measures it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Protocol

from broker.domain.operations import Operation


class StepObserver(Protocol):
    """Told of one step, while it is under way."""

    def failed(self, reason: str) -> None:
        """It came to trouble; it may be tried again."""
        ...


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

    def step(self, operation: Operation) -> AbstractContextManager[StepObserver]:
        """Be around one step of an operation, and whatever it calls."""
        ...


class Unobserved:
    """Measures nothing."""

    def operation_finished(self, kind: str, state: str, plan: str) -> None:
        """Do nothing."""

    def claimed_late(self, by: timedelta) -> None:
        """Do nothing."""

    def lease_lost(self) -> None:
        """Do nothing."""

    def step(self, _operation: Operation) -> AbstractContextManager[StepObserver]:
        """Do nothing."""
        return nullcontext(_NO_STEP)


class _NoStep:
    def failed(self, reason: str) -> None:
        del reason


_NO_STEP = _NoStep()
