"""What can be ordered: service offerings and their service plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property

from broker.domain.globs import PlanPattern
from broker.domain.json_values import JsonObject
from broker.domain.parameters import ParameterSchema
from broker.errors import NotOrdered, UnknownServicePlan


@dataclass(frozen=True)
class MaintenanceInfo:
    """The version of a plan's template; raised when existing instances should be updated."""

    version: str
    description: str | None = None


@dataclass(frozen=True)
class ServicePlan:
    """
    A plan as it is offered, with the recipe that carries it out.

    `recipe` is what provisioners read: template, parameter sources, placement, binding verbs. It is JSON,
    is frozen into the operation that uses it, and is never sent to a platform. `parent` is the id of the
    service offering that an instance of this plan needs as its parent, and `other_parents` are those that serve
    as well; `takes_alias` says that children may name instances of this plan by alias.
    """

    id: str
    name: str
    description: str
    free: bool
    bindable: bool
    maximum_polling_duration: timedelta
    binding_rotatable: bool = False
    plan_updateable: bool = False
    updates_to: tuple[str, ...] | None = None
    """Ids of the plans that an instance can move to; None: any other plan of the offering."""
    expected_duration: timedelta | None = None
    """How long a creation or an update usually takes, for those who wait."""
    maintenance_info: MaintenanceInfo | None = None
    metadata: JsonObject = field(default_factory=dict)
    create_schema: JsonObject | None = None
    import_schema: JsonObject | None = None
    """What an operator may give who imports an instance, where that is more than an order may have."""
    update_schema: JsonObject | None = None
    bind_schema: JsonObject | None = None
    grows_only: tuple[str, ...] = ()
    """Names of user parameters whose value may rise but never fall."""
    sensitive: tuple[str, ...] = ()
    """Names of user parameters that are never shown again."""
    bind_sensitive: tuple[str, ...] = ()
    """Names of bind parameters that are never shown again."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Names of parameters that are in no schema, each with the sentence by which it is refused."""
    bind_refused: Mapping[str, str] = field(default_factory=dict)
    """Likewise of bind parameters."""
    parent: str | None = None
    other_parents: tuple[str, ...] = ()
    takes_alias: bool = False
    binding_lifetime: timedelta | None = None
    provisioner: str = "arm_template"
    recipe: JsonObject = field(default_factory=dict)
    withdrawn: bool = False
    """Not offered any more: no new orders, all else goes on."""
    refusal: str | None = None
    """Why a withdrawn plan takes no orders, and what to order instead; without it, it is as unknown as no plan."""

    @cached_property
    def create_parameters(self) -> ParameterSchema:
        """What a creation may be given."""
        return ParameterSchema(self.create_schema, self.refused)

    @cached_property
    def kept_parameters(self) -> ParameterSchema:
        """What an instance may have, whether it was ordered or imported."""
        return ParameterSchema(self.import_schema or self.create_schema, self.refused)

    @cached_property
    def update_parameters(self) -> ParameterSchema:
        """What an update may change."""
        return ParameterSchema(self.update_schema, self.refused)

    @cached_property
    def bind_parameters(self) -> ParameterSchema:
        """What a binding may be given."""
        return ParameterSchema(self.bind_schema, self.bind_refused)

    @property
    def parents(self) -> tuple[str, ...]:
        """The ids of the service offerings of which a parent may be, the usual one first."""
        return (self.parent, *self.other_parents) if self.parent is not None else ()

    @property
    def importable(self) -> bool:
        """Whether operators can bring in what exists as an instance of it."""
        return bool(self.recipe.get("adopt", {}).get("modes"))

    def to_import(self) -> ServicePlan:
        """
        Return the plan as an operator orders it who imports an instance.

        Raises:
            NotOrdered: Nothing that exists can become an instance of it.
        """
        if not self.importable:
            raise NotOrdered(
                f"Nothing that exists can be imported under the plan '{self.name}': what it is made of now cannot be "
                "adopted. Order a successor, and move the data."
            )
        return replace(self, create_schema=self.import_schema or self.create_schema)

    @property
    def preflight(self) -> str:
        """What is asked of Azure before an order is accepted: `none`, `reads`, or `validate` (its own check) too."""
        return str(self.recipe.get("preflight", "none"))

    @property
    def maintenance_version(self) -> str | None:
        """The version that this revision of the plan installs."""
        return self.maintenance_info.version if self.maintenance_info else None


