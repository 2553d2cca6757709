import sys
from typing import Annotated, Any

import typer

from broker.cli.client import AdminClient, Exit, ProfileName, admin_client
from broker.cli.deeds import DryRun, Reason, Yes, confirm
from broker.cli.output import Column, Form, Output, listed, shown

app = typer.Typer(help="The keys that seal what is stored.", no_args_is_help=True)

_COLUMNS: list[Column] = [
    ("KEY", "key_id"),
    ("VALUES", "values"),
    ("AT HAND", "at_hand"),
    ("SEALS", "seals"),
]


@app.command("list")
def list_(*, profile: ProfileName = None, output: Output = Form.TABLE) -> None:
    """List the sealing keys and how many stored values need each; one that none needs may be taken out."""
    with admin_client(profile) as client:
        found = client.get("/keys")["items"]
    listed(found, _COLUMNS, output)


@app.command()
def reseal(
    *,
    reason: Reason,
    yes: Yes = False,
    dry_run: DryRun = False,
    again: Annotated[
        int, typer.Option(min=0, help="How often to go through once more for what was in use meanwhile.")
    ] = 3,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """Seal all stored values under the newest key, batch by batch; broken off, it may begin again."""
    with admin_client(profile) as client:
        would = client.post("/keys/reseal", {"reason": reason, "dry_run": True})
        if dry_run:
            shown(would, output)
            return
        if not yes:
            effect = f"{would['resealed']} values are sealed anew under the key {would['key_id']}."
            confirm({"effects": [effect]})
        _pass(client, reason)
        usage = client.get("/keys")["items"]
        while _old(usage) and again > 0:
            again -= 1
            _pass(client, reason)
            usage = client.get("/keys")["items"]
    listed(usage, _COLUMNS, output)
    if _old(usage):
        print("Some values still name an old key: keep it, and run this again.", file=sys.stderr)
        sys.exit(Exit.FAILED)


def _pass(client: AdminClient, reason: str) -> None:
    done = 0
    position: str | None = None
    while True:
        batch = client.post("/keys/reseal", {"reason": reason, "after": position})
        done += batch["resealed"]
        position = batch.get("after")
        if batch["resealed"]:
            print(f"{done} values are done.", file=sys.stderr)
        if position is None:
            return


def _old(usage: list[dict[str, Any]]) -> bool:
    return any(one["values"] and not one["seals"] for one in usage)
