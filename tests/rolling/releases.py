"""The release before this one: the code that did not know the newest tables yet."""

import subprocess
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

TOP = Path(__file__).parents[2]


class HistoryMissing(LookupError):
    """There is no history here, or not enough of it, to take former code from."""


@dataclass(frozen=True)
class Release:
    """A tree of the broker's code."""

    name: str
    folder: Path

    @property
    def revision(self) -> str:
        """The newest revision of the tables that it knows."""
        return max(path.name for path in (self.folder / "migrations" / "versions").glob("0*.py"))[:4]

    @property
    def leaves_in_order(self) -> bool:
        """Whether it knows `BROKER_STOP_AFTER`."""
        return "stop_after" in (self.folder / "broker" / "settings.py").read_text(encoding="utf-8")


THIS = Release("this release", TOP)


def release_before(into: Path) -> Release:
    """
    Take the newest commit without the newest migration out of the history, into a folder of its own.

    Raises:
        HistoryMissing: This is no clone, or a shallow one.
    """
    newest = max((TOP / "migrations" / "versions").glob("0*.py"))
    added = (
        _git("log", "--diff-filter=A", "--format=%H", "-1", "--", str(newest.relative_to(TOP)))
        .decode()
        .strip()
    )
    commit = _git("rev-parse", "--verify", f"{added}^" if added else "HEAD").decode().strip()
    folder = into / commit[:10]
    with tarfile.open(fileobj=BytesIO(_git("archive", commit, "broker", "migrations", "catalog"))) as archive:
        archive.extractall(folder, filter="data")
    return Release(f"commit {commit[:10]}", folder)


def _git(*arguments: str) -> bytes:
    try:
        return subprocess.run(["git", *arguments], cwd=TOP, capture_output=True, check=True).stdout
    except FileNotFoundError as missing:
        raise HistoryMissing("git is not installed") from missing
    except subprocess.CalledProcessError as failed:
        raise HistoryMissing(failed.stderr.decode().strip()) from failed
