"""Plans that extend another plan of their offering, written out."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from broker.catalog.faults import Fault
from broker.catalog.files import Document

AT_MOST_STEPS = 3
"""From a plan to the last one it extends; who reads it must still find what holds."""
_OWN = frozenset({"id", "name", "description", "free", "extends", "updates_to", "adopt", "deletes_adopted"})
_LAID_OVER = frozenset({"fixed", "user", "metadata"})


def written_out(document: Document) -> tuple[Document, list[Fault]]:
    """
    Give each plan that `extends` another one what it does not say itself.

    Never taken over are id, name, description, `free`, the plans it can become and what it lets adopt; `fixed`, `user`
    and `metadata` are laid over the other plan's, key by key. With faults the document is returned as it was.
    """
    plans = document.data.get("plans") if isinstance(document.data, dict) else None
    if not isinstance(plans, list) or not any(isinstance(plan, dict) and "extends" in plan for plan in plans):
        return document, []
    named = {
        plan["name"]: plan
        for plan in reversed(plans)
        if isinstance(plan, dict) and isinstance(plan.get("name"), str)
    }
    faults = list(_faults(document, plans, named))
    if faults:
        return document, faults
    data = {**document.data, "plans": [_whole(plan, named) for plan in plans]}
    return replace(document, data=data), []


def _faults(document: Document, plans: list[Any], named: Mapping[str, Any]) -> Iterator[Fault]:
    for number, plan in enumerate(plans):
        name = _extended_by(plan)
        if name is None:
            continue
        path = ("plans", number, "extends")
        if name not in named:
            near = difflib.get_close_matches(name, named, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(sorted(named))}"
            yield document.fault(path, f"there is no plan '{name}' in this offering; {hint}")
            continue
        way = [str(plan.get("name"))]
        while name is not None and name in named and name not in way:
            way.append(name)
            name = _extended_by(named[name])
        if name is not None and name in way:
            yield document.fault(path, f"goes round in circles: {' extends '.join([*way, name])}")
        elif len(way) - 1 > AT_MOST_STEPS:
            yield document.fault(path, f"takes more than {AT_MOST_STEPS} steps: {' extends '.join(way)}")


def _extended_by(plan: Any) -> str | None:
    name = plan.get("extends") if isinstance(plan, dict) else None
    return name if isinstance(name, str) else None


def _whole(plan: Any, named: Mapping[str, Any]) -> Any:
    name = _extended_by(plan)
    if name is None:
        return plan
    base = {key: value for key, value in _whole(named[name], named).items() if key not in _OWN}
    own = dict(plan)
    for key in _LAID_OVER & base.keys() & own.keys():
        if isinstance(base[key], dict) and isinstance(own[key], dict):
            own[key] = {**base[key], **own[key]}
    return {**base, **own}
