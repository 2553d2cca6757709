"""A cloud that lags: types that it serves at one older api-version only, whose bodies are taken as the newest one's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from broker.simulator.arm_errors import ArmError
from broker.simulator.resource_ids import ResourceId
from broker.simulator.resource_types import ResourceTypes

READ_IN_EXPRESSION = re.compile(
    r"(resourceId\s*\(\s*'([^']+)'(?:[^()']|'[^']*'|\((?:[^()']|'[^']*')*\))*\)\s*,\s*)'([\d-]{10}[a-z-]*)'",
    re.IGNORECASE,
)


class Lagging:
    """
    Resource types, each with the one api-version that this cloud knows.

    Behind the edge everything is asked for at the newest version that is described, since older ones rarely are.
    """

    def __init__(self, versions: Mapping[str, str], types: ResourceTypes) -> None:
        newest = {kind.lower(): listed[0] for kind, listed in types.known.items()}
        unknown = [kind for kind in versions if kind.lower() not in newest]
        if unknown:
            raise ValueError(f"no such resource type is described: {', '.join(unknown)}")
        self._served = {
            kind.lower(): (kind, version, newest[kind.lower()]) for kind, version in versions.items()
        }

    def version(self, path: str, asked: str) -> str:
        """
        The api-version for the handlers of a call to *path*.

        Raises:
            ArmError: 400, this cloud does not know the one that was asked for.
        """
        if not self._served or "/providers/" not in path.lower():
            return asked
        try:
            kind = ResourceId.parse(path).type
        except ValueError:
            try:
                kind = ResourceId.parse(path.rpartition("/")[0]).type
            except ValueError:
                return asked
        return self._known(kind, asked)

    def template(self, body: Any) -> Any:
        """
        A deployment's body for its handlers.

        Raises:
            ArmError: As above, for what its template makes or reads.
        """
        return self._in(body) if self._served else body

    def _in(self, value: Any) -> Any:
        if isinstance(value, str):
            return READ_IN_EXPRESSION.sub(self._read, value) if value.startswith("[") else value
        if isinstance(value, list):
            return [self._in(item) for item in value]
        if not isinstance(value, dict):
            return value
        inner = {key: self._in(item) for key, item in value.items()}
        kind, version = value.get("type"), value.get("apiVersion")
        if isinstance(kind, str) and isinstance(version, str):
            inner["apiVersion"] = self._known(kind, version)
        return inner

    def _read(self, match: re.Match[str]) -> str:
        return f"{match[1]}'{self._known(match[2], match[3])}'"

    def _known(self, kind: str, asked: str) -> str:
        if kind.lower() not in self._served:
            return asked
        spelt, served, newest = self._served[kind.lower()]
        if asked != served:
            raise ArmError(
                400,
                "NoRegisteredProviderFound",
                f"No registered resource provider found for API version '{asked}' for type '{spelt}'. "
                f"The supported api-versions are '{served}'.",
            )
        return newest
