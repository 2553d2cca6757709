import sys
from typing import Annotated, Any

import typer

from broker.cli.client import AdminClient, Exit, ProfileName, admin_client
from broker.cli.deeds import LONG, DryRun, Reason, Timeout, Wait, Yes, asked_for, do, patience
from broker.cli.output import Column, Form, Output, age, listed, plain

app = typer.Typer(
    help="What is in Azure without a record, and on record but not in Azure.", no_args_is_help=True
)

_COLUMNS: list[Column] = [
    ("WHAT", "kind"),
    ("SINCE", lambda one: age(one["since"])),
    ("PLATFORM", "platform"),
    ("INSTANCE", "instance_id"),
    ("RESOURCE", "resource_id"),
]


@app.command()
def scan(
    *,
    reason: Reason,
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = True,
    timeout: Timeout = "15m",
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """
    Compare Azure with the records at once, wait for the end, and list what was found.

    The exit status is 1 if not everything could be looked at.
    """
    longest = patience(timeout)
    with admin_client(profile) as client:
        if not asked_for(client, "/inventory", "/inventory/take", reason, longest if wait else None):
            print("It still goes on; see later what was found: osb resource list", file=sys.stderr)
            sys.exit(Exit.GOES_ON)
        _list(client, output)
        if wait and "trouble" in client.get("/inventory"):
            sys.exit(Exit.FAILED)


@app.command("list")
def list_(*, profile: ProfileName = None, output: Output = Form.TABLE) -> None:
    """List what the last look at Azure has found: orphans, what was abandoned, and missing service instances."""
    with admin_client(profile) as client:
        _list(client, output)


@app.command("delete-orphan")
def delete_orphan(
    resources: Annotated[
        list[str] | None, typer.Argument(metavar="RESOURCE...", help="Ids, as the list shows them.")
    ] = None,
    *,
    reason: Reason,
    every: Annotated[
        bool, typer.Option("--all", help="Every orphan of the list; what was abandoned has to be named.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = LONG,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """Delete resources in Azure that belong to no service instance; their four tags are read once more before."""
    do(
        profile, "/inventory/delete-orphans",
        {"reason": reason, "resource_ids": resources or [], "every_orphan": every},
        yes=yes, dry_run=dry_run, wait=wait, timeout=timeout, output=output,
    )  # fmt: skip


def _list(client: AdminClient, output: Form) -> None:
    found = client.get("/inventory")
    listed([*_strays(found), *_missing(found)], _COLUMNS, output)
    if found.get("finished_at") is None:
        print("Azure was never looked at; do it with: osb resource scan", file=sys.stderr)
    elif "trouble" in found:
        print(f"The last look did not see everything: {plain(found['trouble'])}", file=sys.stderr)
    else:
        told = f"As of {found['finished_at']}; {found['looked_at']} resources with this broker's tags."
        print(told, file=sys.stderr)


def _strays(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**stray, "since": stray["first_seen_at"]} for stray in found["strays"]]


def _missing(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**one, "kind": "missing", "since": one["missing_since"]} for one in found["missing"]]
