"""Where in its files each offering and plan of a catalog stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from broker.catalog.faults import shown
from broker.catalog.files import Document, Place
from broker.catalog.format import OfferingFile
from broker.domain.catalog import Origin


class Origins(Mapping[str, Origin]):
    """
    The place of each id; where one is there twice, which is a fault, the last one.

    A line is looked up when it is asked for: it takes another pass through the file, and only faults ask.
    """

    def __init__(self, read: Iterable[tuple[Document, OfferingFile]]) -> None:
        self._places: dict[str, tuple[Document, Place]] = {}
        for document, offering in read:
            self._places[offering.id] = document, ()
            for number, plan in enumerate(offering.plans):
                self._places[plan.id] = document, ("plans", number)

    def __getitem__(self, one: str) -> Origin:
        document, path = self._places[one]
        return Origin(document.file, document.line((*path, "id")), shown(path))

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
