"""A deployment as Azure tells of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from broker.azure.distilling import JsonObject

SUCCEEDED = "Succeeded"
FAILED = "Failed"
CANCELED = "Canceled"
TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELED})

ACTIVE_CODES = frozenset({"deploymentactive", "deploymentactiveanduneditable"})
"""What Azure answers when a deployment of the same name is still running."""


@dataclass(frozen=True)
class Deployment:
    """
    A deployment: its state, and after success what came out of it.

    Only Succeeded, Failed and Canceled are ends; any other state, known or not, means "still running".
    `outputs` are plain values by name. `output_resources` are resource ids. `error` is Azure's document, to be given
    to `failure_from_error`. `retry_after` is Azure's wish for the next look.
    """

    name: str
    state: str
    outputs: Mapping[str, Any]
    output_resources: tuple[str, ...] = ()
    error: JsonObject | None = None
    correlation_id: str | None = None
    retry_after: timedelta | None = None

    @property
    def terminal(self) -> bool:
        return self.state in TERMINAL

    @property
    def succeeded(self) -> bool:
        return self.state == SUCCEEDED


def deployment_from(document: JsonObject, *, name: str, retry_after: timedelta | None = None) -> Deployment:
    """Return the deployment that *document* tells of; what is missing or odd counts as "still running"."""
    properties = document.get("properties")
    if not isinstance(properties, Mapping):
        properties = {}
    outputs = properties.get("outputs") or {}
    state = str(properties.get("provisioningState") or "Accepted")
    return Deployment(
        name=name,
        state=next((known for known in TERMINAL if known.lower() == state.lower()), state),
        outputs={key: output.get("value") for key, output in outputs.items() if isinstance(output, Mapping)},
        output_resources=tuple(
            resource["id"] for resource in properties.get("outputResources") or () if resource.get("id")
        ),
        error=properties.get("error"),
        correlation_id=properties.get("correlationId"),
        retry_after=retry_after,
    )


def request_body(
    template: JsonObject, parameters: Mapping[str, Any], tags: Mapping[str, str] | None = None
) -> JsonObject:
    """Return what to send for an incremental deployment of *template*; never a complete one, which deletes."""
    properties = {
        "mode": "Incremental",
        "template": template,
        "parameters": {name: {"value": value} for name, value in parameters.items()},
    }
    return {"properties": properties, **({"tags": dict(tags)} if tags else {})}


def secure_values(template: JsonObject, parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the texts among *parameters* that *template* declares secure: none may come back in a message."""
    declared = template.get("parameters", {})
    return tuple(
        text
        for name, value in parameters.items()
        if str(declared.get(name, {}).get("type", "")).lower().startswith("secure")
        for text in _texts(value)
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
