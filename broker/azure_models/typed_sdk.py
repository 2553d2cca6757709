"""
Describes a resource type from a provider's typed SDK for Python that is installed here.

Reads classes and sources and calls nothing; of both kinds that Microsoft's generator has written: with `_RestField`s,
and the older one with maps of keys and of validation.
"""
# ruff: noqa: SLF001  the SDK tells what a property may be used for in private attributes only

from __future__ import annotations

import ast
import enum
import hashlib
import importlib
import importlib.metadata
import importlib.util
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from broker.azure_models.model_files import USES, Undescribable, document

_SCALARS: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_OLDER_SCALARS: Mapping[str, str] = {
    "str": "string",
    "int": "integer",
    "long": "integer",
    "float": "number",
    "bool": "boolean",
    "iso-8601": "string",
    "date": "string",
    "duration": "string",
    "bytearray": "string",
    "object": "any",
}
_API_VERSION = re.compile(r'"(\d{4}-\d\d-\d\d(?:-preview)?)"')
_CLASS = re.compile(r"_models\.(\w+)")


@dataclass(frozen=True)
class Sdk:
    """An installed package, the module in it that speaks one api-version, and that api-version."""

    package: str
    version: str
    module: str
    api_version: str

    @property
    def files_sha256(self) -> str:
        """Over the package's own files as its RECORD lists them, without bytecode."""
        record = importlib.metadata.distribution(self.package).read_text("RECORD") or ""
        own = re.compile(re.escape(self.module.replace(".", "/")) + r"/.*,sha256=")
        lines = sorted(line.strip() for line in record.splitlines() if own.match(line))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def installed(package: str, *, module: str | None = None, api_version: str | None = None) -> Sdk:
    """
    Find an installed SDK; *module* and *api_version* are needed only where a package has several.

    Raises:
        Undescribable: There is no such package, or it is no SDK of Azure Resource Manager.
    """
    try:
        distribution = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        raise Undescribable(
            f"the package {package} is not installed here; install it beside the broker first"
        ) from None
    every = found = dict(_modules(distribution))
    if not every:
        raise Undescribable(
            f"{package} is no SDK of Azure Resource Manager: none of its modules names an api-version"
        )
    if module is not None:
        found = {name: version for name, version in found.items() if name == module}
    if api_version is not None:
        found = {name: version for name, version in found.items() if version == api_version}
    if len(found) != 1:
        there = ", ".join(f"{version} ({name})" for name, version in sorted(every.items()))
        raise Undescribable(
            f"{package} has {len(found)} modules for {module or api_version or 'it'}; "
            f"choose by api-version among {there}"
        )
    ((name, version),) = found.items()
    return Sdk(distribution.metadata["Name"], distribution.version, name, version)


def _modules(distribution: importlib.metadata.Distribution) -> Iterator[tuple[str, str]]:
    for file in distribution.files or ():
        if file.name == "_configuration.py" and file.parent.name != "aio":
            versions = set(_API_VERSION.findall(Path(str(distribution.locate_file(file))).read_text("utf-8")))
            if len(versions) == 1:
                yield ".".join(file.parent.parts), versions.pop()


