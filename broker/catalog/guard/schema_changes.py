"""What changes between two schemas of parameters, parameter by parameter."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from broker.domain.json_values import JsonObject

Kind = Literal["added", "removed", "required", "narrowed", "widened", "default"]
NARROWING: frozenset[Kind] = frozenset({"removed", "required", "narrowed"})
"""What may refuse a value, or the lack of one, that the schema of before took."""

_LEAST = {
    "minimum": "at least",
    "minLength": "at least characters",
    "minItems": "at least entries",
    "minProperties": "at least keys",
}
_MOST = {
    "maximum": "at most",
    "maxLength": "at most characters",
    "maxItems": "at most entries",
    "maxProperties": "at most keys",
}
_FORMS = ("pattern", "format", "multipleOf", "const", "uniqueItems", "exclusiveMinimum", "exclusiveMaximum")
_COMBINED = ("allOf", "anyOf", "oneOf", "not", "dependencies", "patternProperties")
_AT_MOST_SHOWN = 120


@dataclass(frozen=True, order=True)
class SchemaChange:
    """One change of a parameter, named by its dotted path; an empty one stands for all of them together."""

    parameter: str
    kind: Kind
    text: str


def changes(before: JsonObject | None, after: JsonObject | None) -> list[SchemaChange]:
    """Compare two schemas of an object; none takes every object."""
    return sorted(_of_object("", before or {}, after or {}))


def _of_object(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[SchemaChange]:
    old, new = before.get("properties") or {}, after.get("properties") or {}
    needed, needs = set(before.get("required") or ()), set(after.get("required") or ())
    for name in sorted(old.keys() - new.keys()):
        yield SchemaChange(_below(path, name), "removed", "is not taken any more")
    for name in sorted(new.keys() - old.keys()):
        if name in needs:
            yield SchemaChange(_below(path, name), "required", "is new, and must be given")
        else:
            yield SchemaChange(_below(path, name), "added", "is new")
    for name in sorted(new.keys() & old.keys()):
        if name in needs - needed:
            yield SchemaChange(_below(path, name), "required", "must be given now")
        elif name in needed - needs:
            yield SchemaChange(_below(path, name), "widened", "may be left out now")
        yield from _of_value(_below(path, name), old[name], new[name])


def _of_value(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[SchemaChange]:
    if before == after:
        return
    if before.get("type") != after.get("type"):
        text = f"is of type {_shown(after.get('type', 'any'))} now, not {_shown(before.get('type', 'any'))}"
        yield SchemaChange(path, "widened" if "type" not in after else "narrowed", text)
        return
    yield from _of_choice(path, before.get("enum"), after.get("enum"))
    for bounds, sign in ((_LEAST, 1), (_MOST, -1)):
        for key, words in bounds.items():
            yield from _of_bound(path, words, before.get(key), after.get(key), sign)
    for key in (*_FORMS, *_COMBINED):
        if before.get(key) != after.get(key):
            gone = after.get(key) in (None, False)
            text = (
                f"has no {key} to keep any more"
                if gone
                else f"has to keep the {key} {_shown(after[key])} now"
            )
            yield SchemaChange(path, "widened" if gone else "narrowed", text)
    yield from _of_items(path, before, after)
    if before.get("default") != after.get("default"):
        text = f"defaults to {_shown(after.get('default'))} now, not to {_shown(before.get('default'))}"
        yield SchemaChange(path, "default", text)


def _of_choice(path: str, before: list[Any] | None, after: list[Any] | None) -> Iterator[SchemaChange]:
    if before is None and after is not None:
        yield SchemaChange(path, "narrowed", f"takes only {_shown(after)} now")
    elif before is not None and after is None:
        yield SchemaChange(path, "widened", "takes other values, too, now")
    elif before is not None and after is not None:
        lost = [value for value in before if value not in after]
        won = [value for value in after if value not in before]
        if lost:
            yield SchemaChange(path, "narrowed", f"no longer takes {_shown(lost)}")
        if won:
            yield SchemaChange(path, "widened", f"takes {_shown(won)}, too")


def _of_bound(path: str, words: str, before: Any, after: Any, sign: int) -> Iterator[SchemaChange]:
    if before == after:
        return
    bound, _, unit = words.rpartition(" ") if words.count(" ") > 1 else (words, "", "")
    if after is None:
        yield SchemaChange(path, "widened", f"need not be {bound} {before} {unit}".rstrip())
        return
    narrower = before is None or sign * (after - before) > 0
    text = f"must be {bound} {after} {unit}".rstrip() + (f", not {before}" if before is not None else "")
    yield SchemaChange(path, "narrowed" if narrower else "widened", text)


def _of_items(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[SchemaChange]:
    """What is inside of lists and objects."""
    for key, below in (("items", f"{path}[]"), ("additionalProperties", f"{path}.*")):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _of_value(below, old, new)
        elif new is False or (isinstance(new, Mapping) and old in (None, True)):
            yield SchemaChange(below, "narrowed", "takes less than before")
        else:
            yield SchemaChange(below, "widened", "takes more than before")
    yield from _of_object(path, before, after)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        text = ", ".join(_shown(item) for item in value)
    else:
        text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _AT_MOST_SHOWN else text[: _AT_MOST_SHOWN - 3] + "..."
