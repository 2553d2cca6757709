from typing import Annotated

import typer

from broker.cli.client import ProfileName, admin_client, part
from broker.cli.deeds import LONG, DryRun, Platform, Reason, Timeout, Wait, Yes, do
from broker.cli.instance import Delete, InstanceId, Keep, in_azure
from broker.cli.output import Column, Form, Output, age, listed, shown

app = typer.Typer(
    help="Service bindings, as an operator sees them; never their credentials.", no_args_is_help=True
)

BindingId = Annotated[str, typer.Argument(metavar="BINDING", help="The binding's id.")]

_COLUMNS: list[Column] = [
    ("PLATFORM", "platform"),
    ("INSTANCE", "instance_id"),
    ("BINDING", "binding_id"),
    ("STATE", "state"),
    ("AGE", lambda one: age(one["created_at"])),
    ("OPERATION", "operation.kind"),
    ("STUCK", "operation.stuck"),
]


@app.command("list")
def list_(
    *,
    instance: Annotated[str | None, typer.Option(help="Of this service instance only.")] = None,
    platform: Annotated[str | None, typer.Option(help="Of this platform only.")] = None,
    state: Annotated[
        list[str] | None, typer.Option(help="In this state; may be given several times.")
    ] = None,
    stuck: Annotated[bool, typer.Option("--stuck", help="With an operation that does not get on.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Whose creation or deletion has failed.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """List living service bindings of all platforms, the newest first."""
    query = {"instance_id": instance, "platform": platform, "state": state, "stuck": stuck, "failed": failed}
    with admin_client(profile) as client:
        found, more = client.items("/bindings", query, at_most=limit)
    listed(found, _COLUMNS, output, more=more)


@app.command()
def show(
    instance_id: InstanceId,
    binding_id: BindingId,
    *,
    platform: Platform = None,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """Show a living service binding with its latest operations."""
    with admin_client(profile) as client:
        path = f"/instances/{part(instance_id)}/bindings/{part(binding_id)}"
        shown(client.get(path, {"platform": platform}), output)


@app.command()
def abandon(
    instance_id: InstanceId,
    binding_id: BindingId,
    *,
    reason: Reason,
    keep_in_azure: Keep = False,
    delete_in_azure: Delete = False,
    platform: Platform = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = LONG,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """Have the broker forget a service binding; kept in Azure, its credentials go on working."""
    body = {"reason": reason, "in_azure": in_azure(keep=keep_in_azure, delete=delete_in_azure)}
    do(
        profile, f"/instances/{part(instance_id)}/bindings/{part(binding_id)}/abandon", body,
        platform=platform, yes=yes, dry_run=dry_run, wait=wait, timeout=timeout, output=output,
    )  # fmt: skip
