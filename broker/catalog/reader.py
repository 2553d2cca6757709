"""Reads the offerings of sources; every fault with its file and place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from broker.azure_models import TEAMS_FOLDER, ModelFileBroken, Models, shipped
from broker.catalog import guard
from broker.catalog.faults import CatalogRefused, Fault, bounded, refused
from broker.catalog.files import Document, Unreadable, read_json, read_yaml
from broker.catalog.form_faults import faults_of_validation
from broker.catalog.format import OfferingFile
from broker.catalog.inheritance import written_out
from broker.catalog.offerings import service_offering
from broker.catalog.origins import Origins
from broker.catalog.overlays import is_overlay, laid_over
from broker.catalog.sources import Source
from broker.catalog.templates import Template, template_of
from broker.domain.catalog import Catalog, ServiceOffering

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
        return read_sources([Source.of_folder(FOLDER, folder)])[1]
    except CatalogRefused as unread:
        return list(unread.faults)


def read_sources(sources: Sequence[Source]) -> tuple[Catalog, list[Fault]]:
    """
    Read and check the offerings of all *sources* together; warnings aside, a fault means: do not publish.

    Faults name a file by its path, and by its source before it where there are several.
    """
    models, faults = _models(sources)
    documents: list[tuple[Source, Document]] = []
    overlays: list[Document] = []
    for source in sources:
        prefix = f"{source.name}/" if len(sources) > 1 else ""
        if not source.offerings:
            faults.append(Fault(source.name, 0, "", "holds no <family>/<offering>.yaml"))
        for path in source.offerings:
            try:
                document = read_yaml(prefix + path, source.files[path])
            except Unreadable as unreadable:
                faults.append(unreadable.fault)
                continue
            if is_overlay(document):
                overlays.append(document)
            else:
                documents.append((source, document))
    whole, hidden, found = laid_over([document for _, document in documents], overlays)
    faults += found
    read: list[tuple[Source, Document, OfferingFile]] = []
    for (source, _), laid in zip(documents, whole, strict=True):
        document, found = written_out(laid)
        faults += found
        if found:
            continue
        try:
            read.append((source, document, OfferingFile.model_validate(document.data)))
        except ValidationError as invalid:
            faults += faults_of_validation(document, invalid)
    ids = {offering.name: offering.id for _, _, offering in read}
    offerings: list[ServiceOffering] = []
    for source, document, offering in read:
        template, found = _template(source, document, offering)
        faults += found
        if template is None:
            continue
        faults += guard.faults_of_offering(document, offering, template, ids, models)
        if offering.parent is None or offering.parent in ids:
            made = service_offering(offering, template, ids.get(offering.parent or ""))
            offerings.append(_hidden(made, hidden.get(offering.name, frozenset())))
    catalog = Catalog(
        tuple(offerings), origins=Origins((document, offering) for _, document, offering in read)
    )
    faults += guard.faults_of_catalog([(document, offering) for _, document, offering in read])
    return catalog, bounded(faults)


def _hidden(offering: ServiceOffering, names: frozenset[str | None]) -> ServiceOffering:
    if not names:
        return offering
    plans = tuple(replace(plan, withdrawn=plan.name in names) for plan in offering.plans)
    return replace(offering, plans=plans, withdrawn=None in names)


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
