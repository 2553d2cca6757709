"""Routes that cost no more than they must."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class PlainRoute(APIRoute):
    """
    A route whose handler takes the request and gives the response, and that FastAPI describes but does not run.

    Reading bodies, dependencies and responses by FastAPI's rules would cost a poll twice the time of its SELECT,
    and nothing here uses them.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        handle: Callable[[Request], Awaitable[Response]] = endpoint

        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            response = await handle(Request(scope, receive, send))
            await response(scope, receive, send)

        self.app = run
