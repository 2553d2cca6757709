"""What commands that change something have in common: a reason, a question, a dry run, and waiting for the end."""

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, TypeAlias

import typer

from broker.cli.client import AdminClient, Exit, Refused, admin_client
from broker.cli.output import Form, plain, shown

Reason: TypeAlias = Annotated[str, typer.Option(help="Why; the audit keeps it.", show_default=False)]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Tell what would happen, and change nothing.")
]
Wait: TypeAlias = Annotated[bool, typer.Option("--wait", help="Wait for the end, and tell how it goes.")]
Timeout: TypeAlias = Annotated[str, typer.Option(help="How long to wait at most, such as 90s or 2h.")]
Platform: TypeAlias = Annotated[
    str | None, typer.Option(help="Whose it is; needed only if several have that id.")
]

LONG = "1h"
_LOOK_AGAIN = (0.2, 2.0)
_AWAY_FOR = timedelta(minutes=2)


def do(
    profile: str | None,
    path: str,
    body: Mapping[str, Any],
    *,
    platform: str | None = None,
    also: Mapping[str, str] | None = None,
    yes: bool,
    dry_run: bool,
    wait: bool = False,
    timeout: str = LONG,
    output: Form,
) -> None:
    """
    Have something done: tell what would happen, ask, do it, and maybe wait for the end; *also* goes into the query.

    The exit status is that of `cli.client`; 1 also if the question was not answered with yes, or if what was awaited
    has failed.
    """
    query = {"platform": platform, **(also or {})}
    longest = patience(timeout)
    with admin_client(profile) as client:
        if dry_run or not yes:
            would = client.post(path, {**body, "dry_run": True}, query)
            if dry_run:
                _told(would, output, heading="Nothing was done. It would be so:")
                return
            confirm(would)
            # Between the question and the answer somebody else may have changed what it is about.
            body = {**body, "only_if": would["foretold"]}
        done = client.post(path, body, query)
        _told(done, output, heading="Done:")
        if wait:
            sys.exit(_followed(client, done["operations"], longest, output))


def follow(profile: str | None, operation: str, *, timeout: str, output: Form) -> None:
    """Wait for the end of an operation."""
    longest = patience(timeout)
    with admin_client(profile) as client:
        sys.exit(_followed(client, [operation], longest, output))


def asked_for(client: AdminClient, state: str, order: str, reason: str, longest: timedelta | None) -> bool:
    """
    Ask for a round through Azure and wait for its end at most *longest*; None: not at all. Whether it has ended.

    *state* is the route that tells `finished_at`, *order* the one that has it made.
    """
    before = client.get(state).get("finished_at")
    client.post(order, {"reason": reason})
    ends_at = time.monotonic() + (longest or timedelta(0)).total_seconds()
    while longest is not None and client.get(state).get("finished_at") == before:
        if time.monotonic() > ends_at:
            return False
        time.sleep(_LOOK_AGAIN[1] / 4)
    return True


def patience(text: str) -> timedelta:
    """Read how long to wait; what is no time ends the command."""
    from pydantic import TypeAdapter, ValidationError

    from broker.setting_values import Duration

    try:
        read: timedelta = TypeAdapter(Duration).validate_python(text)
    except ValidationError:
        print(f"--timeout: {text!r} is no time such as 90s, 10m or 2h.", file=sys.stderr)
        sys.exit(Exit.USAGE)
    return read


def confirm(would: Mapping[str, Any]) -> None:
    """Tell what would happen and ask; whatever is no yes ends the command."""
    for effect in would["effects"]:
        print(plain(effect), file=sys.stderr)
    if not sys.stdin.isatty():
        print("Nobody is there to be asked: nothing was done. Say --yes.", file=sys.stderr)
        sys.exit(Exit.FAILED)
    if not typer.confirm("Do it?", err=True):
        print("Nothing was done.", file=sys.stderr)
        sys.exit(Exit.FAILED)


def _told(done: Mapping[str, Any], output: Form, *, heading: str) -> None:
    if output is not Form.TABLE:
        shown(done, output)
        return
    print(heading)
    for effect in done["effects"]:
        print(f"  {plain(effect)}")
    for operation in done["operations"]:
        print(f"  operation {operation}")


def _followed(client: AdminClient, operations: Sequence[str], longest: timedelta, output: Form) -> Exit:
    """Wait until all have ended; tells on standard error how they go, each change once."""
    ends_at = time.monotonic() + longest.total_seconds()
    status = Exit.DONE
    for operation in operations:
        found = ended(client, operation, ends_at)
        if found is None:
            print(
                f"Operation {operation} still goes on; wait for it with: osb operation wait {operation}",
                file=sys.stderr,
            )
            return Exit.GOES_ON
        if output is not Form.TABLE:
            shown(found, output)
        if found["status"] != "succeeded":
            status = Exit.FAILED
    return status


def ended(client: AdminClient, operation: str, ends_at: float) -> dict[str, Any] | None:
    """Wait for the end of an operation, telling how it goes; None if it goes on after *ends_at* (monotonic)."""
    pause, told, away_since = _LOOK_AGAIN[0], "", None
    while True:
        try:
            found = client.get(f"/operations/{operation}")["operation"]
            away_since = None
        except Refused as refusal:
            # A broker that is restarted, or its database, is away for a moment: the operation goes on.
            if refusal.status not in {Exit.UNREACHABLE, Exit.FAILED}:
                raise
            away_since = away_since or time.monotonic()
            if time.monotonic() - away_since > _AWAY_FOR.total_seconds():
                raise
            found = None
        if found is not None:
            whose = found.get("binding_id") or found["instance_id"]
            now = f"{found['kind']} of {whose}: {found['status']}: {found['description']}"
            if now != told:
                print(plain(now), file=sys.stderr)
                told, pause = now, _LOOK_AGAIN[0]
            if found["status"] != "in progress":
                return dict(found)
        if time.monotonic() > ends_at:
            return None
        time.sleep(min(pause, max(0.0, ends_at - time.monotonic())))
        pause = min(pause * 1.5, _LOOK_AGAIN[1])
