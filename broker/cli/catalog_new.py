import json
import re
import shlex
import sys
import uuid
from pathlib import Path
from typing import Annotated

import typer


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the offering, such as azure-redis.")],
    *,
    template: Annotated[
        Path, typer.Option(help="An ARM template, or what `bicep build` made; for a resource group.")
    ],
    out: Annotated[Path, typer.Option(help="The catalog's folder; the family is a folder in it.")] = Path(
        "catalog"
    ),
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
) -> None:
    """
    Make a family from an ARM template: an offering with one plan, and the template made fit for the broker.

    Names and tags become the broker's, each parameter is declared, secrets leave the outputs. The result passes `osb
    catalog check`; comments marked DECIDE tell what its author has to think about. What is not supported is said, and
    nothing written then.
    """
    from broker.azure_models import TEAMS_FOLDER, ModelFileBroken, shipped
    from broker.catalog.drafts import NotDraftable, family
    from broker.catalog.examples import sample
    from broker.catalog.faults import CatalogRefused, refused
    from broker.catalog.files import Unreadable, read_json
    from broker.catalog.reader import read_sources
    from broker.catalog.sources import Source

    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", name):
        print(f"{name!r} is no name: up to 63 lower-case letters, digits, dots and dashes.", file=sys.stderr)
        sys.exit(2)
    file = re.sub(r"[^A-Za-z0-9._-]", "-", template.stem).lstrip(".-") or "main"
    try:
        models = shipped().of_folder(out / TEAMS_FOLDER)
        document = read_json(template.name, template.read_bytes())
        if not isinstance(document.data, dict):
            raise NotDraftable(["it is no JSON object"])
        files, notes = family(name, document.data, f"{file}.json", models, lambda: str(uuid.uuid4()))
        own = {
            f"{TEAMS_FOLDER}/{path.name}": path.read_bytes() for path in (out / TEAMS_FOLDER).glob("*.json")
        }
        source = Source("new", {**{path: text.encode() for path, text in files.items()}, **own})
        catalog, faults = read_sources([source])
        if found := refused(faults):
            raise NotDraftable([str(fault) for fault in found])
    except OSError as fault:
        print(f"{template}: cannot be read: {fault.strerror}.", file=sys.stderr)
        sys.exit(1)
    except (Unreadable, ModelFileBroken, CatalogRefused) as broken:
        print(broken, file=sys.stderr)
        sys.exit(1)
    except NotDraftable as reason:
        print(f"Of {template} no family can be made:", file=sys.stderr)
        for each in reason.reasons:
            print(f"  {each}", file=sys.stderr)
        sys.exit(1)
    there = [str(out / path) for path in files if (out / path).exists()]
    if there and not force:
        print(f"{', '.join(there)}: there already; --force writes over it.", file=sys.stderr)
        sys.exit(1)
    for path, text in files.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(text, encoding="utf-8")
        print(out / path)
    for note in notes:
        print(f"  {note}")
    for warning in faults:
        print(warning, file=sys.stderr)
    (plan,) = catalog.offerings[0].plans
    words = ["osb", "catalog", "try", f"{name}/{plan.name}", "--folder", str(out)]
    schema = plan.create_schema or {}
    if needed := {key: sample(schema["properties"][key]) for key in schema.get("required", ())}:
        words += ["--params", json.dumps(needed)]
    print(f"Decide what is marked DECIDE, then try it:\n  {shlex.join(words)}")
