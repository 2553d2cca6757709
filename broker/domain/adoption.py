"""Words of orders that take over what is in Azure already, and what records say of it. Pure."""

from __future__ import annotations

from enum import StrEnum

from broker.domain.json_values import JsonObject

RESOURCE_ID = "resourceId"
"""The user parameter that names what is to be adopted."""
MODE = "adopt"
"""The user parameter that chooses a mode, where a plan allows both."""
DELETE_POLICY = "deletePolicy"
"""The user parameter that says what becomes of the resource when its service instance is deleted."""
RETAIN, DELETE = "retain", "delete"
WORDS = frozenset({RESOURCE_ID, MODE, DELETE_POLICY})
"""What no offering can call a parameter of its own."""

RECORDED = "adopted"
"""The key of a record that holds the mode; absent from what the broker has made."""
RECORDED_POLICY = "delete_policy"


class AdoptionMode(StrEnum):
    """What the broker may do with what it adopts."""

    BIND_ONLY = "bind-only"
    """Bindings, and children of its own. The resource itself is never changed or deleted, and carries no tag."""
    MANAGE = "manage"
    """It carries the broker's tags, and updates change it."""


def adopted_as(record: JsonObject) -> AdoptionMode | None:
    """Tell how what *record* is about was adopted; None for what the broker has made."""
    mode = record.get(RECORDED)
    return AdoptionMode(mode) if mode is not None else None
