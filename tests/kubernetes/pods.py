"""
A pod's container as a process on this machine: what a kubelet would do of it.

Command, environment and files come out of the API server's objects as the template says. As root the process gets a
read-only root of its own with the volumes where they are mounted, the pod's user and groups, no capability, and no way
to new privileges. As somebody else it runs as that user, on the machine's root, and paths in its variables are those of
the volumes' folders. There is no network namespace: a pod's address is a loopback address of its own, and names of
Services lead there by a hosts file (or, without root, by replacing them in variables).
"""

import base64
import itertools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.kubernetes.control_plane import ApiServer

TOP = Path(__file__).parent.parent.parent
# What the image sets and starts; the Dockerfile says the same.
ENTRYPOINT = [sys.executable, "-m", "broker"]
IMAGE = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(TOP)}
IS_ROOT = os.geteuid() == 0
# A look of a probe that the template allows longer than that would make a hanging test.
PATIENCE = 120
_ETC = ("ssl", "ca-certificates", "passwd", "group", "nsswitch.conf", "ld.so.cache", "localtime", "services")
_numbers = itertools.count(2)


def an_address() -> str:
    """A loopback address that no other pod of this process has."""
    return f"127.9.{os.getpid() % 250 + 1}.{next(_numbers)}"


@dataclass
class Pod:
    """One pod of *template*, whose objects are in *namespace* of *server*."""

    server: ApiServer
    namespace: str
    template: Mapping[str, Any]
    folder: Path
    hosts: Mapping[str, str] = field(default_factory=dict)
    address: str = field(default_factory=an_address)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def spec(self) -> Mapping[str, Any]:
        return self.template["spec"]

    def prepare(self) -> None:
        """Lay the volumes out; those that hold files are as a kubelet writes them, with links to a dated folder."""
        for volume in self.spec.get("volumes", []):
            place = self.volume(volume["name"])
            if "persistentVolumeClaim" in volume:
                place = self.folder.parent / volume["persistentVolumeClaim"]["claimName"]
                place.mkdir(parents=True, exist_ok=True)
                self.own(place, 0o2775)
                self.volume(volume["name"]).symlink_to(place)
                continue
            place.mkdir(parents=True)
            files = {}
            sources = volume["projected"]["sources"] if "projected" in volume else [volume]
            for source in sources:
                files |= self.files(source)
            mode = next(
                (about["defaultMode"] for about in volume.values() if "defaultMode" in about), 0o644
            )  # fmt: skip
            self.write(place, files, mode)

    def volume(self, name: str) -> Path:
        return self.folder / "volumes" / name

    def files(self, source: Mapping[str, Any]) -> dict[str, bytes]:
        for kind, path in {"secret": "secrets", "configMap": "configmaps"}.items():
            if kind not in source:
                continue
            about = source[kind]
            name = about.get("name") or about.get("secretName")
            answer = self.server.answered("GET", f"/api/v1/namespaces/{self.namespace}/{path}/{name}")
            if answer.status_code == 404 and about.get("optional"):
                return {}
            assert answer.is_success, answer.text
            held = answer.json().get("data", {})
            content = {
                key: base64.b64decode(value) if kind == "secret" else value.encode() for key, value in held.items()
            }  # fmt: skip
            if "items" not in about:
                return content
            return {one["path"]: content[one["key"]] for one in about["items"] if one["key"] in content}
        if "serviceAccountToken" in source:
            return {source["serviceAccountToken"]["path"]: self.token(source["serviceAccountToken"]).encode()}
        assert "emptyDir" in source, source
        return {}

    def token(self, about: Mapping[str, Any]) -> str:
        account = self.spec.get("serviceAccountName", "default")
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token"
        asked = {"spec": {"audiences": [about["audience"]], "expirationSeconds": about["expirationSeconds"]}}
        issued: str = self.server.asked("POST", path, json=asked).json()["status"]["token"]
        return issued

    def write(self, place: Path, files: Mapping[str, bytes], mode: int) -> None:
        dated = place / "..2026_05_04_12_00_00.000000001"
        dated.mkdir()
        for name, content in files.items():
            file = dated / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            self.own(file, mode)
        (place / "..data").symlink_to(dated.name)
        for top in {Path(name).parts[0] for name in files}:
            (place / top).symlink_to(Path("..data") / top)

    def own(self, path: Path, mode: int) -> None:
        path.chmod(mode)
        if IS_ROOT:
            os.chown(path, 0, self.spec["securityContext"]["fsGroup"])

    def environment(self, container: Mapping[str, Any]) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            about = source["configMapRef"]
            path = f"/api/v1/namespaces/{self.namespace}/configmaps/{about['name']}"
            answer = self.server.answered("GET", path)
            if not (answer.status_code == 404 and about.get("optional")):
                assert answer.is_success, answer.text
                found |= answer.json()["data"]
        found |= {one["name"]: one["value"] for one in container.get("env", [])}
        # A pod has an address of its own, and serves on all that it has.
        return {name: self.address if value == "0.0.0.0" else value for name, value in found.items()}

    def start(self, container: Mapping[str, Any]) -> subprocess.Popen[bytes]:
        """Start it as the template says."""
        command = container.get("command", ENTRYPOINT)
        command = [sys.executable if command[0] == "python" else command[0], *command[1:]]
        command += container.get("args", [])
        environment = {**IMAGE, "PATH": os.environ["PATH"], **self.environment(container)}
        mounts = {one["mountPath"]: self.volume(one["name"]) for one in container.get("volumeMounts", [])}
        if IS_ROOT:
            command = self.sandboxed(command, mounts)
        else:
            environment = {name: self.replaced(value, mounts) for name, value in environment.items()}
            command = [self.replaced(part, mounts) for part in command]
        with (self.folder / f"{container['name']}.log").open("ab") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd="/")
        self.processes.append(process)
        return process

    def replaced(self, text: str, mounts: Mapping[str, Path]) -> str:
        for path, volume in mounts.items():
            text = text.replace(path, str(volume))
        for name, address in self.hosts.items():
            text = text.replace(name, address)
        return text

    def sandboxed(self, command: Sequence[str], mounts: Mapping[str, Path]) -> list[str]:
        """The command in mounts of its own; no process stands between it and who sends it signals."""
        root, user = self.folder / "root", self.spec["securityContext"]
        root.mkdir(exist_ok=True)
        (self.folder / "hosts").write_text(
            "".join(
                f"{address} {name}\n" for name, address in {"localhost": "127.0.0.1", **self.hosts}.items()
            )
        )
        lines = [f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(root))}"]

        def bound(source: object, target: object, *, writable: bool = False) -> None:
            inside = f"{root}{target}"
            kind = "mkdir -p" if Path(str(source)).is_dir() else "mkdir -p $(dirname {0}); touch"
            lines.append(f"{kind.format(shlex.quote(inside))} {shlex.quote(inside)}")
            lines.append(f"mount --rbind {shlex.quote(str(source))} {shlex.quote(inside)}")
            if not writable:
                lines.append(f"mount -o remount,bind,ro {shlex.quote(inside)}")

        for top in ("/bin", "/sbin", "/lib", "/lib64", "/usr"):
            if Path(top).is_symlink():
                lines.append(f"cp -P {top} {shlex.quote(str(root))}/")
            elif Path(top).exists():
                bound(top, top)
        for folder in {sys.base_prefix, sys.prefix, str(TOP)}:
            if not folder.startswith("/usr/"):
                bound(folder, folder)
        bound("/dev", "/dev", writable=True)
        bound("/proc", "/proc", writable=True)
        for name in _ETC:
            if Path("/etc", name).exists():
                bound(Path("/etc", name).resolve(), f"/etc/{name}")
        bound(self.folder / "hosts", "/etc/hosts")
        for path, volume in mounts.items():
            bound(volume.resolve(), path, writable="persistentVolumeClaim" in self.volume_source(volume.name))
        lines.append(f"mount -o remount,ro {shlex.quote(str(root))}")
        setpriv = [
            "setpriv", f"--reuid={user['runAsUser']}", f"--regid={user['runAsGroup']}", f"--groups={user['fsGroup']}",
            "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all",
        ]  # fmt: skip
        lines.append(f"exec chroot {shlex.quote(str(root))} {shlex.join([*setpriv, *command])}")
        return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join(lines)]

    def volume_source(self, name: str) -> Mapping[str, Any]:
        (found,) = [one for one in self.spec["volumes"] if one["name"] == name]
        return found

    def run(self) -> None:
        """Carry out what comes before, and start the broker's container; it need not be ready at the return."""
        self.prepare()
        for container in self.spec.get("initContainers", []):
            assert self.start(container).wait(PATIENCE) == 0, self.log(container["name"])
        self.start(self.spec["containers"][0])

    def probed(self, kind: str) -> bool:
        """One look of a probe, as the template declares it."""
        (container,) = self.spec["containers"]
        probe = container[f"{kind}Probe"]
        (port,) = [
            one["containerPort"] for one in container["ports"] if one["name"] == probe["httpGet"]["port"]
        ]
        try:
            url = f"http://{self.address}:{port}{probe['httpGet']['path']}"
            return httpx.get(url, timeout=probe["timeoutSeconds"]).is_success
        except httpx.TransportError:
            return False

    def await_ready(self) -> float:
        """Wait until the probes are content, no longer than the startup probe allows; return the seconds."""
        began = time.monotonic()
        probe = self.spec["containers"][0]["startupProbe"]
        for kind in ("startup", "readiness", "liveness"):
            while not self.probed(kind):
                assert self.processes[-1].poll() is None, self.log("broker")
                allowed = probe["periodSeconds"] * probe["failureThreshold"]
                assert time.monotonic() - began < allowed, self.log("broker")
                time.sleep(0.1)
        return time.monotonic() - began

    def log(self, container: str) -> str:
        return (self.folder / f"{container}.log").read_text()

    def stop(self) -> int:
        """Order it to stop; killed only when the grace period is over. Return its status."""
        process = self.processes[-1]
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(self.spec["terminationGracePeriodSeconds"])
        except subprocess.TimeoutExpired:
            self.kill()
            return process.wait()

    def kill(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()

    def status(self) -> Mapping[str, str]:
        """What the kernel says of the broker's process: user, groups, capabilities, new privileges."""
        text = Path(f"/proc/{self.processes[-1].pid}/status").read_text()
        return dict(re.findall(r"^(\w+):\s*(.*?)\s*$", text, re.MULTILINE))

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
