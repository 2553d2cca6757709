"""
The table of tenant rules: who gets what, and which rule says so. Pure.

Each value comes from the first rule, in the order of the table, that is for the tenant and has it. Place (subscription
and resource group together), location and visible plans are one value each; each tag, each parameter of a plan and
each quota is one of its own. What no rule says is as the plan and the broker's settings have it; a plan that no rule
speaks of is visible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from broker.domain.catalog import Catalog, ServiceOffering, ServicePlan
from broker.domain.globs import PlanPattern
from broker.domain.json_values import JsonObject
from broker.domain.tenants import Tenant, When

T = TypeVar("T")

SCOPES: Mapping[str, tuple[str, ...]] = {
    "platform": ("platform",),
    "cluster": ("platform", "cluster"),
    "namespace": ("platform", "cluster", "namespace"),
    "organization": ("platform", "organization"),
    "space": ("platform", "organization", "space"),
    "rule": (),
}
"""Within what a quota counts, by what a tenant tells; `rule`: all for whom the same rule has it, taken together."""


@dataclass(frozen=True)
class Given(Generic[T]):
    """A value, and the name of the rule that gave it."""

    value: T
    rule: str


@dataclass(frozen=True)
class Place:
    """Where resources go; None: as the plan or the broker's settings say."""

    subscription: str | None = None
    resource_group: str | None = None


@dataclass(frozen=True)
class Visible:
    """Which plans can be ordered: those that are allowed and not denied."""

    allow: tuple[PlanPattern, ...] = (PlanPattern("*"),)
    deny: tuple[PlanPattern, ...] = ()

    def shows(self, offering: str, plan: str) -> bool:
        """Tell whether the plan of that name can be ordered."""
        allowed = any(pattern.matches(offering, plan) for pattern in self.allow)
        return allowed and not any(pattern.matches(offering, plan) for pattern in self.deny)


@dataclass(frozen=True)
class ParameterRule:
    """Parameters for the plans that *plans* means. What is forced, nobody can order otherwise."""

    plans: PlanPattern
    force: JsonObject = field(default_factory=dict)
    default: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class ParameterValue:
    """What a rule says of one parameter."""

    value: Any
    forced: bool


@dataclass(frozen=True)
class Quota:
    """
    At most *limit* service instances of these plans at once, in each scope of the kind *per*.

    What is being made or deleted, and what has failed, counts until it is gone. `ask` tells whom to ask for more.
    """

    name: str
    rule: str
    plans: tuple[PlanPattern, ...]
    per: str
    limit: int
    ask: str = ""

    def counts(self, offering: str, plan: str) -> bool:
        """Tell whether instances of the plan count."""
        return any(pattern.matches(offering, plan) for pattern in self.plans)

    def plan_ids(self, catalog: Catalog) -> tuple[str, ...]:
        """Return the ids of all plans that count."""
        return catalog.plan_ids(self.plans)


@dataclass(frozen=True)
class Rule:
    """One row of the table."""

    name: str
    when: When = field(default_factory=When)
    place: Place | None = None
    location: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    plans: Visible | None = None
    parameters: tuple[ParameterRule, ...] = ()
    quotas: tuple[Quota, ...] = ()


@dataclass(frozen=True)
class Terms:
    """What the rules give one tenant for one plan, each with the rule that gave it."""

    visible: Given[bool] | None = None
    place: Given[Place] | None = None
    location: Given[str] | None = None
    tags: Mapping[str, Given[str]] = field(default_factory=dict)
    parameters: Mapping[str, Given[ParameterValue]] = field(default_factory=dict)
    quotas: tuple[Quota, ...] = ()

    @property
    def hidden(self) -> bool:
        """Whether the plan is as unknown to this tenant as one that there is not."""
        return self.visible is not None and not self.visible.value


@dataclass(frozen=True)
class View:
    """A catalog at an address of its own, `/<name>/v2/...`, for the platforms whose names match."""

    name: str
    platforms: When = field(default_factory=When)


