import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from broker.cli.output import Form, Output, listed

app = typer.Typer(help="Tenant rules on disk: who may order what, and where it goes.", no_args_is_help=True)

RulesFile = Annotated[Path, typer.Argument(metavar="FILE", help="The file of tenant rules.")]
CatalogFolder = Annotated[
    Path | None, typer.Option("--catalog", help="The catalog's folder; the shipped one if left out.")
]


@app.command()
def check(
    file: RulesFile,
    *,
    catalog: CatalogFolder = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with status 1 for warnings too.")] = False,
) -> None:
    """
    Read tenant rules and name each fault with its line: what can never match, and what the catalog does not have.

    Exit status 1 if a broker would refuse them. Neither database nor Azure is asked.
    """
    from broker.catalog.faults import refused
    from broker.cli.failures import told_in_one_line
    from broker.tenants.checking import findings
    from broker.tenants.reader import content_of, parsed

    with told_in_one_line():
        read = parsed(file.name, content_of(file))
        found = list(read.faults) if refused(read.faults) else findings(read, _catalog(catalog))
    for fault in found:
        print(fault, file=sys.stderr)
    if refused(found) or (strict and found):
        sys.exit(1)
    print(f"Rules: {', '.join(rule.name for rule in read.rules.rules) or 'none'}")


@app.command()
def explain(
    file: RulesFile,
    *,
    platform: Annotated[str, typer.Option(help="Who orders: a name in BROKER_PLATFORMS.")],
    context: Annotated[str, typer.Option(help="Context of the order, as a JSON object.")] = "{}",
    organization_guid: Annotated[str | None, typer.Option(help="What is sent beside the context.")] = None,
    space_guid: Annotated[str | None, typer.Option(help="What is sent beside the context.")] = None,
    view: Annotated[str, typer.Option(help="The view under whose address it is ordered.")] = "",
    plan: Annotated[str | None, typer.Option(help="OFFERING/PLAN, or a plan's id; all if left out.")] = None,
    catalog: CatalogFolder = None,
    output: Output = Form.TABLE,
) -> None:
    """Tell what an order would be given, and by which rule. Neither database nor Azure is asked."""
    from broker.api.messages import context_of
    from broker.cli.failures import told_in_one_line
    from broker.domain.tenants import Tenant
    from broker.errors import MalformedRequest
    from broker.tenants.explaining import explained
    from broker.tenants.reader import read_rules

    try:
        tenant = Tenant.of(platform, context_of(_object(context), organization_guid, space_guid), view)
    except MalformedRequest as fault:
        raise typer.BadParameter(str(fault)) from fault
    with told_in_one_line():
        rules, offered = read_rules(file), _catalog(catalog)
    if view and rules.view(view, platform) is None:
        raise typer.BadParameter(f"The platform {platform} has no view {view}.")
    try:
        lines = explained(rules, offered, tenant, plan)
    except LookupError as missing:
        raise typer.BadParameter(f"The catalog has no plan {plan}; give OFFERING/PLAN.") from missing
    if output is Form.TABLE:
        print(f"Rules for this order: {', '.join(rule.name for rule in rules.of(tenant)) or 'none'}\n")
    listed(
        [vars(line) for line in lines],
        [("PLAN", "plan"), ("VALUE", "value"), ("IS", _is), ("FROM", "rule"), ("", "note")],
        output,
    )


@app.command()
def schema() -> None:
    """Print the JSON schema of the file, for editors that complete and check."""
    from broker.tenants.format import json_schema

    print(json.dumps(json_schema(), indent=2))


def _is(line: Mapping[str, Any]) -> Any:
    value = line["given"]
    # A parameter is shown as it would be sent.
    return (
        json.dumps(value) if line["value"].startswith("parameter") and not isinstance(value, str) else value
    )


def _catalog(folder: Path | None) -> Any:
    from broker.catalog.reader import read_catalog
    from broker.shipped import shipped

    return read_catalog(folder or shipped("catalog"))


def _object(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except ValueError as fault:
        raise typer.BadParameter(f"It is not JSON: {fault}") from fault
    if not isinstance(read, dict):
        raise typer.BadParameter("It is no JSON object.")
    return read
