"""What the routes are handed, through the application's state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from broker.api.bodies import body_of, parsed, raw_body_of
from broker.api.messages import deletion_fields
from broker.domain.json_values import JsonObject
from broker.lifecycle.bindings import Bindings
from broker.lifecycle.instances import Instances
from broker.lifecycle.polling import Polling


@dataclass(frozen=True)
class Parts:
    """The lifecycle, and how much of a body is read."""

    instances: Instances
    bindings: Bindings
    polling: Polling
    body_limit: int


def parts_of(request: Request) -> Parts:
    """Return what `create_app` has put together."""
    parts: Parts = request.app.state.parts
    return parts


async def read_body(request: Request) -> JsonObject:
    """Read the body as one JSON object; see `body_of`."""
    return await body_of(request, limit=parts_of(request).body_limit)


async def read_deletion(request: Request) -> JsonObject:
    """
    Find `service_id` and `plan_id` of a deletion, in the query or else in the body.

    Korifi of 2024 and early 2025 sent them in the body, where the specification has nothing.
    """
    fields: dict[str, Any] = dict(deletion_fields(request) or {})
    if fields.keys() >= {"service_id", "plan_id"}:
        return fields
    raw = await raw_body_of(request, limit=parts_of(request).body_limit)
    return {**parsed(raw), **fields} if raw.strip() else fields
