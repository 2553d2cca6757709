"""The admin routes of service bindings."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.api.admin import messages, orders, spec
from broker.api.admin.orders import Order
from broker.api.admin.parts import parts_of
from broker.api.admin.queries import Query
from broker.api.answers import answer
from broker.api.routing import PlainRoute
from broker.domain.bindings import BindingState
from broker.domain.summaries import BindingDetails, BindingFilter, BindingSummary
from broker.lifecycle.administration.deeds import Done

router = APIRouter(route_class=PlainRoute, redirect_slashes=False)

_BINDINGS = "/admin/v1/bindings"
_BINDING = "/admin/v1/instances/{instance_id}/bindings/{binding_id}"
_STATES = [state.value for state in BindingState]
_ONE = [spec.path("instance_id"), spec.path("binding_id"), spec.PLATFORM]


@router.get(
    _BINDINGS,
    openapi_extra=spec.listing(
        BindingSummary,
        spec.query("platform", "Of this platform only."),
        spec.query("instance_id", "Of this service instance only."),
        spec.several("state", "In one of these states.", _STATES),
        spec.flag("stuck", "Only those with an operation that does not get on."),
        spec.flag("failed", "Only those whose creation or deletion has failed."),
    ),
)
async def page(request: Request) -> Response:
    """List living service bindings of all platforms, the newest first; never their credentials."""
    query = Query(request, "platform", "instance_id", "state", "stuck", "failed", "limit", "cursor")
    wanted = BindingFilter(
        platform=query.text("platform"),
        instance_id=query.text("instance_id"),
        states=query.choices("state", _STATES),
        stuck=query.flag("stuck"),
        failed=query.flag("failed"),
    )
    return answer(200, messages.page(await parts_of(request).bindings.page(wanted, query.page())))


@router.get(
    _BINDING,
    openapi_extra=spec.operation(_ONE, spec.schema_of(BindingDetails), refusals=spec.ONE_OF_SEVERAL),
)
async def show(request: Request) -> Response:
    """Show a living service binding, without its credentials."""
    query = Query(request, "platform")
    found = await parts_of(request).bindings.show(
        request.path_params["instance_id"], request.path_params["binding_id"], query.text("platform")
    )
    return answer(200, messages.written(found))


@router.post(
    _BINDING + "/abandon",
    openapi_extra=spec.operation(
        _ONE,
        spec.schema_of(Done),
        body=orders.body({"in_azure": orders.IN_AZURE}),
        refusals=spec.DEED_ON_ONE_OF_SEVERAL,
    ),
)
async def abandon(request: Request) -> Response:
    """Have the broker forget a service binding."""
    query = Query(request, "platform")
    order = await Order.read(request, "in_azure")
    done = await parts_of(request).deletions.abandon_binding(
        request.path_params["instance_id"],
        request.path_params["binding_id"],
        query.text("platform"),
        order.deed(request),
        in_azure=order.in_azure(),
    )
    return answer(200, messages.written(done))
