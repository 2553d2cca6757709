"""The JSON schema of an offering's file, for editors and for a team's own checks; made from the form itself."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import itertools
import json
import pkgutil
from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from broker.catalog import format as form
from broker.catalog.files import Place
from broker.domain.json_values import JsonObject

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@functools.cache
def form_schema() -> JsonObject:
    """Return the schema, with a description of every key."""
    schema = form.OfferingFile.model_json_schema(by_alias=True, schema_generator=_Described)
    plan = schema["$defs"]["PlanFile"]
    # What a plan does not say itself it has from the plan that it extends.
    plan["required"].remove("maximum_polling_duration")
    plan["anyOf"] = [{"required": ["extends"]}, {"required": ["maximum_polling_duration"]}]
    return {"$schema": DIALECT, **schema, "title": "A service offering of the Azure Service Broker"}


def written() -> str:
    """Return the schema as the text that is shipped."""
    return json.dumps(form_schema(), indent=1, ensure_ascii=False) + "\n"


def keys_at(schema: JsonObject, path: Place) -> set[str]:
    """Return the keys that an object at *path* can have; none if it may have any."""
    places = [schema]
    for part in path:
        places = [below for place in places for below in _below(schema, place, part)]
    return {
        key for place in places for one in _alternatives(schema, place) for key in one.get("properties", ())
    }


def _below(schema: JsonObject, place: JsonObject, part: str | int) -> Iterator[JsonObject]:
    for one in _alternatives(schema, place):
        found = one.get("items") if isinstance(part, int) else one.get("properties", {}).get(part)
        if found is None and isinstance(part, str):
            found = next(iter(one.get("patternProperties", {}).values()), one.get("additionalProperties"))
        if isinstance(found, dict):
            yield found


def _alternatives(schema: JsonObject, place: JsonObject) -> Iterator[JsonObject]:
    if "$ref" in place:
        yield from _alternatives(schema, schema["$defs"][place["$ref"].rpartition("/")[2]])
        return
    yield place
    for word in ("anyOf", "oneOf"):
        for one in place.get(word, ()):
            yield from _alternatives(schema, one)


class _Described(GenerateJsonSchema):
    """Takes descriptions from the lines below the keys, and leaves out what only repeats the form's own names."""

    def generate(self, schema: Any, mode: Any = "validation") -> Any:
        made = super().generate(schema, mode)
        lines = _lines()
        for name, definition in [(form.OfferingFile.__name__, made), *made["$defs"].items()]:
            definition.pop("title", None)
            definition["description"] = " ".join(definition["description"].split())
            for key, said in definition.get("properties", {}).items():
                said.pop("title", None)
                if said.get("default", 0) in (None, {}, []) or isinstance(said.get("default"), dict):
                    del said["default"]
                if "patternProperties" in said:
                    said["additionalProperties"] = False
                if definition.get("maxProperties") == 1:
                    _not_null(said)
                said["description"] = lines[name][key]
        return made


def _not_null(said: dict[str, Any]) -> None:
    """Of several keys exactly one has a value: none of them is null."""
    alternatives = [one for one in said.pop("anyOf", ()) if one != {"type": "null"}]
    if len(alternatives) == 1:
        said.update(alternatives[0])
    else:
        said["not"] = {"type": "null"}


def _lines() -> dict[str, dict[str, str]]:
    """Return the string below each key of each model, by the key's name in files; inherited ones too."""
    own: dict[type, dict[str, str]] = {}
    for module in pkgutil.iter_modules(form.__path__):
        loaded = importlib.import_module(f"{form.__name__}.{module.name}")
        for node in ast.parse(inspect.getsource(loaded)).body:
            if isinstance(node, ast.ClassDef):
                kind = getattr(loaded, node.name)
                own[kind] = dict(_of_class(kind, node))
    return {
        kind.__name__: {
            key: line for above in reversed(kind.__mro__) for key, line in own.get(above, {}).items()
        }
        for kind in own
    }


def _of_class(kind: type[form.Strict], node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for declared, below in itertools.pairwise(node.body):
        if (
            isinstance(declared, ast.AnnAssign)
            and isinstance(declared.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
        ):
            name = declared.target.id
            yield kind.model_fields[name].alias or name, str(below.value.value)
