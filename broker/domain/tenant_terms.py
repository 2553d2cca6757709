"""What tenant rules make of a plan, and what of it is written down with an instance. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from broker.domain.catalog import ServicePlan
from broker.domain.json_values import JsonObject
from broker.domain.tenant_rules import Given, ParameterValue, Place, Terms

LOCATION = "location"
"""The user parameter that chooses a region where the plan leaves that to the user."""


def tailored(plan: ServicePlan, terms: Terms) -> ServicePlan:
    """
    Return the plan as it is for whom the terms hold: its schemas, and the recipe that is frozen into operations.

    A forced parameter takes no other value, and whatever a rule gives need not be ordered. Names that the plan does not
    have, or has as secrets, are passed over.
    """
    parameters = {
        name: given.value
        for name, given in terms.parameters.items()
        if takes(plan, name) and name != LOCATION
    } | _location(plan, terms)
    if not (parameters or terms.place or terms.location or terms.tags):
        return plan
    return replace(
        plan,
        create_schema=_narrowed(plan.create_schema, parameters),
        update_schema=_narrowed(plan.update_schema, parameters),
        recipe=_recipe(plan.recipe, parameters, terms),
    )


def takes(plan: ServicePlan, name: str) -> bool:
    """Tell whether rules can say something of the plan's parameter *name*."""
    return name in plan.recipe.get("user", {}) and name not in plan.sensitive


def written(terms: Terms, plan_id: str, view: str) -> JsonObject:
    """Return what is kept with an instance, as JSON."""
    found: dict[str, Any] = {}
    if view:
        found["view"] = view
    if terms.place:
        place = terms.place.value
        found["place"] = {
            "subscription": place.subscription,
            "resource_group": place.resource_group,
            "rule": terms.place.rule,
        }
    if terms.location:
        found["location"] = {"value": terms.location.value, "rule": terms.location.rule}
    if terms.tags:
        found["tags"] = {name: {"value": tag.value, "rule": tag.rule} for name, tag in terms.tags.items()}
    return with_parameters(found, terms, plan_id)


def with_parameters(kept: JsonObject, terms: Terms, plan_id: str) -> JsonObject:
    """Add to what is kept the parameters for one more plan: those of the plan before stay, for a change may fail."""
    said = {
        name: {"value": given.value.value, "forced": given.value.forced, "rule": given.rule}
        for name, given in terms.parameters.items()
    }
    if not said and plan_id not in kept.get("parameters", {}):
        return kept
    return {**kept, "parameters": {**kept.get("parameters", {}), plan_id: said}}


def kept_terms(kept: JsonObject, plan_id: str) -> Terms:
    """Read what was kept for an instance, as far as it holds for that plan."""
    place, location = kept.get("place"), kept.get("location")
    return Terms(
        place=Given(Place(place["subscription"], place["resource_group"]), place["rule"]) if place else None,
        location=Given(location["value"], location["rule"]) if location else None,
        tags={name: Given(tag["value"], tag["rule"]) for name, tag in kept.get("tags", {}).items()},
        parameters={
            name: Given(ParameterValue(said["value"], said["forced"]), said["rule"])
            for name, said in kept.get("parameters", {}).get(plan_id, {}).items()
        },
    )


def _location(plan: ServicePlan, terms: Terms) -> dict[str, ParameterValue]:
    """A region that a rule gives outweighs what a rule says of the parameter."""
    if not takes(plan, LOCATION):
        return {}
    if terms.location:
        return {LOCATION: ParameterValue(terms.location.value, forced=True)}
    said = terms.parameters.get(LOCATION)
    return {LOCATION: said.value} if said else {}


def _narrowed(schema: JsonObject | None, parameters: Mapping[str, ParameterValue]) -> JsonObject | None:
    if schema is None or not parameters:
        return schema
    properties = dict(schema.get("properties", {}))
    for name, said in parameters.items():
        if name in properties:
            forced = {"enum": [said.value]} if said.forced else {}
            properties[name] = {**properties[name], "default": said.value, **forced}
    narrowed = {**schema, "properties": properties}
    if "required" in schema:
        narrowed["required"] = [name for name in schema["required"] if name not in parameters]
        if not narrowed["required"]:
            del narrowed["required"]  # Draft 4 wants one name at least.
    return narrowed


def _recipe(recipe: JsonObject, parameters: Mapping[str, ParameterValue], terms: Terms) -> JsonObject:
    changed = dict(recipe)
    if parameters:
        given = {name: {**recipe["user"][name], "default": said.value} for name, said in parameters.items()}
        changed["user"] = {**recipe["user"], **given}
    placement = dict(recipe.get("placement", {}))
    # A child goes where its parent is, whatever is said of either.
    if placement.get("group") != "parent":
        if terms.location:
            placement["location"] = terms.location.value
        if terms.place and terms.place.value.subscription:
            placement["subscription"] = terms.place.value.subscription
        if terms.place and terms.place.value.resource_group and placement.get("group") != "own":
            placement["resource_group"] = terms.place.value.resource_group
        changed["placement"] = placement
    if terms.tags:
        changed["tags"] = {name: tag.value for name, tag in terms.tags.items()}
    return changed
