"""ClusterServiceClasses and ClusterServicePlans: what the controller keeps of a broker's catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class NotSynced(ValueError):
    """The catalog has something that the controller does not take in; nothing of it is used."""


class Unresolved(LookupError):
    """No class or plan of that name can be ordered."""


@dataclass
class Plan:
    id: str
    name: str
    removed: bool = False


@dataclass
class Class:
    id: str
    name: str
    bindings_retrievable: bool
    plans: dict[str, Plan]
    removed: bool = False


class Classes:
    """Classes by id; what leaves the catalog stays, marked as removed."""

    def __init__(self) -> None:
        self._known: dict[str, Class] = {}

    def sync(self, catalog: Mapping[str, Any]) -> None:
        """
        Take a catalog in.

        Raises:
            NotSynced: A service without plans, or an id, name or description that is not acceptable.
        """
        seen = {service["id"]: _class(service) for service in catalog["services"]}
        for known in self._known.values():
            if known.id not in seen:
                known.removed = True
                continue
            for plan in known.plans.values():
                if plan.id not in seen[known.id].plans:
                    seen[known.id].plans[plan.id] = Plan(plan.id, plan.name, removed=True)
        self._known |= seen

    def resolve(self, class_name: str, plan_name: str) -> tuple[Class, Plan]:
        """
        Find what a ServiceInstance names.

        Raises:
            Unresolved: There is none, or it has left the catalog.
        """
        for kind in self._known.values():
            for plan in kind.plans.values():
                if (kind.name, plan.name) == (class_name, plan_name):
                    if kind.removed or plan.removed:
                        raise Unresolved(f"{class_name}/{plan_name} has left the catalog")
                    return kind, plan
        raise Unresolved(f"{class_name}/{plan_name} is not in the catalog")


def _class(service: Mapping[str, Any]) -> Class:
    if not service.get("plans"):
        raise NotSynced(f"service {service.get('name')} has no plans")
    for thing in [service, *service["plans"]]:
        for key in ("id", "name"):
            if not 1 <= len(thing.get(key, "")) <= 63:
                raise NotSynced(f"{key} {thing.get(key)!r} is not of 1 to 63 characters")
        if not thing.get("description"):
            raise NotSynced(f"{thing['name']} has no description")
    return Class(
        service["id"],
        service["name"],
        bool(service.get("bindings_retrievable")),
        {plan["id"]: Plan(plan["id"], plan["name"]) for plan in service["plans"]},
    )
