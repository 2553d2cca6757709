"""What a proposal changes, in sentences for whoever is asked whether he wants that. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from broker.domain.catalog import Catalog, ServiceOffering, ServicePlan

_Things: TypeAlias = Mapping[str, tuple[str, bool, ServiceOffering | ServicePlan]]
"""By id: the name, whether it can be ordered, and the thing itself without what it is made of."""


def effects(before: Catalog, after: Catalog) -> list[str]:
    """Tell what would be added, changed, withdrawn, offered again and removed, offering by offering."""
    return list(_effects(_things(before), _things(after)))


def _effects(before: _Things, after: _Things) -> Iterator[str]:
    for one, (name, offered, thing) in after.items():
        kind = "The service offering" if isinstance(thing, ServiceOffering) else "The plan"
        if one not in before:
            yield f"{kind} {name} is added." if offered else f"{kind} {name} is added, and not offered."
            continue
        _, was_offered, was = before[one]
        if was_offered != offered:
            yield f"{kind} {name} is offered again." if offered else f"{kind} {name} is withdrawn."
        if was != thing:
            yield f"{kind} {name} is changed."
    for one, (name, _, thing) in before.items():
        if one not in after:
            kind = "The service offering" if isinstance(thing, ServiceOffering) else "The plan"
            yield f"{kind} {name} is removed."


def _things(catalog: Catalog) -> _Things:
    found: dict[str, tuple[str, bool, ServiceOffering | ServicePlan]] = {}
    for offering in catalog.offerings:
        plain = replace(offering, plans=(), withdrawn=False)
        found[offering.id] = offering.name, not offering.withdrawn, plain
        for plan in offering.plans:
            offered = not (offering.withdrawn or plan.withdrawn)
            found[plan.id] = f"{offering.name}/{plan.name}", offered, replace(plan, withdrawn=False)
    return found
