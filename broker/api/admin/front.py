"""
What every request to the admin API goes through before routing, in one ASGI middleware.

In this order: the operator's token (401), the role (403), the path (400), the size of the body (413). A platform's
credentials are a stranger's here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Protocol

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from broker.api.authentication import Authentication, Credentials
from broker.api.front import (
    METHODS,
    Answer,
    Observe,
    check_length,
    check_path,
    is_presentable,
    observe_nothing,
)
from broker.domain.operators import Operator
from broker.errors import BrokerError, NotAnOperator, RoleMissing, Unforeseen

log = structlog.get_logger(__name__)

ROOT = "/admin/v1"
READS = {"GET", "HEAD"}
"""Methods that the role `read` may use: they change nothing."""
CATALOG_LIMIT = 16 * 1024 * 1024
"""In bytes: what an operator sends to have it registered is larger than all else."""
REFUSED_AFTER = timedelta(milliseconds=250)
"""How long a stranger waits for his refusal: guessing is to be slow, and a mistake is not to be punished."""


class OperatorCredentials(Credentials, Protocol):
    """An operator, his role, and what he shows to be believed."""

    @property
    def role(self) -> str: ...


class AdminFront:
    """Tells operators from strangers, checks what they may, and hands on to *app*."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        operators: Iterable[OperatorCredentials],
        body_limit: int,
        observe: Observe = observe_nothing,
    ) -> None:
        known = list(operators)
        self._app = app
        self._authentication = Authentication(known)
        self._roles = {operator.name: operator.role for operator in known}
        self._body_limit = body_limit
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; everything but HTTP is handed on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        head: dict[bytes, bytes] = dict(scope["headers"])
        identity = head.get(b"x-broker-api-request-identity")
        echo = identity if identity is not None and is_presentable(identity) else None
        answer = Answer(send, echo)
        try:
            operator = await self._operator(scope, head.get(b"authorization"), echo)
            scope["osb.operator"] = operator
            if scope["method"] not in READS and not operator.may_act:
                raise RoleMissing(operator.name)
            check_path(scope)
            catalog = scope["path"].startswith(f"{ROOT}/catalog/")
            check_length(head.get(b"content-length"), limit=CATALOG_LIMIT if catalog else self._body_limit)
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
            self._tell(scope, answer.status, time.perf_counter() - started)

    async def _operator(self, scope: Scope, authorization: bytes | None, echo: bytes | None) -> Operator:
        name = self._authentication.platform(authorization)
        if name is None:
            client = scope.get("client")
            log.warning(
                "An operator's token was refused.",
                address=client[0] if client else None,
                given=authorization is not None,
            )
            await asyncio.sleep(REFUSED_AFTER.total_seconds())
            raise NotAnOperator
        return Operator(
            name=name,
            may_act=self._roles[name] == "operate",
            request_identity=echo.decode("latin-1") if echo is not None else None,
        )

    def _tell(self, scope: Scope, status: int, took: float) -> None:
        route = getattr(scope.get("route"), "path", "") or f"{ROOT}/other"
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._observe(route, method, status, timedelta(seconds=took))
        operator: Operator | None = scope.get("osb.operator")
        if operator is not None:
            log.info(
                "An operator was answered.",
                method=method,
                route=route,
                status=status,
                milliseconds=round(took * 1000, 1),
                operator=operator.name,
                request_identity=operator.request_identity,
                **{name: str(value) for name, value in (scope.get("path_params") or {}).items()},
            )
