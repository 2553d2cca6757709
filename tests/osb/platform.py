"""A platform as a test needs it: real HTTP, and every answer checked for what holds of all answers."""

import base64
import contextlib
import json
import socket
import ssl
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import EllipsisType
from typing import Any
from uuid import uuid4

import httpx

from tests.osb.offerings import SERVICE, SMALL

PATIENCE = 30.0
"""Seconds; everything outside finishes at once when told to, the rest is the engine's own time on a busy machine."""
BETWEEN_LOOKS = 0.02

Body = Mapping[str, Any] | bytes | str | list[Any] | None


def an_id() -> str:
    return str(uuid4())


def order(plan_id: str = SMALL, **changes: Any) -> dict[str, Any]:
    """A provision's body; `...` takes a field out."""
    body = {
        "service_id": SERVICE,
        "plan_id": plan_id,
        "organization_guid": "3b8a9d53-organization",
        "space_guid": "8e1c6c7e-space",
    }
    return without_ellipses(body | changes)


def change(**changes: Any) -> dict[str, Any]:
    """An update's body."""
    return without_ellipses({"service_id": SERVICE} | changes)


def ask(plan_id: str = SMALL, **changes: Any) -> dict[str, Any]:
    """A bind's body."""
    return without_ellipses({"service_id": SERVICE, "plan_id": plan_id} | changes)


def without_ellipses(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if not isinstance(value, EllipsisType)}


def at_once(number: int, call: Any) -> list[Any]:
    """Call *call(i)* from *number* threads at the same time."""
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(call, range(number)))


class Platform:
    """One platform's client. `name` is how the broker knows it."""

    def __init__(self, url: str, name: str, username: str, password: str) -> None:
        self.name = name
        self.username = username
        self.password = password
        self.seen: list[httpx.Response] = []
        self._client = httpx.Client(
            base_url=url,
            auth=(username, password),
            headers={"X-Broker-API-Version": "2.17"},
            timeout=PATIENCE * 2,
            limits=httpx.Limits(max_connections=40, max_keepalive_connections=40),
        )

    def close(self) -> None:
        self._client.close()

    def request(self, method: str, path: str, body: Body = None, **options: Any) -> httpx.Response:
        """Send anything; the answer is checked for what holds of every answer."""
        if isinstance(body, bytes | str):
            options["content"] = body
        elif body is not None:
            options["content"] = json.dumps(body)
        headers = dict(options.pop("headers", {}))
        if body is not None and "Content-Type" not in headers:
            headers["Content-Type"] = "application/json"
        response = self._client.request(method, path, headers=headers, **options)
        check_any(response)
        self.seen.append(response)
        return response

    def catalog(self, **options: Any) -> httpx.Response:
        return self.request("GET", "/v2/catalog", **options)

    def provision(
        self, instance_id: str, body: Body = None, *, asynchronous: Any = True, **options: Any
    ) -> httpx.Response:
        body = order() if body is None else body
        return self.request("PUT", instance(instance_id), body, params=incomplete(asynchronous), **options)

    def update(
        self, instance_id: str, body: Body, *, asynchronous: Any = True, **options: Any
    ) -> httpx.Response:
        return self.request("PATCH", instance(instance_id), body, params=incomplete(asynchronous), **options)

    def deprovision(
        self,
        instance_id: str,
        plan_id: Any = SMALL,
        service_id: Any = SERVICE,
        *,
        asynchronous: Any = True,
        **options: Any,
    ) -> httpx.Response:
        params = without_ellipses({"service_id": service_id, "plan_id": plan_id} | incomplete(asynchronous))
        return self.request("DELETE", instance(instance_id), params=params, **options)

    def bind(
        self,
        instance_id: str,
        binding_id: str,
        body: Body = None,
        *,
        asynchronous: Any = None,
        **options: Any,
    ) -> httpx.Response:
        body = ask() if body is None else body
        return self.request(
            "PUT", binding(instance_id, binding_id), body, params=incomplete(asynchronous), **options
        )

    def unbind(
        self,
        instance_id: str,
        binding_id: str,
        plan_id: Any = SMALL,
        service_id: Any = SERVICE,
        *,
        asynchronous: Any = None,
        **options: Any,
    ) -> httpx.Response:
        params = without_ellipses({"service_id": service_id, "plan_id": plan_id} | incomplete(asynchronous))
        return self.request("DELETE", binding(instance_id, binding_id), params=params, **options)

    def fetch(self, instance_id: str, binding_id: str | None = None, **params: str) -> httpx.Response:
        return self.request("GET", resource(instance_id, binding_id), params=params)

    def poll(self, instance_id: str, binding_id: str | None = None, **params: str) -> httpx.Response:
        return self.request("GET", resource(instance_id, binding_id) + "/last_operation", params=params)

    def settle(self, instance_id: str, binding_id: str | None = None, **params: str) -> httpx.Response:
        """Poll until the answer is no longer `in progress`."""
        until = time.monotonic() + PATIENCE
        while True:
            answer = self.poll(instance_id, binding_id, **params)
            if answer.status_code != 200 or answer.json()["state"] != "in progress":
                return answer
            assert time.monotonic() < until, f"still in progress after {PATIENCE} s: {answer.text}"
            time.sleep(BETWEEN_LOOKS)

    def ready(self, body: Body = None, *, instance_id: str | None = None) -> str:
        """Order an instance and wait until it is there."""
        instance_id = instance_id or an_id()
        answer = self.provision(instance_id, body)
        assert answer.status_code in {201, 202}, answer.text
        assert (settled := self.settle(instance_id).json())["state"] == "succeeded", settled
        return instance_id

    def bound(self, instance_id: str, body: Body = None) -> tuple[str, dict[str, Any]]:
        """Make a binding; returns its id and the answer's body."""
        binding_id = an_id()
        answer = self.bind(instance_id, binding_id, body)
        assert answer.status_code == 201, answer.text
        return binding_id, answer.json()

    def gone(self, instance_id: str, plan_id: str = SMALL, service_id: str = SERVICE) -> None:
        """Delete an instance and wait until that is done."""
        answer = self.deprovision(instance_id, plan_id, service_id)
        assert answer.status_code in {200, 202, 410}, answer.text
        settled = self.settle(instance_id)
        assert settled.status_code in {404, 410} or settled.json()["state"] == "succeeded", settled.text

    def raw(self, head: str | bytes, body: bytes = b"", *, authorized: bool = True) -> "RawAnswer":
        """Send bytes as they are; *head* is the request line and headers without the last empty line."""
        return send_raw(self._client.base_url, self.head(head, authorized=authorized) + body)

    def raw_without_version(self, method: str, path: str, *lines: str) -> "RawAnswer":
        """Send a request without body whose only version header is one among *lines*."""
        head = self.head("\r\n".join([f"{method} {path} HTTP/1.1", *lines]), version=False)
        return send_raw(self._client.base_url, head)

    def send_case(self, case: Any) -> httpx.Response:
        """Send a generated request."""
        sent = case.as_transport_kwargs(base_url=str(self._client.base_url))
        headers = {name: value for name, value in sent["headers"].items() if value.isascii()}
        content = {"content": json.dumps(sent["json"])} if "json" in sent else {}
        if "data" in sent:
            content = {"content": sent["data"]}
        request = self._client.build_request(
            sent["method"], sent["url"], params=sent.get("params"), headers=headers, **content
        )
        return self._client.send(request)

    def head(self, head: str | bytes, *, authorized: bool = True, version: bool = True) -> bytes:
        """Complete a request line and headers with host, version and credentials."""
        text = head.encode() if isinstance(head, str) else head
        lines = [text.rstrip(b"\r\n"), b"Host: broker", b"Connection: close"]
        if version:
            lines.append(b"X-Broker-API-Version: 2.17")
        if authorized:
            basic = base64.b64encode(f"{self.username}:{self.password}".encode())
            lines.append(b"Authorization: Basic " + basic)
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def open_socket(self) -> socket.socket:
        return connect(self._client.base_url)


