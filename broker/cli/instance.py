import sys
from pathlib import Path
from typing import Annotated

import typer

from broker.cli.client import Exit, ProfileName, admin_client, part
from broker.cli.deeds import LONG, DryRun, Platform, Reason, Timeout, Wait, Yes, do
from broker.cli.output import Column, Form, Output, age, listed, shown

app = typer.Typer(help="Service instances, as an operator sees them.", no_args_is_help=True)

InstanceId = Annotated[str, typer.Argument(metavar="INSTANCE", help="The instance's id.")]
WithChildren = Annotated[bool, typer.Option("--with-children", help="Its children go with it, before it.")]
Keep = Annotated[
    bool, typer.Option("--keep-in-azure", help="At once; all in Azure stays as it is, tags and all.")
]
Delete = Annotated[
    bool, typer.Option("--delete-in-azure", help="After one more attempt to delete, however that ends.")
]

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
    missing: Annotated[bool, typer.Option("--missing", help="That are not there in Azure.")] = False,
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
        "missing": missing, "older_than": older_than, "newer_than": newer_than,
    }  # fmt: skip
    with admin_client(profile) as client:
        found, more = client.items("/instances", query, at_most=limit)
    listed(found, _COLUMNS, output, more=more)


@app.command()
def show(
    instance_id: InstanceId,
    *,
    platform: Platform = None,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """Show a living service instance with its bindings, resources and latest operations."""
    with admin_client(profile) as client:
        shown(client.get(f"/instances/{part(instance_id)}", {"platform": platform}), output)


@app.command()
def delete(
    instance_id: InstanceId,
    *,
    reason: Reason,
    with_children: WithChildren = False,
    platform: Platform = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = LONG,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """Delete a service instance in Azure, as its platform would, whatever state it is in."""
    body = {"reason": reason, "with_children": with_children}
    do(
        profile, f"/instances/{part(instance_id)}/delete", body,
        platform=platform, yes=yes, dry_run=dry_run, wait=wait, timeout=timeout, output=output,
    )  # fmt: skip


@app.command()
def abandon(
    instance_id: InstanceId,
    *,
    reason: Reason,
    keep_in_azure: Keep = False,
    delete_in_azure: Delete = False,
    with_children: WithChildren = False,
    platform: Platform = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = LONG,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """Have the broker forget a service instance that nobody can repair; its history stays."""
    body = {
        "reason": reason,
        "in_azure": in_azure(keep=keep_in_azure, delete=delete_in_azure),
        "with_children": with_children,
    }
    do(
        profile, f"/instances/{part(instance_id)}/abandon", body,
        platform=platform, yes=yes, dry_run=dry_run, wait=wait, timeout=timeout, output=output,
    )  # fmt: skip


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV file; docs/legacy.md says of which columns.")
    ],
    *,
    reason: Reason,
    secrets: Annotated[
        Path | None,
        typer.Option(help="JSON file, for your eyes only: by instance id, an object of secret parameters."),
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    wait: Annotated[bool, typer.Option(help="Wait for the end of each import.")] = True,
    timeout: Timeout = LONG,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """
    Make service instances of what platforms hold from an older broker, and what exists in Azure.

    Nothing is sent if the file has a fault. Each row stands for itself: one that is refused leaves nothing, and the
    others go on. The same file again changes nothing of what was imported. Exit status 1 if a row was not.
    """
    from broker.cli.imports import bring_in

    bring_in(
        file, secrets, reason,
        yes=yes, dry_run=dry_run, wait=wait, timeout=timeout, profile=profile, output=output,
    )  # fmt: skip


def in_azure(*, keep: bool, delete: bool) -> str:
    """Return what becomes of the resources; nobody but the operator can know, so there is no default."""
    if keep == delete:
        print("Say one of --keep-in-azure and --delete-in-azure.", file=sys.stderr)
        sys.exit(Exit.USAGE)
    return "keep" if keep else "delete"
