"""Tells of operations that no running build carries on: to the log, the metrics, and whoever asks for readiness."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from broker.domain.handlers import Handlers
from broker.errors import StoreUnavailable
from broker.store import unhandled
from broker.store.database import Database
from broker.store.unhandled import Unhandled

log = structlog.get_logger(__name__)

OVERDUE_BY = timedelta(minutes=1)
"""A build that knows them takes operations within seconds; leases of half a minute may have to run out first."""


class UnhandledWatch:
    """Looks at the queue from time to time; `note` is what it has seen last."""

    def __init__(
        self,
        database: Database,
        handlers: Handlers,
        *,
        counted: Callable[[int], None],
        by: timedelta = OVERDUE_BY,
        every: timedelta = timedelta(seconds=30),
    ) -> None:
        self._database = database
        self._handlers = handlers
        self._counted = counted
        self._by = by
        self._every = every
        self._seen: Sequence[Unhandled] = ()

    async def run(self) -> None:
        """Look again and again; a database that is away is no news."""
        while True:
            try:
                self._told(await unhandled.overdue(self._database, self._handlers, by=self._by))
            except StoreUnavailable:
                log.debug("Operations that nobody carries on could not be counted.")
            await asyncio.sleep(self._every.total_seconds())

    async def note(self) -> str | None:
        """Return a sentence for the operator; None when there is nothing to tell."""
        if not self._seen:
            return None
        waiting = ", ".join(
            f"{one.number} of {one.provisioner} {one.kind} version {one.handler_version}"
            for one in self._seen
        )
        return (
            f"operations are overdue that this build cannot carry on: {waiting}; run the release that accepted "
            "them, or they fail at their deadline"
        )

    def _told(self, seen: Sequence[Unhandled]) -> None:
        self._counted(sum(one.number for one in seen))
        before = {_handler(one) for one in self._seen}
        for one in seen:
            if _handler(one) not in before:
                log.warning(
                    "Operations are overdue that this build cannot carry on.",
                    provisioner=one.provisioner,
                    kind=one.kind,
                    handler_version=one.handler_version,
                    operations=one.number,
                    due_at=one.due_at.isoformat(),
                )
        self._seen = seen


def _handler(one: Unhandled) -> tuple[str, str, int]:
    return one.provisioner, one.kind, one.handler_version