def describe(
    sdk: Sdk, resource_type: str, *, body: str | None = None, source: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """
    Describe a resource type: the body of its PUT, and what its `list...` actions answer.

    *body* is the class to take where the SDK's PUT takes one of less.

    Raises:
        Undescribable: The package has no PUT of this type, or a class of a kind that is not known.
    """
    calls = _calls(sdk.module)
    put = next((call for call in calls if call.method == "PUT" and call.is_of(resource_type)), None)
    if put is None or put.body is None:
        there = sorted({call.type for call in calls if call.method == "PUT" and call.type})
        raise Undescribable(
            f"{sdk.package} {sdk.version} makes no {resource_type}; it makes {', '.join(there) or 'nothing'}"
        )
    classes = _Classes(sdk.module)
    root = body or put.body
    classes.add(root)
    actions = {}
    for call in calls:
        name = call.action_of(resource_type)
        if call.method == "POST" and call.answer and name and name.lower().startswith("list"):
            actions[name] = classes.answer(name, call)
    said = {"package": sdk.package, "version": sdk.version, "files_sha256": sdk.files_sha256}
    return document(put.type, sdk.api_version, source or said, root, classes.described, actions)


@dataclass(frozen=True)
class _Call:
    """One request that an SDK can send."""

    method: str
    segments: tuple[str, ...]
    body: str | None
    answer: str | None
    paged: bool

    @property
    def type(self) -> str:
        """The resource type of the path, empty when it is the path of no resource."""
        return "/".join([self.segments[0], *self.segments[1::2]]) if len(self.segments) % 2 else ""

    def is_of(self, resource_type: str) -> bool:
        return self.type.lower() == resource_type.lower()

    def action_of(self, resource_type: str) -> str | None:
        """The name of the action, if the path ends with one of this type's."""
        *before, name = self.segments
        above = "/".join([before[0], *before[1::2]]) if len(before) % 2 else ""
        return name if above.lower() == resource_type.lower() and not name.startswith("{") else None


@cache
def _calls(module: str) -> tuple[_Call, ...]:
    """Every PUT and POST below a resource group or a scope, as the operations' sources spell them."""
    found = importlib.util.find_spec(f"{module}.operations")
    folder = Path(found.origin or "").parent if found else None
    calls = []
    for file in sorted(folder.glob("_*.py")) if folder else ():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        requests = dict(filter(None, map(_request, tree.body)))
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef) or node.name in requests:
                continue
            for word in sorted(_names(node) & requests.keys()):
                method, segments = requests[word]
                arguments = ast.unparse(node.args)
                answer = ast.unparse(node.returns) if node.returns else ""
                calls.append(
                    _Call(method, segments, _first(arguments), _first(answer), "ItemPaged" in answer)
                )
    return tuple(calls)


def _request(node: ast.stmt) -> tuple[str, tuple[str, tuple[str, ...]]] | None:
    if not isinstance(node, ast.FunctionDef) or not node.name.startswith("build_"):
        return None
    texts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    paths = [text for text in texts if text.startswith("/") and "/providers/" in text]
    methods = [text for text in texts if text in {"PUT", "POST"}]
    if not paths or not methods:
        return None
    return node.name, (methods[0], tuple(paths[0].rpartition("/providers/")[2].strip("/").split("/")))


