"""A plan's recipe as it was frozen into the operation: what to make, under which names, and how to bind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jmespath

from broker.azure.naming import LOWER_AND_DIGITS, LOWER_DIGITS_HYPHEN, NameRule, external_name
from broker.azure.resource_ids import resource_id
from broker.domain.json_values import JsonObject
from broker.domain.operations import Operation

GROUP_RULE = NameRule("osb-", 60)
KNOWN_FORMATS = (1, 2, 3, 4)


@dataclass(frozen=True)
class PlannedResource:
    """A resource that the template will make. `each`: one of a list, whose members come and go."""

    id: str
    type: str
    api_version: str
    tagged: bool
    each: bool


@dataclass(frozen=True)
class Recipe:
    """The recipe of one plan (`broker.catalog.offerings` writes it)."""

    template: JsonObject
    placement: JsonObject
    name_rules: Mapping[str, JsonObject]
    resources: Sequence[JsonObject]
    user: Mapping[str, JsonObject]
    fixed: JsonObject
    broker: Mapping[str, Any]
    database: JsonObject | None
    binding: Sequence[JsonObject]
    binding_modes: JsonObject | None = None
    bind_defaults: JsonObject = field(default_factory=dict)
    preflight: str = "none"
    require: Sequence[JsonObject] = ()
    """What must hold of the user's parameters, each with the sentence that is told if it does not."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """What the operator's tenant rules say besides the broker's own tags."""
    adopt: JsonObject | None = None
    """How what exists becomes an instance; its `modes` are those that the plan allows, none perhaps."""

    @classmethod
    def of(cls, operation: Operation) -> Recipe:
        """Read the recipe that the operation was accepted with."""
        return cls.read(operation.inputs["recipe"])

    @classmethod
    def read(cls, said: JsonObject) -> Recipe:
        """
        Read a plan's recipe.

        Raises:
            ValueError: A newer broker wrote it, in a form that this one does not know.
        """
        if said.get("format") not in KNOWN_FORMATS:
            raise ValueError(f"A recipe of format {said.get('format')!r} is not known to this version.")
        return cls(
            template=said["template"],
            placement=said["placement"],
            name_rules=said["names"],
            resources=said["resources"],
            user=said["user"],
            fixed=said["fixed"],
            broker=said["broker"],
            database=said.get("database"),
            binding=said["binding"],
            binding_modes=said.get("binding_modes"),
            bind_defaults=said.get("bind_defaults", {}),
            preflight=said.get("preflight", "none"),
            require=said.get("require", ()),
            tags=said.get("tags", {}),
            adopt=said.get("adopt"),
        )

    def verbs(self, parameters: JsonObject) -> Sequence[JsonObject]:
        """Return the verbs of the binding that bind *parameters* ask for."""
        if self.binding_modes is None:
            return self.binding
        asked: JsonObject = {**self.bind_defaults, **parameters}
        chosen: Sequence[JsonObject] = self.binding_modes["modes"][asked[self.binding_modes["by"]]]["binding"]
        return chosen

    def names(self, broker_id: str, platform: str, instance_id: str, generation: int) -> dict[str, str]:
        """Derive the names of one generation of an instance, by the words that the recipe gives them."""
        return {
            word: external_name(_rule(rule), broker_id, platform, instance_id, generation)
            for word, rule in self.name_rules.items()
        }

    def planned(
        self, subscription: str, group: str, parameters: Mapping[str, Any]
    ) -> tuple[PlannedResource, ...]:
        """List what the template makes of *parameters*, parents first."""
        return tuple(
            PlannedResource(
                id=resource_id(subscription, group, said["type"], *names),
                type=said["type"],
                api_version=said["api_version"],
                tagged=said.get("tagged", False),
                each="each" in said,
            )
            for said in self.resources
            for names in _names_of(said, parameters)
        )

    def live_value(self, parameter: str, resource_type: str, live: JsonObject) -> Any:
        """Read from a *live* resource what the template sets from *parameter*; None when it is not there."""
        for body in self.template["resources"]:
            if body["type"] == resource_type:
                path = _path_to(body, f"[parameters('{parameter}')]")
                return None if path is None else _at(live, path)
        return None


def pick(expression: str, source: JsonObject) -> Any:
    """Pick a value by JMESPath; None where there is nothing."""
    return jmespath.search(expression, source)


def _names_of(said: JsonObject, parameters: Mapping[str, Any]) -> list[list[str]]:
    names = [str(parameters[name]) for name in said["names"]]
    if "each" not in said:
        return [names]
    return [[*names, str(item["name"])] for item in parameters[said["each"]]]


def _rule(said: JsonObject) -> NameRule:
    # PostgreSQL's names take an underscore, host names a hyphen: the prefix tells which it is.
    alphabet = LOWER_AND_DIGITS + "_" if "_" in said["prefix"] else LOWER_DIGITS_HYPHEN
    return NameRule(said["prefix"], said["max_length"], alphabet)


def _path_to(body: Any, text: str) -> tuple[str, ...] | None:
    if isinstance(body, Mapping):
        for key, value in body.items():
            if value == text:
                return (key,)
            below = _path_to(value, text)
            if below is not None:
                return (key, *below)
    return None


def _at(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
