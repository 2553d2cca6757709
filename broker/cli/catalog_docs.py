from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.cli.catalog_reading import Overlays, catalog_of, sources_of
from broker.cli.client import admin_client, part

if TYPE_CHECKING:
    from broker.domain.catalog import Catalog


def docs(
    folder: Annotated[
        Path | None, typer.Argument(help="The catalog's folder; the shipped one if left out.")
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder for the pages; made if it is not there.")],
    credentials: Annotated[
        Path | None,
        typer.Option(help="A page in which the table of all keys of the credentials is made anew."),
    ] = None,
    overlay: Overlays = None,
    against: Annotated[
        str | None, typer.Option(metavar="PROFILE", help="Of what this broker offers, instead of a folder.")
    ] = None,
) -> None:
    """
    Write a page for each service offering: plans, parameters, credentials, durations, examples for each platform.

    Made again, a page keeps what stands between its two marks for notes. Pages of offerings that are gone are named,
    not removed.
    """
    from broker.catalog.credential_keys import credentials_table, with_table
    from broker.catalog.pages import file_name, index_of, offered, page_of
    from broker.cli.failures import told_in_one_line
    from broker.shipped import shipped

    if against is not None and (folder or overlay):
        raise typer.BadParameter("--against asks a broker; name no folder besides")
    with told_in_one_line():
        if against is not None:
            catalog = _of_broker(against)
        else:
            catalog = catalog_of(sources_of(folder or shipped("catalog"), overlay or ()))
    out.mkdir(parents=True, exist_ok=True)
    pages = {"README.md": index_of(catalog, _notes(out / "README.md"))}
    for offering in offered(catalog):
        pages[file_name(offering)] = page_of(catalog, offering, _notes(out / file_name(offering)))
    for name, page in pages.items():
        (out / name).write_text(page, encoding="utf-8")
    if credentials is not None:
        try:
            page = with_table(credentials.read_text(encoding="utf-8"), credentials_table(catalog))
        except ValueError as error:
            raise typer.BadParameter(f"{credentials}: {error}", param_hint="--credentials") from None
        credentials.write_text(page, encoding="utf-8")
    for stray in sorted(path.name for path in out.glob("*.md") if path.name not in pages):
        print(f"{out / stray} is of no offering; remove it if nothing needs it.", file=sys.stderr)
    print(f"{len(pages) - 1} offerings in {out}.")


def _notes(page: Path) -> str:
    from broker.catalog.pages import notes_of

    return notes_of(page.read_text(encoding="utf-8")) if page.exists() else ""


def _of_broker(profile: str) -> Catalog:
    """Read what the revision in force of a running broker is merged from, and leave out what it has withdrawn."""
    from broker.catalog.sources import Source

    with admin_client(profile) as client:
        revision = client.get("/catalog")["revision"]
        published = client.get(f"/catalog/revisions/{part(str(revision))}")
        names = [one["name"] for one in client.get("/catalog/sources")["items"]]
        files = {name: client.get(f"/catalog/sources/{part(name)}")["files"] for name in names}
    sources = [
        Source(name, {path: text.encode() for path, text in texts.items()}) for name, texts in files.items()
    ]
    offered = {
        one["id"]: {plan["id"] for plan in one["plans"] if not plan["withdrawn"]}
        for one in published["offerings"]
        if not one["withdrawn"]
    }
    catalog = catalog_of(sources)
    return replace(
        catalog,
        offerings=tuple(
            replace(
                offering,
                withdrawn=offering.id not in offered,
                plans=tuple(
                    replace(plan, withdrawn=plan.id not in offered.get(offering.id, ()))
                    for plan in offering.plans
                ),
            )
            for offering in catalog.offerings
        ),
    )
