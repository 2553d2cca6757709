"""What the lifecycle is handed besides the database: the catalog, and how long things may take."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from broker.domain.catalog import Catalog, ServicePlan
from broker.domain.foresight import Foresee, foresee_nothing
from broker.domain.tenant_rules import NO_RULES, TenantRules


class CatalogSource(Protocol):
    """Whoever knows the newest published catalog; it may be another one at each look."""

    def current(self) -> Catalog:
        """Return the newest published revision."""
        ...


class RulesSource(Protocol):
    """Whoever knows the tenant rules that are in force; they may be others at each look."""

    def current(self) -> TenantRules:
        """Return the rules."""
        ...


class NoRules:
    """Every tenant gets what plans and settings say."""

    def current(self) -> TenantRules:
        return NO_RULES


@dataclass(frozen=True)
class LifecycleOptions:
    """
    How long things may take.

    `request_wait` is how long a request may wait for its operation (platforms give up at 60 s), `quick_wait`
    how long one that could also be answered 202 waits for the better answer, `preflight_wait` how long for what
    Azure says beforehand. `unknown_plan_duration` is the time for deletions whose plan has left the catalog.
    """

    request_wait: timedelta = timedelta(seconds=50)
    quick_wait: timedelta = timedelta(seconds=10)
    preflight_wait: timedelta = timedelta(seconds=8)
    look_again: timedelta = timedelta(milliseconds=250)
    unknown_plan_duration: timedelta = timedelta(hours=1)
    foresee: Foresee = foresee_nothing
    tenants: RulesSource = field(default_factory=NoRules)


# The operation must have ended, clean-up and all, a little before the platform stops asking.
_SHARE_OF_POLLING = 0.95


def time_to_work(plan: ServicePlan | None, options: LifecycleOptions) -> timedelta:
    """Return how long an operation that a platform polls may take."""
    longest = plan.maximum_polling_duration if plan else options.unknown_plan_duration
    return longest * _SHARE_OF_POLLING
