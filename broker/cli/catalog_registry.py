"""The commands that ask a running broker about its catalog, and propose to change it."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from broker.cli.client import AdminClient, Exit, ProfileName, admin_client, part
from broker.cli.deeds import DryRun, Reason, Yes, confirm
from broker.cli.output import Column, Form, Output, age, listed, plain, shown

What = Annotated[str, typer.Argument(metavar="OFFERING[/PLAN]", help="By name or id.")]
Revision = Annotated[int, typer.Argument(min=1, help="Number of the revision.")]
Expected = Annotated[
    int | None,
    typer.Option(min=0, help="Only if this revision is in force; for pipelines that have looked at it."),
]
Limit = Annotated[int, typer.Option(min=1, help="Rows at most.")]

_REVISIONS: list[Column] = [
    ("REVISION", "revision"),
    ("AGE", lambda one: age(one["published_at"])),
    ("OFFERINGS", "offerings"),
    ("PLANS", "plans"),
    ("BY", "author"),
    ("REASON", "reason"),
    ("IN FORCE", "in_force"),
]
_SOURCES: list[Column] = [
    ("NAME", "name"),
    ("KIND", "kind"),
    ("FILES", "files"),
    ("BYTES", "size"),
    ("AGE", lambda one: age(one.get("since"))),
    ("BY", "author"),
    ("REASON", "reason"),
]


def register(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Offerings and overlays.")],
    *,
    name: Annotated[str, typer.Option(help="What the broker is to call it; one of this name is replaced.")],
    reason: Reason,
    expected_revision: Expected = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """
    Send a folder's files to a broker, which lays them over what it has and publishes that, or says why not.

    Exit status 1 if it is refused; each fault is on standard error. Warnings are told and hinder nothing.
    """
    files = files_of(folder, name)
    body = {"name": name, "files": files}
    _propose(profile, "/catalog/proposals", reason, expected_revision, yes, dry_run, output, body)


def files_of(folder: Path, name: str) -> dict[str, str]:
    """Read what is sent of a folder; a fault ends the command."""
    from broker.catalog.faults import CatalogRefused
    from broker.catalog.sources import Source

    try:
        source = Source.of_folder(name, folder, flat=True)
        return {path: content.decode() for path, content in source.files.items()}
    except CatalogRefused as unread:
        print(unread, file=sys.stderr)
    except UnicodeDecodeError:
        print(f"{folder}: a file is not UTF-8 text.", file=sys.stderr)
    sys.exit(Exit.FAILED)


def unregister(
    name: Annotated[str, typer.Argument(help="Of the registered source.")],
    *,
    reason: Reason,
    expected_revision: Expected = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """Take a registered source out of the catalog, with all that it adds or changes."""
    path = f"/catalog/sources/{part(name)}/unregister"
    _propose(profile, path, reason, expected_revision, yes, dry_run, output)


def withdraw(
    what: What,
    *,
    reason: Reason,
    expected_revision: Expected = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """Offer an offering or a plan no more: no new orders, while who has an instance goes on with it to its end."""
    body = {"what": what}
    _propose(profile, "/catalog/withdraw", reason, expected_revision, yes, dry_run, output, body)


def restore(
    what: What,
    *,
    reason: Reason,
    expected_revision: Expected = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """Offer again what was withdrawn."""
    body = {"what": what}
    _propose(profile, "/catalog/restore", reason, expected_revision, yes, dry_run, output, body)


def rollback(
    revision: Revision,
    *,
    reason: Reason,
    expected_revision: Expected = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """Publish anew what an older revision was merged from: files, registered sources and withdrawals."""
    path = f"/catalog/revisions/{revision}/roll-back"
    _propose(profile, path, reason, expected_revision, yes, dry_run, output)


def sources(*, profile: ProfileName = None, output: Output = Form.TABLE) -> None:
    """List what the catalog in force is merged from, in the order in which it is laid over one another."""
    with admin_client(profile) as client:
        found = client.get("/catalog/sources")["items"]
    listed(found, _SOURCES, output)


def revisions(*, limit: Limit = 20, profile: ProfileName = None, output: Output = Form.TABLE) -> None:
    """List the published revisions, the newest first."""
    with admin_client(profile) as client:
        found, more = client.items("/catalog/revisions", {}, at_most=limit)
    listed(found, _REVISIONS, output, more=more)


def show(
    revision: Annotated[
        int | None, typer.Argument(min=1, help="Number of the revision; the one in force if left out.")
    ] = None,
    *,
    profile: ProfileName = None,
    output: Output = Form.TABLE,
) -> None:
    """Show a revision: what it was merged from, and what it offers."""
    with admin_client(profile) as client:
        state = client.get("/catalog")
        found = client.get(f"/catalog/revisions/{revision or state['revision']}")
    shown(found, output)
    if revision is None and state.get("note"):
        print(plain(state["note"]), file=sys.stderr)


def _propose(
    profile: str | None,
    path: str,
    reason: str,
    expected: int | None,
    yes: bool,
    dry_run: bool,
    output: Form,
    body: Mapping[str, Any] | None = None,
) -> None:
    """Have it foretold, ask, and propose it for the very revision that it was foretold for."""
    sent = {**(body or {}), "reason": reason}
    if expected is not None:
        sent["expected_revision"] = expected
    with admin_client(profile) as client:
        would = client.post(path, {**sent, "dry_run": True})
        told_faults(would)
        if would["refused"]:
            print(f"It would be refused; revision {would['revision']} goes on.", file=sys.stderr)
            sys.exit(Exit.FAILED)
        if dry_run:
            _told(would, output, "Nothing was done. It would be so:")
            return
        if not yes:
            confirm(would if would["effects"] else {"effects": ["Nothing that platforms see changes."]})
            sent["expected_revision"] = would["revision"]
        done = _sent(client, path, sent)
    _told(done, output, f"Published as revision {done['revision']}:")


def _sent(client: AdminClient, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    done = client.post(path, body)
    if not done["published"]:
        print(f"Nothing changes: revision {done['revision']} is like that already.", file=sys.stderr)
        sys.exit(Exit.DONE)
    return done


def told_faults(would: Mapping[str, Any]) -> None:
    for one in would["faults"]:
        place = f"{one['file']}:{one['line']}" if one["line"] else one["file"]
        severity = "warning: " if one["severity"] == "warning" else ""
        where = f"{place}: {one['path']}" if one["path"] else place
        print(plain(f"{where}: {severity}{one['message']}"), file=sys.stderr)


def _told(done: Mapping[str, Any], output: Form, heading: str) -> None:
    if output is not Form.TABLE:
        shown(done, output)
        return
    print(heading)
    for effect in done["effects"] or ["Nothing that platforms see changes."]:
        print(f"  {plain(effect)}")
