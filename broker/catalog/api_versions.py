"""What is known of the bodies that plans send where a cloud is asked at other api-versions than theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from broker import azure_models
from broker.catalog.faults import Fault
from broker.catalog.guard.bodies import body_of, unpicked
from broker.domain.catalog import Catalog


def undescribed(overrides: Mapping[str, str]) -> dict[str, str]:
    """Return those of *overrides* (resource type to api-version) against which no body can be checked."""
    return {kind: version for kind, version in overrides.items() if azure_models.load(kind, version) is None}


def faults_at(catalog: Catalog, overrides: Mapping[str, str]) -> list[Fault]:
    """Tell what a plan would send that the described ones of *overrides* do not take."""
    models = {kind.lower(): azure_models.load(kind, version) for kind, version in overrides.items()}
    faults = set()
    for offering in catalog.offerings:
        for plan in offering.plans:
            for kind, body in _bodies(plan.recipe):
                model = models.get(kind.lower())
                for problem in model.problems(body) if model is not None else ():
                    where = f"{kind} at {model.api_version}" if model else kind
                    faults.add(Fault(f"{offering.name}/{plan.name}", 0, where, str(problem)))
    return sorted(faults)


def _bodies(recipe: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every body that a plan sends: its template's resources, and the children that bindings make."""
    for resource in recipe.get("template", {}).get("resources", ()):
        yield resource["type"], body_of(resource)
    ways = (recipe.get("binding_modes") or {}).get("modes", {"": recipe})
    for way in ways.values():
        for verb in way.get("binding", ()):
            if child := verb.get("child"):
                yield child["type"], unpicked(child.get("body", {}))
