"""
Carry out the Dockerfile without a container engine: python -m tools.replay_image [--keep FOLDER]

Needs root, debootstrap and what pip needs. The base image is stood in for by a root made by debootstrap with this
machine's Python under /usr/local, where the base image has its own. Each stage's instructions are read from the
Dockerfile and carried out in a root of its own; packages are downloaded outside, by hash, and found inside without a
network. Then the last stage is started as its user, on a read-only root, in namespaces of its own, and asked.
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import json
import os
import posixpath
import re
import secrets
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from tools.programs import programs

TOP = Path(__file__).parent.parent
SUITE = "bookworm"
# What CPython's own modules are linked with.
LIBRARIES = ("ca-certificates", "libbz2-1.0", "libffi8", "liblzma5", "libsqlite3-0", "libssl3", "zlib1g")
IGNORED = {"LABEL", "EXPOSE", "STOPSIGNAL"}
WITHIN = 60.0


class CannotReplay(Exception):
    pass


@dataclass
class Stage:
    """A stage as far as it was carried out."""

    root: Path
    environment: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"}
    )
    workdir: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def run(self, command: list[str], **more: str) -> None:
        self.mkdir(self.workdir)
        inside = ["/bin/sh", "-c", f"cd {shlex.quote(self.workdir)} && {shlex.join(command)}"]
        ran = subprocess.run(
            ["chroot", f"--userspec={self.user}", self.root, *inside],
            env={**self.environment, **more},
            check=False,
        )
        if ran.returncode != 0:
            raise CannotReplay(f"It ended with status {ran.returncode}: {shlex.join(command)}")

    def mkdir(self, folder: str) -> Path:
        made = self.root / folder.lstrip("/")
        made.mkdir(parents=True, exist_ok=True)
        return made

    def place(self, path: str) -> Path:
        return self.root / posixpath.normpath(posixpath.join(self.workdir, path)).lstrip("/")


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """The instructions and their arguments, comments out and continued lines joined."""
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [
        (word.upper(), rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


def say(text: str) -> None:
    print(text, flush=True)


def base(folder: Path) -> Path:
    """A Debian with this machine's Python where the base image has its own."""
    root = folder / "base"
    debootstrap = programs()["debootstrap"].located()
    if debootstrap is None:
        raise CannotReplay("debootstrap is needed: make tools TOOLS=debootstrap")
    say(f"# base: debootstrap {SUITE}, and {sys.base_prefix} as /usr/local")
    made = subprocess.run(
        [*debootstrap, "--variant=minbase", f"--include={','.join(LIBRARIES)}", SUITE, root],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode != 0:
        raise CannotReplay(f"debootstrap failed:\n{made.stdout[-1500:]}{made.stderr[-500:]}")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    ours = Path(sys.base_prefix)
    shutil.copytree(
        ours / "lib" / version, root / "usr/local/lib" / version, symlinks=True,
        ignore=shutil.ignore_patterns("site-packages", "__pycache__", "test", "idlelib", "tkinter"),
    )  # fmt: skip
    for library in ours.glob("lib/libpython*.so*"):
        shutil.copy2(library, root / "usr/local/lib", follow_symlinks=False)
    shutil.copy2((ours / "bin" / version).resolve(), root / "usr/local/bin" / version)
    for name in ("python", "python3"):
        (root / "usr/local/bin" / name).symlink_to(version)
    subprocess.run(["chroot", root, "/sbin/ldconfig"], check=True)
    Stage(root).run(["python", "-m", "ensurepip"], PIP_ROOT_USER_ACTION="ignore")
    return root


def wheels(folder: Path) -> Path:
    """Everything that the build stage will ask for, downloaded by hash outside the root."""
    found = folder / "wheels"
    lock = TOP / "requirements" / "dev.txt"
    say("# packages of requirements/dev.txt, which holds those of runtime.txt, downloaded by hash")
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--only-binary", ":all:",
         "--dest", found, "-r", lock],
        check=True,
    )  # fmt: skip
    return found


