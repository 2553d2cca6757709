"""The admin routes of operations."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.api.admin import messages, orders, spec
from broker.api.admin.orders import Order, operation_id_of
from broker.api.admin.parts import parts_of
from broker.api.admin.queries import Query
from broker.api.answers import answer
from broker.api.routing import PlainRoute
from broker.domain.operations import OperationKind, OperationStatus
from broker.domain.summaries import OperationFilter, OperationHistory, OperationSummary
from broker.lifecycle.administration.deeds import Done

router = APIRouter(route_class=PlainRoute, redirect_slashes=False)

_OPERATIONS = "/admin/v1/operations"
_OPERATION = _OPERATIONS + "/{operation_id}"
_KINDS = [kind.value for kind in OperationKind]
_STATUSES = [status.value for status in OperationStatus]
_UNKNOWN = {404: "There is no such operation."}
_REFUSED = _UNKNOWN | {422: "Not in this state; nothing has changed."}


@router.get(
    _OPERATIONS,
    openapi_extra=spec.listing(
        OperationSummary,
        spec.query("platform", "Of this platform only."),
        spec.query("instance_id", "Of this service instance and its bindings."),
        spec.query("binding_id", "Of this service binding."),
        spec.several("kind", "Of one of these kinds.", _KINDS),
        spec.several("status", "With one of these states.", _STATUSES),
        spec.flag("stuck", "Only those that do not get on."),
        spec.age("older_than", "Accepted at least this long ago, such as 2h."),
        spec.age("newer_than", "Accepted at most this long ago, such as 2h."),
    ),
)
async def page(request: Request) -> Response:
    """List operations: the stuck ones first, then those in progress, then the newest."""
    query = Query(
        request, "platform", "instance_id", "binding_id", "kind", "status", "stuck", "older_than", "newer_than",
        "limit", "cursor",
    )  # fmt: skip
    wanted = OperationFilter(
        platform=query.text("platform"),
        instance_id=query.text("instance_id"),
        binding_id=query.text("binding_id"),
        kinds=query.choices("kind", _KINDS),
        statuses=query.choices("status", _STATUSES),
        stuck=query.flag("stuck"),
        older_than=query.age("older_than"),
        newer_than=query.age("newer_than"),
    )
    return answer(200, messages.page(await parts_of(request).operations.page(wanted, query.page())))


@router.get(
    _OPERATION,
    openapi_extra=spec.operation(
        [spec.path("operation_id")], spec.schema_of(OperationHistory), refusals=_UNKNOWN
    ),
)
async def show(request: Request) -> Response:
    """Show an operation and all that happened to it."""
    Query(request)
    found = await parts_of(request).operations.show(operation_id_of(request))
    return answer(200, messages.written(found))


@router.post(
    _OPERATION + "/retry",
    openapi_extra=spec.operation(
        [spec.path("operation_id")], spec.schema_of(Done), body=orders.body(), refusals=_REFUSED
    ),
)
async def retry(request: Request) -> Response:
    """Make a waiting operation due now, with a clean slate; or go on with a deletion that has failed."""
    Query(request)
    order = await Order.read(request)
    return answer(
        200,
        messages.written(
            await parts_of(request).operations.retry(operation_id_of(request), order.deed(request))
        ),
    )


@router.post(
    _OPERATION + "/cancel",
    openapi_extra=spec.operation(
        [spec.path("operation_id")], spec.schema_of(Done), body=orders.body(), refusals=_REFUSED
    ),
)
async def cancel(request: Request) -> Response:
    """End a running creation, update or bind; what was made is removed."""
    Query(request)
    order = await Order.read(request)
    return answer(
        200,
        messages.written(
            await parts_of(request).operations.cancel(operation_id_of(request), order.deed(request))
        ),
    )
