"""What templates and bindings send to a provider, against the provider's own model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from broker import azure_models
from broker.catalog.templates import Template

# Keys of a resource in a template that are ARM's own and no part of the body that the provider sees.
_TEMPLATE_KEYS = frozenset(
    {"type", "apiVersion", "name", "dependsOn", "copy", "condition", "comments", "scope"}
)


def faults_of_bodies(template: Template) -> Iterator[tuple[str, str]]:
    """Tell what the providers of a template's resources would refuse, each with its place in the template."""
    for resource in template.resources:
        where = f"resources[{resource.path[-1]}]"
        model = azure_models.load(resource.type, resource.api_version)
        if model is None:
            yield where, f"{resource.type} at {resource.api_version} has no model file to be checked against"
            continue
        for problem in model.problems(body_of(resource.body)):
            yield f"{where}.{problem.path}" if problem.path else where, problem.message


def body_of(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a template's resource sends to its provider, as far as that is known before it runs."""
    return {key: _unknown(value) for key, value in resource.items() if key not in _TEMPLATE_KEYS}


def _unknown(value: Any) -> Any:
    """What an expression will give is not known yet."""
    if isinstance(value, str) and value.startswith("[") and not value.startswith("[["):
        return azure_models.UNKNOWN
    if isinstance(value, dict):
        return {key: _unknown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unknown(item) for item in value]
    return value


def unpicked(value: Any) -> Any:
    """What a binding's expressions will give is not known yet."""
    if isinstance(value, dict):
        return azure_models.UNKNOWN if set(value) == {"pick"} else {k: unpicked(v) for k, v in value.items()}
    return [unpicked(item) for item in value] if isinstance(value, list) else value
