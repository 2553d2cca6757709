"""The admin route that imports a service instance."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.api.admin import messages, orders, spec
from broker.api.admin.orders import Order
from broker.api.admin.parts import parts_of
from broker.api.admin.queries import Query
from broker.api.answers import answer
from broker.api.messages import context_of
from broker.api.routing import PlainRoute
from broker.domain.adoption import AdoptionMode
from broker.errors import MalformedRequest
from broker.lifecycle.administration.imports import Held, Imported

router = APIRouter(route_class=PlainRoute, redirect_slashes=False)

_TEXT = {"type": "string", "minLength": 1, "maxLength": 500}
_OBJECT = {"type": "object", "default": {}}
_NEEDED: dict[str, Any] = {
    "platform": _TEXT | {"description": "Whose it is."},
    "instance_id": _TEXT | {"description": "As the platform knows it."},
    "service_id": _TEXT | {"description": "Likewise; of an older broker, or of this one."},
    "plan_id": _TEXT | {"description": "Likewise."},
    "resource_id": {
        "type": "string",
        "minLength": 1,
        "maxLength": 1000,
        "description": "The resource that it is.",
    },
}
_OPTIONAL: dict[str, Any] = {
    "context": _OBJECT | {"description": "As in an order."},
    "adopt": {"type": "string", "enum": [mode.value for mode in AdoptionMode], "default": "bind-only"},
    "delete_policy": {"type": "string", "enum": ["retain", "delete"]},
    "parent": _TEXT | {"description": "Instance id or alias of the parent, for a child."},
    "alias": _TEXT | {"description": "By which children may name it."},
    "parameters": _OBJECT | {"description": "As in an order; no secrets."},
    "secrets": _OBJECT | {"description": "Parameters that are never shown again."},
}
_LONGEST = 1000


@router.post(
    "/admin/v1/imports",
    openapi_extra=spec.operation(
        [],
        spec.schema_of(Imported),
        body=orders.body(_NEEDED, **_OPTIONAL),
        refusals={409: "It is there, with other attributes.", 422: "Not possible now; nothing has changed."},
    ),
)
async def bring_in(request: Request) -> Response:
    """Make a service instance of what exists; the same request again changes nothing."""
    Query(request)
    fields = await orders.fields_of(request)
    order = Order(fields, *_NEEDED, *_OPTIONAL)
    modes = [mode.value for mode in AdoptionMode]
    if (adopt := fields.get("adopt", AdoptionMode.BIND_ONLY.value)) not in modes:
        raise MalformedRequest(f"adopt must be {' or '.join(modes)}.")
    held = Held(
        platform=_text(fields, "platform"),
        instance_id=_text(fields, "instance_id"),
        service_offering_id=_text(fields, "service_id"),
        service_plan_id=_text(fields, "plan_id"),
        resource_id=_text(fields, "resource_id"),
        context=context_of(_object(fields, "context"), None, None),
        adopt=AdoptionMode(adopt),
        delete_policy=order.text("delete_policy"),
        parent=order.text("parent"),
        alias=order.text("alias"),
        parameters=_object(fields, "parameters"),
        secrets=_object(fields, "secrets"),
    )
    return answer(200, messages.written(await parts_of(request).imports.bring_in(order.deed(request), held)))


def _text(fields: Any, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST:
        raise MalformedRequest(f"{name} must be a text of 1 to {_LONGEST} characters.")
    return value


def _object(fields: Any, name: str) -> Any:
    value = fields.get(name, {})
    if not isinstance(value, dict):
        raise MalformedRequest(f"{name} must be a JSON object.")
    return value
