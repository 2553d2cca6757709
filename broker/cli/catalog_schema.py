from pathlib import Path
from typing import Annotated

import typer


def schema(
    write: Annotated[
        Path | None, typer.Option(help="Write it to this file instead, such as offering.schema.json.")
    ] = None,
) -> None:
    """Show the JSON schema of an offering's file: editors complete and explain keys by it."""
    from broker.catalog.form_schema import written

    if write is None:
        print(written(), end="")
    else:
        write.write_text(written(), encoding="utf-8")
