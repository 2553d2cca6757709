"""The functions of ARM templates that need nothing but their arguments."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from broker.simulator.arm_errors import InvalidTemplate
from broker.simulator.template_lambdas import WITH_LAMBDAS
from broker.simulator.template_texts import TEXTS

# Microsoft's documentation of the function.
LONGEST_RANGE = 10_000
HOLE = re.compile(r"\{\{|\}\}|\{(\d+)\}")


def text_of(value: Any) -> str:
    """As `string()` and `concat()` write a value."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(value, separators=(",", ":"))


def concat(*parts: Any) -> Any:
    if any(isinstance(part, list) for part in parts):
        return [item for part in parts for item in (part if isinstance(part, list) else [part])]
    return "".join(text_of(part) for part in parts)


def format_(pattern: str, *values: Any) -> str:
    def fill(match: re.Match[str]) -> str:
        return text_of(values[int(match[1])]) if match[1] else match[0][0]

    left = HOLE.sub("", pattern)
    if "{" in left or "}" in left:
        raise InvalidTemplate("The template function 'format' knows plain {0} holes only in this simulator")
    return HOLE.sub(fill, pattern)


def unique_string(*parts: str) -> str:
    """Thirteen characters that depend on the arguments alone; not the ones that Azure would compute."""
    digest = hashlib.sha256("-".join(parts).encode()).digest()
    return base64.b32encode(digest).decode().lower()[:13]


def guid(*parts: str) -> str:
    """A UUID that depends on the arguments alone; not the one that Azure would compute."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "-".join(parts)))


def substring(text: str, start: int, length: int | None = None) -> str:
    end = len(text) if length is None else start + length
    if start < 0 or end > len(text):
        raise InvalidTemplate("The template function 'substring' reaches beyond the end of the string")
    return text[start:end]


def union(*parts: Any) -> Any:
    if all(isinstance(part, Mapping) for part in parts):
        merged: dict[str, Any] = {}
        for part in parts:
            for key, value in part.items():
                both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
                merged[key] = union(merged[key], value) if both else value
        return merged
    items: list[Any] = []
    for part in parts:
        items += [item for item in part if item not in items]
    return items


def intersection(*parts: Any) -> Any:
    first, *others = parts
    if isinstance(first, Mapping):
        return {key: value for key, value in first.items() if all(o.get(key) == value for o in others)}
    return [item for item in first if all(item in other for other in others)]


def create_object(*pairs: Any) -> dict[str, Any]:
    if len(pairs) % 2:
        raise InvalidTemplate("The template function 'createObject' wants pairs of key and value")
    return dict(zip(pairs[0::2], pairs[1::2], strict=True))


def contains(container: Any, item: Any) -> bool:
    if isinstance(container, str):
        return text_of(item).lower() in container.lower()
    if isinstance(container, Mapping):
        return str(item).lower() in {key.lower() for key in container}
    return item in container


def equals(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def empty(value: Any) -> bool:
    return value is None or len(value) == 0


def coalesce(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def split(text: str, by: str | Sequence[str]) -> list[str]:
    marks = [by] if isinstance(by, str) else by
    return re.split("|".join(re.escape(mark) for mark in marks), text)


def first(value: Any) -> Any:
    return value[0] if len(value) else ("" if isinstance(value, str) else None)


def last(value: Any) -> Any:
    return value[-1] if len(value) else ("" if isinstance(value, str) else None)


def take(value: Any, count: int) -> Any:
    return value[: max(0, count)]


def skip(value: Any, count: int) -> Any:
    return value[max(0, count) :]


def range_(start: int, count: int) -> list[int]:
    if not 0 <= count <= LONGEST_RANGE:
        raise InvalidTemplate(f"The count of the template function 'range' is not from 0 to {LONGEST_RANGE}")
    return list(range(start, start + count))


def int_(value: Any) -> int:
    return int(value)


def bool_(value: Any) -> bool:
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}[value.lower()]
    return bool(value)


def smallest(*values: Any) -> Any:
    return min(values[0]) if len(values) == 1 else min(values)


def largest(*values: Any) -> Any:
    return max(values[0]) if len(values) == 1 else max(values)


def index_from_key(items: Any) -> list[dict[str, Any]]:
    return [{"key": key, "value": items[key]} for key in sorted(items, key=str.lower)]


def last_index_of(text: Any, part: Any) -> int:
    if isinstance(text, str):
        return text.lower().rfind(part.lower())
    return next((index for index in reversed(range(len(text))) if text[index] == part), -1)


def index_of(text: Any, part: Any) -> int:
    if isinstance(text, str):
        return text.lower().find(part.lower())
    return next((index for index, item in enumerate(text) if item == part), -1)


def fail(message: str) -> Any:
    raise InvalidTemplate(message)


PURE: Mapping[str, Callable[..., Any]] = {
    **WITH_LAMBDAS,
    **TEXTS,
    "add": lambda a, b: a + b,
    "array": lambda value: value if isinstance(value, list) else [value],
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64tostring": lambda text: base64.b64decode(text).decode(),
    "bool": bool_,
    "coalesce": coalesce,
    "concat": concat,
    "contains": contains,
    "createarray": lambda *items: list(items),
    "createobject": create_object,
    "div": lambda a, b: int(a / b),
    "empty": empty,
    "endswith": lambda text, end: text.lower().endswith(end.lower()),
    "equals": equals,
    "false": lambda: False,
    "first": first,
    "format": format_,
    "greater": lambda a, b: a > b,
    "greaterorequals": lambda a, b: a >= b,
    "guid": guid,
    "fail": fail,
    "float": float,
    "indexof": index_of,
    "int": int_,
    "intersection": intersection,
    "items": index_from_key,
    "join": lambda items, by: by.join(text_of(item) for item in items),
    "json": json.loads,
    "last": last,
    "lastindexof": last_index_of,
    "length": len,
    "less": lambda a, b: a < b,
    "lessorequals": lambda a, b: a <= b,
    "max": largest,
    "min": smallest,
    "mod": lambda a, b: int(math.fmod(a, b)),
    "mul": lambda a, b: a * b,
    "not": lambda value: not value,
    "null": lambda: None,
    "padleft": lambda value, width, fill=" ": text_of(value).rjust(width, fill),
    "range": range_,
    "replace": lambda text, old, new: text.replace(old, new),
    "skip": skip,
    "split": split,
    "startswith": lambda text, start: text.lower().startswith(start.lower()),
    "string": text_of,
    "sub": lambda a, b: a - b,
    "substring": substring,
    "take": take,
    "tolower": lambda text: text.lower(),
    "toupper": lambda text: text.upper(),
    "trim": lambda text: text.strip(),
    "true": lambda: True,
    "union": union,
    "uniquestring": unique_string,
}
