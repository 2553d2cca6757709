"""Long lists, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")

PAGE = 50
"""Rows of a page, unless it is said otherwise."""
LARGEST_PAGE = 500


@dataclass(frozen=True)
class PageRequest:
    """Which page: at most `limit` rows, those after the `cursor` that the page before has given."""

    limit: int = PAGE
    cursor: str | None = None


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows of a list; `next` is the cursor of the page after it, None on the last one."""

    items: Sequence[T]
    next: str | None = None

    def of(self, change: Callable[[T], U]) -> Page[U]:
        """Return the same page with each row changed."""
        return Page([change(item) for item in self.items], self.next)
