import asyncio
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from broker.cli.catalog_reading import Overlays, catalog_of, sources_of

app = typer.Typer(help="What the broker may do in Azure, and whether it works there.", no_args_is_help=True)


class Form(StrEnum):
    """How findings are printed."""

    TEXT = "text"
    JSON = "json"


@app.command()
def check(
    *,
    form: Annotated[Form, typer.Option("-o", "--output", help="How to print what was found.")] = Form.TEXT,
) -> None:
    """
    Ask Azure what the catalog's plans need: sign-in, region, resource groups, providers, permissions.

    Nothing is changed. Reads the settings about Azure; those of a running broker may be missing. Exit status 1 if
    anything is missing.
    """
    from broker.cli.failures import told_in_one_line
    from broker.logs import configure_logs
    from broker.proving.azure_settings import read_azure_settings
    from broker.proving.findings import looked_around

    settings = read_azure_settings()
    configure_logs("error", "text")
    with told_in_one_line():
        found = asyncio.run(looked_around(settings))
    missing = [finding for finding in found if finding.state == "missing"]
    if form is Form.JSON:
        print(json.dumps({"ok": not missing, "findings": [vars(finding) for finding in found]}, indent=2))
    else:
        for finding in found:
            print(finding)
        print(f"{len(missing)} missing." if missing else "Nothing is missing.")
    if missing:
        sys.exit(1)


@app.command()
def role(
    folder: Annotated[
        Path | None, typer.Argument(help="The catalog's folder; the shipped one if left out.")
    ] = None,
    *,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="Where the role can be assigned: the id of a resource group or subscription; repeatable."
        ),
    ] = None,
    subscription: Annotated[
        bool,
        typer.Option("--subscription", help="The second role instead: what is looked up in a subscription."),
    ] = False,
    condition: Annotated[
        bool, typer.Option("--condition", help="The condition of the role's assignment instead.")
    ] = False,
    overlay: Overlays = None,
) -> None:
    """
    Print the custom role that the broker's identity needs for a catalog, for `az role definition create`.

    It holds what the catalog's plans and bindings do, and nothing else. Nothing is asked of Azure.
    """
    from broker.catalog.rights import rights_of
    from broker.cli.failures import told_in_one_line
    from broker.proving import role_definition as roles
    from broker.shipped import shipped

    with told_in_one_line():
        catalog = catalog_of(sources_of(folder or shipped("catalog"), overlay or ()))
    plans = [plan for offering in catalog.offerings for plan in offering.plans]
    rights = rights_of(plans)
    if condition:
        print(roles.condition(rights.roles) if rights.roles else "No binding of this catalog assigns a role.")
        return
    if not scope:
        raise typer.BadParameter("give the id of a resource group or subscription", param_hint="--scope")
    own_groups = any(plan.recipe.get("placement", {}).get("group") == "own" for plan in plans)
    made = (
        roles.subscription_role(rights, scope)
        if subscription
        else roles.group_role(rights, scope, own_groups=own_groups)
    )
    print(json.dumps(made, indent=2))


@app.command()
def permissions(
    *,
    write: Annotated[Path | None, typer.Option(help="Write to this file instead of standard output.")] = None,
) -> None:
    """Print the page about the rights that the shipped catalog's plans need, offering by offering."""
    from broker.catalog.reader import read_catalog
    from broker.cli.permissions_page import permissions_page
    from broker.shipped import shipped

    page = permissions_page(read_catalog(shipped("catalog")))
    if write is None:
        print(page, end="")
    else:
        write.write_text(page, encoding="utf-8")


@app.command()
def errors(
    *,
    write: Annotated[Path | None, typer.Option(help="Write to this file instead of standard output.")] = None,
) -> None:
    """Print what Azure's error codes mean, what to do about each, and whose job that is."""
    from broker.cli.error_codes_page import error_codes_page

    page = error_codes_page()
    if write is None:
        print(page, end="")
    else:
        write.write_text(page, encoding="utf-8")


@app.command()
def smoke(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="What to order, as OFFERING/PLAN.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether the costs are agreed to.")] = False,
    parameters: Annotated[str, typer.Option(help="Parameters of the order, as a JSON object.")] = "{}",
    keep_data_folder: Annotated[
        bool, typer.Option("--keep-data-folder", help="Keep the broker's database, keys and log.")
    ] = False,
) -> None:
    """
    Order, bind, use and delete a service instance in Azure, for real, and look for what is left. THIS COSTS MONEY.

    A broker of its own is started on loopback, with SQLite in a temporary folder, and asked through the Open Service
    Broker API. Only the settings about Azure are read. The login is tried from this machine, so
    BROKER_EGRESS_ADDRESSES has to hold its public address. Ctrl-C cleans up; a second one stops that and says what
    is left behind. Exit status 0 only if all was seen; 130 after Ctrl-C.
    """
    from broker.cli.failures import told_in_one_line
    from broker.logs import configure_logs
    from broker.proving import smoke as smoking
    from broker.proving.azure_settings import read_azure_settings
    from broker.proving.orders import WrongOrder

    broker_id = smoking.drawn_broker_id()
    settings = read_azure_settings(broker_id=broker_id)
    configure_logs("error", "text")
    with told_in_one_line():
        try:
            order = smoking.order(settings, plan, parameters)
        except WrongOrder as wrong:
            print(wrong, file=sys.stderr)
            sys.exit(2)
        print(smoking.warning(settings, order))
        if not yes:
            typer.confirm("Go on?", abort=True)
        sys.exit(asyncio.run(smoking.smoke(settings, order, keep_data_folder=keep_data_folder)))
