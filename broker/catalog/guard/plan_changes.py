"""What must not change of a plan while instances of it live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from broker.catalog.faults import Fault, Severity
from broker.catalog.guard.places import fault_at
from broker.catalog.guard.removals import living
from broker.catalog.guard.schema_changes import NARROWING, changes
from broker.catalog.guard.template_changes import resolved, resource_changes
from broker.domain.catalog import Catalog, ServiceOffering, ServicePlan
from broker.domain.catalog_use import CatalogUse
from broker.domain.semantic_versions import raised

_NEW_PLAN = "make a new plan"
_PLACES = ("group", "subscription", "resource_group", "location")

Said = tuple[str, str, Severity]
"""A path below the plan, what is wrong there, and how wrong."""


def changed_plans(published: Catalog, proposed: Catalog, use: CatalogUse) -> Iterator[Fault]:
    """Tell what changes of plans that are, or may be, in use would break for living instances."""
    before = {offering.id: offering for offering in published.offerings}
    for offering in proposed.offerings:
        old = before.get(offering.id)
        old_plans = {plan.id: plan for plan in old.plans} if old else {}
        for plan in offering.plans:
            then = old_plans.get(plan.id)
            if then is None or then == plan:
                continue
            instances = use.of_plan(offering.id, plan.id)
            if use.known and not instances:
                continue
            who = living(instances) if use.known else "living instances"
            for path, message, severity in _of_plan(then, plan, offering, who, use):
                name = f"{offering.name}/{plan.name}"
                yield fault_at(proposed, plan.id, name, path, message, severity)


def _of_plan(
    old: ServicePlan, new: ServicePlan, offering: ServiceOffering, who: str, use: CatalogUse
) -> Iterator[Said]:
    if not set(old.parents) <= set(new.parents) or (not old.parents and new.parents):
        yield (
            "parent",
            f"another parent, though {who} depend on one of before; {_NEW_PLAN} in another offering",
            "refused",
        )
        return
    if old.plan_updateable and not new.plan_updateable:
        yield "plan_updateable", f"is taken away from {who}; leave it true, or {_NEW_PLAN}", "refused"
    if old.bindable and not new.bindable:
        yield "bindable", f"is taken away from {who}: bindings could not be made anew; {_NEW_PLAN}", "refused"
    if old.provisioner != new.provisioner:
        yield "provisioner", f"is another one, which did not make {who}; {_NEW_PLAN}", "refused"
    for name in sorted(set(old.sensitive) - set(new.sensitive)):
        if name in new.create_parameters.names:
            text = f"is no longer sensitive, and {who} would show what was given in confidence; keep it sensitive"
            yield f"user.{name}", text, "refused"
    yield from _of_recipes(old.recipe, new.recipe, who)
    yield from _of_template(old, new, who)
    yield from _of_schema(old, new, offering, use)


def _of_recipes(old: Mapping[str, Any], new: Mapping[str, Any], who: str) -> Iterator[Said]:
    before, after = old.get("placement", {}), new.get("placement", {})
    for key in _PLACES:
        if before.get(key) != after.get(key):
            text = f"changes, but {who} stay where they are, and would be looked for elsewhere; {_NEW_PLAN}"
            yield f"placement.{key}", text, "refused"
    rules, newer = old.get("names", {}), new.get("names", {})
    sources = [source for source in new.get("broker", {}).values() if isinstance(source, Mapping)]
    wanted = {source["name"] for source in sources if "name" in source}
    for word in sorted({*rules, *newer} & ({*rules} | wanted)):
        if word not in rules:
            text = f"is new, and {who} have no such name; {_NEW_PLAN}"
            yield f"names.{word}", text, "refused"
        elif word in newer and newer[word] != rules[word]:
            text = f"changes, but {who} were named by the old rule and are found by it; put it back, or {_NEW_PLAN}"
            yield f"names.{word}", text, "refused"
    yield from _of_listed(old, new, who)


def _of_listed(old: Mapping[str, Any], new: Mapping[str, Any], who: str) -> Iterator[Said]:
    """The list of what the template makes, by which living instances are found and deleted."""
    listed = {entry["type"].lower(): entry for entry in new.get("resources", ())}
    for number, entry in enumerate(old.get("resources", ())):
        now = listed.get(entry["type"].lower())
        if now is None:
            continue
        path = f"resources[{number}]"
        if entry.get("tagged") and not now.get("tagged"):
            text = f"{entry['type']} is no longer tagged: {who} could not be told from what is foreign"
            yield f"{path}.tagged", text, "refused"
        if entry.get("each") != now.get("each"):
            text = f"{entry['type']} is made for each item of another list: {who} would keep what that drops"
            yield f"{path}.each", text, "refused"
        names = [resolved(f"[parameters('{name}')]", old) for name in entry["names"]]
        if names != [resolved(f"[parameters('{name}')]", new) for name in now["names"]]:
            text = (
                f"{entry['type']} is named by other parameters: {who} would be looked for under another name"
            )
            yield f"{path}.names", text, "refused"


def _of_template(old: ServicePlan, new: ServicePlan, who: str) -> Iterator[Said]:
    before, after = old.maintenance_version, new.maintenance_version
    is_raised = raised(before, after)
    if before != after and not is_raised:
        text = f"falls from {before} to {after or 'nothing'}: platforms will offer {who} an update to what was before"
        yield "maintenance_info.version", text, "warning"
    if old.recipe == new.recipe:
        return
    for change in resource_changes(old.recipe, new.recipe):
        if is_raised:
            text = f"{change.text}; {who} get this with the update to {after}"
            yield f"template.{change.path}", text, "warning"
        else:
            text = (
                f"{change.text}; {who} would get this with their next update, whatever it is for: raise "
                "maintenance_info.version if that is meant"
            )
            yield f"template.{change.path}", text, "refused"


def _of_schema(
    old: ServicePlan, new: ServicePlan, offering: ServiceOffering, use: CatalogUse
) -> Iterator[Said]:
    if not use.known:
        for change in changes(old.create_schema, new.create_schema):
            if change.kind in NARROWING:
                text = (
                    f"{change.text}; a broker refuses that if the parameters of living instances do not fit"
                )
                yield f"user.{change.parameter}" if change.parameter else "user", text, "warning"
        return
    for violation in use.violations:
        if (violation.service_offering_id, violation.service_plan_id) == (offering.id, new.id):
            path = f"user.{violation.parameter}" if violation.parameter else "user"
            fit = "does" if violation.instances == 1 else "do"
            text = f"{living(violation.instances)} {fit} not fit the narrowed schema; widen it again, or {_NEW_PLAN}"
            yield path, text, "refused"
    unread = use.unread.get((offering.id, new.id), 0)
    if unread:
        yield "user", f"the parameters of {living(unread)} cannot be opened and were not checked", "warning"
