"""Plans by the names that people know them by."""

from __future__ import annotations

from broker.domain.catalog import Catalog, ServicePlan
from broker.errors import MalformedRequest, shown


def named(
    catalog: Catalog, service_offering_id: str, service_plan_id: str | None
) -> tuple[str | None, str | None]:
    """Return the names of an offering and of its plan; None for what has left the catalog."""
    offering = catalog.offering(service_offering_id)
    plan = plan_of(catalog, service_offering_id, service_plan_id)
    return offering.name if offering else None, plan.name if plan else None


def plan_of(catalog: Catalog, service_offering_id: str, service_plan_id: str | None) -> ServicePlan | None:
    """Return the plan, unless it has left the catalog."""
    if service_plan_id is None or not catalog.has_plan(service_offering_id, service_plan_id):
        return None
    return catalog.plan(service_offering_id, service_plan_id)[1]


def meant(catalog: Catalog, text: str) -> frozenset[str]:
    """
    Return the ids of the plans that *text* means: an id, OFFERING/PLAN, or an offering's name for all its plans.

    Raises:
        MalformedRequest: The catalog has nothing of that name. (An id is taken as it is: its plan may have left
            the catalog.)
    """
    offering, _, plan = text.partition("/")
    found = {
        each.id
        for candidate in catalog.offerings
        for each in candidate.plans
        if candidate.name == offering and plan in {"", each.name}
    }
    if found:
        return frozenset(found)
    if "/" in text or " " in text:
        raise MalformedRequest(
            f"The catalog has no plan {shown(text)}; give OFFERING/PLAN, OFFERING, or a plan's id."
        )
    return frozenset({text})
