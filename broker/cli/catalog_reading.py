"""Catalogs for commands that need one without a fault: a folder with overlays, as a broker would read them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from broker.catalog.sources import Source
    from broker.domain.catalog import Catalog

Overlays = Annotated[
    list[Path] | None,
    typer.Option(
        "--overlay", help="Laid over the folder, as by BROKER_CATALOG_OVERLAYS; may be given again."
    ),
]


def sources_of(folder: Path, overlays: Sequence[Path]) -> list[Source]:
    """
    Read the files of a catalog and of what is laid over it.

    Raises:
        CatalogRefused: With every fault.
    """
    from broker.catalog.file_sets import Files

    return [source for _, source in Files(folder, overlays=overlays).read().sources]


def catalog_of(sources: Sequence[Source]) -> Catalog:
    """
    Read the catalog that *sources* make; warnings go to standard error.

    Raises:
        CatalogRefused: With every fault.
    """
    from broker.catalog.faults import CatalogRefused, refused
    from broker.catalog.reader import read_sources

    # As a broker: an overlay folder may be empty.
    catalog, faults = read_sources([source for source in sources if source.files] or sources)
    for warning in faults:
        if warning.severity == "warning":
            print(warning, file=sys.stderr)
    if found := refused(faults):
        raise CatalogRefused(found)
    return catalog
