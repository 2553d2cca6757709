"""Who acts besides platforms: people who run the broker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Operator:
    """An operator who was believed; `may_act` is false for one who may only look."""

    name: str
    may_act: bool = False
    request_identity: str | None = None

    @property
    def actor(self) -> str:
        """What the audit calls him; no platform's name has a blank in it."""
        return f"operator {self.name}"


@dataclass(frozen=True)
class Deed:
    """
    What an operator wants done: by whom, and why.

    With `dry_run` everything is checked and told, and nothing is changed or written down. `only_if` is what such a
    dry run has answered as `foretold`: if it would come to anything else by now, nothing is done.
    """

    operator: Operator
    reason: str
    dry_run: bool = False
    only_if: str | None = None
