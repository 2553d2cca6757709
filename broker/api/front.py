"""
What every request goes through before anything looks at it, in one ASGI middleware.

In this order: the platform's credentials (401), the API version (400, 412), the path (400), the size of the
body (413). It stands in front of routing, so that a stranger learns nothing from a path or body. Whatever the
answer is, it repeats the request's identity.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeAlias

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from broker.api.answers import encoded, refusal_body, refusal_headers
from broker.api.authentication import Authentication
from broker.api.catalog import CatalogPage
from broker.domain.requests import Caller
from broker.errors import (
    BodyTooLarge,
    BrokerError,
    MalformedRequest,
    MethodNotAllowed,
    NotAuthenticated,
    Unforeseen,
    UnsupportedApiVersion,
)
from broker.lifecycle.options import NoRules, RulesSource

log = structlog.get_logger(__name__)

Observe: TypeAlias = Callable[[str, str, int, timedelta], None]
"""Is told route, method, status and duration of each answer."""

ID_LENGTH = 255
"""Characters of an instance or binding id at most."""
HEADER_LENGTH = 4096
"""Bytes of an identity header that are repeated or kept at most."""

_ROOT = "/v2/"
_CATALOG = "/v2/catalog"
_RAW_CATALOG = _CATALOG.encode()
_USUAL_VERSIONS = {b"2.17", b"2.16", b"2.15", b"2.14", b"2.13"}
_VERSION = re.compile(rb"(\d{1,9})\.(\d{1,9})")
_VISIBLE = re.compile(rb"[\x20-\x7e\x80-\xff]+")
METHODS = {"GET", "HEAD", "PUT", "PATCH", "DELETE", "POST", "OPTIONS", "TRACE", "CONNECT"}


def observe_nothing(_route: str, _method: str, _status: int, _took: timedelta) -> None:
    """Measure nothing."""


class Front:
    """Authenticates, checks, and hands on to *app*; answers the catalog itself, from prepared bytes."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        authentication: Authentication,
        catalog: CatalogPage,
        body_limit: int,
        observe: Observe = observe_nothing,
        rules: RulesSource | None = None,
    ) -> None:
        self._app = app
        self._rules = rules or NoRules()
        self._authentication = authentication
        self._catalog = catalog
        self._body_limit = body_limit
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; everything but HTTP (the server's start and end) is handed on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        head: dict[bytes, bytes] = dict(scope["headers"])
        identity = head.get(b"x-broker-api-request-identity")
        # A header that could not be sent back as one line is not sent back at all.
        echo = identity if identity is not None and is_presentable(identity) else None
        answer = Answer(send, echo)
        route = ""
        try:
            platform = self._authentication.platform(head.get(b"authorization"))
            if platform is None:
                raise NotAuthenticated
            _check_version(head.get(b"x-broker-api-version"))
            view = ""
            if not scope["path"].startswith(_ROOT):
                view, scope = self._in_view(scope, platform)
            if scope["path"] == _CATALOG:
                if scope.get("raw_path", _RAW_CATALOG) != _RAW_CATALOG:
                    check_path(scope)
                route = _CATALOG
                await self._send_catalog(scope, head, answer, platform, view)
                return
            check_path(scope)
            check_length(head.get(b"content-length"), limit=self._body_limit)
            origin = head.get(b"x-broker-api-originating-identity")
            scope["osb.caller"] = Caller(platform, _text(origin), _text(echo), view, scope.get("osb.trace"))
            await self._app(scope, receive, answer)
        except BrokerError as refusal:
            await answer.refuse(refusal)
        except Exception as fault:
            # A fault after the answer has begun was logged where it was answered.
            if answer.status:
                return
            log.exception("A request met an unforeseen fault.", method=scope["method"], exc_info=fault)
            await answer.refuse(Unforeseen())
        finally:
            took = time.perf_counter() - started
            self._tell(scope, route, answer.status, took)

    def _in_view(self, scope: Scope, platform: str) -> tuple[str, Scope]:
        """Take the view off a path `/<view>/v2/...`; what is no view of this platform's stays, and is not found."""
        check_path(scope)
        name, slash, rest = scope["path"][1:].partition("/")
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        prefix = b"/" + name.encode("utf-8", "replace")
        if not slash or not f"/{rest}".startswith(_ROOT) or not raw.startswith(prefix + b"/"):
            return "", scope
        if self._rules.current().view(name, platform) is None:
            return "", scope
        return name, {**scope, "path": f"/{rest}", "raw_path": raw[len(prefix) :]}

    async def _send_catalog(
        self, scope: Scope, head: dict[bytes, bytes], answer: Answer, platform: str, view: str
    ) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            raise MethodNotAllowed("This path has no such method.", allowed=("GET", "HEAD"))
        status, headers, body = self._catalog.answer(
            platform, view, head.get(b"if-none-match"), head.get(b"if-modified-since")
        )
        await answer.send(status, headers, b"" if scope["method"] == "HEAD" else body)

    def _tell(self, scope: Scope, route: str, status: int, took: float) -> None:
        found = scope.get("route")
        pattern = route or getattr(found, "path", "") or "other"
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._observe(pattern, method, status, timedelta(seconds=took))
        if method in {"PUT", "PATCH", "DELETE"}:
            caller = scope.get("osb.caller")
            ids = scope.get("path_params") or {}
            log.info(
                "A request was answered.",
                method=method,
                route=pattern,
                status=status,
                milliseconds=round(took * 1000, 1),
                platform=caller.platform if caller else None,
                instance=ids.get("instance_id"),
                binding=ids.get("binding_id"),
                request_identity=caller.request_identity if caller else None,
            )


class Answer:
    """The way back: repeats the request's identity and remembers the status."""

    def __init__(self, send: Send, echo: bytes | None) -> None:
        self.status = 0
        self._send = send
        self._echo = echo

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._echo is not None:
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-broker-api-request-identity", self._echo),
                ]
        await self._send(message)

    async def send(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        if self._echo is not None:
            headers = [*headers, (b"x-broker-api-request-identity", self._echo)]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def refuse(self, refusal: BrokerError) -> None:
        body = encoded(refusal_body(refusal))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.encode(), value.encode()) for name, value in refusal_headers(refusal).items()]
        await self.send(refusal.status, headers, body)


