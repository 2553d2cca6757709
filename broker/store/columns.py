"""Column types that give back on both databases exactly what was put in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, LargeBinary, String, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator

STORED_TIME = DateTime(timezone=True).with_variant(String(26), "sqlite")
"""How times are declared to the database; SQLite compares them as text, hence always 26 characters."""


class UtcTime(TypeDecorator[datetime]):
    """An aware time in UTC with microseconds."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(String(26) if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        value = value.astimezone(UTC)
        return stored(value) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return loaded(value) if dialect.name == "sqlite" else value.astimezone(UTC)


def stored(value: datetime) -> str:
    """Write a time as SQLite holds it."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def loaded(text: str) -> datetime:
    """Read a time as SQLite holds it."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


UUID_KEY: Uuid[Any] = Uuid()
SEALED = LargeBinary()
NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""A counting key; SQLite counts only in a column that is called INTEGER."""

OURS = JSON().with_variant(JSONB, "postgresql")
"""A document that the broker made: an operator may query inside it."""

SENT = JSON()
"""A document that somebody sent: kept letter by letter, with NUL characters that jsonb would refuse."""
