"""Queries that must cost next to nothing."""

from __future__ import annotations


class PlainQuery:
    """One query in the drivers' own words, written with `%s`, run outside SQLAlchemy's statements."""

    def __init__(self, text: str) -> None:
        self.postgresql = text.encode()
        self.sqlite = text.replace("%s", "?").replace("IS NOT DISTINCT FROM", "IS")
