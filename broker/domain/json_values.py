"""JSON as it travels through the broker: parsed, never text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

JsonValue: TypeAlias = Any
"""Anything that `json.loads` gives."""

JsonObject: TypeAlias = Mapping[str, Any]
"""A JSON object. Never changed in place: whoever wants another makes another."""


def same_json(one: JsonValue, other: JsonValue) -> bool:
    """Tell whether two values are the same JSON; unlike in Python, `true` is not 1 (but 1.0 is)."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, (str, bytes)) or isinstance(other, (str, bytes)):
        return bool(one == other)
    if isinstance(one, Sequence) and isinstance(other, Sequence):
        return len(one) == len(other) and all(same_json(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)