def _names(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def _first(annotations: str) -> str | None:
    match = _CLASS.search(annotations.replace("_models._models.", "_models."))
    return match[1] if match else None


class _Classes:
    """The classes of one SDK that were met, described."""

    def __init__(self, module: str) -> None:
        self._models = importlib.import_module(f"{module}.models")
        self._module = module
        self.described: dict[str, Any] = {}

    def add(self, root: str) -> None:
        """Describe a class and all that it is made of."""
        waiting = [root]
        while waiting:
            name = waiting.pop()
            if name in self.described:
                continue
            cls = getattr(self._models, name)
            if hasattr(cls, "_attribute_map"):
                self.described |= self._older(cls, waiting)
                continue
            self.described[name] = {"properties": dict(sorted(self._with_kinds(cls, waiting).items()))}

    def _with_kinds(self, cls: Any, waiting: list[str]) -> dict[str, Any]:
        """Where a class has kinds, told apart by a property, what any of them has is let through."""
        own = dict(self._properties(cls, waiting))
        kinds = [
            kind
            for kind in getattr(cls, "__mapping__", {}).values()
            if kind is not cls and issubclass(kind, cls)
        ]
        for kind in sorted(kinds, key=lambda kind: str(kind.__name__)):
            for name, said in self._properties(kind, waiting):
                own.setdefault(name, {key: value for key, value in said.items() if key != "required"})
        return own

    def answer(self, action: str, call: _Call) -> dict[str, Any]:
        """Describe what an action answers; of a list in pages, the first one."""
        answer = str(call.answer)
        self.add(answer)
        if not call.paged:
            return {"type": "object", "model": answer}
        page = f"{action}Page"
        item = {"type": "object", "model": answer}
        self.described[page] = {"properties": {"value": {"type": "array", "items": item, "use": ["read"]}}}
        return {"type": "object", "model": page}

    def _properties(self, cls: type, waiting: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        internal = importlib.import_module(f"{self._module}.models._models")
        names = {**vars(importlib.import_module("builtins")), **vars(internal), "_models": self._models}
        hints: dict[str, Any] = {}
        for ancestor in reversed(cls.__mro__):
            hints |= vars(ancestor).get("__annotations__", {})
        base = importlib.import_module(cls.__module__.split(".models")[0] + "._utils.model_base")
        for attribute, hint in hints.items():
            field = next((vars(a)[attribute] for a in cls.__mro__ if attribute in vars(a)), None)
            if not isinstance(field, base._RestField):
                continue
            # Two mappings, not one: else typing keeps what a name stood for, and another SDK may have the same one.
            found = typing.get_type_hints(
                types.SimpleNamespace(__annotations__={"it": hint}), names, {**names}
            )
            hint = found["it"]
            required = {} if type(None) in typing.get_args(hint) else {"required": True}
            usable = [use for use in USES if use in (field._visibility or USES)]
            yield (
                field._rest_name_input or attribute,
                {**_shape(hint, waiting), **required, "use": usable},
            )

    def _older(self, cls: Any, waiting: list[str]) -> dict[str, Any]:
        """A class of an older SDK; a dotted key is one level below."""
        module = importlib.import_module(cls.__module__)
        package = sys.modules[str(module.__package__)]
        # Where the SDK names a class for type checkers alone, it is found in the package all the same.
        names = {
            **vars(package),
            **vars(module),
            "_models": package,
            "datetime": importlib.import_module("datetime"),
        }
        hints = typing.get_type_hints(cls.__init__, names, {**names})
        top: dict[str, Any] = {}
        below: dict[str, Any] = {}
        for attribute, said in cls._attribute_map.items():
            rules = cls._validation.get(attribute, {})
            hint = hints.get(attribute)
            described = _shape(hint, waiting) if hint is not None else _older_shape(said["type"], waiting)
            required = {"required": True} if rules.get("required") else {}
            usable = ["read"] if rules.get("readonly") else list(USES)
            # A dot that belongs to a name is written with a backslash.
            *above, name = re.split(r"(?<!\\)\.", said["key"])
            (below if above else top)[name.replace("\\.", ".")] = {**described, **required, "use": usable}
        inner = f"{cls.__name__}Properties"
        if below:
            needed = {"required": True} if any("required" in said for said in below.values()) else {}
            top["properties"] = {"type": "object", "model": inner, **needed, "use": list(USES)}
        found = {cls.__name__: {"properties": dict(sorted(top.items()))}}
        return found | ({inner: {"properties": dict(sorted(below.items()))}} if below else {})


def _shape(hint: Any, waiting: list[str]) -> dict[str, Any]:
    choices = [choice for choice in _flat(hint) if choice is not type(None)]
    enums = [c for c in choices if isinstance(c, type) and issubclass(c, enum.Enum)]
    if enums:
        return {"type": "string", "values": [member.value for member in enums[0]]}
    choice = choices[0]
    origin, inner = typing.get_origin(choice), typing.get_args(choice)
    if origin is typing.Literal:
        return {"type": "string", "values": [str(getattr(value, "value", value)) for value in inner]}
    if origin is list:
        return {"type": "array", "items": _shape(inner[0], waiting)}
    if origin is dict:
        return {"type": "map", "items": _shape(inner[1], waiting)}
    if choice in _SCALARS:
        return {"type": _SCALARS[choice]}
    formats = {"datetime": "date-time", "timedelta": "duration"}
    name = getattr(choice, "__name__", "")
    if name in formats:
        return {"type": "string", "format": formats[name]}
    if choice is Any or name in {"JSON", "MutableMapping"}:
        return {"type": "any"}
    if ".models" in getattr(choice, "__module__", ""):
        waiting.append(name)
        return {"type": "object", "model": name}
    raise Undescribable(f"there is no description for {choice!r}")


def _older_shape(said: str, waiting: list[str]) -> dict[str, Any]:
    """What a map of keys says of a type: `str`, `[Sku]`, `{str}`, `Sku`."""
    if said in _OLDER_SCALARS:
        return {"type": _OLDER_SCALARS[said]}
    if said[0] + said[-1] in {"[]", "{}"}:
        return {"type": "array" if said[0] == "[" else "map", "items": _older_shape(said[1:-1], waiting)}
    if re.fullmatch(r"\w+", said):
        waiting.append(said)
        return {"type": "object", "model": said}
    raise Undescribable(f"there is no description for {said!r}")


def _flat(hint: Any) -> list[Any]:
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        return [inner for choice in typing.get_args(hint) for inner in _flat(choice)]
    return [hint]
