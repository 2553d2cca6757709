"""Queries that must cost next to nothing."""

from __future__ import annotations

# SQLite counts milliseconds; three zeros make it as long as every stored time.
SQLITE_NOW = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


class PlainQuery:
    """One query in the drivers' own words, written with `%s`, run outside SQLAlchemy's statements."""

    def __init__(self, text: str) -> None:
        self.postgresql = text.encode()
        self.sqlite = (
            text.replace("%s", "?")
            .replace("IS NOT DISTINCT FROM", "IS")
            .replace("clock_timestamp()", SQLITE_NOW)
        )
