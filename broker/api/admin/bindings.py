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
from broker.domain.summaries import BindingDetails, BindingFilter, BindingSummary, KeyCheck
from broker.lifecycle.administration.deeds import Done

router = APIRouter(route_class=PlainRoute, redirect_slashes=False)

_BINDINGS = "/admin/v1/bindings"
_BINDING = "/admin/v1/instances/{instance_id}/bindings/{binding_id}"
_CHECK = _BINDINGS + "/check"
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
        spec.flag("stale", "Only those whose keys are known to have been changed in Azure."),
    ),
)
async def page(request: Request) -> Response:
    """List living service bindings of all platforms, the newest first; never their credentials."""
    query = Query(request, "platform", "instance_id", "state", "stuck", "failed", "stale", "limit", "cursor")
    wanted = BindingFilter(
        platform=query.text("platform"),
        instance_id=query.text("instance_id"),
        states=query.choices("state", _STATES),
        stuck=query.flag("stuck"),
        failed=query.flag("failed"),
        stale=query.flag("stale"),
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


@router.post(
    _BINDING + "/refresh",
    openapi_extra=spec.operation(
        _ONE, spec.schema_of(Done), body=orders.body({}), refusals=spec.DEED_ON_ONE_OF_SEVERAL
    ),
)
async def refresh(request: Request) -> Response:
    """Have the keys in a service binding's credentials read from Azure again."""
    query = Query(request, "platform")
    order = await Order.read(request)
    done = await parts_of(request).binding_keys.refresh(
        request.path_params["instance_id"],
        query.text("platform"),
        order.deed(request),
        binding_id=request.path_params["binding_id"],
    )
    return answer(200, messages.written(done))


@router.post(
    _BINDINGS + "/refresh",
    openapi_extra=spec.operation(
        [spec.PLATFORM, spec.query("instance_id", "Those of this service instance, stale or not.")],
        spec.schema_of(Done),
        body=orders.body({}),
        refusals=spec.DEED_ON_ONE_OF_SEVERAL,
    ),
)
async def refresh_several(request: Request) -> Response:
    """Have the keys of all stale service bindings read from Azure again, or those of a service instance."""
    query = Query(request, "platform", "instance_id")
    order = await Order.read(request)
    keys = parts_of(request).binding_keys
    instance_id, platform, deed = query.text("instance_id"), query.text("platform"), order.deed(request)
    if instance_id is None:
        done = await keys.refresh_stale(platform, deed)
    else:
        done = await keys.refresh(instance_id, platform, deed)
    return answer(200, messages.written(done))


@router.get(_CHECK, openapi_extra=spec.operation([], spec.schema_of(KeyCheck)))
async def last_check(request: Request) -> Response:
    """Show what the last comparison of keys with Azure's has found, and how many service bindings are stale."""
    Query(request)
    return answer(200, messages.written(await parts_of(request).binding_keys.last_check()))


@router.post(_CHECK, openapi_extra=spec.operation([], spec.schema_of(Done), body=orders.body()))
async def check(request: Request) -> Response:
    """Have the keys of all service bindings compared with Azure's at once."""
    Query(request)
    order = await Order.read(request)
    return answer(200, messages.written(await parts_of(request).binding_keys.check(order.deed(request))))
