"""The routes, the refusals and the front, put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fastapi import FastAPI
from starlette.types import ASGIApp

from broker.api import bindings, instances, refusals
from broker.api.authentication import Authentication, Credentials
from broker.api.catalog import CatalogPage
from broker.api.front import Front, Observe, observe_nothing
from broker.api.parts import Parts
from broker.domain.catalog import Catalog
from broker.lifecycle.options import CatalogSource, RulesSource


def routes(parts: Parts | None = None) -> FastAPI:
    """Return the application behind the front. Its OpenAPI description is for tests, and served nowhere."""
    app = FastAPI(
        # Its own spans and records would tell whole addresses, and cost something with each request.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        title="Azure Service Broker",
        version="2.17",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Handed over as they are: `include_router` would match each request three times over.
        routes=[*instances.router.routes, *bindings.router.routes],
    )
    app.state.parts = parts
    refusals.install(app, root="/v2")
    return app


def osb_application(
    parts: Parts,
    *,
    platforms: Iterable[Credentials],
    catalog: CatalogSource,
    observe: Observe = observe_nothing,
    rules: RulesSource | None = None,
    before_serving: Callable[[Callable[[Catalog], None]], None] | None = None,
) -> ASGIApp:
    """
    Return the application for the listener that platforms reach.

    *before_serving* is told what to do with each catalog before it is served: it takes a while.
    """
    page = CatalogPage(catalog, rules)
    if before_serving is not None:
        before_serving(page.prepare)
    return Front(
        routes(parts),
        authentication=Authentication(platforms),
        catalog=page,
        body_limit=parts.body_limit,
        observe=observe,
        rules=rules,
    )
