"""The strict readers of YAML and JSON files: nothing that two readers could understand differently."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from broker.catalog.faults import Fault, shown

DEEPEST = 40

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A file as data, with the line of each value by its path."""

    file: str
    data: Any
    lines: Mapping[Place, int] = field(default_factory=dict)

    def line(self, path: Place) -> int:
        """Return the line of *path*, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def fault(self, path: Place, message: str) -> Fault:
        return Fault(self.file, self.line(path), shown(path), message)


class Unreadable(Exception):
    """A file is no document at all."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a date stays the text that it is."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(name: str, content: bytes) -> Document:
    """
    Read one YAML document of plain values; *name* is what faults call the file.

    Raises:
        Unreadable: No YAML, too deep, several documents, a key twice, or anchors and aliases (a few
            lines of them can stand for gigabytes, and a change at the anchor is not seen at its aliases).
    """
    text = _text(name, content)
    lines: dict[Place, int] = {}
    try:
        loader = _Loader(text)
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                line = event.start_mark.line + 1 if event.start_mark else 0
                raise Unreadable(Fault(name, line, "", "anchors and aliases are not allowed"))
        node = loader.get_single_node()
        data = None if node is None else _value(loader, node, (), name, lines)
    except yaml.MarkedYAMLError as fault:
        line = fault.problem_mark.line + 1 if fault.problem_mark else 0
        raise Unreadable(Fault(name, line, "", f"is no YAML: {fault.problem}")) from fault
    except (yaml.YAMLError, RecursionError, ValueError) as fault:
        raise Unreadable(Fault(name, 0, "", "is no YAML that can be read safely")) from fault
    return Document(name, data, lines)


def read_json(name: str, content: bytes) -> Document:
    """
    Read a JSON file; *name* is what faults call it.

    Raises:
        Unreadable: No JSON, a key twice, or NaN.
    """
    text = _text(name, content)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise Unreadable(Fault(name, 0, "", f"has the key '{key}' twice in one object"))
            found[key] = value
        return found

    def refuse(constant: str) -> Any:
        raise Unreadable(Fault(name, 0, "", f"holds {constant}, which is no JSON"))

    try:
        return Document(name, json.loads(text, object_pairs_hook=unique, parse_constant=refuse))
    except json.JSONDecodeError as fault:
        raise Unreadable(Fault(name, fault.lineno, "", f"is no JSON: {fault.msg}")) from fault
    except RecursionError as fault:
        raise Unreadable(Fault(name, 0, "", "is nested too deeply")) from fault


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise Unreadable(Fault(name, 0, "", "is not UTF-8 text")) from fault


def _value(loader: _Loader, node: yaml.Node, path: Place, name: str, lines: dict[Place, int]) -> Any:
    lines[path] = node.start_mark.line + 1
    if len(path) > DEEPEST:
        raise Unreadable(Fault(name, lines[path], "", "is nested too deeply"))
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, (*path, i), name, lines) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise Unreadable(Fault(name, line, shown(path), "has a key that is no text; quote it"))
            if key in found:
                raise Unreadable(Fault(name, line, shown((*path, key)), "is there twice"))
            found[key] = _value(loader, value_node, (*path, key), name, lines)
        return found
    value = loader.construct_object(node)
    if value is not None and not isinstance(value, str | int | float | bool):
        raise Unreadable(Fault(name, lines[path], shown(path), "is neither text, number nor true or false"))
    if isinstance(value, float) and not math.isfinite(value):
        raise Unreadable(Fault(name, lines[path], shown(path), "is no number"))
    return value
