"""
What an order to adopt names, what becomes of it as a record, and how it differs from its plan. Pure.

Of a resource that is managed, an update changes what users give and what the plan fixes; all else that the template
sets from a parameter keeps the value that the resource has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from broker.azure.resource_ids import ResourceId, parse
from broker.data_planes.connection_strings import parts_of
from broker.domain.adoption import (
    DELETE,
    DELETE_POLICY,
    MODE,
    RECORDED,
    RECORDED_POLICY,
    RESOURCE_ID,
    RETAIN,
    WORDS,
    AdoptionMode,
)
from broker.domain.json_values import JsonObject, same_json
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.parameters import RESERVED
from broker.provisioners.recipe import Recipe, pick
from broker.provisioners.verdicts import Contradiction

_FIRST_API_WORDS = frozenset(
    {"type", "apiVersion", "name", "dependsOn", "copy", "condition", "tags", "location"}
)
"""Of a resource in a template: what is no part of its body, or cannot differ."""


_A_NAME = re.compile(r"(?!\.+$)[A-Za-z0-9$._()~-]{1,260}")
"""A name that goes into an address as it is."""
_SAID = re.compile(r"'/?(?:[^']*/)?(?P<name>[^'/]+)'\)\]$")


@dataclass(frozen=True)
class Wanted:
    """What an order takes over: a resource, and what the broker may do with it."""

    id: ResourceId
    mode: AdoptionMode
    deletes: bool = False

    @property
    def manages(self) -> bool:
        return self.mode is AdoptionMode.MANAGE


def wanted_of(
    recipe: Recipe, asked: JsonObject, options: ProvisionerOptions, *, parent: JsonObject
) -> Wanted | None:
    """
    Read from what is *asked* for what it adopts; None for an order of something new.

    Raises:
        Contradiction: It names no resource that could be adopted, or contradicts itself.
    """
    said = recipe.adopt
    if said is None or not said["modes"]:
        return None
    own = said["parameters"].keys()
    given = {**_defaults(said), **asked}
    named = asked.get(RESOURCE_ID)
    if named is None and "resource" in said:
        named = pick(said["resource"], {"parameters": given, "parent": parent})
    if not named and said["only"]:
        raise Contradiction(
            f"'{RESOURCE_ID}' is missing: what is ordered here exists already, and has to be named. In a parent that "
            "is still being made there is nothing yet."
        )
    if named is None and not said["only"]:
        without = sorted(name for name in asked if name in WORDS or name in own)
        if without:
            raise Contradiction(
                f"'{without[0]}' is for what exists already. Give its {RESOURCE_ID} too, or leave it out."
            )
        return None
    missing = [name for name in said["needed"] if name not in given]
    if missing:
        raise Contradiction(f"'{missing[0]}' is missing: it is needed to adopt what exists already.")
    mode = AdoptionMode(asked.get(MODE, said["modes"][0] if len(said["modes"]) == 1 else "bind-only"))
    if mode not in said["modes"]:
        raise Contradiction(
            f"This plan does not adopt by '{mode}'. Give '{MODE}' as {' or '.join(said['modes'])}."
        )
    deletes = asked.get(DELETE_POLICY, RETAIN) == DELETE
    if mode is AdoptionMode.BIND_ONLY:
        if deletes:
            raise Contradiction(
                f"'{DELETE_POLICY}': what is adopted by bind-only is never deleted. Leave it out, or adopt by manage."
            )
        for name in sorted(asked):
            if name in recipe.user and name not in own:
                raise Contradiction(
                    f"'{name}' would change the resource, and what is adopted by bind-only is never changed. Leave it "
                    "out."
                )
    return Wanted(_resource(recipe, named, options, parent), mode, deletes)


def _resource(recipe: Recipe, named: object, options: ProvisionerOptions, parent: JsonObject) -> ResourceId:
    wanted_type = str(recipe.resources[0]["type"])
    try:
        found = parse(str(named))
    except ValueError:
        raise Contradiction(
            f"'{RESOURCE_ID}' is no Azure resource id. Give that of a '{wanted_type}', as `az resource show` prints it."
        ) from None
    in_a_group = found.subscription and found.group and found.scope.count("/") == 4
    if found.type.lower() != wanted_type.lower() or not in_a_group:
        raise Contradiction(
            f"'{RESOURCE_ID}' names a '{found.type}', and this service offering takes over a '{wanted_type}'. "
            "Give the id of one."
        )
    if recipe.placement["group"] == "parent":
        above = str((parent.get("main") or {}).get("id", "")).lower()
        if parent and not found.key.startswith(above + "/"):
            raise Contradiction(
                f"'{RESOURCE_ID}' names something that does not stand in the parent. Name the parent that it is in."
            )
        return found
    _check_scope(recipe, found, options)
    return found


def _check_scope(recipe: Recipe, found: ResourceId, options: ProvisionerOptions) -> None:
    """Refuse what lies outside of what the operator's settings, the plan and the tenant's rules allow."""
    place = recipe.placement
    subscription = f"/subscriptions/{place.get('subscription') or options.subscription}"
    own = [subscription]
    if (recipe.adopt or {}).get("only"):
        # It adopts without an operator having said so: until he says more, only from where the broker makes.
        group = place.get("resource_group") or options.resource_group
        own = [f"{subscription}/resourceGroups/{group}"] if group else []
    within = [scope.rstrip("/").lower() for scope in options.adoption_scopes or own]
    allowed = any(f"{found.scope.lower()}/".startswith(f"{scope}/") for scope in within)
    for key, is_it in (("subscription", found.subscription), ("resource_group", found.group)):
        fixed = place.get(key)
        allowed = allowed and (fixed is None or fixed.lower() == str(is_it).lower())
    if not allowed:
        raise Contradiction(
            f"'{RESOURCE_ID}' names something in a subscription or resource group from which nothing may be taken over "
            "under this plan. Ask an operator, who allows it by BROKER_ADOPTION_SCOPES or the plan's placement."
        )


def _defaults(said: JsonObject) -> dict[str, Any]:
    return {name: one["default"] for name, one in said["parameters"].items() if "default" in one}


def source_of(
    recipe: Recipe, found: ResourceId, live: JsonObject, asked: JsonObject, parent: JsonObject
) -> JsonObject:
    """Return what the expressions of `adopt` pick from, as long as nothing below it was read."""
    said = recipe.adopt or {"parameters": {}}
    location = {"location": plain(str(live["location"]))} if live.get("location") else {}
    return {
        "resource": {**live, **location, "id": str(found), "name": found.name},
        "below": {},
        "parameters": {**_defaults(said), **recipe.fixed, **asked},
        "parent": parent,
    }


def below_of(recipe: Recipe, found: ResourceId, source: JsonObject) -> dict[str, JsonObject]:
    """Return `id` and `api_version` of what is to be read below the resource, by its words."""
    looked_for: dict[str, JsonObject] = {}
    for word, said in (recipe.adopt or {}).get("below", {}).items():
        types = said["type"][len(found.type) + 1 :].split("/")
        names = str(pick(said["name"], source) or "").split("/")
        if len(types) != len(names) or not all(_A_NAME.fullmatch(name) for name in names):
            raise Contradiction(
                f"'{'/'.join(names)}' cannot be the name of a '{said['type']}'. Give the name that it has in Azure."
            )
        path = "/".join(part for pair in zip(types, names, strict=True) for part in pair)
        version = next(
            body["apiVersion"] for body in recipe.template["resources"] if body["type"] == said["type"]
        )
        looked_for[word] = {"id": f"{found}/{path}", "api_version": version}
    return looked_for


def plain(location: str) -> str:
    """Return a region's name as parameters have it, however Azure spells it."""
    return location.replace(" ", "").lower()


