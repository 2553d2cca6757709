"""What of the catalog is in use: what a change must not take away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PublishedId:
    """What an id stands for since it was first published: an offering, or a plan of an offering; for ever."""

    name: str
    service_offering_id: str
    """Its own id if it is an offering's."""


@dataclass(frozen=True, order=True)
class Violation:
    """
    How many living instances of a plan have a parameter that the proposed schema of that plan refuses.

    The parameter is named, its value never: it may be a secret.
    """

    service_offering_id: str
    service_plan_id: str
    parameter: str
    instances: int


@dataclass(frozen=True)
class CatalogUse:
    """
    What the store knows of the use of a catalog; `known` is false where no store was asked.

    Counted are all instances that are not deleted, whatever their state: by the plan that is applied, and by the one
    that is asked for while an update runs.
    """

    known: bool = True
    instances: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """The number of living instances by the ids of their offering and plan."""
    offerings: Mapping[str, int] = field(default_factory=dict)
    """Likewise by offering; one that moves from a plan to another is counted once here, twice there."""
    children: Mapping[str, int] = field(default_factory=dict)
    """By the id of an offering: how many living instances have one of its instances as their parent."""
    violations: tuple[Violation, ...] = ()
    """What was found when the parameters of living instances were held against the proposed schemas."""
    unread: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By offering and plan: how many instances' parameters could not be opened and so were not tried."""
    published: Mapping[str, PublishedId] = field(default_factory=dict)
    """Every id that any revision has ever published."""

    def of_plan(self, service_offering_id: str, service_plan_id: str) -> int:
        """Count the living instances of a plan."""
        return self.instances.get((service_offering_id, service_plan_id), 0)

    def of_offering(self, service_offering_id: str) -> int:
        """Count the living instances of an offering."""
        return self.offerings.get(service_offering_id, 0)


UNKNOWN_USE = CatalogUse(known=False)
"""No store was asked: a team compares two folders."""
