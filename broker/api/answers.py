"""JSON responses, and the form of every refusal."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from broker.errors import BrokerError, MethodNotAllowed, NotAnOperator, NotAuthenticated

JSON_TYPE = "application/json"

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def answer(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    """Answer with a JSON object; fields that are None are left out, since no optional field may be null."""
    return Response(encoded(body), status_code=status, headers=headers, media_type=JSON_TYPE)


def encoded(body: dict[str, Any]) -> bytes:
    """Write a JSON object in as few bytes as possible, without its fields that are None."""
    present = {name: value for name, value in body.items() if value is not None}
    return _ENCODER.encode(present).encode("utf-8")


def refusal_body(refusal: BrokerError) -> dict[str, Any]:
    """Return the body of a refusal (spec, "Service Broker Errors")."""
    return {
        "error": refusal.code,
        "description": refusal.description,
        "instance_usable": refusal.instance_usable,
        "update_repeatable": refusal.update_repeatable,
    }


def refusal_headers(refusal: BrokerError) -> dict[str, str]:
    """Return the headers that belong to a refusal."""
    headers = {}
    if refusal.retry_after is not None:
        headers["retry-after"] = str(refusal.retry_after)
    if isinstance(refusal, NotAnOperator):
        headers["www-authenticate"] = 'Bearer realm="operators of the service broker"'
    elif isinstance(refusal, NotAuthenticated):
        headers["www-authenticate"] = 'Basic realm="service broker", charset="UTF-8"'
    if isinstance(refusal, MethodNotAllowed) and refusal.allowed:
        headers["allow"] = ", ".join(refusal.allowed)
    return headers


def refused(refusal: BrokerError) -> Response:
    """
    Answer with a refusal.

    410 tells a platform that all is well: its body is `{}` and a description, so that Service Catalog, which
    reads the body of a 410 too, finds JSON there.
    """
    return answer(refusal.status, refusal_body(refusal), refusal_headers(refusal))
