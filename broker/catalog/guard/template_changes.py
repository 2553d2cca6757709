"""What a changed template would do to the resources that living instances have: delete them, or make them anew."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from broker.azure_models.create_only import create_only
from broker.catalog.templates import texts_in
from broker.domain.json_values import JsonObject

_PARAMETER = re.compile(r"\bparameters\s*\(\s*'([^']+)'\s*\)", re.IGNORECASE)
_VARIABLE = re.compile(r"\bvariables\s*\(\s*'([^']+)'\s*\)", re.IGNORECASE)
_AT_MOST_FOLLOWED = 100
"""Variables that one expression leads to; what comes after them is not compared."""


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
    by_key = {other.key: other for other in new}
    before_keys = {one.key for one in old}
    added = [other for other in new if other.key not in before_keys]
    found: list[ResourceChange] = []
    gone: set[str] = set()
    for one in sorted(old, key=lambda resource: resource.type.count("/")):
        if not gone.isdisjoint(_above(one.type)):
            continue
        same = by_key.get(one.key)
        if same is None:
            gone.add(one.type)
            found.append(_lost(one, added))
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


def _above(resource_type: str) -> list[str]:
    words = resource_type.split("/")
    return ["/".join(words[:end]) for end in range(2, len(words))]


def _lost(one: _Resource, added: Sequence[_Resource]) -> ResourceChange:
    spelt = one.body["type"]
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


def resolved(value: Any, recipe: JsonObject) -> Any:
    """
    Return *value* of a template with what is known of its expressions beforehand, for comparison with another.

    A parameter that stands alone becomes its fixed value or its source, so that its name alone makes no difference.
    """
    if isinstance(value, Mapping):
        return {key: resolved(item, recipe) for key, item in value.items()}
    if isinstance(value, list):
        return [resolved(item, recipe) for item in value]
    if not isinstance(value, str) or not _is_expression(value):
        return value
    alone = _PARAMETER.fullmatch(value[1:-1].strip())
    if alone is not None:
        return _source(alone[1], recipe)
    template: Any = recipe.get("template") or {}
    variables = template.get("variables") or {}
    parts, waiting = [_written(value, recipe)], _VARIABLE.findall(value)
    seen: set[str] = set()
    # Each variable once: written out in place, a few lines of them could stand for gigabytes.
    while waiting and len(seen) < _AT_MOST_FOLLOWED:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            parts.append(_written(variables.get(name), recipe))
            waiting += [inner for text in texts_in(variables.get(name)) for inner in _VARIABLE.findall(text)]
    return parts


def _written(value: Any, recipe: JsonObject) -> Any:
    """Return *value* with the sources of the parameters in it instead of their names; variables keep theirs."""
    if isinstance(value, Mapping):
        return {key: _written(item, recipe) for key, item in value.items()}
    if isinstance(value, list):
        return [_written(item, recipe) for item in value]
    if not isinstance(value, str) or not _is_expression(value):
        return value
    sources = [_source(name, recipe) for name in _PARAMETER.findall(value)]
    return [_PARAMETER.sub("parameters()", value), *sources]


def _is_expression(text: str) -> bool:
    return text.startswith("[") and not text.startswith("[[")


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
