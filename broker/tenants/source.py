"""Follows the file of tenant rules, and hands the rules that are in force to whoever serves requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import structlog

from broker.catalog.faults import Fault, refused
from broker.domain.catalog import Catalog
from broker.domain.tenant_rules import TenantRules
from broker.tenants.checking import findings
from broker.tenants.reader import TenantRulesRefused, content_of, parsed

log = structlog.get_logger(__name__)


def ignore(_refused: bool) -> None:  # noqa: FBT001 - a callback
    """Measure nothing."""


class TenantRulesFile:
    """
    The tenant rules of this process, from a file that may change.

    A file that cannot be read or is refused changes nothing: the last good rules stay in force, and `note` says why.
    """

    def __init__(
        self,
        file: Path,
        catalog: Callable[[], Catalog],
        *,
        interval: timedelta = timedelta(seconds=2),
        on_look: Callable[[bool], None] = ignore,
    ) -> None:
        """
        Read the rules for the first time.

        Raises:
            TenantRulesRefused: They are wrong; nothing is to be served without them.
        """
        self._file = file
        self._catalog = catalog
        self._interval = interval
        self._on_look = on_look
        self._trouble: str | None = None
        self._seen = content_of(file)
        self._rules = self._read(self._seen)
        on_look(False)

    def current(self) -> TenantRules:
        """Return the rules that are in force."""
        return self._rules

    async def note(self) -> str | None:
        """Say why the file's newest content is not in force; None if it is."""
        return self._trouble

    async def refresh(self) -> bool:
        """Look at the file; tell whether other rules are in force now."""
        try:
            content = await asyncio.to_thread(content_of, self._file)
            if content == self._seen and self._trouble is None:
                return False
            rules = self._read(content)
        except TenantRulesRefused as trouble:
            told = f"The tenant rules of {self._rules.digest[:12]} stay in force. {trouble}"
            if told != self._trouble:
                self._trouble = told
                log.error(  # noqa: TRY400 - foreseen, and the sentence says it all
                    "Changed tenant rules were refused; the last good ones stay in force.", why=str(trouble)
                )
            self._on_look(True)
            return False
        changed = rules != self._rules
        self._seen, self._rules, self._trouble = content, rules, None
        self._on_look(False)
        if changed:
            log.info("Other tenant rules are in force.", digest=rules.digest, rules=len(rules.rules))
        return changed

    async def run(self) -> None:
        """Look at the file again and again, until this is cancelled."""
        while True:
            await asyncio.sleep(self._interval.total_seconds())
            await self.refresh()

    def _read(self, content: bytes) -> TenantRules:
        read = parsed(self._file.name, content)
        found = list(read.faults) if refused(read.faults) else findings(read, self._catalog())
        if refusals := refused(found):
            raise TenantRulesRefused(refusals)
        for warning in found:
            _warn(warning)
        return read.rules


def _warn(warning: Fault) -> None:
    log.warning(
        "Tenant rules may not do what they are meant to.",
        place=f"{warning.file}:{warning.line}",
        what=str(warning),
    )