def replay(dockerfile: Path, folder: Path) -> Stage:
    """Carry all stages out and return the last one."""
    ready, found = base(folder), wheels(folder)
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for word, rest in instructions(dockerfile.read_text(encoding="utf-8")):
        if word == "FROM":
            _, _, name = rest.partition(" AS ")
            name = name or f"stage-{len(stages)}"
            say(f"\n# FROM {rest}")
            subprocess.run(["cp", "-a", "--reflink=auto", ready, folder / name], check=True)
            stage = stages[name] = Stage(folder / name)
            continue
        if stage is None:
            raise CannotReplay(f"{word} stands before the first FROM")
        if word not in IGNORED:
            say(f"# {word} {rest}")
        carry_out(stage, word, rest, stages, found)
    if stage is None:
        raise CannotReplay("There is no stage in it.")
    return stage


def carry_out(stage: Stage, word: str, rest: str, stages: dict[str, Stage], found: Path) -> None:
    match word:
        case "ENV":
            for one in shlex.split(rest):
                name, _, value = one.partition("=")
                stage.environment[name] = value.replace("$PATH", stage.environment["PATH"])
        case "WORKDIR":
            stage.workdir = posixpath.join(stage.workdir, rest)
            stage.mkdir(stage.workdir)
        case "USER":
            stage.user = rest
        case "RUN":
            packages = stage.mkdir("/wheels")
            subprocess.run(["mount", "--bind", found, packages], check=True)
            try:
                stage.run(
                    ["/bin/sh", "-ec", rest],
                    PIP_NO_INDEX="1",
                    PIP_FIND_LINKS="/wheels",
                    PIP_ROOT_USER_ACTION="ignore",
                )
            finally:
                subprocess.run(["umount", packages], check=True)
                packages.rmdir()
        case "COPY":
            copy(stage, shlex.split(rest), stages)
        case "HEALTHCHECK":
            stage.health = json.loads(rest.partition("CMD ")[2])
        case "ENTRYPOINT":
            stage.entrypoint = json.loads(rest)
        case "CMD":
            stage.command = json.loads(rest)
        case _ if word not in IGNORED:
            raise CannotReplay(f"{word} is not understood here")


def copy(stage: Stage, words: list[str], stages: dict[str, Stage]) -> None:
    came_from = TOP
    if words[0].startswith("--from="):
        came_from = stages[words.pop(0).removeprefix("--from=")].root
    *sources, target = words
    place = stage.place(target)
    for source in sources:
        there = came_from / source.lstrip("/")
        if there.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.pyc") if came_from == TOP else None
            shutil.copytree(there, place, symlinks=True, dirs_exist_ok=True, ignore=ignored)
        else:
            into = place / there.name if target.endswith("/") else place
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(there, into)


def start(stage: Stage) -> None:
    """Start the last stage in namespaces of its own; this process goes on inside them."""
    say("\n# start: read-only root, user of the image, a network of its own, a volume for SQLite at /data")
    (stage.root / "data").mkdir(exist_ok=True)
    given = json.dumps({"stage": {**stage.__dict__, "root": str(stage.root)}})
    subprocess.run(
        [
            *("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"),
            *(sys.executable, "-m", "tools.replay_image", "--inside"),
        ],
        cwd=TOP,
        input=given,
        text=True,
        check=True,
    )


