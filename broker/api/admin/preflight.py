"""The admin route that tries an order out."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.api.admin import messages, spec
from broker.api.admin.parts import operator_of, parts_of
from broker.api.admin.queries import Query
from broker.api.answers import answer
from broker.api.bodies import body_of
from broker.api.messages import context_of
from broker.api.routing import PlainRoute
from broker.domain.json_values import JsonObject
from broker.errors import MalformedRequest, shown
from broker.lifecycle.administration.preflight import Foretold

router = APIRouter(route_class=PlainRoute, redirect_slashes=False)

_TEXT = {"type": "string", "minLength": 1, "maxLength": 500}
_OBJECT = {"type": "object", "default": {}}
_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["plan"],
    "additionalProperties": False,
    "properties": {
        "plan": _TEXT | {"description": "OFFERING/PLAN, or a plan's id."},
        "parameters": _OBJECT | {"description": "As in an order."},
        "context": _OBJECT | {"description": "As in an order."},
        "platform": _TEXT | {"description": "Whose order it would be."},
    },
}


@router.post("/admin/v1/preflight", openapi_extra=spec.operation([], spec.schema_of(Foretold), body=_BODY))
async def preflight(request: Request) -> Response:
    """Say what an order would be answered, and make nothing."""
    Query(request)
    fields = await body_of(request, limit=parts_of(request).body_limit)
    if unknown := sorted(set(fields) - set(_BODY["properties"])):
        raise MalformedRequest(f"There is no field {shown(unknown[0])} here.")
    plan, platform = _text(fields, "plan"), _text(fields, "platform")
    if plan is None:
        raise MalformedRequest("plan is missing in the request: OFFERING/PLAN, or a plan's id.")
    told = await parts_of(request).preflight.foretell(
        operator_of(request),
        plan,
        _object(fields, "parameters"),
        context_of(_object(fields, "context"), None, None),
        platform=platform,
    )
    return answer(200, messages.written(told))


def _text(fields: JsonObject, name: str) -> str | None:
    value = fields.get(name)
    if value is not None and (not isinstance(value, str) or not 0 < len(value) <= 500):
        raise MalformedRequest(f"{name} must be a text of 1 to 500 characters.")
    return value


def _object(fields: JsonObject, name: str) -> JsonObject:
    value = fields.get(name, {})
    if not isinstance(value, dict):
        raise MalformedRequest(f"{name} must be a JSON object.")
    return value
