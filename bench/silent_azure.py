"""
An Azure in which nothing exists and every deployment runs for ever, at next to no cost.

Run as `python -m bench.silent_azure FOLDER`: TLS on a free loopback port; writes `azure.json` (endpoint, CA file,
token file) there. It stands in for Azure where thousands of operations wait and only the broker's own cost is asked.
"""

from __future__ import annotations

import json
import secrets
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from broker.simulator.certificates import CertificateAuthority

DEPLOYMENT = "/deployments/"


class SilentAzure:
    """Answers a deployment that was put, or that is asked for while `everything_runs`, as running."""

    def __init__(self, folder: Path) -> None:
        self._started: set[str] = set()
        self._everything_runs = folder / "everything-runs"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        path = scope["path"].lower()
        if scope["method"] == "PUT":
            self._started.add(path)
        if DEPLOYMENT in path and (path in self._started or self._everything_runs.exists()):
            await _answer(send, 200, {"name": path.rpartition("/")[2], "properties": _RUNNING})
        elif path.endswith("/resources"):
            await _answer(send, 200, {"value": []})
        elif "/providers/" not in path:
            await _answer(send, 200, {"name": path.rpartition("/")[2], "location": "westeurope", "tags": {}})
        else:
            code = "DeploymentNotFound" if DEPLOYMENT in path else "ResourceNotFound"
            error = {"code": code, "message": "Nothing exists here."}
            await _answer(send, 404, {"error": error})


_RUNNING = {"provisioningState": "Running", "correlationId": "00000000-0000-0000-0000-000000000001"}


async def _answer(send: Any, status: int, body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        # Without it a 404 could be a proxy's, and the broker would not take it for an absence.
        (b"x-ms-correlation-request-id", b"00000000-0000-0000-0000-000000000001"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _serve(folder: Path) -> None:
    authority = CertificateAuthority("Silent Azure")
    issued = authority.issue("127.0.0.1")
    (folder / "ca.pem").write_bytes(authority.certificate_pem)
    (folder / "server.pem").write_bytes(issued.certificate_pem)
    (folder / "server.key").write_bytes(issued.key_pem)
    (folder / "token").write_text(secrets.token_urlsafe(24), encoding="ascii")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        SilentAzure(folder), http="httptools", loop="none", lifespan="off", ws="none", log_config=None,
        access_log=False, ssl_certfile=str(folder / "server.pem"), ssl_keyfile=str(folder / "server.key"),
    )  # fmt: skip
    where = {
        "endpoint": f"https://127.0.0.1:{listener.getsockname()[1]}",
        "ca_file": str(folder / "ca.pem"),
        "token_file": str(folder / "token"),
    }
    listener.listen()
    (folder / "azure.json").write_text(json.dumps(where), encoding="utf-8")
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1])))
