"""
Describes a resource type from a provider's OpenAPI file (2.0, as Microsoft publishes them for Resource Manager).

Files refer to one another; only those below one folder are read, and nothing is ever fetched.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from broker.azure_models.model_files import USES, Undescribable, document

LARGEST_FILE = 16 * 1024 * 1024
"""In bytes; the largest that Microsoft publishes have a few MiB."""
AT_MOST_FILES = 100
DEEPEST = 60

_SCALARS = {"string", "integer", "number", "boolean"}
_API_VERSION = re.compile(r"\d{4}-\d\d-\d\d(-[a-z]+)?")
Place = tuple[Path, Mapping[str, Any]]
"""A piece of a file, with the file: its references are read from there."""


def describe(file: Path, resource_type: str, *, root: Path | None = None) -> dict[str, Any]:
    """
    Describe a resource type: the body of its PUT, and what its `list...` actions answer.

    *root* is the folder that holds the file and all to which it refers; the file's own if left out.

    Raises:
        Undescribable: No such file or type, no OpenAPI 2.0, or a reference to outside *root*.
    """
    files = _Files(root or file.parent)
    path = files.inside(file, str(file))
    whole = files.read(path)
    if str(whole.get("swagger")) != "2.0":
        raise Undescribable(f'{file} is no OpenAPI 2.0: it does not begin with "swagger": "2.0"')
    version = str((whole.get("info") or {}).get("version"))
    if not _API_VERSION.fullmatch(version):
        raise Undescribable(f"{file} has no api-version in info.version, but {version!r}")
    models = _Definitions(files)
    found, actions, makes = None, {}, set()
    for route, said in (whole.get("paths") or {}).items():
        name, action = _named(route)
        if "put" in said and not action:
            makes.add(name)
            if name.lower() == resource_type.lower() and found is None:
                found = name, models.body((path, said), (path, said["put"]))
        if "post" in said and name.lower() == resource_type.lower() and action.lower().startswith("list"):
            answer = (said["post"].get("responses") or {}).get("200", {}).get("schema")
            if answer:
                actions[action] = models.shape((path, answer), f"{action}Answer")
    if found is None:
        there = ", ".join(sorted(makes)) or "nothing"
        raise Undescribable(f"{file} makes no {resource_type}; it makes {there}")
    return document(found[0], version, files.source(path), found[1], models.described, actions)


def _named(route: str) -> tuple[str, str]:
    """Return resource type and action of a route; an action that is empty means the resource itself."""
    _, separator, rest = route.rpartition("/providers/")
    words = rest.strip("/").split("/")
    if not separator or len(words) < 2:
        return "", ""
    action = "" if len(words) % 2 else words.pop()
    return "/".join([words[0], *words[1::2]]), action


class _Files:
    """The files below one folder, each read once."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._read: dict[Path, Any] = {}
        self._texts: dict[Path, bytes] = {}

    def inside(self, path: Path, said: str) -> Path:
        resolved = path.resolve()
        if not resolved.is_relative_to(self._root):
            raise Undescribable(
                f"{said} leads out of {self._root}; name the folder that holds both files by --root"
            )
        return resolved

    def read(self, path: Path) -> Mapping[str, Any]:
        if path in self._read:
            return self._read[path]  # type: ignore[no-any-return]
        if len(self._read) >= AT_MOST_FILES:
            raise Undescribable(f"more than {AT_MOST_FILES} files refer to one another")
        try:
            with path.open("rb") as opened:
                content = opened.read(LARGEST_FILE + 1)
            if len(content) > LARGEST_FILE:
                raise Undescribable(f"{path} is larger than {LARGEST_FILE // 1024 // 1024} MiB")
            data = json.loads(content.decode("utf-8-sig"))
        except OSError as fault:
            raise Undescribable(f"{path} cannot be read: {fault.strerror}") from fault
        except (ValueError, RecursionError) as fault:
            raise Undescribable(f"{path} is no JSON text in UTF-8") from fault
        if not isinstance(data, dict):
            raise Undescribable(f"{path} is no JSON object")
        self._read[path], self._texts[path] = data, content
        return data

    def followed(self, file: Path, reference: str) -> tuple[Place, str]:
        """Return what a `$ref` means, and its own name."""
        where, _, pointer = reference.partition("#")
        if "://" in where or where.startswith(("/", "\\")):
            raise Undescribable(f"{file.name} refers to {reference}: only files beside it are read")
        path = self.inside(file.parent / unquote(where), f"{file.name}: {reference}") if where else file
        piece: Any = self.read(path)
        words = [unquote(word).replace("~1", "/").replace("~0", "~") for word in pointer.split("/")[1:]]
        for word in words:
            piece = piece.get(word) if isinstance(piece, dict) else None
        if not isinstance(piece, dict):
            raise Undescribable(f"{file.name} refers to {reference}, which is not there")
        return (path, piece), words[-1] if words else path.stem

    def source(self, first: Path) -> dict[str, str]:
        """Say what was read: the first file, and a hash over all."""
        every = hashlib.sha256()
        for path in sorted(self._texts):
            every.update(hashlib.sha256(self._texts[path]).digest())
        return {
            "openapi": first.relative_to(self._root).as_posix(),
            "files": str(len(self._texts)),
            "files_sha256": every.hexdigest(),
        }


