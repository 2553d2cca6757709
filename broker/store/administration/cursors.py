"""Where a page ends: what the next one begins after, as one opaque text."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select

from broker.domain.pages import PageRequest
from broker.errors import MalformedRequest
from broker.store.database import Transaction

_NO_CURSOR = "The cursor is none that a page of this list has given."


def encoded(*values: str | int) -> str:
    """Write down where a page ends."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decoded(cursor: str, *kinds: type) -> list[Any]:
    """
    Read a cursor as values of these kinds.

    Raises:
        MalformedRequest: It is none that a page of this list has given.
    """
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or [type(value) for value in values] != list(kinds):
        raise MalformedRequest(_NO_CURSOR)
    return values


async def rows_of(
    tx: Transaction, query: Select[Any], page: PageRequest
) -> tuple[Sequence[Row[Any]], Row[Any] | None]:
    """Return the rows of a page, and the last one of them if more follow."""
    rows = list(await tx.execute(query.limit(page.limit + 1)))
    shown = rows[: page.limit]
    return shown, shown[-1] if len(rows) > page.limit else None


def time_of(text: str) -> datetime:
    """
    Read a time of a cursor.

    Raises:
        MalformedRequest: It is none.
    """
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise MalformedRequest(_NO_CURSOR) from None


def key_of(text: str) -> UUID:
    """
    Read a key of a cursor.

    Raises:
        MalformedRequest: It is none.
    """
    try:
        return UUID(hex=text)
    except ValueError:
        raise MalformedRequest(_NO_CURSOR) from None
