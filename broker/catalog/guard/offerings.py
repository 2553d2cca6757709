"""What must be true of an offering: where its parameters come from, and what it says its template makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from broker.azure_models import Models
from broker.catalog.faults import Fault
from broker.catalog.files import Document, Place
from broker.catalog.format import OfferingFile, ResourceFile
from broker.catalog.guard.actions import warnings_of_actions
from broker.catalog.guard.adoption import faults_of_adoption
from broker.catalog.guard.bindings import faults_of_binding, faults_of_credentials
from broker.catalog.guard.bodies import faults_of_bodies
from broker.catalog.guard.expressions import faults_of_template
from broker.catalog.guard.picks import Said, faults_of_pick
from broker.catalog.guard.plans import faults_of_plan
from broker.catalog.guard.platforms import faults_for_platforms
from broker.catalog.templates import Template
from broker.domain.databases import DATABASE_KINDS

_BEFORE = frozenset({"before"})
"""What only rules about parameters may pick from: those that were in force before an update."""


def faults_of_offering(
    document: Document, read: OfferingFile, template: Template, ids: Mapping[str, str], models: Models
) -> list[Fault]:
    """Tell what is wrong with one offering and its template; *models* say what providers take."""
    faults = [document.fault(path, message) for path, message in _of_offering(read, template, ids)]
    for plan_number, plan in enumerate(read.plans):
        found = faults_of_plan(read, plan, template)
        faults += [document.fault(("plans", plan_number, *path), message) for path, message in found]
    return [
        *faults,
        *faults_of_template(template),
        *faults_of_bodies(document, read, template, models),
        *warnings_of_actions(document, read, template, models),
    ]


def faults_of_catalog(read: Sequence[tuple[Document, OfferingFile]]) -> list[Fault]:
    """Tell what offerings have in common that only one may have: ids and names."""
    faults = []
    seen: dict[tuple[str, str], str] = {}
    for document, offering in read:
        names: dict[str, int] = {}
        claims: list[tuple[Place, str]] = [(("id",), offering.id), (("name",), offering.name)]
        for number, plan in enumerate(offering.plans):
            claims.append((("plans", number, "id"), plan.id))
            if plan.name in names:
                message = (
                    f"'{plan.name}' is the name of plans[{names[plan.name]}], too: Cloud Foundry refuses that"
                )
                faults.append(document.fault(("plans", number, "name"), message))
            names.setdefault(plan.name, number)
        for path, claimed in claims:
            claim = (str(path[-1]), claimed)
            if claim in seen:
                faults.append(document.fault(path, f"'{claimed}' is used before, in {seen[claim]}"))
            seen.setdefault(claim, document.file)
    return faults


def _of_offering(read: OfferingFile, template: Template, ids: Mapping[str, str]) -> Iterator[Said]:
    for parent in read.parents:
        if parent not in ids:
            yield ("parent",), f"there is no offering '{parent}'"
    if len(set(read.parents)) < len(read.parents):
        yield ("parent",), "says an offering twice"
    if (read.parent is not None) != (read.placement.group == "parent"):
        yield ("placement", "group"), "is 'parent' exactly when the offering has a parent"
    yield from _of_sources(read, template)
    for number, resource in enumerate(read.resources):
        yield from _of_resource(("resources", number), resource, template)
    yield from _of_coverage(read, template)
    for number, rule in enumerate(read.require):
        yield from faults_of_pick(("require", number, "that"), rule.that, more=_BEFORE)
    if read.bindable != bool(read.binding or read.binding_modes):
        yield ("binding",), "is there exactly when the offering is bindable"
    yield from _of_database(read)
    yield from faults_of_binding(read)
    yield from faults_of_credentials(read)
    yield from faults_of_adoption(read, template)
    yield from faults_for_platforms(read)


def _of_sources(read: OfferingFile, template: Template) -> Iterator[Said]:
    sources = read.parameters
    for name, parameter in sources.user.items():
        path: Place = ("parameters", "user", name)
        if name not in template.parameters and parameter.through is None:
            yield path, "the template has no such parameter"
        elif name in template.parameters and parameter.through == "option":
            yield (*path, "through"), "an option is for the broker itself: the template has no such parameter"
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
    yield from _of_purges(read)
    for name in sources.refused:
        if name in sources.user or name in sources.fixed or (name == "alias" and read.takes_alias):
            yield ("parameters", "refused", name), "is declared, too: what can be given is not refused"
        elif any(name in plan.fixed for plan in read.plans):
            yield ("parameters", "refused", name), "is fixed by a plan, too"
        elif name == "parentAlias" and read.parent is not None:
            yield ("parameters", "refused", name), "is what names the parent"
    for name in read.bind_refused:
        if name in read.bind_parameters:
            yield ("bind_refused", name), "is declared, too: what can be given is not refused"


def _of_purges(read: OfferingFile) -> Iterator[Said]:
    for number, resource in enumerate(read.resources):
        if resource.purge is not None:
            yield from faults_of_pick(("resources", number, "purge", "when"), resource.purge.when)


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
            yield from faults_of_pick((*path, "pick"), source.pick)


def _of_resource(path: Place, resource: ResourceFile, template: Template) -> Iterator[Said]:
    if template.api_version(resource.type) is None:
        yield (*path, "type"), "the template makes no such resource"
    wanted = resource.type.count("/") - (resource.each is not None)
    if len(resource.names) != wanted:
        yield (*path, "names"), f"must be {wanted} for this type"
    made = next((made for made in template.resources if made.type == resource.type), None)
    if made is not None and ("copy" in made.body) != (resource.each is not None):
        yield (*path, "each"), "is there exactly when the template makes this type in a loop (`copy`)"
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
            yield from faults_of_pick(("database", key), pick)
    kind = DATABASE_KINDS[read.database.kind]
    if (read.database.owner_role is not None) != kind.owned:
        said = "is needed" if kind.owned else "is unknown to this kind of database"
        yield ("database", "owner_role"), said
    if read.database.extensions is not None and not kind.owned:
        yield ("database", "extensions"), "are unknown to this kind of database"
    for number, plan in enumerate(read.plans):
        if plan.binding_lifetime is not None and not kind.expires:
            yield (
                ("plans", number, "binding_lifetime"),
                "cannot be kept: a login of this kind of database does not end at a time",
            )
    if (read.database.server == "parent") != (read.parent is not None):
        yield ("database", "server"), "is 'parent' exactly when the offering has a parent"
