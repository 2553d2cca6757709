"""The OpenAPI description of the routes: what may be sent and what may come back, for tests and tools."""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string", "minLength": 1, "pattern": r"\S"}
_OBJECT = {"type": ["object", "null"]}
_MAINTENANCE = {"type": ["object", "null"], "properties": {"version": {"type": ["string", "null"]}}}


def _query(name: str, schema: dict[str, Any] | None = None, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": schema or {"type": "string"}}


def _path(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    }


_INSTANCE = [_path("instance_id")]
_BINDING = [*_INSTANCE, _path("binding_id")]
_ASYNC = _query("accepts_incomplete", {"type": "boolean"})
_HINTS = [_query("service_id"), _query("plan_id")]
_DELETION = [_query("service_id", _TEXT, required=True), _query("plan_id", _TEXT, required=True), _ASYNC]
_POLL = [*_HINTS, _query("operation")]

_MEANING = {
    200: "It is so.",
    201: "It was made.",
    202: "It goes on; poll last_operation.",
    400: "The request is malformed, or asks for what can never be.",
    401: "No valid credentials.",
    404: "There is nothing to be shown.",
    409: "The id is in use with other attributes.",
    410: "There is nothing (any more).",
    412: "Another major version of the API.",
    413: "The body is too large.",
    422: "Not now, or not here.",
    500: "An operation that was awaited has failed.",
    503: "A passing fault; repeat the request.",
}


def _operation(
    parameters: list[dict[str, Any]], answers: tuple[int, ...], body: dict[str, Any] | None = None
) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    described: dict[str, Any] = {
        "parameters": parameters,
        "responses": {
            str(status): {"description": _MEANING[status], "content": content}
            for status in sorted({*answers, 400, 401, 412, 503})
        },
    }
    if body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return described


def _body(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


PROVISION = _operation(
    [*_INSTANCE, _ASYNC],
    (200, 202, 409, 413, 422),
    _body(
        ["service_id", "plan_id", "organization_guid", "space_guid"],
        {
            "service_id": _TEXT,
            "plan_id": _TEXT,
            "organization_guid": _TEXT,
            "space_guid": _TEXT,
            "parameters": _OBJECT,
            "context": _OBJECT,
            "maintenance_info": _MAINTENANCE,
        },
    ),
)
UPDATE = _operation(
    [*_INSTANCE, _ASYNC],
    (200, 202, 404, 413, 422),
    _body(
        ["service_id"],
        {
            "service_id": _TEXT,
            "plan_id": _TEXT,
            "parameters": _OBJECT,
            "context": _OBJECT,
            "previous_values": _OBJECT,
            "maintenance_info": _MAINTENANCE,
        },
    ),
)
DEPROVISION = _operation([*_INSTANCE, *_DELETION], (202, 410, 422))
FETCH_INSTANCE = _operation([*_INSTANCE, *_HINTS], (200, 404))
POLL_INSTANCE = _operation([*_INSTANCE, *_POLL], (200, 404, 410))
BIND = _operation(
    [*_BINDING, _ASYNC],
    (200, 201, 202, 404, 409, 413, 422, 500),
    _body(
        [],
        {
            "service_id": _TEXT,
            "plan_id": _TEXT,
            "app_guid": {"type": ["string", "null"]},
            "bind_resource": _OBJECT,
            "parameters": _OBJECT,
            "context": _OBJECT,
            "predecessor_binding_id": {"type": ["string", "null"], "minLength": 1},
        },
    ),
)
UNBIND = _operation([*_BINDING, *_DELETION], (200, 202, 410, 422, 500))
FETCH_BINDING = _operation([*_BINDING, *_HINTS], (200, 404))
POLL_BINDING = _operation([*_BINDING, *_POLL], (200, 404, 410))
