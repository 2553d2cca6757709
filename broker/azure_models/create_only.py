"""Which properties Azure settles when a resource is created: `create_only.toml`, and what the model files say."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from broker.azure_models.reader import load

FILE = Path(__file__).with_name("create_only.toml")
SAYS = frozenset({"visibility", "described", "replaced"})
_KEYS = {"type", "properties", "says", "source"}
_TYPE = re.compile(r"Microsoft\.[A-Za-z]+(/[A-Za-z]+)+")
_PATH = re.compile(r"[a-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*)*")


@dataclass(frozen=True)
class CreateOnly:
    """A property at a dotted path that is settled by the first PUT, and who says so."""

    path: str
    source: str


class Unreadable(ValueError):
    """The file has another form than it must have."""


def create_only(resource_type: str, api_version: str) -> tuple[CreateOnly, ...]:
    """
    Return the properties of a type (in any case) that cannot be changed later; empty when none is known.

    The file speaks for every api-version, a model file for its own.
    """
    found = dict(_of_file().get(resource_type.lower(), {}))
    model = load(resource_type, api_version)
    for path, prop in model.paths() if model else ():
        if prop.create_only and path not in found:
            source = model.source if model else {}
            found[path] = CreateOnly(path, f"{source.get('package')} {source.get('version')}")
    return tuple(found[path] for path in sorted(found))


def entries(content: str) -> Iterator[tuple[str, CreateOnly]]:
    """
    Read the file: each resource type as Azure spells it, with one property.

    Raises:
        Unreadable: No TOML, an unknown or missing key, a value of another form, or a property twice.
    """
    try:
        whole = tomllib.loads(content)
    except tomllib.TOMLDecodeError as fault:
        raise Unreadable(f"is no TOML: {fault}") from fault
    if whole.keys() != {"create_only"}:
        raise Unreadable("has something else than [[create_only]] tables")
    seen: set[tuple[str, str]] = set()
    for number, entry in enumerate(whole["create_only"], 1):
        for path in _checked(entry, f"table {number}"):
            key = (entry["type"].lower(), path)
            if key in seen:
                raise Unreadable(f"table {number}: {entry['type']} has '{path}' twice")
            seen.add(key)
            yield entry["type"], CreateOnly(path, entry["source"])


def _checked(entry: Mapping[str, Any], where: str) -> list[str]:
    if entry.keys() != _KEYS:
        raise Unreadable(f"{where}: has other keys than {', '.join(sorted(_KEYS))}")
    if not isinstance(entry["type"], str) or not _TYPE.fullmatch(entry["type"]):
        raise Unreadable(f"{where}: '{entry['type']}' is no resource type")
    if entry["says"] not in SAYS:
        raise Unreadable(f"{where}: 'says' is one of {', '.join(sorted(SAYS))}")
    if not isinstance(entry["source"], str) or not entry["source"].strip():
        raise Unreadable(f"{where}: names no source")
    paths = entry["properties"]
    if not isinstance(paths, list) or not paths:
        raise Unreadable(f"{where}: names no properties")
    for path in paths:
        if not isinstance(path, str) or not _PATH.fullmatch(path):
            raise Unreadable(f"{where}: '{path}' is no dotted path")
    return paths


@cache
def _of_file() -> Mapping[str, Mapping[str, CreateOnly]]:
    found: dict[str, dict[str, CreateOnly]] = {}
    for resource_type, entry in entries(FILE.read_text(encoding="utf-8")):
        found.setdefault(resource_type.lower(), {})[entry.path] = entry
    return found