@dataclass(frozen=True)
class ServiceOffering:
    """A kind of service and its plans (spec, "Service Offering Object")."""

    id: str
    name: str
    description: str
    bindable: bool
    plans: tuple[ServicePlan, ...]
    plan_updateable: bool = False
    instances_retrievable: bool = True
    bindings_retrievable: bool = True
    allow_context_updates: bool = True
    tags: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    metadata: JsonObject = field(default_factory=dict)
    withdrawn: bool = False
    """All of its plans are."""

    @property
    def offered(self) -> tuple[ServicePlan, ...]:
        """The plans that can be ordered."""
        return () if self.withdrawn else tuple(plan for plan in self.plans if not plan.withdrawn)


@dataclass(frozen=True)
class Origin:
    """Where an offering or a plan is written down: file, line (0: unknown), and dotted path in it."""

    file: str
    line: int
    path: str


@dataclass(frozen=True)
class Catalog:
    """
    One published revision of everything that can be ordered.

    `origins` tells by id where its offerings and plans stand, while it is being read from files.
    """

    offerings: tuple[ServiceOffering, ...]
    revision: int = 0
    digest: str = ""
    published_at: datetime | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def _pairs(self) -> Mapping[tuple[str, str], tuple[ServiceOffering, ServicePlan]]:
        return {(o.id, p.id): (o, p) for o in self.offerings for p in o.plans}

    def plan(self, service_offering_id: str, service_plan_id: str) -> tuple[ServiceOffering, ServicePlan]:
        """Find an offering and its plan as a pair; a plan of another offering is as unknown as no plan.

        Raises:
            UnknownServicePlan: There is no such pair.
        """
        found = self._pairs.get((service_offering_id, service_plan_id))
        if found is None:
            raise UnknownServicePlan(service_offering_id, service_plan_id)
        return found

    def orderable(
        self, service_offering_id: str, service_plan_id: str
    ) -> tuple[ServiceOffering, ServicePlan]:
        """Find a pair that can be ordered; what was withdrawn is as unknown as what never was there, or tells why.

        Raises:
            UnknownServicePlan: There is no such pair, or it was withdrawn.
            NotOrdered: It was withdrawn, and says what to order instead.
        """
        offering, plan = self.plan(service_offering_id, service_plan_id)
        if offering.withdrawn or plan.withdrawn:
            if plan.refusal is not None:
                raise NotOrdered(plan.refusal)
            raise UnknownServicePlan(service_offering_id, service_plan_id)
        return offering, plan

    def with_plans(self, plans: Mapping[tuple[str, str], ServicePlan | None]) -> Catalog:
        """Return this catalog as one tenant sees it: some pairs of ids with other plans, or (None) unknown."""
        changed, pairs = replace(self), dict(self._pairs)
        for (service_offering_id, service_plan_id), plan in plans.items():
            found = pairs.pop((service_offering_id, service_plan_id), None)
            if found is not None and plan is not None:
                pairs[service_offering_id, service_plan_id] = found[0], plan
        vars(changed)["_pairs"] = pairs
        return changed

    def plan_ids(self, patterns: tuple[PlanPattern, ...]) -> tuple[str, ...]:
        """Return the ids of all plans that one of the patterns means; a second call costs next to nothing."""
        found = self._meant.get(patterns)
        if found is None:
            found = self._meant[patterns] = tuple(
                plan.id
                for offering in self.offerings
                for plan in offering.plans
                if any(pattern.matches(offering.name, plan.name) for pattern in patterns)
            )
        return found

    @cached_property
    def _meant(self) -> dict[tuple[PlanPattern, ...], tuple[str, ...]]:
        return {}

    def find(self, service_offering_id: str, service_plan_id: str) -> ServicePlan | None:
        """Return a plan, unless it is not (or not any more) in the catalog."""
        pair = self._pairs.get((service_offering_id, service_plan_id))
        return pair[1] if pair is not None else None

    def has_plan(self, service_offering_id: str, service_plan_id: str) -> bool:
        """Tell whether there is such a pair."""
        return (service_offering_id, service_plan_id) in self._pairs

    def offering(self, service_offering_id: str) -> ServiceOffering | None:
        """Find an offering by its id."""
        return next((o for o in self.offerings if o.id == service_offering_id), None)
