"""The routes of service instances."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.api import messages, spec
from broker.api.answers import answer
from broker.api.messages import caller_of
from broker.api.parts import parts_of, read_body, read_deletion
from broker.api.routing import PlainRoute
from broker.lifecycle.instances import Accepted
from broker.lifecycle.polling import LastOperation

router = APIRouter(route_class=PlainRoute, redirect_slashes=False)

_INSTANCE = "/v2/service_instances/{instance_id}"


@router.put(_INSTANCE, openapi_extra=spec.PROVISION)
async def provision(request: Request) -> Response:
    """Provision a service instance (spec, "Provisioning")."""
    asked = messages.provision(await read_body(request), request)
    outcome = await parts_of(request).instances.provision(asked)
    return answer(202 if isinstance(outcome, Accepted) else 200, messages.provisioned(outcome))


@router.patch(_INSTANCE, openapi_extra=spec.UPDATE)
async def update(request: Request) -> Response:
    """Update a service instance (spec, "Updating a Service Instance")."""
    asked = messages.update(await read_body(request), request)
    outcome = await parts_of(request).instances.update(asked)
    return answer(202, messages.provisioned(outcome)) if isinstance(outcome, Accepted) else answer(200, {})


@router.delete(_INSTANCE, openapi_extra=spec.DEPROVISION)
async def deprovision(request: Request) -> Response:
    """Deprovision a service instance (spec, "Deprovisioning")."""
    asked = messages.deprovision(await read_deletion(request), request)
    outcome = await parts_of(request).instances.deprovision(asked)
    return answer(202, {"operation": str(outcome.operation_id)})


@router.get(_INSTANCE, openapi_extra=spec.FETCH_INSTANCE)
async def fetch(request: Request) -> Response:
    """Fetch a service instance (spec, "Fetching a Service Instance")."""
    found = await parts_of(request).instances.fetch(
        caller_of(request).platform, request.path_params["instance_id"]
    )
    return answer(200, messages.fetched_instance(found))


@router.get(_INSTANCE + "/last_operation", openapi_extra=spec.POLL_INSTANCE)
async def last_operation(request: Request) -> Response:
    """Tell how far an operation is (spec, "Polling Last Operation for Service Instances")."""
    found = await parts_of(request).polling.last_operation(
        caller_of(request).platform,
        request.path_params["instance_id"],
        None,
        request.query_params.get("operation"),
    )
    return polled(found)


def polled(found: LastOperation) -> Response:
    """Answer a poll; Retry-After only while there is something to ask again for."""
    headers = None
    if found.retry_after is not None:
        headers = {"retry-after": str(max(1, round(found.retry_after.total_seconds())))}
    return answer(200, messages.last_operation(found), headers)
