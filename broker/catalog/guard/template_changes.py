"""What a changed template would do to the resources that living instances have: delete them, or make them anew."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from broker.azure_models.create_only import create_only
from broker.domain.json_values import JsonObject

_PARAMETER = re.compile(r"\bparameters\s*\(\s*'([^']+)'\s*\)", re.IGNORECASE)
_VARIABLE = re.compile(r"\bvariables\s*\(\s*'([^']+)'\s*\)", re.IGNORECASE)
_DEEPEST = 20


@dataclass(frozen=True)
class ResourceChange:
    """What happens to a resource: at which place of the new template (the old one if it is gone), and why."""

    path: str
    text: str


def resource_changes(before: JsonObject, after: JsonObject) -> list[ResourceChange]:
    """
    Compare what two recipes make: which living resources an update by the second would delete or replace.

    Only what can be seen without running the templates: expressions are compared as they are written, with the sources
    of the parameters in them. What lies below a resource that goes is not named again.
    """
    old, new = _resources(before), _resources(after)
    found: list[ResourceChange] = []
    gone: list[str] = []
    for one in sorted(old, key=lambda resource: resource.type.count("/")):
        if any(one.type.startswith(f"{above}/") for above in gone):
            continue
        same = next((other for other in new if other.key == one.key), None)
        if same is None:
            gone.append(one.type)
            found.append(_lost(one, old, new))
        else:
            found += _replaced(one, same, before, after)
    return found


@dataclass(frozen=True)
class _Resource:
    number: int
    type: str
    name: str
    body: JsonObject

    @property
    def key(self) -> tuple[str, str]:
        return self.type, self.name


def _resources(recipe: JsonObject) -> list[_Resource]:
    template: Any = recipe.get("template") or {}
    listed = template.get("resources") or []
    return [
        _Resource(number, str(body["type"]).lower(), repr(resolved(body.get("name"), recipe)), body)
        for number, body in enumerate(listed)
        if isinstance(body, Mapping) and "type" in body
    ]


def _lost(one: _Resource, old: Sequence[_Resource], new: Sequence[_Resource]) -> ResourceChange:
    spelt = one.body["type"]
    before = {other.key for other in old}
    added = [other for other in new if other.key not in before]
    renamed = next((other for other in added if other.type == one.type), None)
    if renamed is not None:
        return ResourceChange(
            f"resources[{renamed.number}].name",
            f"{spelt} gets another name: an update makes an empty one and deletes the living one with its data",
        )
    changed = next((other for other in added if other.name == one.name), None)
    if changed is not None:
        return ResourceChange(
            f"resources[{changed.number}].type",
            f"{spelt} is a {changed.body['type']} now: an update deletes the living one with its data",
        )
    return ResourceChange(
        f"resources[{one.number}]",
        f"{spelt} is not made any more: an update deletes the living one with its data",
    )


def _replaced(
    one: _Resource, other: _Resource, before: JsonObject, after: JsonObject
) -> Iterator[ResourceChange]:
    spelt = other.body["type"]
    at = f"resources[{other.number}]"
    if resolved(one.body.get("scope"), before) != resolved(other.body.get("scope"), after):
        yield ResourceChange(f"{at}.scope", f"{spelt} is made in another scope: the living one stays behind")
    for settled in create_only(one.type, str(other.body.get("apiVersion", ""))):
        if _at(one.body, settled.path, before) != _at(other.body, settled.path, after):
            yield ResourceChange(
                f"{at}.{settled.path}",
                f"Azure settles '{settled.path}' of {spelt} at its creation ({settled.source}): an update is refused, "
                "or replaces the living one",
            )


def _at(body: JsonObject, path: str, recipe: JsonObject) -> Any:
    value: Any = body
    for name in path.split("."):
        if not isinstance(value, Mapping):
            # An expression stands for all that is below it.
            break
        value = value.get(name)
    return resolved(value, recipe)


def resolved(value: Any, recipe: JsonObject, depth: int = 0) -> Any:
    """
    Return *value* of a template with what is known of its expressions beforehand, for comparison with another.

    A parameter that stands alone becomes its fixed value or its source, so that its name alone makes no difference.
    """
    if isinstance(value, Mapping):
        return {key: resolved(item, recipe, depth) for key, item in value.items()}
    if isinstance(value, list):
        return [resolved(item, recipe, depth) for item in value]
    if not isinstance(value, str) or not value.startswith("[") or value.startswith("[[") or depth > _DEEPEST:
        return value
    alone = _PARAMETER.fullmatch(value[1:-1].strip())
    if alone is not None:
        return _source(alone[1], recipe)
    parts: list[Any] = [_VARIABLE.sub("variables()", _PARAMETER.sub("parameters()", value))]
    parts += [_source(name, recipe) for name in _PARAMETER.findall(value)]
    template: Any = recipe.get("template") or {}
    variables = template.get("variables") or {}
    parts += [resolved(variables.get(name), recipe, depth + 1) for name in _VARIABLE.findall(value)]
    return parts


def _source(name: str, recipe: JsonObject) -> Any:
    groups: Any = recipe
    if name in groups.get("fixed", {}):
        return groups["fixed"][name]
    template = groups.get("template") or {}
    default = ((template.get("parameters") or {}).get(name) or {}).get("defaultValue")
    if name in groups.get("user", {}):
        return ("user", name, groups["user"][name].get("default", default))
    if name in groups.get("broker", {}):
        source = groups["broker"][name]
        return ("broker", source if isinstance(source, str) else dict(source))
    return default