class _Definitions:
    """The definitions that were met, described."""

    def __init__(self, files: _Files) -> None:
        self._files = files
        self._names: dict[tuple[Path, int], str] = {}
        self.described: dict[str, Any] = {}

    def body(self, route: Place, operation: Place) -> str:
        """Describe what a PUT takes; return the name of its model."""
        for path, said in (operation, route):
            for given in said.get("parameters") or ():
                file, parameter = self._resolved((path, given))[0]
                if parameter.get("in") == "body":
                    shape = self.shape((file, parameter.get("schema") or {}), "Body")
                    if "model" in shape:
                        return str(shape["model"])
        raise Undescribable(f"{route[0].name}: the PUT takes no body that is an object with properties")

    def shape(self, place: Place, name: str, depth: int = 0) -> dict[str, Any]:
        """Describe a schema; an object with properties of its own becomes a model by its own name or *name*."""
        if depth > DEEPEST:
            raise Undescribable(f"{place[0].name}: {name} is nested too deeply")
        (file, schema), own = self._resolved(place)
        kind = schema.get("type")
        if isinstance(schema.get("enum"), list) and kind in {None, "string"}:
            return {"type": "string", "values": [str(value) for value in schema["enum"] if value is not None]}
        if kind in _SCALARS:
            form = {"format": schema["format"]} if schema.get("format") in {"date-time", "duration"} else {}
            return {"type": kind, **form}
        if kind == "array":
            items = schema.get("items") or {}
            return {"type": "array", "items": self.shape((file, items), f"{own or name}Item", depth + 1)}
        if schema.get("properties") or schema.get("allOf"):
            return {"type": "object", "model": self._model((file, schema), own or name, depth)}
        if isinstance(schema.get("additionalProperties"), dict):
            items = schema["additionalProperties"]
            return {"type": "map", "items": self.shape((file, items), f"{own or name}Item", depth + 1)}
        return {"type": "map"} if kind == "object" else {"type": "any"}

    def _resolved(self, place: Place) -> tuple[Place, str]:
        own = ""
        for _ in range(DEEPEST):
            file, schema = place
            if "$ref" not in schema:
                return place, own
            place, own = self._files.followed(file, str(schema["$ref"]))
        raise Undescribable(f"{place[0].name}: {own} refers to itself")

    def _model(self, place: Place, name: str, depth: int) -> str:
        key = (place[0], id(place[1]))
        if key in self._names:
            return self._names[key]
        taken = set(self._names.values())
        free = next(each for n in range(1, 10000) if (each := name if n == 1 else f"{name}{n}") not in taken)
        # Named before it is described: it may hold itself.
        self._names[key] = free
        properties: dict[str, Any] = {}
        pieces = list(self._pieces(place, 0))
        # A definition may require what stands in the one that it extends.
        needs = {name for (_, schema), always in pieces if always for name in schema.get("required") or ()}
        for (file, schema), _ in pieces:
            for key_name, said in (schema.get("properties") or {}).items():
                described = self.shape((file, said), f"{free}{key_name[:1].upper()}{key_name[1:]}", depth + 1)
                needed = {"required": True} if key_name in needs else {}
                properties[key_name] = {**described, **needed, "use": self._use((file, said))}
        self.described[free] = {"properties": dict(sorted(properties.items()))}
        return free

    def _pieces(self, place: Place, depth: int) -> Iterator[tuple[Place, bool]]:
        """Return what a definition is put together from; of what only some of its kinds have, nothing is required."""
        if depth > DEEPEST:
            raise Undescribable(f"{place[0].name}: definitions extend one another in a circle")
        file, schema = place
        for above in schema.get("allOf") or ():
            resolved, _ = self._resolved((file, above))
            yield from self._pieces(resolved, depth + 1)
        if "discriminator" in schema:
            for kind in self._kinds_of(place):
                yield (kind[0], kind[1]), False
        yield place, True

    def _kinds_of(self, place: Place) -> Iterator[Place]:
        file, schema = place
        for other in (self._files.read(file).get("definitions") or {}).values():
            above = [self._resolved((file, each))[0][1] for each in other.get("allOf") or ()]
            if any(each is schema for each in above):
                yield file, other
                yield from self._kinds_of((file, other))

    def _use(self, place: Place) -> list[str]:
        file, said = place
        resolved, _ = self._resolved((file, said))
        for one in (said, resolved[1]):
            if isinstance(one.get("x-ms-mutability"), list):
                return [use for use in USES if use in one["x-ms-mutability"]]
            if one.get("readOnly"):
                return ["read"]
            if one.get("x-ms-secret"):
                return ["create", "update"]
        return list(USES)
