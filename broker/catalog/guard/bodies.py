"""What templates and bindings send to a provider, against the provider's own model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from broker import azure_models
from broker.catalog.faults import Fault
from broker.catalog.files import Document
from broker.catalog.format import OfferingFile
from broker.catalog.guard.bindings import verbs_of
from broker.catalog.templates import Template

# Keys of a resource in a template that are ARM's own and no part of the body that the provider sees.
_TEMPLATE_KEYS = frozenset(
    {"type", "apiVersion", "name", "dependsOn", "copy", "condition", "comments", "scope", "resources"}
)


def faults_of_bodies(
    document: Document, read: OfferingFile, template: Template, models: azure_models.Models
) -> Iterator[Fault]:
    """Tell what the providers of what a template and the bindings make would refuse, and what was not checked."""
    for resource in template.resources:
        where = f"resources[{resource.path[-1]}]"
        model = models.load(resource.type, resource.api_version)
        if model is None:
            yield Fault(template.file, 0, where, _unchecked(resource.type, resource.api_version), "warning")
            continue
        for problem in model.problems(body_of(resource.body)):
            yield Fault(
                template.file, 0, f"{where}.{problem.path}" if problem.path else where, problem.message
            )
    for path, verb in verbs_of(read):
        if verb.child is None:
            continue
        model = models.load(verb.child.type, verb.child.api_version)
        if model is None:
            message = _unchecked(verb.child.type, verb.child.api_version)
            yield replace(document.fault((*path, "child", "type"), message), severity="warning")
            continue
        body = {key: unpicked(value) for key, value in verb.child.body.items()}
        for problem in model.problems(body):
            yield document.fault((*path, "child", "body"), str(problem))


def _unchecked(kind: str, api_version: str) -> str:
    return (
        f"{kind} at {api_version} has no model file: neither the names, types and values of its properties nor the "
        "api-version were checked; make one with `osb catalog model`"
    )


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
    """What a binding's expressions will give is not known yet, nor is what will be drawn for it."""
    if isinstance(value, dict):
        known = set(value) not in ({"pick"}, {"secret"})
        return {key: unpicked(item) for key, item in value.items()} if known else azure_models.UNKNOWN
    return [unpicked(item) for item in value] if isinstance(value, list) else value