def secrets_of(recipe: Recipe, source: JsonObject) -> dict[str, Any]:
    """Return the administrator of an adopted server by the words that secrets have; empty where there is none."""
    said = (recipe.adopt or {}).get("administrator")
    if said is None:
        return {}
    return {
        "administrator_login": pick(said["login"], source),
        "administrator_password": pick(said["password"], source),
    }


def recorded(wanted: Wanted) -> dict[str, str]:
    """Return what a record says of how its main resource was adopted."""
    return {RECORDED: wanted.mode.value, RECORDED_POLICY: DELETE if wanted.deletes else RETAIN}


def outputs_of(recipe: Recipe, source: JsonObject) -> dict[str, Any]:
    """Return what stands where the outputs of a deployment would."""
    said = (recipe.adopt or {}).get("outputs", {})
    return {name: _said(value, source) for name, value in said.items()}


def _said(value: Any, source: JsonObject) -> Any:
    if isinstance(value, str):
        return pick(value, source)
    return parts_of(str(pick(value["of"], source) or "")).get(value["which"])


def names_of(recipe: Recipe, derived: Mapping[str, str], source: JsonObject) -> dict[str, str]:
    """Return the names by their words: those of what is adopted, and derived ones for what may be made beside it."""
    said = (recipe.adopt or {}).get("names", {})
    return {**derived, **{word: str(pick(expression, source)) for word, expression in said.items()}}