def _check_version(sent: bytes | None) -> None:
    """Serve every 2.x: minor versions only ever add. A missing header is served too (spec: either is fine)."""
    if sent is None or sent in _USUAL_VERSIONS:
        return
    read = _VERSION.fullmatch(sent.strip())
    if read is None:
        raise MalformedRequest("X-Broker-API-Version must be MAJOR.MINOR, such as 2.17.")
    if int(read[1]) != 2:
        raise UnsupportedApiVersion(
            "This broker speaks version 2.17 of the Open Service Broker API, and every other 2.x; "
            "send X-Broker-API-Version: 2.17."
        )


def check_length(announced: bytes | None, *, limit: int) -> None:
    """
    Refuse a body that says itself that it is too large, before any of it is read.

    Raises:
        BodyTooLarge, MalformedRequest: It is, or its length is no number.
    """
    if announced is None:
        return
    if not announced.isdigit():
        raise MalformedRequest("Content-Length is no number.")
    if int(announced) > limit:
        raise BodyTooLarge(f"The request's body is larger than {limit} bytes.")


def check_path(scope: Scope) -> None:
    """
    Refuse paths that could mean two things.

    Routing sees the decoded path, in which an encoded slash is a slash: `a%2Fservice_bindings%2Fb` would be
    another resource.
    """
    path: str = scope["path"]
    raw: bytes = scope.get("raw_path") or path.encode("utf-8", "replace")
    if b"%" in raw and b"%2f" in raw.lower():
        raise MalformedRequest("An id in the path holds an encoded slash.")
    if not path.isprintable() or "\ufffd" in path:
        raise MalformedRequest("An id in the path holds a control character or is no UTF-8.")
    for part in path.split("/"):
        if len(part) > ID_LENGTH:
            raise MalformedRequest(f"An id in the path is longer than {ID_LENGTH} characters.")
        if part in {".", ".."}:
            raise MalformedRequest("'.' and '..' are no ids.")


def is_presentable(header: bytes) -> bool:
    return len(header) <= HEADER_LENGTH and _VISIBLE.fullmatch(header) is not None


def _text(header: bytes | None) -> str | None:
    return header.decode("latin-1") if header is not None and is_presentable(header) else None
