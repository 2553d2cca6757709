"""
Api-versions for a cloud that lags behind: what replaces those that plans and records name.

The sovereign clouds get an api-version months after the public one. What is replaced is decided with each call, by
the type in its path, so that it also holds for what was recorded before. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from broker.azure.distilling import JsonObject

_READ_BY_ID = re.compile(r"resourceId\s*(?P<rest>\(\s*'(?P<type>[^']+)')", re.IGNORECASE)
_VERSION = re.compile(r"\s*,\s*'(?P<version>\d{4}-\d{2}-\d{2}(?:-[a-z]+)?)'")


class ApiVersions:
    """Resource types, in any case, each with the api-version at which this cloud is to be asked for it."""

    def __init__(self, overrides: Mapping[str, str] | None = None) -> None:
        self._by_type = {kind.lower(): version for kind, version in (overrides or {}).items()}

    def of_type(self, resource_type: str, pinned: str) -> str:
        """Return the version for a type; *pinned* unless it is replaced."""
        return self._by_type.get(resource_type.lower(), pinned)

    def of_path(self, path: str, pinned: str) -> str:
        """Return the version for a call to *path*: a resource, an action of one, a list or a resource group."""
        for kind in _types(path):
            if kind in self._by_type:
                return self._by_type[kind]
        return pinned

    def in_template(self, template: JsonObject) -> JsonObject:
        """
        Return *template* with the versions of its resources replaced, nested ones too.

        Also where an expression reads a resource of the type, by `reference(resourceId(...), version)` and the like.
        """
        if not self._by_type:
            return template
        replaced: JsonObject = self._in(template)
        return replaced

    def _in(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._in_expression(value) if value.startswith("[") else value
        if isinstance(value, list):
            return [self._in(item) for item in value]
        if not isinstance(value, Mapping):
            return value
        inner = {key: self._in(item) for key, item in value.items()}
        kind, version = value.get("type"), value.get("apiVersion")
        if isinstance(kind, str) and isinstance(version, str):
            inner["apiVersion"] = self.of_type(kind, version)
        return inner

    def _in_expression(self, text: str) -> str:
        for match in reversed(list(_READ_BY_ID.finditer(text))):
            version = _VERSION.match(text, _closing(text, match.start("rest")))
            if version is not None:
                start, end = version.span("version")
                text = text[:start] + self.of_type(match["type"], version["version"]) + text[end:]
        return text


def _closing(text: str, opening: int) -> int:
    """The place behind the parenthesis that closes the one at *opening*; the end of the text if none does."""
    depth, quoted = 0, False
    for at in range(opening, len(text)):
        if text[at] == "'":
            quoted = not quoted
        elif not quoted and text[at] in "()":
            depth += 1 if text[at] == "(" else -1
            if depth == 0:
                return at + 1
    return len(text)


def _types(path: str) -> list[str]:
    """The types that a call to *path* may be about, the likeliest first, in lower case."""
    segments = path.strip("/").lower().split("/")
    if "providers" not in segments:
        grouped = len(segments) == 4 and segments[2] == "resourcegroups"
        return ["microsoft.resources/resourcegroups"] if grouped else []
    at = len(segments) - 1 - segments[::-1].index("providers")
    namespace, pairs = segments[at + 1 : at + 2], segments[at + 2 :]
    if not pairs:
        return []
    whole = "/".join([*namespace, *pairs[0::2]])
    # A last word without a name: a list of that type, or an action of what is before it.
    return [whole] if len(pairs) % 2 == 0 else [whole, whole.rpartition("/")[0]]
