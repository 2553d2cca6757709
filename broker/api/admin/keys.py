"""The admin routes of sealing keys."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.api.admin import messages, orders, spec
from broker.api.admin.orders import Order
from broker.api.admin.parts import parts_of
from broker.api.admin.queries import Query
from broker.api.answers import answer
from broker.api.routing import PlainRoute
from broker.domain.pages import Page
from broker.lifecycle.administration.keys import KeyUsage, Resealing

router = APIRouter(route_class=PlainRoute, redirect_slashes=False)

_KEYS = "/admin/v1/keys"
_AFTER = {"type": "string", "description": "The `after` of the batch before; absent for the first one."}


@router.get(_KEYS, openapi_extra=spec.whole_listing(KeyUsage))
async def usage(request: Request) -> Response:
    """List the sealing keys, and how many stored values need each."""
    Query(request)
    return answer(200, messages.page(Page(await parts_of(request).keys.usage())))


_BATCH = orders.body(after=_AFTER)
del _BATCH["properties"]["only_if"]


@router.post(
    _KEYS + "/reseal",
    openapi_extra=spec.operation([], spec.schema_of(Resealing), body=_BATCH),
)
async def reseal(request: Request) -> Response:
    """Seal the next batch of stored values under the newest key."""
    Query(request)
    order = await Order.read(request, "after")
    done = await parts_of(request).keys.reseal(order.deed(request), after=order.text("after"))
    return answer(200, messages.written(done))
