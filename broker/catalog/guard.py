"""
What must be true of a catalog before it is published, beyond its form.

The guard reads; it changes nothing and asks nobody. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jmespath
import jsonschema
from jmespath.exceptions import JMESPathError

from broker import azure_models
from broker.catalog import schemas
from broker.catalog.faults import Fault
from broker.catalog.files import Document, Place
from broker.catalog.format import (
    ComposeFile,
    CredentialValue,
    OfferingFile,
    PlanFile,
    ResourceFile,
    Strict,
    UserParameter,
    Verb,
)
from broker.catalog.offerings import user_parameters
from broker.catalog.templates import Template
from broker.domain.catalog import Catalog

# Keys of a resource in a template that are ARM's own and no part of the body that the provider sees.
_TEMPLATE_KEYS = frozenset(
    {"type", "apiVersion", "name", "dependsOn", "copy", "condition", "comments", "scope"}
)
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_PICKED_FROM = frozenset(
    {"parameters", "names", "parent", "outputs", "record", "database", "user", "binding", "made", "azure"}
)
_GO_DOWN = frozenset(
    {"subexpression", "index_expression", "projection", "filter_projection", "value_projection", "pipe"}
)
_ANSWER = frozenset({"answer"})
"""What only an action's own picks may pick from."""


def faults_of_offering(
    document: Document, read: OfferingFile, template: Template, ids: Mapping[str, str]
) -> list[Fault]:
    """Tell what is wrong with one offering and its template."""
    faults = [document.fault(path, message) for path, message in _of_offering(read, template, ids)]
    for plan_number, plan in enumerate(read.plans):
        found = _of_plan(read, plan, template)
        faults += [document.fault(("plans", plan_number, *path), message) for path, message in found]
    faults += [Fault(template.file, 0, path, message) for path, message in _of_bodies(template)]
    return faults


def faults_of_catalog(files: Sequence[str], offerings: Sequence[OfferingFile]) -> list[Fault]:
    """Tell what offerings have in common that only one may have: ids and names."""
    faults = []
    seen: dict[tuple[str, str], str] = {}
    for file, offering in zip(files, offerings, strict=True):
        claims = [("id", offering.id), ("name", offering.name), *(("id", plan.id) for plan in offering.plans)]
        for claim in claims:
            if claim in seen:
                faults.append(Fault(file, 0, claim[0], f"'{claim[1]}' is used before, in {seen[claim]}"))
            seen.setdefault(claim, file)
        names = [plan.name for plan in offering.plans]
        faults += [
            Fault(file, 0, "plans", f"has two plans with the name '{name}'")
            for name in sorted({name for name in names if names.count(name) > 1})
        ]
    return faults


def changes_refused(published: Catalog, proposed: Catalog) -> list[str]:
    """
    Tell why *proposed* must not follow *published*: an id or a name changed or vanished.

    Service instances and their users' manifests hold them (spec, "Updating the Catalog").
    """
    reasons = []
    offerings = {offering.id: offering for offering in proposed.offerings}
    for old in published.offerings:
        new = offerings.get(old.id)
        if new is None:
            reasons.append(f"the service offering '{old.name}' ({old.id}) is no longer there")
            continue
        if new.name != old.name:
            reasons.append(f"the service offering '{old.name}' is now called '{new.name}'")
        plans = {plan.id: plan for plan in new.plans}
        for plan in old.plans:
            if plan.id not in plans:
                reasons.append(f"the plan '{plan.name}' ({plan.id}) of '{old.name}' is no longer there")
            elif plans[plan.id].name != plan.name:
                reasons.append(
                    f"the plan '{plan.name}' of '{old.name}' is now called '{plans[plan.id].name}'"
                )
    return reasons


Said = tuple[Place, str]


def _of_offering(read: OfferingFile, template: Template, ids: Mapping[str, str]) -> Iterator[Said]:
    if read.parent is not None and read.parent not in ids:
        yield ("parent",), f"there is no offering '{read.parent}'"
    if (read.parent is not None) != (read.placement.group == "parent"):
        yield ("placement", "group"), "is 'parent' exactly when the offering has a parent"
    yield from _of_sources(read, template)
    for number, resource in enumerate(read.resources):
        yield from _of_resource(("resources", number), resource, template)
    yield from _of_coverage(read, template)
    if read.bindable != bool(read.binding or read.binding_modes):
        yield ("binding",), "is there exactly when the offering is bindable"
    yield from _of_database(read)
    yield from _of_binding(read)


