"""The functions of ARM templates that take a lambda, and those of nested objects."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from broker.simulator.arm_errors import InvalidTemplate

Lambda = Callable[..., Any]


def map_(items: list[Any], change: Lambda) -> list[Any]:
    return [change(item, index) for index, item in enumerate(items)]


def filter_(items: list[Any], keep: Lambda) -> list[Any]:
    return [item for index, item in enumerate(items) if keep(item, index) is True]


def reduce_(items: list[Any], start: Any, combine: Lambda) -> Any:
    total = start
    for index, item in enumerate(items):
        total = combine(total, item, index)
    return total


def sort_(items: list[Any], before: Lambda) -> list[Any]:
    def compare(one: Any, other: Any) -> int:
        return -1 if before(one, other) is True else 1 if before(other, one) is True else 0

    return sorted(items, key=functools.cmp_to_key(compare))


def to_object(items: list[Any], key: Lambda, value: Lambda | None = None) -> dict[str, Any]:
    return {_text(key(item)): value(item) if value else item for item in items}


def group_by(items: list[Any], key: Lambda) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for item in items:
        groups.setdefault(_text(key(item)), []).append(item)
    return groups


def map_values(items: Mapping[str, Any], change: Lambda) -> dict[str, Any]:
    return {key: change(value) for key, value in items.items()}


def _text(key: Any) -> str:
    if not isinstance(key, str):
        raise InvalidTemplate("A lambda expression for the key of an object gave no string")
    return key


def try_get(value: Any, *path: Any) -> Any:
    """What is at a path of keys and indexes; null where the first step finds nothing."""
    for step in path:
        if isinstance(value, Mapping):
            found = next((key for key in value if key.lower() == str(step).lower()), None)
            value = value[found] if found is not None else None
        elif isinstance(value, list):
            value = value[step] if isinstance(step, int) and 0 <= step < len(value) else None
        else:
            return None
    return value


def flatten(items: list[Any]) -> list[Any]:
    return [inner for item in items for inner in (item if isinstance(item, list) else [item])]


def shallow_merge(objects: list[Mapping[str, Any]]) -> dict[str, Any]:
    return {key: value for each in objects for key, value in each.items()}


def object_keys(value: Mapping[str, Any]) -> list[str]:
    return sorted(value, key=str.lower)


WITH_LAMBDAS: Mapping[str, Callable[..., Any]] = {
    "filter": filter_,
    "flatten": flatten,
    "groupby": group_by,
    "map": map_,
    "mapvalues": map_values,
    "objectkeys": object_keys,
    "reduce": reduce_,
    "shallowmerge": shallow_merge,
    "sort": sort_,
    "toobject": to_object,
    "tryget": try_get,
}
