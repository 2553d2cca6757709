"""Lists: their `$filter`, their pages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from broker.simulator.arm_errors import ArmError
from broker.simulator.routes import Asked, Reply
from broker.simulator.state import PAGE

TERM = re.compile(r"\s*(?P<name>\w+)\s+eq\s+'(?P<value>(?:[^']|'')*)'\s*", re.IGNORECASE)
KNOWN = {"tagname", "tagvalue", "resourcetype", "name", "location", "resourcegroup", "provisioningstate"}


def fits(shown: Mapping[str, Any], text: str | None) -> bool:
    """
    Whether a resource, as it is shown, fits a filter.

    Raises:
        ArmError: 400, the filter is not understood.
    """
    wanted = _read(text) if text else {}
    tags = {key.lower(): value for key, value in (shown.get("tags") or {}).items()}
    name = wanted.get("tagname")
    if name is not None and name.lower() not in tags:
        return False
    if "tagvalue" in wanted and (name is None or tags[name.lower()] != wanted["tagvalue"]):
        return False
    parts = {
        "resourcetype": shown["type"],
        "name": shown["name"],
        "location": str(shown.get("location", "")).replace(" ", ""),
        "provisioningstate": str((shown.get("properties") or {}).get("provisioningState", "")),
        "resourcegroup": shown["id"].split("/")[4] if shown["id"].count("/") >= 4 else "",
    }
    return all(wanted[key].lower() == value.lower() for key, value in parts.items() if key in wanted)


def _read(text: str) -> dict[str, str]:
    wanted: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = TERM.match(text, at)
        if match is None or match["name"].lower() not in KNOWN:
            raise ArmError(
                400, "InvalidFilterInQueryString", f"Invalid $filter '{text}' specified in the query."
            )
        wanted[match["name"].lower()] = match["value"].replace("''", "'")
        at = match.end()
        if at < len(text):
            if text[at : at + 4].lower() != "and ":
                raise ArmError(
                    400, "InvalidFilterInQueryString", f"Invalid $filter '{text}' specified in the query."
                )
            at += 4
    return wanted


def page(asked: Asked, items: Iterable[dict[str, Any]]) -> Reply:
    """
    One page of a list, at most 1,000 items or as many as `$top` says, with a link to the next.

    The control route `/_simulator/pages` makes all pages smaller.

    Raises:
        ArmError: 400, `$top` or `$skiptoken` is no number.
    """
    every = list(items)
    try:
        start = int(asked.query.get("$skiptoken", "0"))
        size = min(asked.page_size, int(asked.query.get("$top", str(PAGE))))
        if start < 0 or size < 1:
            raise ValueError
    except ValueError as error:
        raise ArmError(
            400, "InvalidQueryParameter", "$top and $skiptoken must be numbers above 0."
        ) from error
    body: dict[str, Any] = {"value": every[start : start + size]}
    if start + size < len(every):
        kept = {key: value for key, value in asked.query.items() if key.startswith("$")}
        body["nextLink"] = asked.link(asked.path, **{**kept, "$skiptoken": str(start + size)})
    return Reply(200, body)