class RawAnswer:
    """An HTTP answer taken apart by hand; `status` is None when the broker only closed the connection."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        self.status = int(lines[0].split()[1]) if data else None
        self.headers = {
            name.decode("latin-1").lower(): value.strip().decode("latin-1")
            for name, _, value in (line.partition(b":") for line in lines[1:])
        }

    def json(self) -> Any:
        return json.loads(self.body)


def connect(url: httpx.URL) -> socket.socket:
    plain = socket.create_connection((url.host, url.port), timeout=PATIENCE)
    if url.scheme == "https":
        return ssl.create_default_context().wrap_socket(plain, server_hostname=url.host)
    return plain


def send_raw(url: httpx.URL, data: bytes) -> RawAnswer:
    with connect(url) as connection:
        # Answered before everything was read: the answer is still there.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(data)
        return RawAnswer(read_all(connection))


def read_all(connection: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            received += piece
    return received


def instance(instance_id: str) -> str:
    return f"/v2/service_instances/{instance_id}"


def binding(instance_id: str, binding_id: str) -> str:
    return f"{instance(instance_id)}/service_bindings/{binding_id}"


def resource(instance_id: str, binding_id: str | None) -> str:
    return instance(instance_id) if binding_id is None else binding(instance_id, binding_id)


def incomplete(asynchronous: Any) -> dict[str, str]:
    if asynchronous is None:
        return {}
    return {"accepts_incomplete": {True: "true", False: "false"}.get(asynchronous, asynchronous)}


def check_any(response: httpx.Response) -> None:
    """What holds of every answer of this broker, whatever was asked."""
    status = response.status_code
    said = f"{response.request.method} {response.request.url}: {status} {response.text[:500]}"
    sent = response.request.headers.get("X-Broker-API-Request-Identity")
    assert response.headers.get("X-Broker-API-Request-Identity") == sent, said
    if response.request.method == "HEAD" or status == 304:
        assert response.content == b"", said
        return
    assert response.headers["Content-Type"].split(";")[0] == "application/json", said
    body = response.json()
    assert isinstance(body, dict), said
    if status < 400:
        assert status in {200, 201, 202}, said
        return
    assert isinstance(body["error"], str), said
    assert body["error"], said
    assert isinstance(body["description"], str), said
    assert body["description"], said
    for trace in ("Traceback", 'File "', ".py", "site-packages", "sqlalchemy", "psycopg"):
        assert trace not in response.text, said
    for flag in ("instance_usable", "update_repeatable"):
        assert flag not in body or response.request.method in {"PATCH", "DELETE"}, said


def refused(response: httpx.Response | RawAnswer, status: int, error: str | None = None) -> str:
    """Assert a refusal and return its description."""
    actual = response.status_code if isinstance(response, httpx.Response) else response.status
    body = response.json()
    assert actual == status, (actual, body)
    if error is not None:
        assert body["error"] == error, body
    description = body["description"]
    assert isinstance(description, str)
    return description
