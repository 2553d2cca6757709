"""The admin routes of service instances."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from broker.api.admin import messages, spec
from broker.api.admin.parts import parts_of
from broker.api.admin.queries import Query
from broker.api.answers import answer
from broker.api.routing import PlainRoute
from broker.domain.instances import InstanceState
from broker.domain.summaries import InstanceFilter, InstanceSummary

router = APIRouter(route_class=PlainRoute, redirect_slashes=False)

_INSTANCES = "/admin/v1/instances"
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
        spec.age("older_than", "Ordered at least this long ago, such as 2h."),
        spec.age("newer_than", "Ordered at most this long ago, such as 2h."),
    ),
)
async def page(request: Request) -> Response:
    """List living service instances of all platforms, the newest first."""
    query = Query(
        request, "platform", "state", "plan", "search", "stuck", "failed", "older_than", "newer_than", "limit",
        "cursor",
    )  # fmt: skip
    wanted = InstanceFilter(
        platform=query.text("platform"),
        states=query.choices("state", _STATES),
        search=query.text("search"),
        stuck=query.flag("stuck"),
        failed=query.flag("failed"),
        older_than=query.age("older_than"),
        newer_than=query.age("newer_than"),
    )
    found = await parts_of(request).instances.page(wanted, query.page(), plan=query.text("plan"))
    return answer(200, messages.page(found))
