"""Reads a folder of offerings; every fault with its file and place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from broker.catalog import guard
from broker.catalog.faults import CatalogRefused, Fault, refused
from broker.catalog.files import Document, Unreadable, read_json, read_yaml
from broker.catalog.format import OfferingFile
from broker.catalog.offerings import service_offering
from broker.catalog.templates import Template, template_of
from broker.domain.catalog import Catalog, ServiceOffering

AT_MOST_FILES = 500


def read_catalog(folder: Path) -> Catalog:
    """
    Read and check *folder*: `<family>/<offering>.yaml` with ARM templates beside them.

    Raises:
        CatalogRefused: With every fault that was found.
    """
    catalog, faults = _read(folder)
    if refusals := refused(faults):
        raise CatalogRefused(refusals)
    return catalog


def check(folder: Path) -> list[Fault]:
    """Tell all that is wrong with *folder*; an empty list when a broker would take it."""
    return sorted(_read(folder)[1])


def _read(folder: Path) -> tuple[Catalog, list[Fault]]:
    files = sorted(folder.glob("*/*.yaml"))
    if not files:
        return Catalog(()), [Fault(str(folder), 0, "", "holds no <family>/<offering>.yaml")]
    if len(files) > AT_MOST_FILES:
        return Catalog(()), [Fault(str(folder), 0, "", f"holds more than {AT_MOST_FILES} offerings")]
    strays = [*folder.glob("*.y*ml"), *folder.glob("*/*.yml"), *folder.glob("*/*/**/*.y*ml")]
    faults = [Fault(str(f.relative_to(folder)), 0, "", "is not at <family>/<offering>.yaml") for f in strays]
    read: list[tuple[Document, OfferingFile]] = []
    for file in files:
        try:
            document = read_yaml(file, folder)
        except Unreadable as unreadable:
            faults.append(unreadable.fault)
            continue
        try:
            read.append((document, OfferingFile.model_validate(document.data)))
        except ValidationError as invalid:
            faults += _of_validation(document, invalid)
    ids = {offering.name: offering.id for _, offering in read}
    offerings: list[ServiceOffering] = []
    for document, offering in read:
        template, found = _template(folder, document, offering)
        faults += found
        if template is None:
            continue
        faults += guard.faults_of_offering(document, offering, template, ids)
        if offering.parent is None or offering.parent in ids:
            offerings.append(service_offering(offering, template, ids.get(offering.parent or "")))
    catalog = Catalog(tuple(offerings))
    faults += guard.faults_of_catalog([document.file for document, _ in read], [o for _, o in read])
    return catalog, sorted(set(faults))


def _template(
    folder: Path, document: Document, offering: OfferingFile
) -> tuple[Template | None, list[Fault]]:
    file = (folder / document.file).parent / offering.template
    try:
        return template_of(read_json(file, folder))
    except Unreadable as unreadable:
        return None, [unreadable.fault]


def _of_validation(document: Document, invalid: ValidationError) -> list[Fault]:
    faults = []
    for error in invalid.errors(include_url=False):
        path = tuple(part for part in error["loc"] if part not in {"word", "derived", "[key]"})
        faults.append(document.fault(path, _said(error["type"], error["msg"], error.get("ctx") or {})))
    return faults


def _said(kind: str, message: str, context: Mapping[str, object]) -> str:
    if kind == "extra_forbidden":
        return "is not known to this version"
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return str(context.get("error", message))
    return message[:1].lower() + message[1:]
