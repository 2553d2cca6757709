"""Answers of the admin API: values of the broker as JSON. What is None is left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from broker.api.messages import timestamp
from broker.domain.pages import Page


def page(found: Page[Any]) -> dict[str, Any]:
    """Write a page: `items`, and `next` if there is another one."""
    return {"items": written(list(found.items)), "next": found.next}


def written(value: Any) -> Any:
    """Write a value, field by field, under the fields' own names."""
    if is_dataclass(value) and not isinstance(value, type):
        pairs = ((each.name, getattr(value, each.name)) for each in fields(value))
        return {name: written(item) for name, item in pairs if item is not None}
    if isinstance(value, Mapping):
        return {str(name): written(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple | frozenset):
        return [written(item) for item in value]
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, UUID) else value
