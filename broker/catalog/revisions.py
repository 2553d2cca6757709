"""A catalog as the JSON document that is kept in SQL, recipes included, and back. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from datetime import timedelta
from typing import Any

from broker.domain.catalog import Catalog, MaintenanceInfo, ServiceOffering, ServicePlan
from broker.domain.json_values import JsonObject

_DURATIONS = frozenset({"maximum_polling_duration", "binding_lifetime"})


def to_document(catalog: Catalog) -> JsonObject:
    """Make the document of a catalog; durations are in seconds."""
    return {"format": 1, "offerings": [_offering_document(offering) for offering in catalog.offerings]}


def from_document(document: JsonObject, *, revision: int, digest: str) -> Catalog:
    """Make the catalog of a document; what a newer version wrote and this one does not know is left out."""
    offerings = tuple(_offering(said) for said in document["offerings"])
    return Catalog(offerings=offerings, revision=revision, digest=digest)


def digest_of(document: JsonObject) -> str:
    """Return what tells two documents apart: SHA-256 of the document in one canonical spelling, in hex."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


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
