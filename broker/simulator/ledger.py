"""Every call that reached the simulator, for whoever wants to check what a client really did."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

KEPT = 50_000


@dataclass(slots=True)
class Call:
    """One call. It holds no body and no header but ids, so no secret either."""

    sequence: int
    time: datetime
    method: str
    path: str
    api_version: str | None
    client_request_id: str | None
    correlation_id: str
    request_id: str
    deployment: str | None = None
    status: int | None = None
    code: str | None = None
    fault: str | None = None
    handled: bool = False
    ended: datetime | None = None
    """When it had been handled, or refused; its answer may have come later."""


class Ledger:
    """The newest 50,000 calls, oldest first; numbers are never used twice."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=KEPT)
        self._next = 1

    def open(self, call: Call) -> Call:
        """Note a call that arrived; its outcome is filled in later."""
        call.sequence = self._next
        self._next += 1
        self._calls.append(call)
        return call

    def after(self, sequence: int = 0) -> list[dict[str, Any]]:
        """The calls whose number is above *sequence*, as JSON."""
        return [
            {
                **asdict(call),
                "time": call.time.isoformat(),
                "ended": call.ended.isoformat() if call.ended else None,
            }
            for call in self._calls
            if call.sequence > sequence
        ]
