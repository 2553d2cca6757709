"""
JSON schemas for parameters, made from the template and what the offering's file says of each parameter.

Draft-04 (spec, "Schemas Object"), at most 64 kB, no reference to the outside. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from broker.catalog.format import BindingModesFile, UserParameter
from broker.catalog.templates import TemplateParameter
from broker.domain.adoption import DELETE, DELETE_POLICY, MODE, RESOURCE_ID, RETAIN, AdoptionMode
from broker.domain.json_values import JsonObject

DRAFT_04 = "http://json-schema.org/draft-04/schema#"
LARGEST = 64 * 1024
ALIAS: JsonObject = {
    "type": "string",
    "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$",
    "description": "A name of your choice by which other service instances can name this one as their parent.",
}
PARENT_ALIAS: JsonObject = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "description": "Alias or service instance id of the parent.",
}


RESOURCE: JsonObject = {
    "type": "string",
    "minLength": 1,
    "maxLength": 1000,
    "pattern": "^/subscriptions/",
    "description": "Azure resource id of what exists already and is to be taken over.",
}
_MODES: JsonObject = {
    AdoptionMode.BIND_ONLY: "bind-only: it is never changed or deleted",
    AdoptionMode.MANAGE: "manage: it is tagged as the broker's, and updates change it",
}


@dataclass(frozen=True)
class Adoption:
    """What of a plan's adoption users see; `by_id`: they can name the resource by its id alone."""

    modes: tuple[str, ...]
    only: bool
    by_id: bool
    deletes: bool
    parameters: Mapping[str, UserParameter]


def create_schema(
    user: Mapping[str, UserParameter],
    template: Mapping[str, TemplateParameter],
    *,
    takes_alias: bool = False,
    has_parent: bool = False,
    adoption: Adoption | None = None,
) -> JsonObject:
    """Make the schema of what a provision request may give."""
    properties = {name: _property(user[name], template.get(name)) for name in user}
    required = [name for name in user if _required(user[name], template.get(name))]
    rules: JsonObject = {}
    if adoption is not None:
        properties.update(_of_adoption(adoption))
        if adoption.only:
            # What is deployed over an adopted resource leaves as it is what users do not give.
            required = [name for name, parameter in adoption.parameters.items() if parameter.required]
            required += [RESOURCE_ID] if adoption.by_id else []
        elif required:
            rules, required = {"anyOf": [{"required": [RESOURCE_ID]}, {"required": required}]}, []
    if takes_alias:
        properties["alias"] = ALIAS
    if has_parent:
        properties["parentAlias"] = PARENT_ALIAS
        required.append("parentAlias")
    return {**_object(properties, required), **rules}


def _of_adoption(adoption: Adoption) -> dict[str, JsonObject]:
    properties = {name: _property(parameter, None) for name, parameter in adoption.parameters.items()}
    properties[RESOURCE_ID] = RESOURCE
    if len(adoption.modes) > 1:
        properties[MODE] = {
            "type": "string",
            "enum": list(adoption.modes),
            "default": AdoptionMode.BIND_ONLY.value,
            "description": f"What the broker may do with it. {'. '.join(_MODES.values())}.",
        }
    if adoption.deletes:
        properties[DELETE_POLICY] = {
            "type": "string",
            "enum": [RETAIN, DELETE],
            "default": RETAIN,
            "description": "What becomes of a resource adopted by manage when its service instance is deleted.",
        }
    return properties


def update_schema(user: Mapping[str, UserParameter], template: Mapping[str, TemplateParameter]) -> JsonObject:
    """Make the schema of what an update request may give: no defaults, as what is not named stays."""
    changeable = {name: parameter for name, parameter in user.items() if not parameter.immutable}
    properties = {}
    for name, parameter in changeable.items():
        found = dict(_property(parameter, template.get(name)))
        found.pop("default", None)
        properties[name] = found
    return _object(properties, [])


def bind_schema(user: Mapping[str, UserParameter], modes: BindingModesFile | None = None) -> JsonObject:
    """Make the schema of what a bind request may give."""
    schema = _object(
        {name: _property(parameter, None) for name, parameter in user.items()},
        [name for name, parameter in user.items() if parameter.required],
    )
    if modes is None:
        return schema
    default = user[modes.by].default
    rules = []
    for mode, said in modes.modes.items():
        if said.needs:
            others = {"properties": {modes.by: {"enum": [other for other in modes.modes if other != mode]}}}
            other = others if mode != default else {**others, "required": [modes.by]}
            rules.append({"anyOf": [{"required": list(said.needs)}, other]})
    return {**schema, "allOf": rules} if rules else schema


def _object(properties: Mapping[str, Any], required: list[str]) -> JsonObject:
    schema: dict[str, Any] = {
        "$schema": DRAFT_04,
        "type": "object",
        "additionalProperties": False,
        "properties": dict(properties),
    }
    if required:
        schema["required"] = required
    return schema


def _required(parameter: UserParameter, template: TemplateParameter | None) -> bool:
    if parameter.required is not None:
        return parameter.required
    if parameter.through or parameter.default is not None:
        return False
    return template is not None and not template.has_default


def _property(parameter: UserParameter, template: TemplateParameter | None) -> JsonObject:
    declared: JsonObject = {} if template is None or parameter.type else template.declared
    kind = parameter.type or (template.type if template else "string")
    description = parameter.description
    if description is None and template is not None:
        description = template.declared.get("metadata", {}).get("description")
    default = parameter.default
    secret = bool(parameter.sensitive or (template and template.secure))
    if secret:
        default = None
    elif default is None:
        default = _literal(declared.get("defaultValue"))
    allowed = parameter.allowed or declared.get("allowedValues")
    items = parameter.items.as_json() if parameter.items else {}
    if kind == "array" and allowed:
        items["enum"] = list(allowed)
        allowed = None
    shortest, longest = ("minItems", "maxItems") if kind == "array" else ("minLength", "maxLength")
    found = {
        "type": kind,
        "title": parameter.title,
        # Draft-04 passes over it; readers of newer drafts know that the value is never given back.
        "writeOnly": True if secret else None,
        "description": description,
        "default": default,
        "enum": list(allowed) if allowed else None,
        "minimum": _first(parameter.minimum, declared.get("minValue")),
        "maximum": _first(parameter.maximum, declared.get("maxValue")),
        shortest: _first(parameter.min_length, declared.get("minLength")),
        longest: _first(parameter.max_items, parameter.max_length, declared.get("maxLength")),
        "pattern": parameter.pattern,
        "items": items or None,
        "uniqueItems": parameter.unique_items,
        "maxProperties": parameter.max_properties,
        "additionalProperties": parameter.additional.as_json() if parameter.additional else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _first(*values: Any) -> Any:
    for value in values:
        if value is not None:
            return value
    return None


def _literal(value: Any) -> Any:
    """A default that is an expression is ARM's affair."""
    return None if isinstance(value, str) and value.startswith("[") and not value.startswith("[[") else value
