"""
The one reader of the admin API's query parameters.

A parameter that the route does not know is refused: a filter that is misspelt and passed over would show an operator
the wrong things.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import timedelta

from starlette.requests import Request

from broker.domain.pages import LARGEST_PAGE, PAGE, PageRequest
from broker.errors import MalformedRequest, shown

_AGE = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 500


class Query:
    """The query parameters of one request, of which *names* are known."""

    def __init__(self, request: Request, *names: str) -> None:
        self._given = request.query_params
        if unknown := sorted(set(self._given) - set(names)):
            raise MalformedRequest(
                f"There is no parameter {shown(unknown[0])} here; there are: {', '.join(names)}."
            )

    def text(self, name: str) -> str | None:
        """Return the parameter; None if it was not given, or is empty."""
        given = self._given.getlist(name)
        if len(given) > 1:
            raise MalformedRequest(f"{name} is given more than once.")
        if given and (len(given[0]) > _LONGEST or not given[0].isprintable()):
            raise MalformedRequest(
                f"{name} is longer than {_LONGEST} characters, or holds one that cannot be shown."
            )
        return given[0] if given and given[0] else None

    def flag(self, name: str) -> bool:
        """Return a parameter that is `true` or `false`; not given is false."""
        value = self.text(name)
        if value not in {None, "true", "false"}:
            raise MalformedRequest(f"{name} must be true or false.")
        return value == "true"

    def choices(self, name: str, allowed: Collection[str]) -> frozenset[str]:
        """Return the values of a parameter that may be given several times."""
        given = frozenset(self._given.getlist(name))
        if not given <= set(allowed):
            raise MalformedRequest(f"{name} must be one of: {', '.join(allowed)}.")
        return given

    def age(self, name: str) -> timedelta | None:
        """Return a parameter such as `90s`, `10m`, `2h` or `30d`."""
        value = self.text(name)
        if value is None:
            return None
        read = _AGE.fullmatch(value)
        if read is None:
            raise MalformedRequest(f"{name} must be a time such as 90s, 10m, 2h or 30d.")
        return timedelta(seconds=int(read[1]) * _UNITS[read[2]])

    def page(self) -> PageRequest:
        """Return which page of a list is wanted, from `limit` and `cursor`."""
        limit = self.text("limit")
        if limit is not None and not (
            limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= LARGEST_PAGE
        ):
            raise MalformedRequest(f"limit must be a number from 1 to {LARGEST_PAGE}.")
        return PageRequest(int(limit) if limit is not None else PAGE, self.text("cursor"))
