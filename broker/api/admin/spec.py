"""The OpenAPI description of the admin API, made from the dataclasses that are answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from broker.domain.pages import LARGEST_PAGE, PAGE

_TEXT: dict[str, Any] = {"type": "string"}
_AGE: dict[str, Any] = {"type": "string", "pattern": "^[0-9]{1,6}[smhd]$"}
_REFUSALS = {
    400: "The request is malformed.",
    401: "No valid token of an operator.",
    503: "A passing fault; repeat the request.",
}
_OF_BODIES = {403: "The role does not suffice.", 413: "The body is too large."}
_REFUSAL = {
    "type": "object",
    "required": ["error", "description"],
    "properties": {"error": _TEXT, "description": _TEXT},
}


def query(name: str, meaning: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    """Describe a query parameter."""
    return {"name": name, "in": "query", "required": False, "description": meaning, "schema": schema or _TEXT}


def flag(name: str, meaning: str) -> dict[str, Any]:
    """Describe a query parameter that is true or false."""
    return query(name, meaning, {"type": "boolean"})


def age(name: str, meaning: str) -> dict[str, Any]:
    """Describe a query parameter that is a time such as `2h`."""
    return query(name, meaning, _AGE)


def several(name: str, meaning: str, allowed: list[str]) -> dict[str, Any]:
    """Describe a query parameter that may be given several times."""
    return query(name, meaning, {"type": "array", "items": {"type": "string", "enum": allowed}})


def path(name: str) -> dict[str, Any]:
    """Describe a part of the path."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


PLATFORM = query("platform", "Whose it is; needed only if several platforms have that id.")
ONE_OF_SEVERAL = {404: "There is none.", 409: "Several platforms have one; name the platform."}
DEED_ON_ONE_OF_SEVERAL = {
    **ONE_OF_SEVERAL,
    422: "Not in this state; nothing has changed.",
}
PAGING = [
    query(
        "limit", "Rows at most.", {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE}
    ),
    query("cursor", "The `next` of the page before."),
]


def listing(of: type, *parameters: dict[str, Any]) -> dict[str, Any]:
    """Describe a route that answers a page of *of*."""
    schema = {
        "type": "object",
        "required": ["items"],
        "properties": {
            "items": {"type": "array", "items": schema_of(of)},
            "next": {"type": "string", "description": "The cursor of the next page; absent on the last one."},
        },
    }
    return operation([*parameters, *PAGING], schema)


def whole_listing(of: type) -> dict[str, Any]:
    """Describe a route that answers all of *of* at once."""
    described = listing(of)
    described["parameters"] = []
    return described


def operation(
    parameters: list[dict[str, Any]],
    answer: dict[str, Any],
    *,
    body: dict[str, Any] | None = None,
    refusals: Mapping[int, str] | None = None,
) -> dict[str, Any]:
    """Describe a route that answers 200 with *answer*."""
    responses = {"200": _response("What was asked for.", answer)}
    told = {**_REFUSALS, **(refusals or {}), **({} if body is None else _OF_BODIES)}
    for status, meaning in sorted(told.items()):
        responses[str(status)] = _response(meaning, _REFUSAL)
    described: dict[str, Any] = {"parameters": parameters, "responses": responses}
    if body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return described


def schema_of(of: type) -> dict[str, Any]:
    """Return the JSON schema of a dataclass as `messages.written` writes it: what is None is left out."""
    schema = TypeAdapter(of).json_schema(ref_template="#/$defs/{model}", mode="serialization")
    definitions = schema.pop("$defs", {})
    whole: dict[str, Any] = _without_null(_inlined(schema, definitions))
    return whole


def _response(meaning: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": meaning, "content": {"application/json": {"schema": schema}}}


def _inlined(part: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(part, list):
        return [_inlined(item, definitions) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inlined(definitions[part["$ref"].rsplit("/", 1)[-1]], definitions)
    return {name: _inlined(item, definitions) for name, item in part.items() if name != "default"}


def _without_null(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_null(item) for item in part]
    if not isinstance(part, dict):
        return part
    read = {name: _without_null(item) for name, item in part.items()}
    some = [item for item in read.get("anyOf", []) if item != {"type": "null"}]
    if len(some) == 1 and len(some) < len(read["anyOf"]):
        return {**{name: item for name, item in read.items() if name != "anyOf"}, **some[0]}
    if "properties" in part and "required" in read:
        nullable = {
            name
            for name, item in part["properties"].items()
            if isinstance(item, dict) and {"type": "null"} in item.get("anyOf", [])
        }
        read["required"] = [name for name in read["required"] if name not in nullable]
    return read
