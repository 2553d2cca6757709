import sys
from pathlib import Path
from typing import Annotated

import typer

from broker.cli import catalog_model, catalog_registry, catalog_trial

app = typer.Typer(help="Offerings and plans: on disk, and in a running broker.", no_args_is_help=True)


app.command("model")(catalog_model.model)
app.command("try")(catalog_trial.try_)
app.command("register")(catalog_registry.register)
app.command("unregister")(catalog_registry.unregister)
app.command("withdraw")(catalog_registry.withdraw)
app.command("restore")(catalog_registry.restore)
app.command("rollback")(catalog_registry.rollback)
app.command("sources")(catalog_registry.sources)
app.command("revisions")(catalog_registry.revisions)
app.command("show")(catalog_registry.show)


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
