import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from broker.cli.catalog_check import read_folder
from broker.cli.catalog_registry import files_of, told_faults
from broker.cli.client import Exit, admin_client
from broker.cli.output import Column, Form, Output, listed, shown

_COLUMNS: list[Column] = [("WHAT", "thing"), ("WHERE", "field"), ("CHANGE", "change"), ("MEANING", "text")]


def diff(
    old: Annotated[Path, typer.Argument(help="The catalog's folder as it was; with --against the only one.")],
    new: Annotated[Path | None, typer.Argument(help="The folder as it shall be.")] = None,
    *,
    against: Annotated[
        str | None, typer.Option(metavar="PROFILE", help="Ask this broker what it would say to the folder.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="With --against: of the source; the folder's own if left out.")
    ] = None,
    output: Output = Form.TABLE,
) -> None:
    """
    Tell what changes between two catalogs, for users and for living instances, and what of it a broker refuses.

    Of two folders everything counts as used. With --against, a running broker tells what would change if the one
    folder were registered there, and knows what is in use; nothing is published. What is refused or worth a warning is
    printed on standard error beside a table, and stands in JSON and YAML.

    Exit status: 0 a broker takes the change, with warnings perhaps; 1 it refuses it, or one of the catalogs.
    """
    if (new is None) == (against is None):
        print("Give two folders, or one folder and --against.", file=sys.stderr)
        sys.exit(Exit.USAGE)
    told = _of_broker(old, against, name) if against is not None else _of_folders(old, new or old)
    if output is not Form.TABLE:
        shown(told, output)
    else:
        if told["differences"]:
            listed(told["differences"], _COLUMNS, output)
        elif not told["refused"]:
            print("Nothing changes.")
        told_faults(told)
    if told["refused"]:
        sys.exit(Exit.FAILED)


def _of_folders(old: Path, new: Path) -> dict[str, Any]:
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
    faults = broken or [*more, *refusals(before, after, UNKNOWN_USE)]
    return {
        "refused": bool(refused(faults)),
        "differences": [] if broken else [one.as_document() for one in differences(before, after)],
        "faults": [fault.as_document() for fault in faults],
    }


def _of_broker(folder: Path, profile: str, name: str | None) -> Mapping[str, Any]:
    name = name or folder.resolve().name
    body = {"name": name, "files": files_of(folder, name), "reason": "osb catalog diff", "dry_run": True}
    with admin_client(profile) as client:
        would = client.post("/catalog/proposals", body)
    return {key: would[key] for key in ("revision", "refused", "differences", "faults")}
