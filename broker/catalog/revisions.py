"""A catalog as the JSON document that is kept in SQL, recipes included, and back. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from broker.domain.catalog import Catalog, MaintenanceInfo, ServiceOffering, ServicePlan
from broker.domain.json_values import JsonObject

_DURATIONS = frozenset({"maximum_polling_duration", "expected_duration", "binding_lifetime"})


def to_text(catalog: Catalog) -> str:
    """
    Write the document of a catalog in one canonical spelling, an offering a line.

    So a large one is written and read line by line, between which other threads have their turn.
    """
    lines = (_line(_offering_document(offering)) for offering in catalog.offerings)
    return _HEAD + ",\n".join(lines) + _FOOT


def from_text(text: str, *, revision: int, digest: str, published_at: datetime | None = None) -> Catalog:
    """Make the catalog of a document that is text, as `to_text` or an older release has written it."""
    by_lines = text.startswith(_HEAD) and text.endswith(_FOOT)
    said = _lines(text) if by_lines else iter(json.loads(text)["offerings"])
    return Catalog(
        offerings=tuple(_offering(one) for one in said),
        revision=revision,
        digest=digest,
        published_at=published_at,
    )


def digest_of(text: str) -> str:
    """Return what tells two texts apart: SHA-256, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


_HEAD, _FOOT = '{"format":1,"offerings":[\n', "\n]}"


def _line(document: JsonObject) -> str:
    # Only ASCII: text that is all of one kind is copied, not converted, on its way to the database and back.
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


def _lines(text: str) -> Iterator[JsonObject]:
    start, end = len(_HEAD), len(text) - len(_FOOT)
    while start < end:
        stop = text.find("\n", start, end)
        stop = end if stop == -1 else stop
        yield json.loads(text[start:stop].removesuffix(","))
        start = stop + 1


def _offering_document(offering: ServiceOffering) -> JsonObject:
    document = {name: _plain(getattr(offering, name)) for name in _names(ServiceOffering)}
    document["plans"] = [_plan_document(plan) for plan in offering.plans]
    return document


def _plan_document(plan: ServicePlan) -> JsonObject:
    document = {name: _plain(getattr(plan, name)) for name in _names(ServicePlan)}
    info = plan.maintenance_info
    document["maintenance_info"] = (
        {"version": info.version, "description": info.description} if info else None
    )
    return document


def _offering(said: JsonObject) -> ServiceOffering:
    known = {name: _value(said[name]) for name in _names(ServiceOffering) & set(said)}
    known["plans"] = tuple(_plan(plan) for plan in said["plans"])
    return ServiceOffering(**known)


def _plan(said: JsonObject) -> ServicePlan:
    known = {name: _value(said[name]) for name in _names(ServicePlan) & set(said)}
    for name in _DURATIONS & set(known):
        if known[name] is not None:
            known[name] = timedelta(seconds=known[name])
    info = known.get("maintenance_info")
    known["maintenance_info"] = MaintenanceInfo(**info) if info else None
    return ServicePlan(**known)


def _names(kind: type) -> set[str]:
    return {field.name for field in fields(kind)}


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return list(value) if isinstance(value, tuple) else value


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
