import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.output import Form, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from broker.catalog.faults import Fault
    from broker.domain.catalog import Catalog


class CheckForm(StrEnum):
    """How faults are printed; `github` is what GitHub's and Gitea's runners put beside the lines of a pull request."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    GITHUB = "github"


def check(
    folder: Annotated[
        Path | None, typer.Argument(help="The catalog's folder; the shipped one if left out.")
    ] = None,
    output: Annotated[CheckForm, typer.Option("-o", "--output", help="How to print.")] = CheckForm.TEXT,
) -> None:
    """
    Read a catalog and name each fault with file, line and path; neither database nor Azure is asked.

    Exit status: 0 a broker takes it, with warnings perhaps; 1 it is refused.
    """
    from broker.catalog.faults import refused
    from broker.shipped import shipped as shipped_with_broker

    place = folder or shipped_with_broker("catalog")
    catalog, faults = read_folder(place)
    print_faults(faults, output, place)
    if refused(faults):
        sys.exit(1)
    if output is CheckForm.TEXT:
        for offering in catalog.offerings:
            print(f"{offering.name}: {', '.join(plan.name for plan in offering.plans)}")


def read_folder(folder: Path) -> "tuple[Catalog, list[Fault]]":
    """Read a folder, and tell what is wrong with it."""
    from broker.catalog.faults import CatalogRefused
    from broker.catalog.reader import FOLDER, read_sources
    from broker.catalog.sources import Source
    from broker.domain.catalog import Catalog

    try:
        return read_sources([Source.of_folder(FOLDER, folder)])
    except CatalogRefused as unread:
        return Catalog(()), list(unread.faults)


def print_faults(faults: "Sequence[Fault]", form: CheckForm, folder: Path) -> None:
    """Print faults: as text on standard error, in other forms on standard output."""
    if form is CheckForm.TEXT:
        for fault in faults:
            print(fault, file=sys.stderr)
    elif form is CheckForm.GITHUB:
        for fault in faults:
            print(_annotation(fault, folder))
    else:
        number = sum(fault.severity == "refused" for fault in faults)
        document = {
            "refused": number,
            "warnings": len(faults) - number,
            "faults": [fault.as_document() for fault in faults],
        }
        shown(document, Form(form.value))


def _annotation(fault: "Fault", folder: Path) -> str:
    """Write a workflow command; its own signs are escaped in values."""
    level = "warning" if fault.severity == "warning" else "error"
    said = {"file": (folder / fault.file).as_posix(), "line": str(fault.line or 1), "title": fault.path}
    properties = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in said.items() if value)
    return f"::{level} {properties}::{_escaped(fault.message)}"


def _escaped(value: str, more: str = "") -> str:
    for sign in "%\r\n" + more:
        value = value.replace(sign, f"%{ord(sign):02X}")
    return value
