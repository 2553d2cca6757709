"""Resource types without a behaviour of their own: what their model says Azure would add and answer, made up."""

from __future__ import annotations

import itertools
import secrets
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from broker.azure_models import UNKNOWN, Model, Property, ResourceModel
from broker.simulator.arm_errors import ArmError
from broker.simulator.kinds import Kind
from broker.simulator.resource_ids import ResourceId
from broker.simulator.state import Resource, location_name

# What many providers show and answer, for types of which nothing is known.
_SHOWN = ("endpoint", "hostName", "fullyQualifiedDomainName")
_KEYS = ("primaryKey", "secondaryKey", "primaryConnectionString", "secondaryConnectionString", "key1", "key2")
_DEEPEST = 4
_SECRETS = ("key", "value", "secret", "password", "token", "sas")


class Described(Kind):
    """
    Stores, as its parent does, and makes up what only Azure can say.

    A GET shows read-only properties, a `list...` action answers with drawn secrets in the form that the model
    gives, the same ones each time. What has two values (a key that is read-only, or not) is there twice.
    """

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        del existing
        location = body.get("location")
        known = {*self.state.cloud.locations, "global"}
        if location is not UNKNOWN and isinstance(location, str) and location_name(location) not in known:
            raise ArmError(
                400,
                "LocationNotAvailableForResourceType",
                f"The provided location '{location}' is not available for resource type '{identity.type}'.",
            )

    def shown(self, resource: Resource) -> dict[str, Any]:
        shown = super().shown(resource)
        model = self._model(resource)
        if model is None:
            return shown
        if not model.checked:
            made_up = {name: _text(name, resource) for name in _SHOWN}
            return {**shown, "properties": {**made_up, **shown["properties"]}}
        for name, prop in model.root.properties.items():
            inside = model.models.get(prop.model or "")
            if inside is not None and isinstance(shown.get(name), dict):
                shown[name] = {**dict(self._read_only(model, inside, resource, 0)), **shown[name]}
        return shown

    def action(self, resource: Resource, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        model = self._model(resource)
        known = {action.lower(): answer for action, answer in (model.actions if model else {}).items()}
        if model is None or (model.checked and name not in known) or not name.startswith("list"):
            return super().action(resource, name, body)
        answers = self.state.answers.setdefault(resource.id.key, {})
        if name not in answers:
            answers[name] = (
                self._value(model, "", known[name], resource, 0) if model.checked else _any_keys(resource)
            )
        answer: dict[str, Any] = answers[name]
        return answer

    async def remove(self, resource: Resource) -> None:
        self.state.answers.pop(resource.id.key, None)

    def _model(self, resource: Resource) -> ResourceModel | None:
        return self.state.types.find(resource.id.type, resource.api_version)

    def _read_only(
        self, model: ResourceModel, inside: Model, resource: Resource, depth: int
    ) -> Iterator[tuple[str, Any]]:
        for name, prop in inside.properties.items():
            if prop.read_only and name != "provisioningState" and prop.type not in {"array", "map", "any"}:
                yield name, self._value(model, name, prop, resource, depth)

    def _value(self, model: ResourceModel, name: str, prop: Property, resource: Resource, depth: int) -> Any:
        if prop.values:
            return prop.values[0]
        if prop.type == "string":
            return _text(name, resource)
        if prop.type in {"integer", "number"}:
            return 443 if "port" in name.lower() else 0
        if prop.type == "boolean":
            return False
        inside = model.models.get((prop.items or prop).model or "")
        if inside is None or depth > _DEEPEST:
            return [] if prop.type == "array" else {}
        if prop.type == "array":
            return [
                self._object(model, inside, resource, depth, chosen, place)
                for chosen in _choices(inside)
                for place in ("Primary", "Secondary")
            ]
        return self._object(model, inside, resource, depth, {}, "Primary")

    def _object(
        self,
        model: ResourceModel,
        inside: Model,
        resource: Resource,
        depth: int,
        chosen: Mapping[str, bool],
        place: str,
    ) -> dict[str, Any]:
        """An object of an answer, called by its *place* and by what was *chosen* for it."""
        made = {
            name: self._value(model, name, prop, resource, depth + 1)
            for name, prop in inside.properties.items()
        } | dict(chosen)
        words = [place, *("Read Only" for name, value in chosen.items() if value and name == "readOnly")]
        for name in ("name", "keyName"):
            if name in made:
                made[name] = " ".join(words)
        made.pop("nextLink", None)
        return made


def _choices(inside: Model) -> Iterator[dict[str, bool]]:
    names = [name for name, prop in inside.properties.items() if prop.type == "boolean"][:2]
    for values in itertools.product((False, True), repeat=len(names)):
        yield dict(zip(names, values, strict=True))


def _text(name: str, resource: Resource) -> str:
    word, host = name.lower(), f"{resource.id.names[0].lower()}.simulated.invalid"
    if "connectionstring" in word:
        return f"Endpoint=https://{host};Id={_drawn(8)};Secret={_drawn(32)}"
    if any(part in word for part in ("endpoint", "uri", "url")):
        return f"https://{host}"
    if any(part in word for part in ("host", "fqdn", "fullyqualified", "domain")):
        return host
    if word.endswith(("date", "time", "modified")) or (word.endswith("at") and word != "format"):
        return resource.created.isoformat()
    if word == "id" or name.endswith("Id"):
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{resource.id.key}#{name}"))
    if any(word.endswith(part) for part in _SECRETS):
        return _drawn(32)
    return "simulated"


def _any_keys(resource: Resource) -> dict[str, Any]:
    keys = {name: _text(name, resource) for name in _KEYS}
    listed = [
        {"keyName": name, "name": name, "value": keys[name], "readOnly": False} for name in ("key1", "key2")
    ]
    return {**keys, "keys": listed, "value": listed}


def _drawn(size: int) -> str:
    return secrets.token_urlsafe(size)
