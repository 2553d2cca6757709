"""The admin routes of the audit and of what is gone."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.api.admin import messages, spec
from broker.api.admin.parts import parts_of
from broker.api.admin.queries import Query
from broker.api.answers import answer
from broker.api.routing import PlainRoute
from broker.domain.summaries import AuditFilter, AuditRow, PastFilter, PastRecord

router = APIRouter(route_class=PlainRoute, redirect_slashes=False)

_AUDIT = "/admin/v1/audit"
_HISTORY = "/admin/v1/history"
_KINDS = ["instance", "binding"]
_LIVES = {
    "type": "object",
    "required": ["items"],
    "properties": {"items": {"type": "array", "items": spec.schema_of(PastRecord)}},
}
_UNKNOWN = {404: "Nothing of that id is in the history (any more)."}


@router.get(
    _AUDIT,
    openapi_extra=spec.listing(
        AuditRow,
        spec.query("actor", "A platform's name, or `operator NAME`."),
        spec.query("action", "Such as `provision`, `retry`, or `abandon, keep in Azure`."),
        spec.query("object", "A part of what it was done to, such as an id."),
        spec.age("older_than", "Done at least this long ago, such as 2h."),
        spec.age("newer_than", "Done at most this long ago, such as 2h."),
    ),
)
async def audit(request: Request) -> Response:
    """List who did what, when and why, the newest first."""
    query = Query(request, "actor", "action", "object", "older_than", "newer_than", "limit", "cursor")
    wanted = AuditFilter(
        actor=query.text("actor"),
        action=query.text("action"),
        object=query.text("object"),
        older_than=query.age("older_than"),
        newer_than=query.age("newer_than"),
    )
    return answer(200, messages.page(await parts_of(request).past.audit(wanted, query.page())))


@router.get(
    _HISTORY,
    openapi_extra=spec.listing(
        PastRecord,
        spec.query("platform", "Of this platform only."),
        spec.query("instance_id", "Of this service instance and its bindings."),
        spec.query("binding_id", "Of this service binding."),
        spec.query("kind", "Instances or bindings only.", {"type": "string", "enum": _KINDS}),
        spec.query("search", "A part of an id, or of why it went."),
        spec.age("older_than", "Gone for at least this long, such as 2h."),
        spec.age("newer_than", "Gone for at most this long, such as 2h."),
    ),
)
async def page(request: Request) -> Response:
    """List service instances and bindings that are gone, the latest first."""
    query = Query(
        request, "platform", "instance_id", "binding_id", "kind", "search", "older_than", "newer_than", "limit",
        "cursor",
    )  # fmt: skip
    wanted = PastFilter(
        platform=query.text("platform"),
        instance_id=query.text("instance_id"),
        binding_id=query.text("binding_id"),
        kind=next(iter(query.choices("kind", _KINDS)), None),
        search=query.text("search"),
        older_than=query.age("older_than"),
        newer_than=query.age("newer_than"),
    )
    return answer(200, messages.page(await parts_of(request).past.page(wanted, query.page())))


@router.get(
    _HISTORY + "/{instance_id}",
    openapi_extra=spec.operation([spec.path("instance_id"), spec.PLATFORM], _LIVES, refusals=_UNKNOWN),
)
async def of_instance(request: Request) -> Response:
    """Show each former life of an instance id, the latest first: operations, failures, what was left in Azure."""
    return await _lives(request, None)


@router.get(
    _HISTORY + "/{instance_id}/bindings/{binding_id}",
    openapi_extra=spec.operation(
        [spec.path("instance_id"), spec.path("binding_id"), spec.PLATFORM], _LIVES, refusals=_UNKNOWN
    ),
)
async def of_binding(request: Request) -> Response:
    """Show each former life of a binding id, the latest first."""
    return await _lives(request, request.path_params["binding_id"])


async def _lives(request: Request, binding_id: str | None) -> Response:
    query = Query(request, "platform")
    found = await parts_of(request).past.show(
        request.path_params["instance_id"], binding_id, query.text("platform")
    )
    return answer(200, {"items": messages.written(found)})
