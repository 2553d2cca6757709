"""The routes of service bindings."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.api import messages, spec
from broker.api.answers import answer
from broker.api.instances import polled
from broker.api.messages import caller_of
from broker.api.parts import parts_of, read_body, read_deletion
from broker.api.routing import PlainRoute
from broker.lifecycle.bindings import BindingAccepted

router = APIRouter(route_class=PlainRoute, redirect_slashes=False)

_BINDING = "/v2/service_instances/{instance_id}/service_bindings/{binding_id}"


@router.put(_BINDING, openapi_extra=spec.BIND)
async def bind(request: Request) -> Response:
    """Make or rotate a service binding (spec, "Binding", "Binding Rotation")."""
    asked = messages.bind(await read_body(request), request)
    outcome = await parts_of(request).bindings.bind(asked)
    if isinstance(outcome, BindingAccepted):
        return answer(202, {"operation": str(outcome.operation_id)})
    return answer(201 if outcome.created else 200, messages.bound(outcome))


@router.delete(_BINDING, openapi_extra=spec.UNBIND)
async def unbind(request: Request) -> Response:
    """Delete a service binding (spec, "Unbinding")."""
    asked = messages.unbind(await read_deletion(request), request)
    outcome = await parts_of(request).bindings.unbind(asked)
    if isinstance(outcome, BindingAccepted):
        return answer(202, {"operation": str(outcome.operation_id)})
    return answer(200, {})


@router.get(_BINDING, openapi_extra=spec.FETCH_BINDING)
async def fetch(request: Request) -> Response:
    """Fetch a service binding (spec, "Fetching a Service Binding")."""
    ids = request.path_params
    found = await parts_of(request).bindings.fetch(
        caller_of(request).platform, ids["instance_id"], ids["binding_id"]
    )
    return answer(200, messages.bound(found, fetched=True))


@router.get(_BINDING + "/last_operation", openapi_extra=spec.POLL_BINDING)
async def last_operation(request: Request) -> Response:
    """Tell how far an operation is (spec, "Polling Last Operation for Service Bindings")."""
    ids = request.path_params
    found = await parts_of(request).polling.last_operation(
        caller_of(request).platform,
        ids["instance_id"],
        ids["binding_id"],
        request.query_params.get("operation"),
    )
    return polled(found)
