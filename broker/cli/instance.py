from typing import Annotated

import typer

from broker.cli.client import ProfileName, admin_client
from broker.cli.output import Column, Form, Output, age, listed

app = typer.Typer(help="Service instances, as an operator sees them.", no_args_is_help=True)

_COLUMNS: list[Column] = [
    ("PLATFORM", "platform"),
    ("INSTANCE", "instance_id"),
    ("PLAN", lambda one: f"{one['offering']}/{one['plan']}" if "plan" in one else one.get("service_plan_id")),
    ("STATE", "state"),
    ("PLACE", lambda one: one.get("namespace") or one.get("space")),
    ("AGE", lambda one: age(one["created_at"])),
    ("OPERATION", "operation.kind"),
    ("STUCK", "operation.stuck"),
]


@app.callback()
def _nouns() -> None:
    """Keep `list` a command of its own while it is the only one."""


@app.command("list")
def list_(
    *,
    platform: Annotated[str | None, typer.Option(help="Of this platform only.")] = None,
    state: Annotated[
        list[str] | None, typer.Option(help="In this state; may be given several times.")
    ] = None,
    plan: Annotated[str | None, typer.Option(help="OFFERING/PLAN, OFFERING, or a plan's id.")] = None,
    search: Annotated[
        str | None, typer.Option(help="A part of an id, name, namespace, space, organization or alias.")
    ] = None,
    stuck: Annotated[bool, typer.Option("--stuck", help="With an operation that does not get on.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Whose creation or deletion has failed.")] = False,
    older_than: Annotated[
        str | None, typer.Option(help="Ordered at least this long ago, such as 2h.")
    ] = None,
    newer_than: Annotated[str | None, typer.Option(help="Ordered at most this long ago, such as 2h.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """List living service instances of all platforms, the newest first."""
    query = {
        "platform": platform, "state": state, "plan": plan, "search": search, "stuck": stuck, "failed": failed,
        "older_than": older_than, "newer_than": newer_than,
    }  # fmt: skip
    with admin_client(profile) as client:
        found, more = client.items("/instances", query, at_most=limit)
    listed(found, _COLUMNS, output, more=more)
