"""JSON as it travels through the broker: parsed, never text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

JsonValue: TypeAlias = Any
"""Anything that `json.loads` gives."""

JsonObject: TypeAlias = Mapping[str, Any]
"""A JSON object. Never changed in place: whoever wants another makes another."""
