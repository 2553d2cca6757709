"""What the providers' published models say of a body: its type, its version, its secrets, what is settled."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from broker.azure_models import UNKNOWN, ResourceModel
from broker.simulator.arm_errors import ArmError
from broker.simulator.state import Resource


def check_against(model: ResourceModel, body: Any, existing: Resource | None, *, patch: bool) -> None:
    """
    Raises:
        ArmError: 400, the model has no such property or value, or it cannot be changed.
    """
    problems = model.problems(body, "update" if patch else "replace" if existing else "create")
    if problems:
        raise ArmError(400, "InvalidRequestContent", "; ".join(str(problem) for problem in problems) + ".")
    if existing is not None and not patch:
        _check_settled(model, body, existing)


def _check_settled(model: ResourceModel, body: Any, existing: Resource) -> None:
    for path, prop in model.paths():
        if not prop.create_only or prop.model or path == "location":
            continue
        asked, present = _at(body, path), _at(existing.body, path)
        if asked is not UNKNOWN and None not in {_text(asked), _text(present)} and asked != present:
            raise ArmError(
                400, "PropertyChangeNotAllowed", f"{path} of '{existing.id.name}' cannot be changed."
            )


def secrets_in(model: ResourceModel, body: Mapping[str, Any]) -> frozenset[str]:
    """The values that Azure never shows again."""
    values = (_at(body, ".".join(path)) for path in _secret_paths(model))
    return frozenset(value for value in values if isinstance(value, str) and value)


def without_secrets(model: ResourceModel, body: Mapping[str, Any]) -> dict[str, Any]:
    kept = copy.deepcopy(dict(body))
    for *above, last in _secret_paths(model):
        inner: Any = kept
        for name in above:
            inner = inner.get(name) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner.pop(last, None)
    return kept


def merged(present: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A PATCH: objects are merged, all else is replaced; tags are replaced whole, as Azure does."""
    whole = dict(present)
    for key, value in patch.items():
        inner = whole.get(key)
        both = isinstance(value, Mapping) and isinstance(inner, Mapping) and key != "tags"
        whole[key] = merged(inner, value) if both and inner is not None else value
    return whole


def _secret_paths(model: ResourceModel) -> list[list[str]]:
    return [path.split(".") for path, prop in model.paths() if prop.write_only]


def _at(body: Any, path: str) -> Any:
    for name in path.split("."):
        body = body.get(name) if isinstance(body, Mapping) else None
    return body


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
