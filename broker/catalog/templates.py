"""An ARM template as the catalog sees it: its parameters, what it makes and what it tells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.catalog.faults import Fault
from broker.catalog.files import Document, Place
from broker.domain.json_values import JsonObject

JSON_TYPES: Mapping[str, str] = {
    "string": "string",
    "securestring": "string",
    "int": "integer",
    "bool": "boolean",
    "object": "object",
    "secureobject": "object",
    "array": "array",
}
_TOP: Mapping[str, type] = {
    "$schema": str, "contentVersion": str, "metadata": dict, "parameters": dict, "variables": dict,
    "resources": list, "outputs": dict,
}  # fmt: skip
_DECLARED: Mapping[str, Mapping[str, type]] = {
    "parameters": {
        "type": str, "defaultValue": object, "allowedValues": list, "minLength": int, "maxLength": int,
        "minValue": int, "maxValue": int, "metadata": dict,
    },
    "outputs": {"type": str, "value": object, "metadata": dict},
}  # fmt: skip
_SAID: Mapping[type, str] = {str: "text", dict: "an object", list: "a list", int: "a whole number"}
_LIST_CALL = re.compile(r"\blist[A-Za-z]*\s*\(", re.IGNORECASE)
_PARAMETER = re.compile(r"\bparameters\s*\(\s*'([^']+)'\s*\)", re.IGNORECASE)


@dataclass(frozen=True)
class TemplateParameter:
    name: str
    type: str
    """JSON's word for its type."""
    secure: bool
    has_default: bool
    declared: JsonObject = field(default_factory=dict)


@dataclass(frozen=True)
class TemplateResource:
    type: str
    api_version: str
    body: JsonObject
    path: Place


@dataclass(frozen=True)
class Template:
    """A template that was read; `whole` is what is sent."""

    file: str
    whole: JsonObject
    parameters: Mapping[str, TemplateParameter]
    resources: tuple[TemplateResource, ...]

    def api_version(self, resource_type: str) -> str | None:
        return next((r.api_version for r in self.resources if r.type == resource_type), None)


def template_of(document: Document) -> tuple[Template | None, list[Fault]]:
    """Look through a template; None when it is too broken to go on with."""
    whole = document.data
    if not isinstance(whole, dict) or not isinstance(whole.get("resources"), list):
        return None, [document.fault((), "is no ARM template with a list of resources")]
    faults = list(_form(document, whole))
    if faults:
        return None, faults
    faults += _outputs(document, whole.get("outputs") or {})
    parameters = {}
    for name, declared in (whole.get("parameters") or {}).items():
        kind = str(declared.get("type", "")).lower()
        if kind not in JSON_TYPES:
            faults.append(document.fault(("parameters", name), "has no type that ARM knows"))
            continue
        secure = kind.startswith("secure")
        if secure and declared.get("defaultValue") not in (None, "", {}):
            faults.append(document.fault(("parameters", name, "defaultValue"), "a secret has no default"))
        parameters[name] = TemplateParameter(
            name, JSON_TYPES[kind], secure, "defaultValue" in declared, declared
        )
    resources = []
    for index, body in enumerate(whole["resources"]):
        path: Place = ("resources", index)
        if not isinstance(body, dict) or not all(
            isinstance(body.get(k), str) for k in ("type", "apiVersion")
        ):
            faults.append(document.fault(path, "has no type or no apiVersion"))
            continue
        if body.get("type", "").lower() == "microsoft.resources/deployments":
            faults.append(document.fault(path, "nested deployments are not implemented in this version"))
            continue
        resources.append(TemplateResource(body["type"], body["apiVersion"], body, path))
    faults += _readable_secrets(document, whole, {name for name, p in parameters.items() if p.secure})
    used = {match for text in texts_in(whole) for match in _PARAMETER.findall(text)}
    faults += [document.fault(("parameters", n), "is used but not declared") for n in used - set(parameters)]
    faults += [document.fault(("parameters", n), "is declared but not used") for n in set(parameters) - used]
    return Template(document.file, whole, parameters, tuple(resources)), faults


def _form(document: Document, whole: JsonObject) -> Iterator[Fault]:
    """Tell which parts are not of the kind that they are in every template."""
    for key in sorted(set(whole) - set(_TOP)):
        yield document.fault((key,), "this section is not implemented in this version")
    for key, kind in _TOP.items():
        if not isinstance(whole.get(key, kind()), kind):
            yield document.fault((key,), f"must be {_SAID[kind]}")
    for section, keys in _DECLARED.items():
        declared = whole.get(section)
        for name, said in declared.items() if isinstance(declared, dict) else ():
            if not isinstance(said, dict):
                yield document.fault((section, name), "must be an object")
                continue
            for key, value in said.items():
                wanted = keys.get(key)
                if wanted is None:
                    yield document.fault((section, name, key), "is not known to this version")
                elif not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
                    yield document.fault((section, name, key), f"must be {_SAID[wanted]}")
            if not isinstance(_description(said), str | None):
                yield document.fault((section, name, "metadata", "description"), "must be text")


def _description(declared: JsonObject) -> object:
    metadata = declared.get("metadata")
    return metadata.get("description") if isinstance(metadata, dict) else None


def _outputs(document: Document, outputs: JsonObject) -> Iterator[Fault]:
    for name, output in outputs.items():
        path: Place = ("outputs", name)
        if str(output.get("type", "")).lower().startswith("secure"):
            yield document.fault(path, "a secret output cannot be read back; ask for it when binding")
        if any(_LIST_CALL.search(text) for text in texts_in(output)):
            yield document.fault(
                path, "calls a list function: outputs stay readable in the deployment history"
            )


def _readable_secrets(document: Document, whole: JsonObject, secrets: set[str]) -> Iterator[Fault]:
    """Only where a resource's properties take them are secrets kept out of Azure's own records."""
    places: list[tuple[Place, Any]] = [((key,), whole.get(key)) for key in ("outputs", "variables")]
    for index, body in enumerate(whole["resources"]):
        if isinstance(body, dict):
            places += [
                (("resources", index, key), body.get(key)) for key in ("name", "tags", "location", "sku")
            ]
    for path, value in places:
        for name in {match for text in texts_in(value) for match in _PARAMETER.findall(text)} & secrets:
            yield document.fault(path, f"'{name}' is a secret, for the properties of resources only")


def texts_in(value: Any) -> Iterator[str]:
    """Return every text in a piece of a template."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)
