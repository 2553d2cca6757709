"""What the plans of a catalog do in Azure, by the rights that the broker's identity needs for them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.domain.catalog import ServicePlan
from broker.domain.json_values import JsonObject

_GUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)


@dataclass
class Rights:
    """
    What is made, posted and assigned in one place; of several plans, all of it together.

    `types` are resource types with their api-versions; those in `parts` are never deleted by themselves, but go with
    what they are part of. `posts` are what is posted to resources, with the type
    (Microsoft.Storage/storageAccounts/listKeys), `roles` the definitions (GUIDs, lower case) that bindings assign.
    """

    types: dict[str, str] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    posts: set[str] = field(default_factory=set)
    roles: set[str] = field(default_factory=set)
    purges: set[str] = field(default_factory=set)
    """What is purged after its deletion: where Azure keeps it (Microsoft.KeyVault/locations/deletedVaults)."""
    tags: bool = False
    """Whether something that exists can be adopted to be managed: it gets the broker's tags."""

    def add(self, plan: ServicePlan) -> None:
        """Add what *plan* and its bindings do."""
        self.types |= {each["type"]: each["api_version"] for each in plan.recipe.get("resources", ())}
        for made in plan.recipe.get("template", {}).get("resources", ()):
            if made["type"] not in self.types:
                self.parts[made["type"]] = made["apiVersion"]
        self.purges |= {
            f"{each['type'].partition('/')[0]}/locations/{each['purge']['collection']}"
            for each in plan.recipe.get("resources", ())
            if "purge" in each
        }
        self.tags |= "manage" in (plan.recipe.get("adopt") or {}).get("modes", ())
        for verb in verbs_of(plan.recipe):
            for said in verb.values():
                posted = said.get("key", said)
                if {"resource", "type", "name"} <= set(posted):
                    self.posts.add(f"{posted['type']}/{posted['name']}")
            if "child" in verb:
                self.types[verb["child"]["type"]] = verb["child"]["api_version"]
            if "role" in verb:
                self.roles |= set(_guids(str(verb["role"]["definition"])))


def rights_of(plans: Iterable[ServicePlan]) -> Rights:
    """Return what *plans* and their bindings do, together."""
    found = Rights()
    for plan in plans:
        found.add(plan)
    for known in found.types:
        found.parts.pop(known, None)
    return found


def verbs_of(recipe: JsonObject) -> list[Mapping[str, Any]]:
    """Return the verbs of every way to bind."""
    modes = (recipe.get("binding_modes") or {}).get("modes", {}).values()
    return [*recipe.get("binding", ()), *(verb for mode in modes for verb in mode["binding"])]


def _guids(expression: str) -> Iterator[str]:
    """Find what an expression can pick: role definitions stand in it word for word."""
    return (found.lower() for found in _GUID.findall(expression))