def kept_of(
    recipe: Recipe,
    asked: JsonObject,
    lives: Mapping[str, JsonObject],
    egress_addresses: Sequence[str],
    source: JsonObject,
) -> dict[str, Any]:
    """
    Return what resources have of the user parameters that are not given, so that no deployment changes it.

    *lives* are their bodies by type. What is not set from one parameter alone is read back only where `kept` says how.
    """
    found: dict[str, Any] = {}
    expressions = _kept(recipe)
    for name, said in recipe.user.items():
        if name in asked:
            continue
        if name in expressions:
            value = pick(expressions[name], source)
            if said.get("through") == "ip_rules" and isinstance(value, list):
                value = [address for address in value if address not in set(map(str, egress_addresses))]
            if value is not None:
                found[name] = value
            continue
        match said.get("through"):
            case "tags":
                found[name] = _own_tags(lives[recipe.resources[0]["type"]])
            case "ip_rules" if name == "allowedAddresses":
                rules = next(
                    (_live(recipe, word, lives) for word, of in recipe.broker.items() if of == "ip_rules"),
                    None,
                )
                own = set(map(str, egress_addresses))
                if rules is not None:
                    found[name] = [rule["value"] for rule in rules if rule.get("value") not in own]
            case "extension_list":
                value = _live(recipe, name, lives)
                if value is not None:
                    found[name] = [one for one in str(value).split(",") if one]
            case None:
                value = _live(recipe, name, lives) if said["in_template"] else None
                if value is not None:
                    found[name] = value
    return found


def _kept(recipe: Recipe) -> Mapping[str, str]:
    expressions: Mapping[str, str] = (recipe.adopt or {}).get("kept", {})
    return expressions


def _own_tags(live: JsonObject) -> dict[str, str]:
    tags = live.get("tags") or {}
    return {name: value for name, value in tags.items() if not name.lower().startswith(RESERVED)}


def _live(recipe: Recipe, parameter: str, lives: Mapping[str, JsonObject]) -> Any:
    for kind, live in lives.items():
        value = recipe.live_value(parameter, kind, live)
        if value is not None:
            return value
    return None


def misfits(
    recipe: Recipe, kept: JsonObject, lives: Mapping[str, JsonObject], source: JsonObject
) -> list[str]:
    """Name what a resource has otherwise than its plan promises for good, or than the template takes at all."""
    found = []
    for name, value in recipe.fixed.items():
        expression = _kept(recipe).get(name)
        has = pick(expression, source) if expression else _live(recipe, name, lives)
        if has is not None and not _same(has, value):
            found.append(f"{name} is {has!r}, and the plan has {value!r}")
    declared = recipe.template.get("parameters", {})
    for name, value in kept.items():
        allowed = declared.get(name, {}).get("allowedValues")
        if allowed and not isinstance(value, list) and not any(_same(value, one) for one in allowed):
            found.append(f"{name} is {value!r}, which the plan does not know")
    return found


def differences(
    recipe: Recipe, parameters: JsonObject, lives: Mapping[str, JsonObject]
) -> tuple[list[str], list[str]]:
    """
    Tell what a deployment would change, and of what that cannot be told.

    The second list are the places whose value the template computes by more than one parameter.
    """
    changes: list[str] = []
    untold: list[str] = []
    for body in recipe.template["resources"]:
        live = lives.get(str(body["type"]))
        if live is None or "copy" in body:
            continue
        for path, value in _leaves({k: v for k, v in body.items() if k not in _FIRST_API_WORDS}, ()):
            if isinstance(value, str) and value.startswith("[") and not value.startswith("[["):
                name = _parameter(value)
                if name is None:
                    untold.append(".".join(path))
                    continue
                if _is_secure(recipe, name):
                    continue
                value = parameters.get(name)
            has = _at(live, path)
            if not _same(has, value):
                changes.append(f"{'.'.join(path)}: {has!r} becomes {value!r}")
    return changes, untold


def last_name(expression: str) -> str | None:
    """Return the last segment of a resource's name in a template, where the template itself says it."""
    if not expression.startswith("["):
        return expression.rpartition("/")[2]
    found = _SAID.search(expression)
    return found["name"] if found else None


def _leaves(body: JsonObject, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in body.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _parameter(expression: str) -> str | None:
    opening, closing = "[parameters('", "')]"
    name = expression[len(opening) : -len(closing)]
    whole = expression.startswith(opening) and expression.endswith(closing) and "'" not in name
    return name if whole else None


def _is_secure(recipe: Recipe, name: str) -> bool:
    declared = recipe.template.get("parameters", {}).get(name, {})
    return str(declared.get("type", "")).lower().startswith("secure")


def _at(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _same(one: Any, other: Any) -> bool:
    """Azure gives texts back in a case of its own, and lists with keys that nobody sent."""
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(_same(one.get(key), value) for key, value in other.items())
    return same_json(one, other)
