"""The admin routes of service instances."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.api.admin import messages, orders, spec
from broker.api.admin.orders import Order
from broker.api.admin.parts import parts_of
from broker.api.admin.queries import Query
from broker.api.answers import answer
from broker.api.routing import PlainRoute
from broker.domain.instances import InstanceState
from broker.domain.summaries import InstanceDetails, InstanceFilter, InstanceSummary
from broker.lifecycle.administration.deeds import Done

router = APIRouter(route_class=PlainRoute, redirect_slashes=False)

_INSTANCES = "/admin/v1/instances"
_INSTANCE = _INSTANCES + "/{instance_id}"
_ONE = [spec.path("instance_id"), spec.PLATFORM]
_WITH_CHILDREN = {"type": "boolean", "default": False, "description": "Its children go with it, before it."}
_STATES = [state.value for state in InstanceState]


@router.get(
    _INSTANCES,
    openapi_extra=spec.listing(
        InstanceSummary,
        spec.query("platform", "Of this platform only."),
        spec.several("state", "In one of these states.", _STATES),
        spec.query("plan", "Of this plan: OFFERING/PLAN, OFFERING, or a plan's id."),
        spec.query("search", "A part of an id, name, namespace, space, organization, cluster or alias."),
        spec.flag("stuck", "Only those with an operation that does not get on."),
        spec.flag("failed", "Only those whose creation or deletion has failed."),
        spec.flag("missing", "Only those that the last look at Azure did not find there."),
        spec.age("older_than", "Ordered at least this long ago, such as 2h."),
        spec.age("newer_than", "Ordered at most this long ago, such as 2h."),
    ),
)
async def page(request: Request) -> Response:
    """List living service instances of all platforms, the newest first."""
    query = Query(
        request, "platform", "state", "plan", "search", "stuck", "failed", "missing", "older_than", "newer_than",
        "limit", "cursor",
    )  # fmt: skip
    wanted = InstanceFilter(
        platform=query.text("platform"),
        states=query.choices("state", _STATES),
        search=query.text("search"),
        stuck=query.flag("stuck"),
        failed=query.flag("failed"),
        missing=query.flag("missing"),
        older_than=query.age("older_than"),
        newer_than=query.age("newer_than"),
    )
    found = await parts_of(request).instances.page(wanted, query.page(), plan=query.text("plan"))
    return answer(200, messages.page(found))


@router.get(
    _INSTANCE,
    openapi_extra=spec.operation(_ONE, spec.schema_of(InstanceDetails), refusals=spec.ONE_OF_SEVERAL),
)
async def show(request: Request) -> Response:
    """Show a living service instance; what is secret of it stays so."""
    query = Query(request, "platform")
    found = await parts_of(request).instances.show(request.path_params["instance_id"], query.text("platform"))
    return answer(200, messages.written(found))


@router.post(
    _INSTANCE + "/delete",
    openapi_extra=spec.operation(
        _ONE,
        spec.schema_of(Done),
        body=orders.body(with_children=_WITH_CHILDREN),
        refusals=spec.DEED_ON_ONE_OF_SEVERAL,
    ),
)
async def delete(request: Request) -> Response:
    """Order a deprovision, with the children if that is said."""
    query = Query(request, "platform")
    order = await Order.read(request, "with_children")
    done = await parts_of(request).deletions.delete(
        request.path_params["instance_id"],
        query.text("platform"),
        order.deed(request),
        with_children=order.flag("with_children"),
    )
    return answer(200, messages.written(done))


@router.post(
    _INSTANCE + "/abandon",
    openapi_extra=spec.operation(
        _ONE,
        spec.schema_of(Done),
        body=orders.body({"in_azure": orders.IN_AZURE}, with_children=_WITH_CHILDREN),
        refusals=spec.DEED_ON_ONE_OF_SEVERAL,
    ),
)
async def abandon(request: Request) -> Response:
    """Have the broker forget a service instance with its bindings."""
    query = Query(request, "platform")
    order = await Order.read(request, "in_azure", "with_children")
    done = await parts_of(request).deletions.abandon(
        request.path_params["instance_id"],
        query.text("platform"),
        order.deed(request),
        in_azure=order.in_azure(),
        with_children=order.flag("with_children"),
    )
    return answer(200, messages.written(done))
