"""Offerings and plans in few words; ids are names."""

from datetime import timedelta

from broker.domain.catalog import ServiceOffering, ServicePlan


def a_plan(one: str, **changes) -> ServicePlan:
    said = {
        "name": one,
        "description": "A plan.",
        "free": True,
        "bindable": True,
        "maximum_polling_duration": timedelta(hours=1),
    }
    return ServicePlan(one, **(said | changes))


def an_offering(one: str, *plans: ServicePlan, **changes) -> ServiceOffering:
    said = {"name": one, "description": "An offering.", "bindable": True, "plans": plans}
    return ServiceOffering(one, **(said | changes))
