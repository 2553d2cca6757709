"""Answers on the terminal: a table for people, JSON or YAML for programs."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

import typer


class Form(StrEnum):
    """How answers are printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Output = Annotated[Form, typer.Option("-o", "--output", help="How to print.")]
Column: TypeAlias = tuple[str, str | Callable[[Mapping[str, Any]], Any]]
"""A heading, and the field (`operation.kind` goes inside) or function that fills the column."""


def listed(
    items: Sequence[Mapping[str, Any]], columns: Sequence[Column], form: Form, *, more: bool = False
) -> None:
    """Print a list; that there is more of it is said on standard error."""
    if form is Form.TABLE:
        _table(items, columns)
    else:
        _document(list(items), form)
    if more:
        print("There are more; --limit shows more of them.", file=sys.stderr)


def shown(thing: Mapping[str, Any], form: Form) -> None:
    """Print one thing, field by field."""
    if form is not Form.TABLE:
        _document(thing, form)
        return
    pairs = list(_flattened(thing))
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        print(f"{name:<{width}}  {plain(value)}")


def age(time: str | None) -> str:
    """Say how long ago a time of the broker's was, by this machine's clock."""
    if time is None:
        return ""
    seconds = max(0, int((datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def plain(value: Any) -> str:
    """Write a value as one line that a terminal cannot take for a command."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _table(items: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> None:
    cells = [[plain(_cell(item, source)) for _, source in columns] for item in items]
    headings = [heading for heading, _ in columns]
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    for row in [headings, *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(item: Mapping[str, Any], source: str | Callable[[Mapping[str, Any]], Any]) -> Any:
    if callable(source):
        return source(item)
    value: Any = item
    for name in source.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _flattened(thing: Mapping[str, Any], prefix: str = "") -> Any:
    for name, value in thing.items():
        if isinstance(value, Mapping) and value:
            yield from _flattened(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value:
            for number, item in enumerate(value):
                if isinstance(item, Mapping):
                    yield from _flattened(item, f"{prefix}{name}[{number}].")
                else:
                    yield f"{prefix}{name}[{number}]", item
        else:
            yield prefix + name, value


def _document(thing: Any, form: Form) -> None:
    if form is Form.JSON:
        print(json.dumps(thing, indent=2, ensure_ascii=False))
        return
    import yaml

    print(yaml.safe_dump(thing, sort_keys=False, allow_unicode=True), end="")
