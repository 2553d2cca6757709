import json
import sys
from typing import Annotated

import typer

from broker.cli.client import Exit, ProfileName, admin_client
from broker.cli.output import Form, Output, shown


def preflight(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="OFFERING/PLAN, or a plan's id.")],
    *,
    parameters: Annotated[str, typer.Option(help="Parameters of the order, as a JSON object.")] = "{}",
    context: Annotated[str, typer.Option(help="Context of the order, as a JSON object.")] = "{}",
    platform: Annotated[str | None, typer.Option(help="Whose order it would be.")] = None,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """
    Say what an order would be answered: Azure is asked, nothing is made.

    Exit status 1 if it would be refused.
    """
    body = {"plan": plan, "parameters": _read(parameters), "context": _read(context)}
    with admin_client(profile) as client:
        told = client.post("/preflight", body | ({"platform": platform} if platform else {}))
    shown(told, output)
    if not told["accepted"]:
        sys.exit(Exit.FAILED)


def _read(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as fault:
        raise typer.BadParameter(f"It is not JSON: {fault}") from fault
