"""Which functions and sections a template uses: what is not supported is refused by its name, unevaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from broker.simulator.arm_errors import InvalidTemplate
from broker.simulator.expressions import Call, calls, unsupported
from broker.simulator.resource_ids import is_deployment
from broker.simulator.template_functions import PURE
from broker.simulator.template_resources import has_inner_scope
from broker.simulator.template_scopes import Place
from broker.simulator.template_texts import OF_DEFAULTS

REQUIRED = ("$schema", "contentVersion", "resources")
UNSUPPORTED = ("imports", "extensions", "asserts", "extensionConfigs")
SPECIAL = frozenset({"if", "and", "or", "lambda", "lambdavariables", "copyindex", "parameters", "variables"})
SYMBOLIC = frozenset({"resourceinfo"})
LIVING = frozenset({"reference", "references"})
OF_ANY = PURE.keys() | SPECIAL | SYMBOLIC | Place("", "", "", "", "", {}).functions().keys()


def refuse_what_is_unsupported(template: Any) -> None:
    """
    Look through a whole template, with the templates of its nested deployments.

    Raises:
        InvalidTemplate: Naming the first section or function that is missing or not supported.
    """
    if not isinstance(template, Mapping):
        raise InvalidTemplate("The template is missing or no object")
    for name in REQUIRED:
        if name not in template:
            raise InvalidTemplate(f"Required property '{name}' not found in the template")
    for name in UNSUPPORTED:
        if template.get(name):
            raise InvalidTemplate(f"The template section '{name}' is not supported by this simulator")
    if template.get("apiProfile"):
        raise InvalidTemplate("'apiProfile' is not supported by this simulator")
    schema = str(template["$schema"]).rpartition("/")[2].rstrip("#").lower()
    if schema.endswith("deploymenttemplate.json") and schema != "deploymenttemplate.json":
        raise InvalidTemplate(
            f"The template schema '{template['$schema']}' is not supported by this simulator"
        )
    known = OF_ANY | own_functions(template).keys()
    _check(_defaults(template), known | OF_DEFAULTS.keys(), lists=False)
    _check(template.get("variables"), known, lists=False)
    _check(template.get("outputs"), known | LIVING, lists=True)
    for resource in _resources(template):
        inner = _inner_template(resource)
        if inner is not None:
            refuse_what_is_unsupported(inner)
        plain = {
            key: value for key, value in resource.items() if key not in {"resources", "metadata", "comments"}
        }
        if inner is not None:
            properties = resource["properties"]
            plain["properties"] = {key: value for key, value in properties.items() if key != "template"}
        _check(plain, known | LIVING, lists=True)


def own_functions(template: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """
    The functions that a template declares, by namespace and name in lower case.

    Raises:
        InvalidTemplate: They are not declared as ARM wants it.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for space in template.get("functions") or ():
        members = space.get("members") if isinstance(space, Mapping) else None
        if not isinstance(members, Mapping) or not isinstance(space.get("namespace"), str):
            raise InvalidTemplate("The template section 'functions' has no namespace with members")
        for name, member in members.items():
            if not isinstance(member, Mapping) or not isinstance(member.get("output"), Mapping):
                raise InvalidTemplate(f"The template's own function '{name}' has no output")
            found[f"{space['namespace']}.{name}".lower()] = member
    for member in found.values():
        _check(member["output"].get("value"), OF_ANY | found.keys(), lists=False)
    return found


def _defaults(template: Mapping[str, Any]) -> list[Any]:
    declared = template.get("parameters") or {}
    values = declared.values() if isinstance(declared, Mapping) else ()
    return [each.get("defaultValue") for each in values if isinstance(each, Mapping)]


def _resources(template: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    declared = template["resources"]
    waiting = list(declared.values() if isinstance(declared, Mapping) else declared)
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, Mapping):
            yield each
            children = each.get("resources") or ()
            waiting += children.values() if isinstance(children, Mapping) else children


def _inner_template(resource: Mapping[str, Any]) -> Any:
    properties = resource.get("properties")
    if not is_deployment(str(resource.get("type"))) or not has_inner_scope(properties):
        return None
    return properties.get("template") if isinstance(properties, Mapping) else None


def _check(value: Any, known: frozenset[str] | set[str], *, lists: bool) -> None:
    for call in calls(value):
        if not _is_known(call, known, lists=lists):
            raise unsupported(call.name)


def _is_known(call: Call, known: frozenset[str] | set[str], *, lists: bool) -> bool:
    name = call.name.lower()
    return name in known or (lists and name.startswith("list"))
