"""Which handler answers a call: paths are compared without regard to case, values keep theirs."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from broker.simulator.faults import Fault

HOLE = re.compile(r"\{(\w+)(:path)?\}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, read."""

    method: str
    path: str
    query: QueryParams
    body: Any
    base: str
    correlation_id: str
    fault: Fault | None = None
    page_size: int = 1000
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def api_version(self) -> str:
        return self.query.get("api-version", "")

    def link(self, path: str, **query: str) -> str:
        """An absolute URL back to this simulator."""
        return f"{self.base}{path}?{urlencode({'api-version': self.api_version, **query})}"


@dataclass(frozen=True, slots=True)
class Reply:
    """A status, a JSON body (None for an empty one) and further headers."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Asked], Awaitable[Reply]]


class Routes:
    """Patterns with `{name}` for one segment and `{name:path}` for the rest; the first that fits answers."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []

    def add(self, methods: str, pattern: str, handler: Handler) -> None:
        """Let *handler* answer these methods, separated by blanks."""
        escaped = HOLE.sub(lambda m: f"(?P<{m[1]}>{'.+' if m[2] else '[^/]+'})", pattern)
        compiled = re.compile(escaped, re.IGNORECASE)
        self._routes += [(method, compiled, handler) for method in methods.split()]

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]] | None:
        """The handler with the names from the path; None when nothing fits."""
        for known, pattern, handler in self._routes:
            match = pattern.fullmatch(path) if known == method else None
            if match is not None:
                return handler, match.groupdict()
        return None
