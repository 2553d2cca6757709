"""The admin routes of the catalog: what is published, and proposals to change it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.api.admin import messages, orders, spec
from broker.api.admin.front import CATALOG_LIMIT
from broker.api.admin.orders import Order
from broker.api.admin.parts import AdminParts, parts_of
from broker.api.admin.queries import Query
from broker.api.answers import answer
from broker.api.routing import PlainRoute
from broker.domain.catalog_sources import CatalogSet
from broker.domain.operators import Deed
from broker.domain.pages import Page
from broker.errors import MalformedRequest, NotFound, shown
from broker.lifecycle.administration.catalog import (
    CatalogAdministration,
    CatalogState,
    Proposed,
    RevisionDetails,
    RevisionSummary,
    SourceFiles,
)

router = APIRouter(route_class=PlainRoute, redirect_slashes=False)

_CATALOG = "/admin/v1/catalog"
_SOURCES = _CATALOG + "/sources"
_REVISIONS = _CATALOG + "/revisions"
_NAME = {"type": "string", "minLength": 1, "maxLength": 500}
_EXPECTED: dict[str, Any] = {
    "type": "integer",
    "minimum": 0,
    "description": "Only if this revision is in force; 409 otherwise.",
}
_FILES: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "description": "The text of each file by its path: FAMILY/OFFERING.yaml, and templates beside them.",
}
_WHAT = _NAME | {"description": "OFFERING, or OFFERING/PLAN; names or ids."}
_REFUSALS = {
    404: "There is none.",
    409: "Another revision is in force than the expected one.",
    422: "It must not be published; `faults` tell why. Nothing has changed.",
}


def _proposal(required: dict[str, Any], *parameters: dict[str, Any]) -> dict[str, Any]:
    body = orders.body(required, expected_revision=_EXPECTED)
    del body["properties"]["only_if"]
    return spec.operation(list(parameters), spec.schema_of(Proposed), body=body, refusals=_REFUSALS)


@router.get(_CATALOG, openapi_extra=spec.operation([], spec.schema_of(CatalogState)))
async def state(request: Request) -> Response:
    """Show what this process serves, and what is wrong with its own files."""
    Query(request)
    return answer(200, messages.written(await _catalog(request).state()))


@router.get(_REVISIONS, openapi_extra=spec.listing(RevisionSummary))
async def revisions(request: Request) -> Response:
    """List the published revisions, the newest first."""
    query = Query(request, "limit", "cursor")
    return answer(200, messages.page(await _catalog(request).revisions(query.page())))


@router.get(
    _REVISIONS + "/{revision}",
    openapi_extra=spec.operation(
        [spec.path("revision")], spec.schema_of(RevisionDetails), refusals={404: "There is none."}
    ),
)
async def revision(request: Request) -> Response:
    """Show a revision: what it was merged from, and what it offers."""
    Query(request)
    return answer(200, messages.written(await _catalog(request).revision(_revision_of(request))))


@router.post(_REVISIONS + "/{revision}/roll-back", openapi_extra=_proposal({}, spec.path("revision")))
async def roll_back(request: Request) -> Response:
    """Bring back what an older revision was merged from, as a new revision."""
    order = await _Order.read(request)
    number = _revision_of(request)
    return _told(await _catalog(request).roll_back(order.deed(request), number, expected=order.expected))


@router.get(_SOURCES, openapi_extra=spec.whole_listing(CatalogSet))
async def sources(request: Request) -> Response:
    """List what the revision in force is merged from, in the order in which it is laid over one another."""
    Query(request)
    return answer(200, messages.page(Page(await _catalog(request).sources())))


@router.get(
    _SOURCES + "/{name}",
    openapi_extra=spec.operation(
        [spec.path("name")], spec.schema_of(SourceFiles), refusals={404: "There is none."}
    ),
)
async def source(request: Request) -> Response:
    """Show a source of the revision in force with its files."""
    Query(request)
    return answer(200, messages.written(await _catalog(request).source(request.path_params["name"])))


@router.post(_CATALOG + "/proposals", openapi_extra=_proposal({"name": _NAME, "files": _FILES}))
async def propose(request: Request) -> Response:
    """Register files as a source of the catalog; a dry run answers all faults and effects, and publishes nothing."""
    order = await _Order.read(request, "name", "files")
    return _told(
        await _catalog(request).register(
            order.deed(request), order.needed("name"), order.files(), expected=order.expected
        )
    )


@router.post(_SOURCES + "/{name}/unregister", openapi_extra=_proposal({}, spec.path("name")))
async def unregister(request: Request) -> Response:
    """Take a registered source out of the catalog."""
    order = await _Order.read(request)
    name = request.path_params["name"]
    return _told(await _catalog(request).unregister(order.deed(request), name, expected=order.expected))


@router.post(_CATALOG + "/withdraw", openapi_extra=_proposal({"what": _WHAT}))
async def withdraw(request: Request) -> Response:
    """Offer an offering or a plan no more; who has an instance goes on with it."""
    order = await _Order.read(request, "what")
    return _told(
        await _catalog(request).withdraw(order.deed(request), order.needed("what"), expected=order.expected)
    )


@router.post(_CATALOG + "/restore", openapi_extra=_proposal({"what": _WHAT}))
async def restore(request: Request) -> Response:
    """Offer again what was withdrawn."""
    order = await _Order.read(request, "what")
    return _told(
        await _catalog(request).restore(order.deed(request), order.needed("what"), expected=order.expected)
    )


class _Order(Order):
    """The body of a proposal."""

    @classmethod
    async def read(cls, request: Request, *names: str) -> _Order:
        Query(request)
        return cls(await orders.fields_of(request, limit=CATALOG_LIMIT), "expected_revision", *names)

    def deed(self, request: Request) -> Deed:
        deed = super().deed(request)
        if deed.only_if is not None:
            raise MalformedRequest("There is no field 'only_if' here; give expected_revision.")
        return deed

    @property
    def expected(self) -> int | None:
        value = self._fields.get("expected_revision")
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise MalformedRequest("expected_revision must be the number of a revision.")
        return value

    def needed(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise MalformedRequest(f"{name} is missing in the request.")
        return value

    def files(self) -> dict[str, str]:
        value = self._fields.get("files")
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise MalformedRequest("files must be a JSON object with the text of each file by its path.")
        return value


def _told(proposed: Proposed) -> Response:
    if not proposed.refused or proposed.dry_run:
        return answer(200, messages.written(proposed))
    first, *more = (fault for fault in proposed.faults if fault.severity == "refused")
    others = f" There are {len(more)} more faults." if more else ""
    return answer(
        422,
        {
            "error": "CatalogRefused",
            "description": f"The proposal was refused, revision {proposed.revision} goes on: {first}.{others}",
            "faults": messages.written(proposed.faults),
        },
    )


def _catalog(request: Request) -> CatalogAdministration:
    parts: AdminParts = parts_of(request)
    return parts.catalog


def _revision_of(request: Request) -> int:
    text = request.path_params["revision"]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise NotFound(f"There is no revision {shown(text)} of the catalog.")
    return int(text)
