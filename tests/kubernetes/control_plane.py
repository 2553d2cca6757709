"""A real API server on loopback, with its etcd: no kubelet, no controllers, no scheduler."""

import contextlib
import csv
import io
import json
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from broker.simulator.certificates import CertificateAuthority
from tests.needs import the_program

# Its start takes 5 seconds on two idle cores; a busy machine takes several times as long.
WITHIN = 120
CRDS = Path(__file__).parent / "crds"


@dataclass
class ApiServer:
    """A client of the API server as its administrator, or as somebody else whom it impersonates."""

    url: str
    folder: Path
    client: httpx.Client = field(repr=False)
    resources: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict, repr=False)

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def path(self, one: dict[str, Any], namespace: str) -> str:
        """Where an object is, by its kind, name and namespace."""
        version, kind = one["apiVersion"], one["kind"]
        prefix = "/apis" if "/" in version else "/api"
        if (version, kind) not in self.resources:
            for found in self.get(f"{prefix}/{version}")["resources"]:
                if "/" not in found["name"]:
                    self.resources[version, found["kind"]] = found
        resource = self.resources[version, kind]
        space = f"/namespaces/{namespace}" if resource["namespaced"] else ""
        return f"{prefix}/{version}{space}/{resource['name']}/{one['metadata']['name']}"

    def get(self, path: str, **parameters: str) -> Any:
        return self.asked("GET", path, params=parameters).json()

    def apply(self, one: dict[str, Any], namespace: str, *, dry_run: bool = False) -> httpx.Response:
        """Apply on the server's side, with strict field checking; the answer may be a refusal."""
        return self.client.patch(
            self.path(one, namespace),
            params={
                "fieldManager": "tests", "fieldValidation": "Strict", "force": "true",
                **({"dryRun": "All"} if dry_run else {}),
            },
            content=json.dumps(one),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )  # fmt: skip

    def asked(self, method: str, path: str, *, who: str | None = None, **more: Any) -> httpx.Response:
        """Ask, as *who* if given; any refusal is an error of the test."""
        answer = self.answered(method, path, who=who, **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def answered(self, method: str, path: str, *, who: str | None = None, **more: Any) -> httpx.Response:
        headers = {"Impersonate-User": who} if who else {}
        return self.client.request(method, path, headers=headers, **more)

    def namespace(self, name: str, **labels: str) -> str:
        """Make a namespace with the service account that a controller would put there."""
        made = {"metadata": {"name": name, "labels": labels}}
        self.asked("POST", "/api/v1/namespaces", json=made)
        account = {"metadata": {"name": "default"}}
        self.asked("POST", f"/api/v1/namespaces/{name}/serviceaccounts", json=account)
        return name


@contextlib.contextmanager
def api_server() -> Iterator[ApiServer]:
    """Start both, with the custom kinds that the chart knows; keys, tokens and certificates live as long."""
    with tempfile.TemporaryDirectory(prefix="osb-kubernetes-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        storage = stack.enter_context(_etcd(folder))
        authority = CertificateAuthority("API server")
        issued = authority.issue("127.0.0.1", "localhost")
        (folder / "ca.crt").write_bytes(authority.certificate_pem)
        (folder / "tls.crt").write_bytes(issued.certificate_pem)
        (folder / "tls.key").write_bytes(issued.key_pem)
        (folder / "accounts.key").write_bytes(_rsa_key())
        token = secrets.token_urlsafe(32)
        tokens = io.StringIO()
        csv.writer(tokens).writerow([token, "admin", "admin", "system:masters"])
        (folder / "tokens.csv").write_text(tokens.getvalue())
        url = f"https://127.0.0.1:{free_port()}"
        _write_kubeconfig(folder, url, token)
        command = [
            *the_program("kube-apiserver"),
            f"--etcd-servers={storage}",
            "--bind-address=127.0.0.1",
            f"--secure-port={url.rpartition(':')[2]}",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--tls-cert-file={folder}/tls.crt",
            f"--tls-private-key-file={folder}/tls.key",
            f"--token-auth-file={folder}/tokens.csv",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder}/accounts.key",
            f"--service-account-signing-key-file={folder}/accounts.key",
            "--service-cluster-ip-range=10.96.0.0/24",
            f"--cert-dir={folder}",
        ]
        process = stack.enter_context(_running(command, folder / "kube-apiserver.log"))
        client = stack.enter_context(
            httpx.Client(
                base_url=url,
                verify=_trusting(folder / "ca.crt"),
                headers={"Authorization": f"Bearer {token}"},
                timeout=30,
            )
        )
        _answers(client, "/readyz", process, folder / "kube-apiserver.log")
        server = ApiServer(url, folder, client)
        _teach(server)
        yield server


def _teach(server: ApiServer) -> None:
    """Add the custom kinds, and wait until they are served."""
    documents = [one for file in sorted(CRDS.glob("*.yaml")) for one in yaml.safe_load_all(file.read_text())]
    for one in documents:
        answer = server.apply(one, "")
        assert answer.is_success, answer.text
    for one in documents:
        spec = one["spec"]
        path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
        until = time.monotonic() + WITHIN
        while not server.answered("GET", path).is_success:
            assert time.monotonic() < until, f"{path} is not served"
            time.sleep(0.1)


@contextlib.contextmanager
def _etcd(folder: Path) -> Iterator[str]:
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    command = [
        *the_program("etcd"),
        f"--data-dir={folder}/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
    ]
    with _running(command, folder / "etcd.log") as process, httpx.Client(base_url=client) as asking:
        _answers(asking, "/health", process, folder / "etcd.log")
        yield client


@contextlib.contextmanager
def _running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _answers(client: httpx.Client, path: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + WITHIN
    while True:
        assert process.poll() is None, log.read_text()[-3000:]
        with contextlib.suppress(httpx.TransportError):
            if client.get(path).is_success:
                return
        assert time.monotonic() < until, log.read_text()[-3000:]
        time.sleep(0.1)


def _rsa_key() -> bytes:
    return rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _trusting(file: Path) -> Any:
    import ssl

    return ssl.create_default_context(cafile=file)


def _write_kubeconfig(folder: Path, url: str, token: str) -> None:
    named = {
        "clusters": [{"name": "it", "cluster": {"server": url, "certificate-authority": f"{folder}/ca.crt"}}],
        "users": [{"name": "it", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    }
    text = json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "it", **named})
    (folder / "kubeconfig").write_text(text)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
