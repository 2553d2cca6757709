import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from broker.cli.catalog_check import read_folder
from broker.cli.output import Column, Form, Output, listed, shown

_COLUMNS: list[Column] = [("WHAT", "thing"), ("WHERE", "field"), ("CHANGE", "change"), ("MEANING", "text")]


def diff(
    old: Annotated[Path, typer.Argument(help="The catalog's folder as it was.")],
    new: Annotated[Path, typer.Argument(help="The folder as it shall be.")],
    output: Output = Form.TABLE,
) -> None:
    """
    Tell what changes between two catalogs, for users and for living instances, and what of it a broker refuses.

    Nobody is asked, so everything counts as used. What is refused or worth a warning is printed on standard error
    beside a table, and stands in JSON and YAML. Exit status: 0 a broker takes the change, with warnings perhaps; 1 it
    refuses it, or one of the catalogs.
    """
    from broker.catalog.differences import differences
    from broker.catalog.faults import refused
    from broker.catalog.guard import refusals
    from broker.domain.catalog_use import UNKNOWN_USE

    before, faults = read_folder(old)
    after, more = read_folder(new)
    # By their whole paths: both folders have the same files.
    broken = [
        replace(fault, file=f"{folder}/{fault.file}")
        for folder, found_there in ((old, faults), (new, more))
        for fault in refused(found_there)
    ]
    found = [] if broken else differences(before, after)
    faults = broken or [*more, *refusals(before, after, UNKNOWN_USE)]
    if output is Form.TABLE:
        if found:
            listed([one.as_document() for one in found], _COLUMNS, output)
        elif not broken:
            print("Nothing changes.")
        for fault in faults:
            print(fault, file=sys.stderr)
    else:
        document = {
            "differences": [one.as_document() for one in found],
            "faults": [fault.as_document() for fault in faults],
        }
        shown(document, output)
    if refused(faults):
        sys.exit(1)
