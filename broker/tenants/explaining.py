"""Which rule gives a tenant which value, told to people. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from broker.domain.catalog import Catalog, ServiceOffering, ServicePlan
from broker.domain.tenant_rules import Quota, TenantRules, Terms
from broker.domain.tenant_terms import LOCATION, takes
from broker.domain.tenants import Tenant

PLAN = "the plan and the settings"
"""Who gives what no rule speaks of."""


@dataclass(frozen=True)
class Line:
    """One value: of which plan ("": of all), what it is, and the rule that gave it."""

    plan: str
    value: str
    given: Any
    rule: str
    note: str = ""


def explained(rules: TenantRules, catalog: Catalog, tenant: Tenant, plan: str | None = None) -> list[Line]:
    """
    Tell what *tenant* gets: of one plan (OFFERING/PLAN, or its id), or of all that he may order.

    Raises:
        LookupError: The catalog has no such plan.
    """
    pairs = [(offering, one) for offering in catalog.offerings for one in offering.offered]
    if plan is not None:
        pairs = [pair for pair in pairs if plan in {pair[1].id, f"{pair[0].name}/{pair[1].name}"}]
        if not pairs:
            raise LookupError(plan)
    found: list[Line] = []
    for number, (offering, one) in enumerate(pairs):
        terms = rules.terms(tenant, offering, one)
        if number == 0:
            found += _for_all(terms)
        found += _of_plan(terms, offering, one)
    return found


def _for_all(terms: Terms) -> Iterator[Line]:
    place = terms.place
    for name in ("subscription", "resource_group"):
        said = getattr(place.value, name) if place else None
        yield Line("", name, said, place.rule if place and said else PLAN)
    location = terms.location
    yield Line("", "location", location.value if location else None, location.rule if location else PLAN)
    for name, tag in terms.tags.items():
        yield Line("", f"tag {name}", tag.value, tag.rule)


def _of_plan(terms: Terms, offering: ServiceOffering, plan: ServicePlan) -> Iterator[Line]:
    name = f"{offering.name}/{plan.name}"
    yield Line(name, "can be ordered", not terms.hidden, terms.visible.rule if terms.visible else PLAN)
    if terms.hidden:
        return
    for parameter, given in terms.parameters.items():
        how = "forced" if given.value.forced else "default"
        if not takes(plan, parameter):
            how = "passed over: no such parameter"
        elif parameter == LOCATION and terms.location:
            how = f"passed over: the rule '{terms.location.rule}' gives the location"
        yield Line(name, f"parameter {parameter}", given.value.value, given.rule, how)
    for quota in terms.quotas:
        yield Line(name, f"quota {quota.name}", quota.limit, quota.rule, _counted(quota))


def _counted(quota: Quota) -> str:
    plans = ", ".join(pattern.text for pattern in quota.plans)
    within = "by this rule" if quota.per == "rule" else f"per {quota.per}"
    return f"instances of {plans}, {within}"
