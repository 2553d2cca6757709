"""Model files as they are written: what generators hand over, the file's name and its text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

USES = ("read", "create", "update")


class Undescribable(Exception):
    """No model can be made from what was given; the message says of what, and why."""


def file_name(resource_type: str, api_version: str) -> str:
    """Return the name under which a model is found: it tells type and api-version."""
    return f"{resource_type.replace('/', '.')}@{api_version}.json"


def text_of(described: Mapping[str, Any]) -> str:
    """Write a model down, always the same way."""
    return json.dumps(described, indent=1) + "\n"


def document(
    resource_type: str,
    api_version: str,
    source: Mapping[str, str],
    root: str,
    models: Mapping[str, Any],
    actions: Mapping[str, Any],
) -> dict[str, Any]:
    """Put a model together; `actions` are what POST actions answer, by their name."""
    return {
        "type": resource_type,
        "api_version": api_version,
        "source": dict(source),
        "root": root,
        **({"actions": dict(sorted(actions.items()))} if actions else {}),
        "models": dict(sorted(models.items())),
    }
