"""The command that imports a file of service instances, row by row, and tells what became of each."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from broker.cli.client import AdminClient, Exit, Refused, admin_client
from broker.cli.deeds import ended, patience
from broker.cli.import_files import Row, WrongFile, read
from broker.cli.output import Column, Form, listed

_COLUMNS: list[Column] = [
    ("LINE", "line"),
    ("PLATFORM", "platform"),
    ("INSTANCE", "instance_id"),
    ("OUTCOME", "outcome"),
    ("DESCRIPTION", "description"),
]
_ENDS = {"unknown": Exit.UNREACHABLE, "not allowed": Exit.NOT_ALLOWED}
"""What became of a row after which no other is sent, and the exit status."""
_WELL = frozenset({"known", "imported", "begun", "possible", "untried"})


def bring_in(
    file: Path,
    secrets: Path | None,
    reason: str,
    *,
    yes: bool,
    dry_run: bool,
    wait: bool,
    timeout: str,
    profile: str | None,
    output: Form,
) -> None:
    """Import *file*; the exit status is that of `cli.client`, 1 also if a row was refused or has failed."""
    try:
        rows = read(file, secrets)
    except WrongFile as wrong:
        print("\n".join(wrong.faults), file=sys.stderr)
        print("Nothing was sent.", file=sys.stderr)
        sys.exit(Exit.USAGE)
    longest = patience(timeout)
    with admin_client(profile) as client:
        if dry_run or not yes:
            told = list(_answers(client, rows, {"reason": reason, "dry_run": True}))
            if dry_run:
                _tell(told, output)
            _ask(told)
        told = list(_answers(client, rows, {"reason": reason}))
        if wait:
            ends_at = time.monotonic() + longest.total_seconds()
            told = [_followed(client, one, ends_at) for one in told]
    _tell(told, output)


def _tell(told: Sequence[Mapping[str, Any]], output: Form) -> None:
    listed([dict(one) for one in told], _COLUMNS, output, more=False)
    found = {str(one["outcome"]) for one in told}
    status = next((_ENDS[outcome] for outcome in sorted(found & _ENDS.keys())), None)
    if status is None and found - _WELL:
        status = Exit.FAILED
    if status is None and any("waited" in one for one in told):
        status = Exit.GOES_ON
    sys.exit(status or Exit.DONE)


def _ask(told: Sequence[Mapping[str, Any]]) -> None:
    for one in told:
        print(
            f"line {one['line']}: {one['instance_id']}: {one['outcome']}: {one['description']}",
            file=sys.stderr,
        )
    if not sys.stdin.isatty():
        print("Nobody is there to be asked: nothing was done. Say --yes.", file=sys.stderr)
        sys.exit(Exit.FAILED)
    if not typer.confirm("Import those that are possible?", err=True):
        print("Nothing was done.", file=sys.stderr)
        sys.exit(Exit.FAILED)


def _answers(client: AdminClient, rows: Sequence[Row], deed: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Send each row; once the broker is away or lets nobody in, the others are not sent."""
    gone = False
    for row in rows:
        where = {"line": row.line, "platform": row.platform, "instance_id": row.instance_id}
        if gone:
            yield where | {"outcome": "not sent", "description": "Import the same file again."}
            continue
        try:
            yield where | client.post("/imports", {**row.body, **deed})
        except Refused as refusal:
            gone = refusal.status in _ENDS.values()
            outcome = next((said for said, status in _ENDS.items() if status is refusal.status), "refused")
            yield where | {"outcome": outcome, "description": str(refusal)}


def _followed(client: AdminClient, one: dict[str, Any], ends_at: float) -> dict[str, Any]:
    if one["outcome"] != "begun":
        return one
    found = ended(client, one["operation"], ends_at)
    if found is None:
        said = f"It still goes on: osb operation wait {one['operation']}"
        return one | {"description": said, "waited": True}
    outcome = "imported" if found["status"] == "succeeded" else "failed"
    return one | {"outcome": outcome, "description": found["description"]}