@dataclass(frozen=True)
class Audience:
    """
    All for whom a catalog is: it is fetched for a whole platform, before anybody tells namespace or space.

    `rules` are those that may be for somebody among them, in their order.
    """

    rules: tuple[Rule, ...]

    def shows(self, offering: str, plan: str) -> bool:
        """Tell whether somebody may order a plan. Whose rules hide it is told when he orders."""
        return any(visible.shows(offering, plan) for visible in self._visible)

    def certain(self, offering: str, plan: str) -> Terms:
        """Return the parameters and the location that everybody is given alike."""
        parameters: dict[str, Given[ParameterValue] | None] = {}
        for (plans, name), given in self._parameters.items():
            if name not in parameters and plans.matches(offering, plan):
                parameters[name] = given
        return Terms(
            location=self._location,
            parameters={name: given for name, given in parameters.items() if given is not None},
        )

    @cached_property
    def _visible(self) -> tuple[Visible, ...]:
        """Return all that rules say of plans to somebody; a thousand namespaces' rules may say the same."""
        found: dict[Visible, None] = {}
        for rule in self.rules:
            if rule.plans is not None:
                found[rule.plans] = None
                if not rule.when.asks_for_place:
                    return tuple(found)
        return (*found, Visible())

    @cached_property
    def _parameters(self) -> Mapping[tuple[PlanPattern, str], Given[ParameterValue] | None]:
        """Return what the first rule says of each parameter of each pattern's plans; None: not to everybody."""
        found: dict[tuple[PlanPattern, str], Given[ParameterValue] | None] = {}
        for rule in self.rules:
            for said in rule.parameters:
                for name, value in _values(said):
                    given = None if rule.when.asks_for_place else Given(value, rule.name)
                    found.setdefault((said.plans, name), given)
        return found

    @cached_property
    def _location(self) -> Given[str] | None:
        rule = next((rule for rule in self.rules if rule.location is not None), None)
        if rule is None or rule.location is None or rule.when.asks_for_place:
            return None
        return Given(rule.location, rule.name)


@dataclass(frozen=True)
class TenantRules:
    """
    The whole table, first rule first; `digest` is that of the file it was read from.

    Everything is asked for one tenant at a time, and no answer is kept: what another tenant was told has no way in.
    """

    rules: tuple[Rule, ...] = ()
    views: tuple[View, ...] = ()
    kinds: tuple[tuple[When, str], ...] = ()
    """Which kind of platform a platform is, by its name; for checks alone."""
    digest: str = ""

    def of(self, tenant: Tenant) -> list[Rule]:
        """Return the rules for *tenant*, in their order."""
        return [rule for rule in self.rules if rule.when.matches(tenant)]

    def terms(self, tenant: Tenant, offering: ServiceOffering, plan: ServicePlan) -> Terms:
        """Return what *tenant* is given for a plan."""
        return self._terms(self.of(tenant), offering.name, plan.name)

    def quota(self, tenant: Tenant, name: str) -> Quota | None:
        """Return the quota of that name as it is for *tenant*."""
        return next((q for rule in self.of(tenant) for q in rule.quotas if q.name == name), None)

    def audience(self, platform: str, view: str) -> Audience:
        """Return what is known of all who may order on a platform, in a view."""
        return Audience(tuple(rule for rule in self.rules if rule.when.may_match(platform, view)))

    def view(self, name: str, platform: str) -> View | None:
        """Return the view of that name, if it is for that platform."""
        found = self._views.get(name)
        return found if found is not None and found.platforms.matches(Tenant(platform)) else None

    @cached_property
    def _views(self) -> Mapping[str, View]:
        return {view.name: view for view in self.views}

    @staticmethod
    def _terms(rules: Sequence[Rule], offering: str, plan: str) -> Terms:
        tags: dict[str, tuple[str, Given[str]]] = {}
        parameters: dict[str, Given[ParameterValue]] = {}
        quotas: dict[str, Quota] = {}
        for rule in rules:
            for name, value in rule.tags.items():
                # Azure keeps no case in the names of tags: two that differ in that alone are one.
                tags.setdefault(name.lower(), (name, Given(value, rule.name)))
            for name, said in _parameters(rule, offering, plan):
                parameters.setdefault(name, Given(said, rule.name))
            for quota in rule.quotas:
                quotas.setdefault(quota.name, quota)
        return Terms(
            visible=_first(
                (rule, rule.plans.shows(offering, plan) if rule.plans else None) for rule in rules
            ),
            place=_first((rule, rule.place) for rule in rules),
            location=_first((rule, rule.location) for rule in rules),
            tags=dict(tags.values()),
            parameters=parameters,
            quotas=tuple(quota for quota in quotas.values() if quota.counts(offering, plan)),
        )


NO_RULES = TenantRules()


def scope_of(quota: Quota, tenant: Tenant) -> tuple[str | None, ...]:
    """Return what a tenant's instances are counted together by."""
    return tuple(tenant.told(key) for key in SCOPES[quota.per])


def _parameters(rule: Rule, offering: str, plan: str) -> Iterator[tuple[str, ParameterValue]]:
    for said in rule.parameters:
        if said.plans.matches(offering, plan):
            yield from _values(said)


def _values(said: ParameterRule) -> Iterator[tuple[str, ParameterValue]]:
    yield from ((name, ParameterValue(value, forced=True)) for name, value in said.force.items())
    yield from ((name, ParameterValue(value, forced=False)) for name, value in said.default.items())


def _first(said: Iterator[tuple[Rule, T | None]]) -> Given[T] | None:
    return next((Given(value, rule.name) for rule, value in said if value is not None), None)
