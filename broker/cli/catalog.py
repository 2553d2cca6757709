import sys
from pathlib import Path
from typing import Annotated

import typer

from broker.cli import catalog_model, catalog_trial

app = typer.Typer(help="Offerings and plans on disk.", no_args_is_help=True)


app.command("model")(catalog_model.model)
app.command("try")(catalog_trial.try_)


@app.command()
def check(
    folder: Annotated[
        Path | None, typer.Argument(help="The catalog's folder; the shipped one if left out.")
    ] = None,
) -> None:
    """Read a catalog and name each fault with file and path; neither database nor Azure is asked."""
    from broker.catalog.faults import refused
    from broker.catalog.reader import check as faults_of
    from broker.catalog.reader import read_catalog
    from broker.shipped import shipped

    place = folder or shipped("catalog")
    faults = faults_of(place)
    for fault in faults:
        print(fault, file=sys.stderr)
    if refused(faults):
        sys.exit(1)
    for offering in read_catalog(place).offerings:
        print(f"{offering.name}: {', '.join(plan.name for plan in offering.plans)}")
