"""The admin routes of the inventory: what is in Azure without a record, and on record but not in Azure."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.api.admin import messages, orders, spec
from broker.api.admin.orders import Order
from broker.api.admin.parts import parts_of
from broker.api.admin.queries import Query
from broker.api.answers import answer
from broker.api.routing import PlainRoute
from broker.domain.inventory import Inventory
from broker.lifecycle.administration.deeds import Done

router = APIRouter(route_class=PlainRoute, redirect_slashes=False)

_INVENTORY = "/admin/v1/inventory"
_IDS = {
    "type": "array",
    "items": {"type": "string", "minLength": 1},
    "maxItems": orders.MOST_TEXTS,
    "description": "Ids of strays that the last look has found.",
}
_EVERY = {"type": "boolean", "default": False, "description": "Every orphan that the last look has found."}
_REFUSALS = {
    404: "The last look has not found this as a stray; nothing has changed.",
    422: "It is a living service instance's by now; nothing has changed.",
}


@router.get(_INVENTORY, openapi_extra=spec.operation([], spec.schema_of(Inventory)))
async def show(request: Request) -> Response:
    """Show what the last look at Azure has found, and which service instances are missing."""
    Query(request)
    return answer(200, messages.written(await parts_of(request).inventory.read()))


@router.post(_INVENTORY + "/take", openapi_extra=spec.operation([], spec.schema_of(Done), body=orders.body()))
async def take(request: Request) -> Response:
    """Have Azure compared with the records at once."""
    Query(request)
    order = await Order.read(request)
    return answer(200, messages.written(await parts_of(request).inventory.take(order.deed(request))))


@router.post(
    _INVENTORY + "/delete-orphans",
    openapi_extra=spec.operation(
        [],
        spec.schema_of(Done),
        body=orders.body(resource_ids=_IDS, every_orphan=_EVERY),
        refusals=_REFUSALS,
    ),
)
async def delete_orphans(request: Request) -> Response:
    """Delete resources of ours that belong to no service instance; their tags are read once more before."""
    Query(request)
    order = await Order.read(request, "resource_ids", "every_orphan")
    done = await parts_of(request).inventory.delete(
        order.deed(request), order.texts("resource_ids"), every_orphan=order.flag("every_orphan")
    )
    return answer(200, messages.written(done))
