import sys
from pathlib import Path
from typing import Annotated

import typer


def docs(
    folder: Annotated[
        Path | None, typer.Argument(help="The catalog's folder; the shipped one if left out.")
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder for the pages; made if it is not there.")],
) -> None:
    """
    Write a page for each service offering: plans, parameters, credentials, durations, examples for each platform.

    Made again, a page keeps what stands between its two marks for notes. Pages of offerings that are gone are named,
    not removed.
    """
    from broker.catalog.pages import file_name, index_of, notes_of, offered, page_of
    from broker.catalog.reader import read_catalog
    from broker.cli.failures import told_in_one_line
    from broker.shipped import shipped

    with told_in_one_line():
        catalog = read_catalog(folder or shipped("catalog"))
    out.mkdir(parents=True, exist_ok=True)
    pages = {"README.md": index_of(catalog)}
    for offering in offered(catalog):
        place = out / file_name(offering)
        notes = notes_of(place.read_text(encoding="utf-8")) if place.exists() else ""
        pages[place.name] = page_of(catalog, offering, notes)
    for name, page in pages.items():
        (out / name).write_text(page, encoding="utf-8")
    for stray in sorted(path.name for path in out.glob("*.md") if path.name not in pages):
        print(f"{out / stray} is of no offering; remove it if nothing needs it.", file=sys.stderr)
    print(f"{len(pages) - 1} offerings in {out}.")
