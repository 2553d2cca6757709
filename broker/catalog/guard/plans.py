"""What must be true of a plan: where its parameters come from, and the schemas that they make."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping

import jsonschema

from broker.catalog import schemas
from broker.catalog.files import Place
from broker.catalog.format import OfferingFile, PlanFile, UserParameter
from broker.catalog.guard.picks import Said
from broker.catalog.offerings import adoption_of, user_parameters
from broker.catalog.templates import Template
from broker.domain.json_values import JsonObject

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def faults_of_plan(read: OfferingFile, plan: PlanFile, template: Template) -> Iterator[Said]:
    """Tell what is wrong with one plan of an offering."""
    for name in plan.user:
        if name not in read.parameters.user:
            yield ("user", name), "is not among the offering's user parameters"
        elif name in plan.fixed:
            yield ("user", name), "is declared twice"
    user = user_parameters(read, plan)
    classified = {*user, *read.parameters.fixed, *plan.fixed, *read.parameters.broker}
    for name, declared in template.parameters.items():
        if name not in classified and not declared.has_default:
            yield (), f"the template's parameter '{name}' is neither user, fixed nor broker"
    for name, parameter in user.items():
        yield from _of_user(name, parameter, template)
    yield from _of_updates(read, plan)
    yield from _of_tags(read, user, template)
    yield from _of_fixed(read, plan, template)
    yield from _of_schemas(read, plan, user, template)


def _of_updates(read: OfferingFile, plan: PlanFile) -> Iterator[Said]:
    names = {other.name for other in read.plans}
    for number, name in enumerate(plan.updates_to or ()):
        if name not in names:
            yield ("updates_to", number), f"there is no plan '{name}' in this offering"
        elif name == plan.name:
            yield ("updates_to", number), "is the plan itself"
    if plan.updates_to and plan.plan_updateable is False:
        yield ("updates_to",), "contradicts `plan_updateable: false`"
    if plan.updates_to == [] and plan.plan_updateable:
        yield ("updates_to",), "is empty, which contradicts `plan_updateable: true`"
    if plan.expected_duration is not None and plan.expected_duration > plan.maximum_polling_duration:
        yield (
            ("expected_duration",),
            "is longer than maximum_polling_duration, after which operations are given up",
        )


def _of_tags(read: OfferingFile, user: Mapping[str, UserParameter], template: Template) -> Iterator[Said]:
    """The broker's tags must come through, or what was made could never be told from a foreign one."""
    carriers = {name for name, parameter in user.items() if parameter.through == "tags"}
    carriers |= {name for name, source in read.parameters.broker.items() if source == "tags"}
    tagged = {resource.type.lower() for resource in read.resources if resource.tagged}
    for made in template.resources:
        if made.type.lower() in tagged and made.body.get("tags") not in [
            f"[parameters('{name}')]" for name in carriers
        ]:
            yield (), f"{made.type} does not carry the broker's tags: its `tags` must be their parameter"


def _of_fixed(read: OfferingFile, plan: PlanFile, template: Template) -> Iterator[Said]:
    for name, value in {**read.parameters.fixed, **plan.fixed}.items():
        known = template.parameters.get(name)
        if known is None:
            if name in plan.fixed:
                yield ("fixed", name), "the template has no such parameter"
        elif name in plan.fixed and name in read.parameters.broker:
            yield ("fixed", name), "is declared twice"
        elif known.secure:
            yield ("fixed", name), "a secret cannot be fixed in a file"
        elif not isinstance(value, _TYPES[known.type]) or (
            known.type == "integer" and isinstance(value, bool)
        ):
            yield ("fixed", name), f"is no {known.type}"
        elif value not in known.declared.get("allowedValues", [value]):
            yield ("fixed", name), f"'{value}' is not allowed by the template"


def faults_of_secret(path: Place, parameter: UserParameter) -> Iterator[Said]:
    """Tell what of a sensitive parameter would stand in the catalog, where everybody reads it."""
    for key in ("default", "allowed"):
        if getattr(parameter, key) is not None:
            yield (*path, key), "is read by everybody who sees the catalog, and the parameter is sensitive"


def _of_user(name: str, parameter: UserParameter, template: Template) -> Iterator[Said]:
    declared = template.parameters.get(name)
    if parameter.sensitive and declared is not None and not declared.secure:
        yield (
            ("user", name, "sensitive"),
            "must be a secureString in the template, or Azure's history shows it",
        )
    elif parameter.sensitive or (declared is not None and declared.secure):
        yield from faults_of_secret(("user", name), parameter)
    if declared is None or parameter.type is not None:
        if parameter.through is None and parameter.type is not None and declared is not None:
            yield ("user", name, "type"), "comes from the template"
        return
    allowed = declared.declared.get("allowedValues")
    if allowed and parameter.allowed and any(value not in allowed for value in parameter.allowed):
        yield ("user", name, "allowed"), "allows more than the template does"


def _of_property(path: Place, schema: JsonObject) -> Iterator[Said]:
    checked = {key: value for key, value in schema.items() if key not in {"title", "description"}}
    found = _fault_of_schema(json.dumps(checked))
    if found is not None:
        key, message = found
        yield (*path, key) if key else path, message


@functools.lru_cache(maxsize=1024)
def _fault_of_schema(text: str) -> tuple[str, str] | None:
    """Say what is wrong with a parameter's schema; plans share most of them, and looking costs a millisecond."""
    schema = json.loads(text)
    try:
        jsonschema.Draft4Validator.check_schema(schema)
    except jsonschema.SchemaError as invalid:
        return "", f"makes no JSON schema: {invalid.message}"
    if "default" in schema and not jsonschema.Draft4Validator(schema).is_valid(schema["default"]):
        return "default", f"the default {schema['default']!r} is not allowed"
    return None


def _of_schemas(
    read: OfferingFile, plan: PlanFile, user: Mapping[str, UserParameter], template: Template
) -> Iterator[Said]:
    create = schemas.create_schema(
        user,
        template.parameters,
        takes_alias=read.takes_alias,
        has_parent=read.parent is not None,
        adoption=adoption_of(read, plan),
    )
    if len(json.dumps(create)) > schemas.LARGEST:
        yield ("user",), "makes a schema of more than 64 kB"
    for name, schema in create["properties"].items():
        yield from _of_property(("user", name), schema)
    if plan.binding_rotatable and not (read.bindable if plan.bindable is None else plan.bindable):
        yield ("binding_rotatable",), "the plan is not bindable"
