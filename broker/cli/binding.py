import sys
from typing import Annotated

import typer

from broker.cli.client import Exit, ProfileName, admin_client, part
from broker.cli.deeds import (
    LONG,
    DryRun,
    Platform,
    Reason,
    Timeout,
    Wait,
    Yes,
    asked_for,
    do,
    patience,
)
from broker.cli.instance import Delete, InstanceId, Keep, in_azure
from broker.cli.output import Column, Form, Output, age, listed, plain, shown

app = typer.Typer(
    help="Service bindings, as an operator sees them; never their credentials.", no_args_is_help=True
)

BindingId = Annotated[str, typer.Argument(metavar="BINDING", help="The binding's id.")]

_COLUMNS: list[Column] = [
    ("PLATFORM", "platform"),
    ("INSTANCE", "instance_id"),
    ("BINDING", "binding_id"),
    ("STATE", "state"),
    ("STALE", lambda one: age(one["stale_since"]) if one.get("stale_since") else ""),
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
    stale: Annotated[
        bool, typer.Option("--stale", help="Whose keys are known to have been changed in Azure.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """List living service bindings of all platforms, the newest first."""
    query = {
        "instance_id": instance, "platform": platform, "state": state, "stuck": stuck, "failed": failed,
        "stale": stale,
    }  # fmt: skip
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


@app.command()
def refresh(
    instance_id: Annotated[
        str | None, typer.Argument(metavar="[INSTANCE]", help="The instance's id; not with --stale.")
    ] = None,
    binding_id: Annotated[
        str | None, typer.Argument(metavar="[BINDING]", help="The binding's id; left out with --all.")
    ] = None,
    *,
    reason: Reason,
    every: Annotated[
        bool, typer.Option("--all", help="All bindings of the instance that hold keys.")
    ] = False,
    stale: Annotated[bool, typer.Option("--stale", help="All bindings that are known to be stale.")] = False,
    platform: Platform = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = LONG,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """
    Read the keys in a service binding's credentials from Azure again, after they were changed there.

    Whoever uses them has to fetch the binding again: platforms do not do that by themselves.
    """
    named, of_instance = binding_id is not None, instance_id is not None
    if (
        (stale and (of_instance or every))
        or (not stale and not of_instance)
        or (of_instance and named == every)
    ):
        print("Name an instance and a binding, or an instance with --all, or say --stale.", file=sys.stderr)
        sys.exit(Exit.USAGE)
    path, also = "/bindings/refresh", {}
    if instance_id is not None and binding_id is not None:
        path = f"/instances/{part(instance_id)}/bindings/{part(binding_id)}/refresh"
    elif instance_id is not None:
        also = {"instance_id": instance_id}
    do(
        profile, path, {"reason": reason},
        platform=platform, also=also, yes=yes, dry_run=dry_run, wait=wait, timeout=timeout, output=output,
    )  # fmt: skip


@app.command()
def check(
    *,
    reason: Reason,
    wait: Annotated[bool, typer.Option(help="Wait for the end, and list what is stale.")] = True,
    timeout: Timeout = "15m",
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """
    Compare the keys in service bindings' credentials with Azure's, and list those that were changed there.

    The exit status is 1 if not everything could be compared.
    """
    longest = patience(timeout)
    with admin_client(profile) as client:
        ended = asked_for(client, "/bindings/check", "/bindings/check", reason, longest if wait else None)
        if not ended:
            print("It still goes on; see later what is stale: osb binding list --stale", file=sys.stderr)
            sys.exit(Exit.GOES_ON)
        found, more = client.items("/bindings", {"stale": True}, at_most=500)
        listed(found, _COLUMNS, output, more=more)
        told = client.get("/bindings/check")
        print(f"{told['looked_at']} service bindings were looked at.", file=sys.stderr)
        if "trouble" in told:
            print(f"Not everything could be compared: {plain(told['trouble'])}", file=sys.stderr)
            sys.exit(Exit.FAILED)