def inside(stage: Stage) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # SIOCSIFFLAGS: loopback, up and running.
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))
    root = stage.root
    for command in (
        ["mount", "--make-rprivate", "/"],
        ["mount", "--bind", root, root],
        [
            "mount",
            "-t",
            "tmpfs",
            "-o",
            f"uid={stage.user.partition(':')[0]},mode=700",
            "tmpfs",
            root / "data",
        ],
        ["mount", "-o", "remount,ro,bind", root],
    ):
        subprocess.run(command, check=True)
    password = secrets.token_urlsafe(24)
    settings = {
        "BROKER_DATABASE_URL": "sqlite:////data/broker.sqlite3",
        "BROKER_BROKER_ID": "replayed",
        "BROKER_PLATFORMS": json.dumps({"cluster": {"username": "cluster", "passwords": [password]}}),
        "BROKER_SEALING_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "BROKER_AZURE_AUTHENTICATION": "managed-identity",
        "BROKER_AZURE_SUBSCRIPTION_ID": "00000000-0000-4000-8000-000000000000",
        "BROKER_AZURE_LOCATION": "westeurope",
        "BROKER_AZURE_RESOURCE_GROUP": "shared",
    }
    environment = stage.environment | settings

    def entered(*command: str) -> list[str]:
        return ["chroot", f"--userspec={stage.user}", str(root), *command]

    for command, expected in (
        (["id", "-u"], [stage.user.partition(":")[0]]),
        (["touch", "/nothing", "/opt/broker/nothing"], ["Read-only file system"] * 2),
    ):
        ran = subprocess.run(entered(*command), env=environment, capture_output=True, text=True, check=False)
        said = (ran.stdout + ran.stderr).strip().splitlines()
        say("\n".join([f"$ {shlex.join(command)}", *said]))
        if [line.rpartition(": ")[2] for line in said] != expected or "0" in said:
            raise CannotReplay(f"That should have been: {', '.join(expected)}.")
    say("$ osb migrate")
    subprocess.run(entered(*stage.entrypoint, "migrate"), env=environment, check=True)
    say(f"$ {shlex.join([*stage.entrypoint, *stage.command])}")
    served = subprocess.Popen(
        entered(*stage.entrypoint, *stage.command), env=environment, stderr=subprocess.STDOUT
    )
    answers_at("http://127.0.0.1:8081/readyz", served)
    catalog = urllib.request.Request(
        "http://127.0.0.1:8080/v2/catalog",
        headers={
            "X-Broker-API-Version": "2.17",
            "Authorization": "Basic " + base64.b64encode(f"cluster:{password}".encode()).decode(),
        },
    )
    with urllib.request.urlopen(catalog) as answer:
        offered = [one["name"] for one in json.load(answer)["services"]]
        say(f"> GET /v2/catalog\n< {answer.status} {', '.join(offered)}")
    with urllib.request.urlopen("http://127.0.0.1:8081/readyz") as answer:
        say(f"> GET /readyz\n< {answer.status} {answer.read().decode()}")
    checked = subprocess.run(entered(*stage.health), env=environment, check=False)
    say(f"$ {shlex.join(stage.health)}\nstatus {checked.returncode}")
    began = time.monotonic()
    served.send_signal(signal.SIGTERM)
    status = served.wait(WITHIN)
    say(f"SIGTERM: status {status} after {time.monotonic() - began:.1f} s")
    if status != 0 or checked.returncode != 0 or not offered:
        raise CannotReplay("The image does not do what it should: see above.")


def answers_at(url: str, served: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + WITHIN
    while True:
        try:
            with urllib.request.urlopen(url):
                return
        except (urllib.error.URLError, ConnectionError):
            if served.poll() is not None or time.monotonic() > until:
                raise CannotReplay(f"It does not serve: status {served.poll()}") from None
            time.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.replay_image", description=__doc__)
    parser.add_argument(
        "--keep", type=Path, help="a folder that does not exist yet, for the roots; else they are removed"
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    try:
        if asked.inside:
            given = json.load(sys.stdin)["stage"]
            inside(Stage(**{**given, "root": Path(given["root"])}))
            return 0
        if os.geteuid() != 0:
            raise CannotReplay("This needs root: it mounts, and enters roots of its own.")
        folder = asked.keep or Path(tempfile.mkdtemp(prefix="osb-image-"))
        folder.mkdir(exist_ok=asked.keep is None)
        try:
            start(replay(TOP / "Dockerfile", folder))
        finally:
            if asked.keep is None:
                shutil.rmtree(folder, ignore_errors=True)
    except (CannotReplay, subprocess.CalledProcessError) as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
