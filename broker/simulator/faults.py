"""Faults on demand: which calls they strike, and how often."""

from __future__ import annotations

import asyncio
import itertools
import re
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from broker.simulator.arm_errors import ArmError

Kind = Literal[
    "throttle",
    "error",
    "reset",
    "reply_lost",
    "slow",
    "deployment_failed",
    "stuck",
    "delete_refused",
    "truncated",
    "trickle",
    "empty",
    "wrong_type",
    "retry_after",
    "unseen",
    "expired_token",
    "pruned",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Options of each kind beside match, kind and count.
OPTIONS: dict[Kind, frozenset[str]] = {
    "throttle": frozenset({"retry_after"}),
    "error": frozenset({"status", "code", "message", "html", "retry_after"}),
    "reset": frozenset(),
    "reply_lost": frozenset(),
    "slow": frozenset({"seconds"}),
    "deployment_failed": frozenset({"code", "message", "status", "after", "resource", "accepted"}),
    "stuck": frozenset({"at", "resource"}),
    "delete_refused": frozenset({"code", "message", "seconds"}),
    "truncated": frozenset(),
    "trickle": frozenset({"seconds"}),
    "empty": frozenset(),
    "wrong_type": frozenset({"content_type"}),
    "retry_after": frozenset({"value"}),
    "unseen": frozenset({"reads"}),
    "expired_token": frozenset({"lifetime"}),
    "pruned": frozenset(),
}
METHODS: dict[Kind, frozenset[str]] = {
    "deployment_failed": frozenset({"PUT"}),
    "stuck": frozenset({"PUT", "PATCH", "DELETE"}),
    "delete_refused": frozenset({"DELETE"}),
    "unseen": frozenset({"PUT", "GET", "HEAD"}),
    "pruned": frozenset({"GET", "HEAD"}),
}
NUMBERS = ("status", "after", "seconds", "reads", "lifetime")
STUCK_AT = ("Accepted", "Running")
READS = frozenset({"GET", "HEAD"})


@dataclass(slots=True)
class Fault:
    """
    Strikes calls whose method and path match, *left* times more (None: until lifted).

    Seconds in options are the wall clock's. A fault that has struck for the last time stays listed:
    what it holds up (`stuck`) goes on when it is lifted, what it hides (`unseen`) is seen again.
    """

    id: str
    kind: Kind
    method: str | None
    path: re.Pattern[str]
    left: int | None
    options: dict[str, Any]
    struck: int = 0
    until: float | None = None
    lifted: asyncio.Event = field(default_factory=asyncio.Event)
    # Paths whose PUT it struck, and how many more reads of each find nothing.
    hidden: dict[str, int] = field(default_factory=dict)
    # When each bearer token (its hash) was first seen.
    tokens: dict[int, float] = field(default_factory=dict)

    def hide(self, path: str) -> None:
        """Let the next reads of what was just written find nothing."""
        self.hidden[path.lower()] = int(self.options.get("reads", 3))

    def hides(self, method: str, path: str) -> bool:
        """Whether this read finds nothing; counts it."""
        left = self.hidden.get(path.lower(), 0) if method in READS else 0
        if left == 1:
            del self.hidden[path.lower()]
        elif left:
            self.hidden[path.lower()] = left - 1
        return left > 0

    def means(self, resource: str) -> bool:
        """Whether it is for this resource of the deployment that it struck; by its id."""
        wanted = self.options.get("resource")
        return wanted is not None and re.search(str(wanted), resource, re.IGNORECASE) is not None

    def outlived(self, token: str, now: float) -> bool:
        """Whether a token is older than the fault lets one be; its age counts from its first call."""
        lifetime = self.options.get("lifetime")
        return lifetime is None or now - self.tokens.setdefault(hash(token), now) >= float(lifetime)

    def matches(self, method: str, path: str, now: float) -> bool:
        if self.left == 0 or (self.until is not None and now >= self.until):
            return False
        if self.method is not None and self.method != method:
            return False
        if method not in METHODS.get(self.kind, {method}):
            return False
        return self.path.search(path) is not None

    def as_json(self) -> dict[str, Any]:
        match = {"method": self.method, "path": self.path.pattern}
        return {
            "id": self.id,
            "kind": self.kind,
            "match": match,
            "count": self.left,
            "struck": self.struck,
            **self.options,
        }


class Faults:
    """All faults, the oldest first; a call is struck by the first one that matches."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._numbers = itertools.count(1)

    def add(self, asked: Any) -> Fault:
        """
        Add a fault from its JSON form.

        Raises:
            ArmError: 400, naming what is wrong with it.
        """
        fault = self._read(asked)
        self._faults[fault.id] = fault
        return fault

    def _read(self, asked: Any) -> Fault:
        if not isinstance(asked, dict) or asked.get("kind") not in KINDS:
            raise _refused(f"kind must be one of {', '.join(KINDS)}")
        kind: Kind = asked["kind"]
        unknown = asked.keys() - {"match", "kind", "count"} - OPTIONS[kind]
        if unknown:
            raise _refused(f"{kind} knows no {', '.join(sorted(unknown))}")
        match = asked.get("match") or {}
        if not isinstance(match, dict) or match.keys() - {"method", "path"}:
            raise _refused("match holds method and path, nothing else")
        count = asked.get("count", 1)
        options = {key: asked[key] for key in OPTIONS[kind] if asked.get(key) is not None}
        _check(options)
        until = None
        if kind == "delete_refused" and "seconds" in options:
            until = asyncio.get_running_loop().time() + float(options["seconds"])
            count = asked.get("count")
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
            raise _refused("count must be a whole number above 0, or null for a fault that stays")
        path = _pattern("path", match.get("path"))
        method = match.get("method")
        return Fault(
            id=str(next(self._numbers)),
            kind=kind,
            method=str(method).upper() if method else None,
            path=path,
            left=count,
            options=options,
            until=until,
        )

    def strike(self, method: str, path: str, token: str = "") -> Fault | None:
        """
        The fault that this call meets, counted as struck; None for a call that nothing befalls.

        What a fault hides (`unseen`) comes first and does not use up its count.
        """
        now = asyncio.get_running_loop().time()
        for hiding in self._faults.values():
            if hiding.hides(method, path):
                hiding.struck += 1
                return hiding
        matching = (f for f in self._faults.values() if f.matches(method, path, now))
        fault = next((f for f in matching if f.kind != "expired_token" or f.outlived(token, now)), None)
        if fault is not None:
            fault.struck += 1
            if fault.left is not None:
                fault.left -= 1
        return fault

    def lift(self, fault_id: str | None = None) -> None:
        """Remove one fault, or all; what was stuck goes on. An unknown id is no error."""
        for key in [fault_id] if fault_id is not None else list(self._faults):
            fault = self._faults.pop(key, None)
            if fault is not None:
                fault.lifted.set()

    def as_json(self) -> list[dict[str, Any]]:
        return [fault.as_json() for fault in self._faults.values()]


def asked_for(fault: Fault) -> ArmError:
    """The failure that a fault wants."""
    return ArmError(
        int(fault.options.get("status", 409)),
        str(fault.options.get("code", "ResourceQuotaExceeded")),
        str(fault.options.get("message", "The quota of the subscription is used up.")),
    )


def _check(options: dict[str, Any]) -> None:
    for name in NUMBERS:
        value = options.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise _refused(f"{name} must be a number from 0 upward")
    if options.get("reads", 1) < 1:
        raise _refused("reads must be above 0")
    if str(options.get("at", "Running")) not in STUCK_AT:
        raise _refused(f"at must be {' or '.join(STUCK_AT)}")
    _pattern("resource", options.get("resource"))


def _pattern(name: str, text: Any) -> re.Pattern[str]:
    try:
        return re.compile(str(text or ""), re.IGNORECASE)
    except re.error as error:
        raise _refused(f"{name} is no regular expression: {error}") from error


def _refused(message: str) -> ArmError:
    return ArmError(400, "InvalidFault", message[0].upper() + message[1:] + ".")