def _of_sources(read: OfferingFile, template: Template) -> Iterator[Said]:
    sources = read.parameters
    for name, parameter in sources.user.items():
        path: Place = ("parameters", "user", name)
        if name not in template.parameters and parameter.through is None:
            yield path, "the template has no such parameter"
        elif name not in template.parameters and parameter.type is None:
            yield (*path, "type"), "is needed, since the template has no such parameter"
        if name in {"alias", "parentAlias"}:
            yield path, "is the broker's own word"
    groups: tuple[tuple[str, Mapping[str, Any]], ...] = (("fixed", sources.fixed), ("broker", sources.broker))
    for group, names in groups:
        for name in names:
            if name not in template.parameters:
                yield ("parameters", group, name), "the template has no such parameter"
            elif name in sources.user or (group == "broker" and name in sources.fixed):
                yield ("parameters", group, name), "is declared twice"
    yield from _of_broker(read, template)


def _of_broker(read: OfferingFile, template: Template) -> Iterator[Said]:
    for name, source in read.parameters.broker.items():
        path: Place = ("parameters", "broker", name)
        if isinstance(source, str):
            known = template.parameters.get(name)
            if source == "administrator_password" and known is not None and not known.secure:
                yield path, "must be a secureString in the template: others stay readable in Azure"
            continue
        if source.name is not None and source.name not in read.names:
            yield (*path, "name"), f"there is no '{source.name}' among the names"
        if source.pick is not None:
            yield from _of_pick((*path, "pick"), source.pick)


def _of_resource(path: Place, resource: ResourceFile, template: Template) -> Iterator[Said]:
    if template.api_version(resource.type) is None:
        yield (*path, "type"), "the template makes no such resource"
    wanted = resource.type.count("/") - (resource.each is not None)
    if len(resource.names) != wanted:
        yield (*path, "names"), f"must be {wanted} for this type"
    if resource.type.count("/") == 1 and not resource.tagged:
        yield path, "must be tagged: nothing else tells it from a foreign one"
    for name in [*resource.names, *([resource.each] if resource.each else [])]:
        if name not in template.parameters:
            yield path, f"the template has no parameter '{name}'"


def _of_coverage(read: OfferingFile, template: Template) -> Iterator[Said]:
    """What is made must be deleted, too: itself, or with something above it."""
    listed = {resource.type.lower() for resource in read.resources}
    for made in template.resources:
        words = made.type.lower().split("/")
        if not any("/".join(words[:end]) in listed for end in range(2, len(words) + 1)):
            yield ("resources",), f"{made.type} is made by the template, but not among the resources"


def _of_database(read: OfferingFile) -> Iterator[Said]:
    if read.database is None:
        return
    for key in ("host", "database", "owner_role", "extensions"):
        pick = getattr(read.database, key)
        if pick is not None:
            yield from _of_pick(("database", key), pick)
    if (read.database.server == "parent") != (read.parent is not None):
        yield ("database", "server"), "is 'parent' exactly when the offering has a parent"


def _of_binding(read: OfferingFile) -> Iterator[Said]:
    yield from _of_verbs(("binding",), read.binding, has_database=read.database is not None)
    modes = read.binding_modes
    if modes is None:
        return
    if read.binding:
        yield ("binding_modes",), "is there instead of 'binding'"
    by = read.bind_parameters.get(modes.by)
    if by is None or by.default not in modes.modes or set(by.allowed or ()) != set(modes.modes):
        yield ("binding_modes", "by"), "is a bind parameter that allows the modes, one of them as default"
    for mode, said in modes.modes.items():
        path: Place = ("binding_modes", "modes", mode)
        yield from _of_verbs((*path, "binding"), said.binding, has_database=read.database is not None)
        for name in said.needs:
            if name not in read.bind_parameters:
                yield (*path, "needs"), f"there is no bind parameter '{name}'"


def _of_verbs(path: Place, verbs: Sequence[Verb], *, has_database: bool) -> Iterator[Said]:
    words: list[str] = []
    for number, verb in enumerate(verbs):
        at = (*path, number)
        if verb.database_user is not None and not has_database:
            yield (*at, "database_user"), "needs a database block"
        if (verb.compose is not None) != (number == len(verbs) - 1):
            yield at, "'compose' is the last verb, once"
        if verb.compose is not None:
            yield from _of_compose((*at, "compose"), verb.compose, has_database=has_database)
            continue
        for name in sorted(verb.model_fields_set):
            said = getattr(verb, name)
            yield from _of_picks((*at, name), said)
            word = getattr(said, "word", None)
            if word in words:
                yield (*at, name, "word"), f"'{word}' is used before"
            words += [word] if word else []
        if verb.child is not None:
            yield from _of_child((*at, "child"), verb.child.type, verb.child.api_version, verb.child.body)


