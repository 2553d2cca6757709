"""Reads the model files and tells what is wrong with a resource body."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

FOLDER = Path(__file__).parent
TEAMS_FOLDER = "models"
"""The folder in a catalog that holds a team's own model files."""
LARGEST_FILE = 4 * 1024 * 1024

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
    actions: Mapping[str, Property] = field(default_factory=dict)
    """What the POST actions that are known answer, by their name."""
    checked: bool = True
    """False for a type of which nothing is known: nothing is a problem then."""

    def problems(self, body: Any, use: Use = "create") -> list[Problem]:
        """
        What the resource provider would refuse in *body*; empty when it is fine.

        `create` is the first PUT, `replace` a PUT on what exists, `update` a PATCH (nothing is required).
        `id`, `name` and `type` at the top are the envelope and are let through.
        """
        if not isinstance(body, Mapping):
            return [Problem("", "must be an object")]
        if not self.checked:
            return []
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

    def _paths(
        self, model: Model, prefix: str, above: frozenset[str] = frozenset()
    ) -> Iterator[tuple[str, Property]]:
        for name, prop in model.properties.items():
            yield prefix + name, prop
            # A model that holds itself, as errors do, has no end of paths.
            if prop.model and prop.model not in above:
                yield from self._paths(self.models[prop.model], f"{prefix}{name}.", above | {prop.model})

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
        elif prop.values and value.lower() not in {v.lower() for v in prop.values}:
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
    "any": (object,),
}
_WITH_ARTICLE: Mapping[str, str] = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "map": "an object",
    "any": "anything",
}


def _fits(wanted: str, value: Any) -> bool:
    if isinstance(value, bool) and wanted not in {"boolean", "any"}:
        return False
    return isinstance(value, _PYTHON[wanted])


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    named = ((str, "a string"), (int, "an integer"), (float, "a number"), (Mapping, "an object"))
    return next((name for python, name in named if isinstance(value, python)), "a list")


class ModelFileBroken(Exception):
    """The file *name* is no model, and why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class Models:
    """
    The model files that are known: the shipped ones, and a team's own, which go before a shipped one of the same name.

    A file's name tells resource type and api-version; its content is read when it is asked for.
    """

    def __init__(self, files: Mapping[tuple[str, str], Path | bytes]) -> None:
        self._files = files
        self._read: dict[tuple[str, str], ResourceModel] = {}

    def beside(self, files: Mapping[str, bytes]) -> Models:
        """
        Return these and a team's own, by file name (`Microsoft.X.y@2026-01-01.json`).

        Raises:
            ModelFileBroken: A name or a content that is no model's.
        """
        if not files:
            return self
        own: dict[tuple[str, str], Path | bytes] = {}
        for name, content in files.items():
            dotted, _, version = name.removesuffix(".json").partition("@")
            if not (name.endswith(".json") and dotted and version):
                raise ModelFileBroken(
                    name, "a model file is called TYPE@API-VERSION.json, with dots for slashes"
                )
            own[dotted.lower(), version] = content
            model = _read(name, content)
            if (_key(model.type), model.api_version) != (dotted.lower(), version):
                raise ModelFileBroken(name, f"describes {model.type} at {model.api_version}")
        return Models({**self._files, **own})

    def of_folder(self, folder: Path) -> Models:
        """
        Return these and those in a folder of a team's own, if it is there.

        Raises:
            ModelFileBroken: A file that is no model, or larger than 4 MiB.
        """
        files = {}
        for path in sorted(folder.glob("*.json")):
            try:
                with path.open("rb") as opened:
                    files[path.name] = opened.read(LARGEST_FILE + 1)
            except OSError as fault:
                raise ModelFileBroken(path.name, f"cannot be read: {fault.strerror}") from fault
        return self.beside(files)

    def known(self) -> Mapping[str, tuple[str, ...]]:
        """The described resource types, spelt as Azure does, each with its api-versions, newest first."""
        found: dict[str, list[str]] = {}
        for dotted, api_version in sorted(self._files, reverse=True):
            model = self.load(dotted, api_version)
            if model is not None:
                found.setdefault(model.type, []).append(api_version)
        return {name: tuple(versions) for name, versions in sorted(found.items())}

    def load(self, resource_type: str, api_version: str) -> ResourceModel | None:
        """The model of a type, in any case, at exactly this api-version; None when there is no such file."""
        key = (_key(resource_type), api_version)
        if key not in self._read:
            file = self._files.get(key)
            if file is None:
                return None
            name, content = (
                (file.name, file.read_bytes()) if isinstance(file, Path) else (f"{key[0]}@{key[1]}", file)
            )
            self._read[key] = _read(name, content)
        return self._read[key]


@cache
def shipped() -> Models:
    """The model files of this package."""
    return Models(
        {
            (dotted.lower(), api_version): path
            for path in FOLDER.glob("*@*.json")
            for dotted, _, api_version in [path.stem.partition("@")]
        }
    )


@cache
def known() -> Mapping[str, tuple[str, ...]]:
    """The resource types that the shipped files describe, as in `Models.known`."""
    return shipped().known()


def load(resource_type: str, api_version: str) -> ResourceModel | None:
    """The model that a shipped file holds, as in `Models.load`."""
    return shipped().load(resource_type, api_version)


def _key(resource_type: str) -> str:
    return resource_type.replace("/", ".").lower()


def _read(name: str, content: bytes) -> ResourceModel:
    if len(content) > LARGEST_FILE:
        raise ModelFileBroken(name, f"is larger than {LARGEST_FILE // 1024 // 1024} MiB")
    try:
        data = json.loads(content.decode("utf-8"))
        models = {
            name: Model({key: _property(prop) for key, prop in model["properties"].items()})
            for name, model in data["models"].items()
        }
        read = ResourceModel(
            type=data["type"],
            api_version=data["api_version"],
            source=data["source"],
            root=models[data["root"]],
            models=models,
            actions={action: _property(answer) for action, answer in data.get("actions", {}).items()},
        )
        absent = _referred(read) - models.keys()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise ModelFileBroken(name, "is no model file as `osb catalog model` writes them") from fault
    if absent:
        raise ModelFileBroken(name, f"refers to {', '.join(sorted(absent))}, which it does not describe")
    return read


def _referred(read: ResourceModel) -> set[str]:
    waiting = [prop for model in read.models.values() for prop in model.properties.values()]
    waiting += read.actions.values()
    found = set()
    while waiting:
        prop = waiting.pop()
        if prop.type not in _PYTHON:
            raise ValueError(prop.type)
        found |= {prop.model} if prop.model else set()
        waiting += [prop.items] if prop.items else []
    return found


def _property(data: Mapping[str, Any]) -> Property:
    return Property(
        type=data["type"],
        use=frozenset(data.get("use", ("read", "create", "update"))),
        required=data.get("required", False),
        values=tuple(data.get("values", ())),
        model=data.get("model"),
        items=_property(data["items"]) if "items" in data else None,
    )
