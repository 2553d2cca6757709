"""The admin API's routes, refusals and front, put together."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from broker.api import refusals
from broker.api.admin import (
    bindings,
    catalog,
    imports,
    instances,
    inventory,
    keys,
    operations,
    past,
    preflight,
)
from broker.api.admin.front import ROOT, AdminFront, OperatorCredentials
from broker.api.admin.parts import AdminParts
from broker.api.answers import answer
from broker.api.front import Observe, observe_nothing
from broker.api.routing import PlainRoute

description = APIRouter(route_class=PlainRoute, redirect_slashes=False)


def admin_routes(parts: AdminParts | None = None) -> FastAPI:
    """Return the application behind the front; its OpenAPI description is served to operators."""
    app = FastAPI(
        # Its own spans and records would tell whole addresses, and cost something with each request.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        title="Azure Service Broker: operators",
        version="1",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        routes=[
            *instances.router.routes,
            *bindings.router.routes,
            *operations.router.routes,
            *past.router.routes,
            *inventory.router.routes,
            *keys.router.routes,
            *preflight.router.routes,
            *imports.router.routes,
            *catalog.router.routes,
            *description.routes,
        ],
    )
    app.state.parts = parts
    refusals.install(app, root=ROOT)
    return app


def admin_application(
    parts: AdminParts,
    *,
    operators: Iterable[OperatorCredentials],
    observe: Observe = observe_nothing,
) -> ASGIApp:
    """Return the application for the listener that operators reach."""
    return AdminFront(admin_routes(parts), operators=operators, body_limit=parts.body_limit, observe=observe)


def beside(osb: ASGIApp, admin: ASGIApp) -> ASGIApp:
    """Return one application for one listener: what begins with /admin/ is for operators, all else for platforms."""

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        for_operators = scope["type"] == "http" and scope["path"].startswith("/admin/")
        await (admin if for_operators else osb)(scope, receive, send)

    return either


@description.get(f"{ROOT}/openapi.json", include_in_schema=False)
async def described(request: Request) -> Response:
    """Describe the admin API (OpenAPI 3.1)."""
    return answer(200, request.app.openapi())
