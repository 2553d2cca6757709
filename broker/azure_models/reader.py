"""Reads the model files and tells what is wrong with a resource body."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

FOLDER = Path(__file__).parent

Use = Literal["create", "update", "replace"]

ENVELOPE = frozenset({"id", "name", "type"})


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()
"""Stands for a value that will be known later, such as what `reference()` gives; it fits everywhere."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that Azure would refuse; *path* is dotted, as in `properties.storage.storageSizeGB`."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


@dataclass(frozen=True, slots=True)
class Property:
    """A property's shape; *use* holds what it is for: `read`, `create`, `update`."""

    type: str
    use: frozenset[str]
    required: bool = False
    values: tuple[str, ...] = ()
    model: str | None = None
    items: Property | None = None

    @property
    def read_only(self) -> bool:
        return self.use == {"read"}

    @property
    def write_only(self) -> bool:
        """True for secrets: sent, never given back."""
        return "read" not in self.use

    @property
    def create_only(self) -> bool:
        """True when the value is settled by the first PUT."""
        return "create" in self.use and "update" not in self.use


@dataclass(frozen=True, slots=True)
class Model:
    properties: Mapping[str, Property]


@dataclass(frozen=True, slots=True)
class ResourceModel:
    """A resource type at one api-version."""

    type: str
    api_version: str
    source: Mapping[str, str]
    root: Model
    models: Mapping[str, Model]

    def problems(self, body: Any, use: Use = "create") -> list[Problem]:
        """
        What the resource provider would refuse in *body*; empty when it is fine.

        `create` is the first PUT, `replace` a PUT on what exists, `update` a PATCH (nothing is required).
        `id`, `name` and `type` at the top are the envelope and are let through.
        """
        if not isinstance(body, Mapping):
            return [Problem("", "must be an object")]
        sent = {key: value for key, value in body.items() if key not in ENVELOPE}
        return list(self._of_model(self.root, sent, "", use))

    def property_at(self, path: str) -> Property | None:
        """The property at a dotted *path*, None when there is none."""
        model: Model | None = self.root
        found: Property | None = None
        for name in path.split("."):
            found = model.properties.get(name) if model else None
            if found is None:
                return None
            model = self.models.get(found.model or "")
        return found

    def paths(self) -> Iterator[tuple[str, Property]]:
        """Every property below the root with its dotted path; lists and maps are leaves."""
        yield from self._paths(self.root, "")

    def _paths(self, model: Model, prefix: str) -> Iterator[tuple[str, Property]]:
        for name, prop in model.properties.items():
            yield prefix + name, prop
            if prop.model:
                yield from self._paths(self.models[prop.model], f"{prefix}{name}.")

    def _of_model(self, model: Model, body: Mapping[str, Any], path: str, use: Use) -> Iterator[Problem]:
        for name, value in body.items():
            where = f"{path}.{name}" if path else name
            prop = model.properties.get(name)
            if prop is None:
                alike = next((known for known in model.properties if known.lower() == name.lower()), None)
                hint = f"; it is spelt '{alike}'" if alike else ""
                yield Problem(where, f"{self.type} at {self.api_version} has no such property{hint}")
            elif prop.read_only:
                yield Problem(where, "is read-only")
            elif use == "create" and "create" not in prop.use:
                yield Problem(where, "cannot be given when the resource is created")
            elif use == "update" and "update" not in prop.use:
                yield Problem(where, "cannot be changed after the resource was created")
            else:
                yield from self._of_value(prop, value, where, use)
        if use != "update":
            for name, prop in model.properties.items():
                if prop.required and not prop.read_only and body.get(name) is None:
                    yield Problem(f"{path}.{name}" if path else name, "is required")

    def _of_value(self, prop: Property, value: Any, where: str, use: Use) -> Iterator[Problem]:
        if value is UNKNOWN or value is None:
            return
        if not _fits(prop.type, value):
            yield Problem(where, f"must be {_WITH_ARTICLE[prop.type]}, not {_json_type(value)}")
        elif prop.values and value is not UNKNOWN and value.lower() not in {v.lower() for v in prop.values}:
            yield Problem(where, f"'{value}' is not one of {', '.join(prop.values)}")
        elif prop.model:
            yield from self._of_model(self.models[prop.model], value, where, use)
        elif prop.items and prop.type == "array":
            for index, item in enumerate(value):
                yield from self._of_value(prop.items, item, f"{where}[{index}]", use)
        elif prop.items:
            for name, item in value.items():
                yield from self._of_value(prop.items, item, f"{where}.{name}", use)


_PYTHON: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (Mapping,),
    "map": (Mapping,),
}
_WITH_ARTICLE: Mapping[str, str] = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "map": "an object",
}


def _fits(wanted: str, value: Any) -> bool:
    if isinstance(value, bool) and wanted != "boolean":
        return False
    return isinstance(value, _PYTHON[wanted])


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    named = ((str, "a string"), (int, "an integer"), (float, "a number"), (Mapping, "an object"))
    return next((name for python, name in named if isinstance(value, python)), "a list")


@cache
def _files() -> Mapping[tuple[str, str], Path]:
    """Files by resource type (lower case) and api-version; the name of a file tells both."""
    found = {}
    for path in FOLDER.glob("*@*.json"):
        dotted, _, api_version = path.stem.partition("@")
        found[dotted.lower(), api_version] = path
    return found


def _key(resource_type: str) -> str:
    return resource_type.replace("/", ".").lower()


@cache
def known() -> Mapping[str, tuple[str, ...]]:
    """The described resource types, spelt as Azure does, each with its api-versions, newest first."""
    found: dict[str, list[str]] = {}
    for dotted, api_version in sorted(_files(), reverse=True):
        model = load(dotted, api_version)
        if model is not None:
            found.setdefault(model.type, []).append(api_version)
    return {name: tuple(versions) for name, versions in sorted(found.items())}


@cache
def load(resource_type: str, api_version: str) -> ResourceModel | None:
    """The model of a type, in any case, at exactly this api-version; None when there is no such file."""
    path = _files().get((_key(resource_type), api_version))
    if path is None:
        return None
    data = json.loads(path.read_text(encoding="utf-8"))
    models = {
        name: Model({key: _property(prop) for key, prop in model["properties"].items()})
        for name, model in data["models"].items()
    }
    return ResourceModel(
        type=data["type"],
        api_version=data["api_version"],
        source=data["source"],
        root=models[data["root"]],
        models=models,
    )


def _property(data: Mapping[str, Any]) -> Property:
    return Property(
        type=data["type"],
        use=frozenset(data.get("use", ("read", "create", "update"))),
        required=data.get("required", False),
        values=tuple(data.get("values", ())),
        model=data.get("model"),
        items=_property(data["items"]) if "items" in data else None,
    )
