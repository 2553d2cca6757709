"""What the domain can decide about a request; refusals are raised as `BrokerError` instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from broker.domain.instances import Configuration
from broker.domain.operations import Operation


@dataclass(frozen=True)
class Create:
    """There is nothing yet: make it."""


@dataclass(frozen=True)
class CreateAfresh:
    """The row of a failed creation is there, its clean-up has ended: try again, under the next generation."""


@dataclass(frozen=True)
class CreateAgain:
    """The failed creation is still being cleaned up: let *operation* try afresh once that has ended."""

    operation: Operation


@dataclass(frozen=True)
class Join:
    """*operation* is doing just that already."""

    operation: Operation


@dataclass(frozen=True)
class AlreadyDone:
    """What was asked for is so, and nothing is to be done."""


@dataclass(frozen=True)
class Change:
    """Update to this configuration."""

    asked: Configuration


@dataclass(frozen=True)
class Remove:
    """Delete it; *running*, if any, is ended first and never heard again."""

    running: Operation | None = None


@dataclass(frozen=True)
class WaitFor:
    """*operation* must end before this can be decided."""

    operation: Operation


ProvisionDecision: TypeAlias = Create | CreateAfresh | CreateAgain | Join | AlreadyDone
UpdateDecision: TypeAlias = Change | Join | AlreadyDone
DeprovisionDecision: TypeAlias = Remove | Join
BindDecision: TypeAlias = Create | Join | AlreadyDone | WaitFor
UnbindDecision: TypeAlias = Remove | Join
