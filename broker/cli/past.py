from typing import Annotated

import typer

from broker.cli.client import ProfileName, admin_client, part
from broker.cli.deeds import Platform
from broker.cli.output import Column, Form, Output, age, listed, shown

audit = typer.Typer(help="Who did what, when and why.", no_args_is_help=True)
history = typer.Typer(help="Service instances and bindings that are gone.", no_args_is_help=True)

_AUDIT: list[Column] = [
    ("AT", "at"),
    ("ACTOR", "actor"),
    ("ACTION", "action"),
    ("OBJECT", "object"),
    ("REASON", "reason"),
]
_HISTORY: list[Column] = [
    ("PLATFORM", "platform"),
    ("INSTANCE", "instance_id"),
    ("BINDING", "binding_id"),
    ("GONE FOR", lambda one: age(one["removed_at"])),
    ("REASON", "reason"),
]


@audit.callback()
def _of_audit() -> None:
    """Keep `list` a command of its own while it is the only one."""


@audit.command("list")
def list_audit(
    *,
    actor: Annotated[str | None, typer.Option(help="A platform's name, or 'operator NAME'.")] = None,
    action: Annotated[str | None, typer.Option(help="Such as provision or retry.")] = None,
    object_: Annotated[
        str | None, typer.Option("--object", help="A part of what it was done to, such as an id.")
    ] = None,
    older_than: Annotated[str | None, typer.Option(help="Done at least this long ago, such as 2h.")] = None,
    newer_than: Annotated[str | None, typer.Option(help="Done at most this long ago, such as 2h.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """List what was asked for, the newest first."""
    query = {
        "actor": actor, "action": action, "object": object_, "older_than": older_than, "newer_than": newer_than,
    }  # fmt: skip
    with admin_client(profile) as client:
        found, more = client.items("/audit", query, at_most=limit)
    listed(found, _AUDIT, output, more=more)


@history.command("list")
def list_history(
    *,
    platform: Annotated[str | None, typer.Option(help="Of this platform only.")] = None,
    kind: Annotated[str | None, typer.Option(help="instance or binding.")] = None,
    search: Annotated[str | None, typer.Option(help="A part of an id, or of why it went.")] = None,
    older_than: Annotated[str | None, typer.Option(help="Gone for at least this long, such as 2h.")] = None,
    newer_than: Annotated[str | None, typer.Option(help="Gone for at most this long, such as 2h.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """List service instances and bindings that are gone, the latest first."""
    query = {
        "platform": platform, "kind": kind, "search": search, "older_than": older_than, "newer_than": newer_than,
    }  # fmt: skip
    with admin_client(profile) as client:
        found, more = client.items("/history", query, at_most=limit)
    listed(found, _HISTORY, output, more=more)


@history.command("show")
def show_history(
    instance_id: Annotated[str, typer.Argument(metavar="INSTANCE", help="The instance's id.")],
    binding_id: Annotated[str | None, typer.Argument(metavar="[BINDING]", help="The binding's id.")] = None,
    *,
    platform: Platform = None,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """Show each former life of an id, the latest first: operations, failures, what was left in Azure."""
    path = f"/history/{part(instance_id)}" + (
        f"/bindings/{part(binding_id)}" if binding_id is not None else ""
    )
    with admin_client(profile) as client:
        lives = client.get(path, {"platform": platform})["items"]
    if output is not Form.TABLE:
        listed(lives, [], output)
        return
    for number, life in enumerate(lives):
        if number:
            print()
        shown(life, output)
