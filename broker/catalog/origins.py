"""Where in its files each offering and plan of a catalog stands."""

from __future__ import annotations

from collections.abc import Iterable

from broker.catalog.faults import shown
from broker.catalog.files import Document, Place
from broker.catalog.format import OfferingFile
from broker.domain.catalog import Origin


def origins_of(read: Iterable[tuple[Document, OfferingFile]]) -> dict[str, Origin]:
    """Return the place of each id; where one is there twice, which is a fault, the last one."""
    found = {}
    for document, offering in read:
        found[offering.id] = Origin(document.file, document.line(("id",)), "")
        for number, plan in enumerate(offering.plans):
            path: Place = ("plans", number)
            found[plan.id] = Origin(document.file, document.line((*path, "id")), shown(path))
    return found