def _of_picks(path: Place, said: Strict) -> Iterator[Said]:
    """Look at every field of a verb that is an expression."""
    constant = {"word", "name", "type", "api_version", "prefix", "otherwise", "body"}
    for name in sorted(type(said).model_fields.keys() - constant):
        value = getattr(said, name)
        if isinstance(value, Strict):
            yield from _of_picks((*path, name), value)
        elif isinstance(value, str):
            yield from _of_pick((*path, name), value, more=_ANSWER if name == "pick" else frozenset())
        for word, expression in value.items() if isinstance(value, dict) else ():
            yield from _of_pick((*path, name, word), expression, more=_ANSWER)


def _of_child(path: Place, kind: str, api_version: str, body: Mapping[str, Any]) -> Iterator[Said]:
    model = azure_models.load(kind, api_version)
    if model is None:
        yield (*path, "type"), f"{kind} at {api_version} has no model file to be checked against"
        return
    for problem in model.problems({key: unpicked(value) for key, value in body.items()}):
        yield (*path, "body"), str(problem)


def unpicked(value: Any) -> Any:
    """What a binding's expressions will give is not known yet."""
    if isinstance(value, dict):
        return azure_models.UNKNOWN if set(value) == {"pick"} else {k: unpicked(v) for k, v in value.items()}
    return [unpicked(item) for item in value] if isinstance(value, list) else value


def _of_compose(path: Place, compose: ComposeFile, *, has_database: bool) -> Iterator[Said]:
    for key, value in compose.credentials.items():
        at = (*path, "credentials", key)
        if value.pick is not None:
            yield from _of_pick((*at, "pick"), value.pick)
        if value.connection_string is not None and not has_database and not _of_the_others(value):
            yield at, "needs a database block"
    for place, endpoint in enumerate(compose.endpoints):
        for key in ("host", "port"):
            yield from _of_pick((*path, "endpoints", place, key), getattr(endpoint, key))


def _of_the_others(value: CredentialValue) -> bool:
    """Whether a connection string is made from the other credentials."""
    return value.connection_string == "azure_storage"


def _of_pick(path: Place, expression: str, more: frozenset[str] = frozenset()) -> Iterator[Said]:
    try:
        parsed = jmespath.compile(expression).parsed
    except JMESPathError:
        yield path, f"'{expression}' is no JMESPath expression"
        return
    unknown = sorted(_roots(parsed) - _PICKED_FROM - more)
    if unknown:
        yield path, f"there is no '{unknown[0]}' to pick from; there are {', '.join(sorted(_PICKED_FROM))}"


def _roots(node: Any) -> set[str]:
    """The names that an expression starts from."""
    if node["type"] == "field":
        return {node["value"]}
    children = node["children"]
    if node["type"] in _GO_DOWN:
        children = children[:1]
    return set().union(*(_roots(child) for child in children if isinstance(child, dict)))


def _of_plan(read: OfferingFile, plan: PlanFile, template: Template) -> Iterator[Said]:
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
    yield from _of_tags(read, user, template)
    yield from _of_fixed(read, plan, template)
    yield from _of_schemas(read, plan, user, template)


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


def _of_user(name: str, parameter: UserParameter, template: Template) -> Iterator[Said]:
    declared = template.parameters.get(name)
    if parameter.sensitive and declared is not None and not declared.secure:
        yield (
            ("user", name, "sensitive"),
            "must be a secureString in the template, or Azure's history shows it",
        )
    if declared is None or parameter.type is not None:
        if parameter.through is None and parameter.type is not None and declared is not None:
            yield ("user", name, "type"), "comes from the template"
        return
    allowed = declared.declared.get("allowedValues")
    if allowed and parameter.allowed and not set(parameter.allowed) <= set(allowed):
        yield ("user", name, "allowed"), "allows more than the template does"


def _of_schemas(
    read: OfferingFile, plan: PlanFile, user: Mapping[str, UserParameter], template: Template
) -> Iterator[Said]:
    create = schemas.create_schema(
        user, template.parameters, takes_alias=read.takes_alias, has_parent=read.parent is not None
    )
    try:
        jsonschema.Draft4Validator.check_schema(create)
    except jsonschema.SchemaError as invalid:
        yield ("user",), f"makes no JSON schema: {invalid.message}"
        return
    if len(json.dumps(create)) > schemas.LARGEST:
        yield ("user",), "makes a schema of more than 64 kB"
    for name, schema in create["properties"].items():
        if "default" in schema and not jsonschema.Draft4Validator(schema).is_valid(schema["default"]):
            yield ("user", name, "default"), f"the default {schema['default']!r} is not allowed"
    if plan.binding_rotatable and not (read.bindable if plan.bindable is None else plan.bindable):
        yield ("binding_rotatable",), "the plan is not bindable"


def _of_bodies(template: Template) -> Iterator[tuple[str, str]]:
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
