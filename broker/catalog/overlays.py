"""Overlays: files that change offerings of other files, key by key, add plans to them, or hide them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field, StrictBool, StrictStr, ValidationError

from broker.catalog.faults import Fault
from broker.catalog.files import Document, Place
from broker.catalog.form_faults import faults_of_validation
from broker.catalog.format import Name, Strict

KEY = "overlay"
"""A document with this key is an overlay."""
_NEVER_OF_OFFERINGS = frozenset({"id", "name", "plans", "template", "provisioner"})
_NEVER_OF_PLANS = frozenset({"id", "name"})


class PlanOverlay(Strict):
    """What changes of one plan."""

    hide: StrictBool | None = None
    set: dict[StrictStr, Any] = Field(default_factory=dict)


class OverlayFile(Strict):
    """
    What changes of the offering that `overlay` names.

    In `set` an object is laid over an object key by key, null takes a key away, and anything else replaces what was
    there (RFC 7396). `add` holds whole plans.
    """

    overlay: Name
    hide: StrictBool | None = None
    set: dict[StrictStr, Any] = Field(default_factory=dict)
    plans: dict[Name, PlanOverlay] = Field(default_factory=dict)
    add: list[Any] = Field(default_factory=list)


@dataclass(frozen=True)
class OverlaidDocument(Document):
    """An offering's file with overlays; a fault is told where its value comes from."""

    laid: Mapping[Place, tuple[Document, Place]] = field(default_factory=dict)
    """By path: the overlay that the value there comes from, and its path in that."""

    def fault(self, path: Place, message: str) -> Fault:
        for end in range(len(path), 0, -1):
            if path[:end] in self.laid:
                overlay, place = self.laid[path[:end]]
                return overlay.fault((*place, *path[end:]), message)
        return super().fault(path, message)


@dataclass
class _Offering:
    """An offering's file on its way through the overlays."""

    document: Document
    data: dict[str, Any]
    laid: dict[Place, tuple[Document, Place]] = field(default_factory=dict)
    hidden: dict[str | None, bool] = field(default_factory=dict)
    """Plans by name, None for the whole offering."""


Hidden = Mapping[str, frozenset[str | None]]
"""By the offering's name: the names of hidden plans, and None if it is hidden as a whole."""


def is_overlay(document: Document) -> bool:
    """Tell an overlay from an offering's file."""
    return isinstance(document.data, dict) and KEY in document.data


def laid_over(
    documents: Sequence[Document], overlays: Sequence[Document]
) -> tuple[list[Document], Hidden, list[Fault]]:
    """Lay *overlays* over *documents*, in their order; return the documents in theirs, and what is hidden."""
    offerings = [_Offering(one, one.data if isinstance(one.data, dict) else {}) for one in documents]
    by_name: dict[str, _Offering] = {}
    for one in offerings:
        name = one.data.get("name")
        if isinstance(name, str):
            by_name[name] = one
    faults: list[Fault] = []
    for document in overlays:
        try:
            overlay = OverlayFile.model_validate(document.data)
        except ValidationError as invalid:
            faults += faults_of_validation(document, invalid)
            continue
        offering = by_name.get(overlay.overlay)
        if offering is None:
            known = ", ".join(sorted(by_name)) or "none"
            faults.append(
                document.fault((KEY,), f"there is no offering '{overlay.overlay}'; there are {known}")
            )
            continue
        faults += [document.fault(path, message) for path, message in _lay(offering, document, overlay)]
    hidden = {
        name: frozenset(what for what, hides in one.hidden.items() if hides)
        for name, one in by_name.items()
        if any(one.hidden.values())
    }
    return [_document(one) for one in offerings], hidden, faults


def _document(one: _Offering) -> Document:
    if not one.laid:
        return one.document
    return OverlaidDocument(one.document.file, one.data, one.document.text, laid=one.laid)


def _lay(offering: _Offering, document: Document, overlay: OverlayFile) -> Iterator[tuple[Place, str]]:
    if overlay.hide is not None:
        offering.hidden[None] = overlay.hide
    yield from _never(("set",), overlay.set, _NEVER_OF_OFFERINGS)
    values = {key: value for key, value in overlay.set.items() if key not in _NEVER_OF_OFFERINGS}
    offering.data = _merged(offering, document, offering.data, values, (), ("set",))
    plans = offering.data.get("plans")
    plans = list(plans) if isinstance(plans, list) else []
    names = {plan.get("name"): place for place, plan in enumerate(plans) if isinstance(plan, dict)}
    for name, said in overlay.plans.items():
        at: Place = ("plans", name)
        if name not in names:
            known = ", ".join(sorted(str(one) for one in names)) or "none"
            yield at, f"'{overlay.overlay}' has no plan of this name; it has {known}"
            continue
        if said.hide is not None:
            offering.hidden[name] = said.hide
        yield from _never((*at, "set"), said.set, _NEVER_OF_PLANS)
        values = {key: value for key, value in said.set.items() if key not in _NEVER_OF_PLANS}
        place = names[name]
        plans[place] = _merged(offering, document, plans[place], values, ("plans", place), (*at, "set"))
    for number, plan in enumerate(overlay.add):
        offering.laid["plans", len(plans)] = document, ("add", number)
        plans.append(plan)
    offering.data = {**offering.data, "plans": plans}


def _never(path: Place, said: Mapping[str, Any], never: frozenset[str]) -> Iterator[tuple[Place, str]]:
    for key in sorted(never & said.keys()):
        yield (
            (*path, key),
            "is what makes it this one, and never changes; bring an offering or plan of its own",
        )


def _merged(offering: _Offering, document: Document, old: Any, new: Any, path: Place, place: Place) -> Any:
    """Lay *new*, which stands at *place* of the overlay, over *old*, which stands at *path* of the offering."""
    if not isinstance(new, dict):
        offering.laid[path] = document, place
        return new
    if not isinstance(old, dict):
        offering.laid[path] = document, place
        old = {}
    found = dict(old)
    for key, value in new.items():
        if value is None:
            found.pop(key, None)
            offering.laid[*path, key] = document, (*place, key)
        else:
            found[key] = _merged(offering, document, found.get(key), value, (*path, key), (*place, key))
    return found
