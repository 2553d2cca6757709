"""What is ordered for a trial: a plan with parameters, after the parents that it needs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.demo.platform import Plan
from broker.domain.catalog import Catalog, ServiceOffering, ServicePlan
from broker.errors import BrokerError


class WrongOrder(Exception):
    """What was asked for is not offered."""


@dataclass(frozen=True)
class Order:
    """A plan of an offering with parameters; `parent` is ordered before it."""

    offering: ServiceOffering
    plan: ServicePlan
    parameters: Mapping[str, Any]
    parent: Order | None = None
    instance_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def name(self) -> str:
        return f"{self.offering.name}/{self.plan.name}"

    @property
    def as_platform(self) -> Plan:
        """The plan as the platform's client names it."""
        return Plan(self.offering.id, self.plan.id, self.offering.name, self.plan.name)

    def all(self) -> list[Order]:
        """Return this order after those that it needs."""
        return [*(self.parent.all() if self.parent else ()), self]


def order(
    catalog: Catalog,
    named: str,
    parameters: Mapping[str, Any],
    parent_parameters: Mapping[str, Any] | None = None,
    *,
    alias: str,
) -> Order:
    """
    Put an order together: *named* is OFFERING/PLAN; a parent is of its offering's first plan.

    Raises:
        WrongOrder: There is no such plan, or the parameters do not fit it.
    """
    plans = {f"{one.name}/{plan.name}": (one, plan) for one in catalog.offerings for plan in one.plans}
    if named not in plans:
        raise WrongOrder(f"There is no plan {named!r}; there are {', '.join(plans)}.")
    offering, plan = plans[named]
    above = catalog.offering(plan.parent) if plan.parent else None
    parent = None
    if above is not None:
        given = {**(parent_parameters or {}), "alias": alias}
        parent = order(catalog, f"{above.name}/{above.plans[0].name}", given, alias=f"{alias}-above")
    wanted = Order(
        offering, plan, {**parameters, "parentAlias": alias} if parent else dict(parameters), parent
    )
    try:
        wanted.plan.create_parameters.check(dict(wanted.parameters))
    except BrokerError as refused:
        raise WrongOrder(f"{wanted.name}: {refused.description}") from None
    return wanted


def parameters_of(option: str, text: str) -> dict[str, Any]:
    """
    Read the JSON object that was given as *option*.

    Raises:
        WrongOrder: It is none.
    """
    try:
        given = json.loads(text)
    except ValueError as fault:
        raise WrongOrder(f"{option} is no JSON: {fault}.") from None
    if not isinstance(given, dict):
        raise WrongOrder(f"{option} has to be a JSON object.")
    return given
