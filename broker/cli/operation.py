from typing import Annotated

import typer

from broker.cli.client import ProfileName, admin_client, part
from broker.cli.deeds import LONG, DryRun, Reason, Timeout, Wait, Yes, do, follow
from broker.cli.output import Column, Form, Output, age, listed, shown

app = typer.Typer(help="What the broker is doing and has done.", no_args_is_help=True)

OperationId = Annotated[str, typer.Argument(metavar="OPERATION", help="The operation's id.")]

_COLUMNS: list[Column] = [
    ("OPERATION", "id"),
    ("KIND", "kind"),
    ("STATUS", "status"),
    ("INSTANCE", "instance_id"),
    ("BINDING", "binding_id"),
    ("AGE", lambda one: age(one["created_at"])),
    ("STUCK", "stuck"),
    ("DESCRIPTION", "description"),
]
_EVENTS: list[Column] = [("AT", "at"), ("WHAT", "what"), ("BY", "by"), ("DETAIL", "detail")]


@app.command("list")
def list_(
    *,
    instance: Annotated[str | None, typer.Option(help="Of this service instance and its bindings.")] = None,
    binding: Annotated[str | None, typer.Option(help="Of this service binding.")] = None,
    platform: Annotated[str | None, typer.Option(help="Of this platform only.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Of this kind; may be given several times.")] = None,
    status: Annotated[
        list[str] | None, typer.Option(help="With this state; may be given several times.")
    ] = None,
    stuck: Annotated[bool, typer.Option("--stuck", help="That do not get on.")] = False,
    older_than: Annotated[
        str | None, typer.Option(help="Accepted at least this long ago, such as 2h.")
    ] = None,
    newer_than: Annotated[
        str | None, typer.Option(help="Accepted at most this long ago, such as 2h.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """List operations: the stuck ones first, then those in progress, then the newest."""
    query = {
        "instance_id": instance, "binding_id": binding, "platform": platform, "kind": kind, "status": status,
        "stuck": stuck, "older_than": older_than, "newer_than": newer_than,
    }  # fmt: skip
    with admin_client(profile) as client:
        found, more = client.items("/operations", query, at_most=limit)
    listed(found, _COLUMNS, output, more=more)


@app.command()
def show(operation: OperationId, *, profile: ProfileName = None, output: Output = Form.TABLE) -> None:
    """Show an operation and all that happened to it."""
    with admin_client(profile) as client:
        found = client.get(f"/operations/{part(operation)}")
    if output is not Form.TABLE:
        shown(found, output)
        return
    shown(found["operation"], output)
    print()
    listed(found["events"], _EVENTS, output)


@app.command()
def retry(
    operation: OperationId,
    *,
    reason: Reason,
    yes: Yes = False,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = LONG,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """Try what waits now, with a clean slate; or go on with a deletion that has failed."""
    do(
        profile, f"/operations/{part(operation)}/retry", {"reason": reason},
        yes=yes, dry_run=dry_run, wait=wait, timeout=timeout, output=output,
    )  # fmt: skip


@app.command()
def cancel(
    operation: OperationId,
    *,
    reason: Reason,
    yes: Yes = False,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = LONG,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """End a running creation, update or bind; what was made is removed, an update leaves the old plan in force."""
    do(
        profile, f"/operations/{part(operation)}/cancel", {"reason": reason},
        yes=yes, dry_run=dry_run, wait=wait, timeout=timeout, output=output,
    )  # fmt: skip


@app.command()
def wait(
    operation: OperationId,
    *,
    timeout: Timeout = LONG,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """Wait for the end of an operation, and tell how it goes; exit status 1 if it fails, 6 if it still goes on."""
    follow(profile, operation, timeout=timeout, output=output)
