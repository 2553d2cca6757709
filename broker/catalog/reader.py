"""Reads the offerings of sources; every fault with its file and place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from broker.azure_models import TEAMS_FOLDER, ModelFileBroken, Models, shipped
from broker.catalog import guard, legacy
from broker.catalog.faults import CatalogRefused, Fault, bounded, refused
from broker.catalog.files import Document, Unreadable, read_json, read_yaml
from broker.catalog.form_faults import faults_of_validation
from broker.catalog.format import OfferingFile
from broker.catalog.inheritance import written_out
from broker.catalog.offerings import service_offering
from broker.catalog.origins import Origins
from broker.catalog.overlays import Hidden, is_overlay, laid_over
from broker.catalog.sources import LEGACY, Source
from broker.catalog.templates import Template, template_of
from broker.domain.catalog import Catalog, ServiceOffering

LEGACY_MODE = f"{LEGACY}mode.yaml"
"""The file that switches offerings of older brokers on; it is written by the broker itself."""
FOLDER = "files"
"""Name of the source that a catalog's folder is."""


def read_catalog(folder: Path) -> Catalog:
    """
    Read and check *folder*: `<family>/<offering>.yaml` with ARM templates beside them.

    Raises:
        CatalogRefused: With every fault that was found.
    """
    catalog, faults = read_sources([Source.of_folder(FOLDER, folder)])
    if refusals := refused(faults):
        raise CatalogRefused(refusals)
    return catalog


def check(folder: Path) -> list[Fault]:
    """Tell all that is wrong with *folder*; an empty list when a broker would take it."""
    try:
        return read_sources([with_legacy(Source.of_folder(FOLDER, folder), "listed")])[1]
    except CatalogRefused as unread:
        return list(unread.faults)


def with_legacy(source: Source, mode: legacy.Mode) -> Source:
    """Return a source whose offerings of older brokers are switched on, if it has any; `off` leaves them out."""
    if mode != "off" and not source.legacy:
        return source
    files = {path: content for path, content in source.files.items() if path not in source.legacy}
    if mode != "off":
        files = {**source.files, LEGACY_MODE: f"legacy_catalog: {mode}\n".encode()}
    return Source(source.name, files)


def read_sources(sources: Sequence[Source]) -> tuple[Catalog, list[Fault]]:
    """
    Read and check the offerings of all *sources* together; warnings aside, a fault means: do not publish.

    Faults name a file by its path, and by its source before it where there are several.
    """
    models, faults = _models(sources)
    switched_on = any(LEGACY_MODE in source.files for source in sources)
    documents: list[tuple[Source, Document]] = []
    overlays: list[Document] = []
    older: list[Document] = []
    for source in sources:
        prefix = f"{source.name}/" if len(sources) > 1 else ""
        if not source.offerings and not source.legacy:
            faults.append(Fault(source.name, 0, "", "holds no <family>/<offering>.yaml"))
        for path in (*source.offerings, *(source.legacy if switched_on else ())):
            try:
                document = read_yaml(prefix + path, source.files[path])
            except Unreadable as unreadable:
                faults.append(unreadable.fault)
                continue
            if path in source.legacy:
                older.append(document)
            elif is_overlay(document):
                overlays.append(document)
            else:
                documents.append((source, document))
    whole, hidden, found = laid_over([document for _, document in documents], overlays)
    faults += found
    read: list[_Read] = []
    for (source, _), laid in zip(documents, whole, strict=True):
        document, found = written_out(laid)
        faults += found
        if found:
            continue
        offering, found = _offering(document)
        faults += found
        if offering is not None:
            read.append(_Read(source, document, document, offering))
    mode, expanded, others, found = _expanded(older, read, hidden)
    faults += found
    read += expanded
    ids = {one.offering.name: one.offering.id for one in read}
    offerings: list[ServiceOffering] = []
    faulty: set[int] = set()
    for one in read:
        document, offering = one.document, one.offering
        template, found = _template(one.source, one.beside, offering)
        if template is not None:
            found = [*found, *guard.faults_of_offering(document, offering, template, ids, models)]
        if one.beside is not document:
            # What is wrong with the successor, or was not checked there, is told there.
            found = [] if id(one.beside) in faulty else refused(found)
        elif refused(found):
            faulty.add(id(document))
        faults += found
        if template is None:
            continue
        if all(parent in ids for parent in offering.parents):
            made = service_offering(offering, template, [ids[parent] for parent in offering.parents])
            if isinstance(document, legacy.ExpandedDocument):
                made = legacy.finished(made, document, mode)
            offerings.append(_hidden(made, hidden.get(offering.name, frozenset())))
    offerings += others
    described = [(one.document, one.offering) for one in read]
    catalog = Catalog(tuple(offerings), origins=Origins(described))
    faults += guard.faults_of_catalog(described)
    return catalog, bounded(faults)


@dataclass(frozen=True)
class _Read:
    """An offering's file, its source, and the file beside which its template stands."""

    source: Source
    document: Document
    beside: Document
    offering: OfferingFile


def _offering(document: Document) -> tuple[OfferingFile | None, list[Fault]]:
    try:
        return OfferingFile.model_validate(document.data), []
    except ValidationError as invalid:
        return None, faults_of_validation(document, invalid)


def _expanded(
    documents: Sequence[Document], read: Sequence[_Read], hidden: Hidden
) -> tuple[legacy.Mode, list[_Read], list[ServiceOffering], list[Fault]]:
    """Read the files of older offerings, and make offerings of them by what was *read* of today's."""
    known, faults = legacy.legacy_documents(documents)
    by_name = {one.offering.name: one for one in read}
    files, others, found = legacy.expanded(
        known, {name: one.document for name, one in by_name.items()}, hidden
    )
    faults += found
    made = []
    for document, successor in files:
        offering, found = _offering(document)
        faults += found
        if offering is not None:
            made.append(_Read(by_name[successor].source, document, by_name[successor].beside, offering))
    return known.mode, made, others, faults


def _hidden(offering: ServiceOffering, names: frozenset[str | None]) -> ServiceOffering:
    if not names:
        return offering
    plans = tuple(replace(plan, withdrawn=plan.withdrawn or plan.name in names) for plan in offering.plans)
    return replace(offering, plans=plans, withdrawn=offering.withdrawn or None in names)


def _models(sources: Sequence[Source]) -> tuple[Models, list[Fault]]:
    """Return the model files of all *sources* beside the shipped ones; those of a later source go first."""
    models, faults = shipped(), []
    for source in sources:
        try:
            models = models.beside(source.models)
        except ModelFileBroken as broken:
            faults.append(Fault(f"{TEAMS_FOLDER}/{broken.name}", 0, "", broken.reason))
    return models, faults


def _template(
    source: Source, document: Document, offering: OfferingFile
) -> tuple[Template | None, list[Fault]]:
    """Read the template that stands beside the offering's file, in the same source."""
    shown = PurePosixPath(document.file).with_name(offering.template)
    content = source.files.get("/".join(shown.parts[-2:]))
    if content is None:
        return None, [Fault(str(shown), 0, "", "cannot be read: there is no such file")]
    try:
        return template_of(read_json(str(shown), content))
    except Unreadable as unreadable:
        return None, [unreadable.fault]
