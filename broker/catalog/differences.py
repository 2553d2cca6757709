"""What changes from one catalog to the next, for the people who order from it and for those who run it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from broker.catalog.guard.schema_changes import changes
from broker.catalog.guard.template_changes import resolved
from broker.domain.catalog import Catalog, ServiceOffering, ServicePlan
from broker.domain.json_values import JsonObject
from broker.domain.semantic_versions import raised

Change = Literal[
    "added",
    "removed",
    "changed",
    "withdrawn",
    "offered",
    "narrowed",
    "widened",
    "required",
    "default",
    "missing",
]

_TOLD_APART = frozenset(
    {"id", "name", "plans", "withdrawn", "metadata", "maintenance_info", "recipe"}
    | {"create_schema", "update_schema", "bind_schema", "refused", "bind_refused"}
)
"""Fields of offerings and plans whose changes have words of their own; all others are told as they are."""
_LONGEST = 100


@dataclass(frozen=True, order=True)
class Difference:
    """One thing that changes: of which offering (`messages`) or plan (`messages/standard`), where, and how."""

    thing: str
    field: str
    change: Change
    text: str

    def as_document(self) -> JsonObject:
        """Return it as JSON."""
        return vars(self)


def differences(before: Catalog, after: Catalog) -> list[Difference]:
    """
    Tell what changes, sorted by offering and plan; two equal catalogs differ in nothing.

    Offerings and plans are the same by their ids, whatever they are called.
    """
    old = {offering.id: offering for offering in before.offerings}
    new = {offering.id: offering for offering in after.offerings}
    found: list[Difference] = []
    for one, offering in new.items():
        was = old.get(one)
        if was is None:
            plans = ", ".join(plan.name for plan in offering.plans)
            found.append(Difference(offering.name, "", "added", f"a new service offering, with {plans}"))
        else:
            found += _of_offering(was, offering)
    found += [
        Difference(offering.name, "", "removed", "the service offering is no longer there")
        for one, offering in old.items()
        if one not in new
    ]
    return sorted(found)


def _of_offering(before: ServiceOffering, after: ServiceOffering) -> Iterator[Difference]:
    yield from _common(after.name, before, after)
    old = {plan.id: plan for plan in before.plans}
    new = {plan.id: plan for plan in after.plans}
    for one, plan in new.items():
        thing = f"{after.name}/{plan.name}"
        if one not in old:
            yield Difference(thing, "", "added", "a new plan")
        elif old[one] != plan:
            yield from _of_plan(thing, old[one], plan)
    for one, plan in old.items():
        if one not in new:
            yield Difference(f"{after.name}/{plan.name}", "", "removed", "the plan is no longer there")


def _common(
    thing: str, before: ServiceOffering | ServicePlan, after: ServiceOffering | ServicePlan
) -> Iterator[Difference]:
    if before.name != after.name:
        yield Difference(thing, "name", "changed", f"was called {before.name}")
    if before.withdrawn != after.withdrawn:
        if after.withdrawn:
            yield Difference(thing, "withdrawn", "withdrawn", "can no longer be ordered")
        else:
            yield Difference(thing, "withdrawn", "offered", "can be ordered again")
    yield from _of_metadata(thing, before.metadata, after.metadata)
    for name in sorted({field.name for field in fields(after)} - _TOLD_APART):
        was, now = getattr(before, name), getattr(after, name)
        if was != now:
            yield Difference(thing, name, "changed", f"{_shown(was)} becomes {_shown(now)}")


def _of_plan(thing: str, before: ServicePlan, after: ServicePlan) -> Iterator[Difference]:
    yield from _common(thing, before, after)
    for word, schemas in (
        ("parameters", (before.create_schema, after.create_schema)),
        ("bind_parameters", (before.bind_schema, after.bind_schema)),
    ):
        for change in changes(*schemas):
            field = f"{word}.{change.parameter}" if change.parameter else word
            yield Difference(thing, field, change.kind, change.text)
    for word, was, now in (
        ("parameters", before.refused, after.refused),
        ("bind_parameters", before.bind_refused, after.bind_refused),
    ):
        for name in sorted(was.keys() | now.keys()):
            if was.get(name) != now.get(name):
                said = (
                    f"is refused so: {_shown(now[name])}"
                    if name in now
                    else "is refused like any unknown name"
                )
                yield Difference(thing, f"{word}.{name}", "changed", said)
    yield from _of_updates(thing, before, after)
    yield from _of_credentials(thing, before.recipe, after.recipe)
    resources = list(_of_template(thing, before.recipe, after.recipe))
    yield from resources
    yield from _of_maintenance(thing, before, after, template_changes=bool(resources))


def _of_metadata(thing: str, before: JsonObject, after: JsonObject) -> Iterator[Difference]:
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        if was != now:
            yield Difference(thing, f"metadata.{name}", "changed", f"{_shown(was)} becomes {_shown(now)}")


def _of_updates(thing: str, before: ServicePlan, after: ServicePlan) -> Iterator[Difference]:
    """Which parameters an update may change."""
    common = before.create_parameters.names & after.create_parameters.names
    was, now = before.update_parameters.names & common, after.update_parameters.names & common
    for name in sorted(was - now):
        yield Difference(thing, f"parameters.{name}", "narrowed", "can only be given at the creation now")
    for name in sorted(now - was):
        yield Difference(thing, f"parameters.{name}", "widened", "can be changed by an update now")


def _of_credentials(thing: str, before: JsonObject, after: JsonObject) -> Iterator[Difference]:
    old, new = _credentials(before), _credentials(after)
    for way in sorted(old.keys() | new.keys()):
        was, now = old.get(way, frozenset()), new.get(way, frozenset())
        place = f"credentials({way})" if way else "credentials"
        for key in sorted(now - was):
            yield Difference(thing, f"{place}.{key}", "added", "new bindings have it")
        for key in sorted(was - now):
            yield Difference(thing, f"{place}.{key}", "removed", "new bindings lack it")


def _credentials(recipe: JsonObject) -> dict[str, frozenset[str]]:
    """The keys of the credentials, by the way to bind."""
    whole: Any = recipe
    ways = (whole.get("binding_modes") or {}).get("modes") or {"": whole}
    return {
        way: frozenset(
            key
            for verb in said.get("binding", ())
            if (compose := verb.get("compose"))
            for key in compose.get("credentials", {})
        )
        for way, said in ways.items()
    }


def _of_template(thing: str, before: JsonObject, after: JsonObject) -> Iterator[Difference]:
    old, new = _resources(before), _resources(after)
    for key in sorted(old.keys() | new.keys()):
        place = f"template.{key[0]}"
        if key not in old:
            yield Difference(thing, place, "added", "is made, too, with the next update of each instance")
        elif key not in new:
            yield Difference(thing, place, "removed", "is not made any more under this name")
        elif old[key] != new[key]:
            yield Difference(
                thing, place, "changed", "is made differently, also by the next update of each instance"
            )


def _resources(recipe: JsonObject) -> dict[tuple[str, str], Any]:
    template: Any = recipe.get("template") or {}
    return {
        (str(body["type"]), repr(resolved(body.get("name"), recipe))): resolved(body, recipe)
        for body in template.get("resources") or ()
        if isinstance(body, Mapping) and "type" in body
    }


def _of_maintenance(
    thing: str, before: ServicePlan, after: ServicePlan, *, template_changes: bool
) -> Iterator[Difference]:
    was, now = before.maintenance_version, after.maintenance_version
    field = "maintenance_info.version"
    if was != now:
        text = "platforms offer instances of before an update" if raised(was, now) else "falls"
        yield Difference(thing, field, "changed", f"{was or 'none'} becomes {now or 'none'}: {text}")
    elif template_changes:
        text = "stays, though the template changes: nobody is offered the update"
        yield Difference(thing, field, "missing", f"{now or 'none'} {text}")


def _shown(value: Any) -> str:
    text = str(list(value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
