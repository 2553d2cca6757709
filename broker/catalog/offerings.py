"""From an offering's file and its template to the domain's service offering, recipe included. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from broker.catalog import schemas
from broker.catalog.format import (
    AdoptFile,
    CredentialChangesFile,
    OfferingFile,
    PlanFile,
    UserParameter,
    Verb,
)
from broker.catalog.templates import Template
from broker.domain.catalog import MaintenanceInfo, ServiceOffering, ServicePlan
from broker.domain.databases import DATABASE_KINDS
from broker.domain.json_values import JsonObject

EXPECTED_DURATION = "expectedDurationSeconds"
"""The key of a plan's metadata by which platforms are told."""
RECIPE_FORMAT = 1
RECIPE_FORMAT_WITH_MODES = 2
RECIPE_FORMAT_WITH_KINDS = 3
RECIPE_FORMAT_WITH_SECRETS = 4
RECIPE_FORMAT_WITH_SQL_SERVER = 4
RECIPE_FORMAT_WITH_REDIS = 4
RECIPE_FORMAT_WITH_ADOPTION = 4


def service_offering(read: OfferingFile, template: Template, parents: Sequence[str]) -> ServiceOffering:
    """Put together what is offered; *parents* are the ids of the offerings of which a parent may be."""
    return ServiceOffering(
        id=read.id,
        name=read.name,
        description=read.description,
        bindable=read.bindable,
        plan_updateable=read.plan_updateable,
        instances_retrievable=read.instances_retrievable,
        bindings_retrievable=read.bindings_retrievable,
        allow_context_updates=read.allow_context_updates,
        tags=tuple(read.tags),
        metadata=read.metadata.as_json(),
        plans=tuple(_service_plan(read, plan, template, parents) for plan in read.plans),
    )


def user_parameters(read: OfferingFile, plan: PlanFile) -> dict[str, UserParameter]:
    """Return the offering's user parameters as this plan narrows them; what the plan fixes is not asked for."""
    found = {}
    for name, general in read.parameters.user.items():
        if name in plan.fixed:
            continue
        narrowed = plan.user.get(name)
        found[name] = general
        if narrowed:
            found[name] = general.model_copy(
                update={key: getattr(narrowed, key) for key in narrowed.model_fields_set}
            )
    return found


def adoption_of(read: OfferingFile, plan: PlanFile) -> schemas.Adoption | None:
    """Return what users of this plan give to adopt something; None if the plan lets nothing be adopted."""
    if read.adopt is None or not plan.adopt:
        return None
    return schemas.Adoption(
        modes=tuple(plan.adopt),
        only=read.adopt.only,
        by_id=read.adopt.resource is None,
        deletes=plan.deletes_adopted,
        parameters=read.adopt.parameters,
    )


def _service_plan(
    read: OfferingFile, plan: PlanFile, template: Template, parents: Sequence[str]
) -> ServicePlan:
    user = user_parameters(read, plan)
    if read.adopt and read.adopt.only and "manage" not in plan.adopt:
        # Nothing is ever deployed, so nothing of the template can be asked for.
        user = {}
    bindable = read.bindable if plan.bindable is None else plan.bindable
    maintenance = plan.maintenance_info
    return ServicePlan(
        id=plan.id,
        name=plan.name,
        description=plan.description,
        free=plan.free,
        bindable=bindable,
        binding_rotatable=plan.binding_rotatable,
        plan_updateable=_updateable(read, plan),
        updates_to=_updates_to(read, plan),
        expected_duration=timedelta(seconds=plan.expected_duration) if plan.expected_duration else None,
        maximum_polling_duration=timedelta(seconds=plan.maximum_polling_duration),
        maintenance_info=MaintenanceInfo(maintenance.version, maintenance.description)
        if maintenance
        else None,
        metadata=_metadata(plan),
        create_schema=schemas.create_schema(
            user,
            template.parameters,
            takes_alias=read.takes_alias,
            has_parent=bool(parents),
            adoption=adoption_of(read, plan),
        ),
        update_schema=schemas.update_schema(
            {**user, **(read.adopt.parameters if read.adopt and plan.adopt else {})}, template.parameters
        ),
        bind_schema=schemas.bind_schema(read.bind_parameters, read.binding_modes) if bindable else None,
        grows_only=tuple(name for name, p in user.items() if p.grows_only),
        sensitive=(
            *(name for name, p in user.items() if p.sensitive or _secure(template, name)),
            *(name for name, p in (read.adopt.parameters if read.adopt else {}).items() if p.sensitive),
        ),
        bind_sensitive=tuple(name for name, p in read.bind_parameters.items() if p.sensitive),
        refused=dict(read.parameters.refused),
        bind_refused=dict(read.bind_refused),
        parent=parents[0] if parents else None,
        other_parents=tuple(parents[1:]),
        takes_alias=read.takes_alias,
        binding_lifetime=timedelta(seconds=plan.binding_lifetime) if plan.binding_lifetime else None,
        provisioner=read.provisioner,
        recipe=_recipe(read, plan, user, template),
    )


def _updateable(read: OfferingFile, plan: PlanFile) -> bool:
    """What platforms are told is what is enforced: a plan that can become none cannot be updated."""
    if plan.updates_to is not None:
        return bool(plan.updates_to)
    return read.plan_updateable if plan.plan_updateable is None else plan.plan_updateable


def _updates_to(read: OfferingFile, plan: PlanFile) -> tuple[str, ...] | None:
    if plan.updates_to is None:
        return None
    return tuple(other.id for other in read.plans if other.name in plan.updates_to)


def _metadata(plan: PlanFile) -> JsonObject:
    said = plan.metadata.as_json()
    return said if plan.expected_duration is None else {**said, EXPECTED_DURATION: plan.expected_duration}


def _secure(template: Template, name: str) -> bool:
    declared = template.parameters.get(name)
    return declared is not None and declared.secure


def _recipe(
    read: OfferingFile, plan: PlanFile, user: dict[str, UserParameter], template: Template
) -> JsonObject:
    placement = (plan.placement or read.placement).model_dump(exclude_none=True)
    recipe: dict[str, Any] = {
        "format": RECIPE_FORMAT,
        "template": template.whole,
        "placement": placement,
        "preflight": plan.preflight or read.preflight,
        "names": {key: rule.model_dump() for key, rule in read.names.items()},
        "resources": [
            {**r.model_dump(exclude_none=True), "api_version": template.api_version(r.type)}
            for r in read.resources
        ],
        "user": {name: _user(p, name in template.parameters) for name, p in user.items()},
        "fixed": {**read.parameters.fixed, **plan.fixed},
        "broker": {
            name: source if isinstance(source, str) else source.model_dump(exclude_unset=True)
            for name, source in read.parameters.broker.items()
        },
        "binding": _verbs(read.binding, plan.credentials),
    }
    if read.require:
        recipe["require"] = [rule.model_dump() for rule in read.require]
    defaults = {name: p.default for name, p in read.bind_parameters.items() if p.default is not None}
    if defaults:
        recipe["bind_defaults"] = defaults
    if read.binding_modes:
        # A version that knows no modes would hand out nothing at all: it refuses this format instead.
        recipe["format"] = RECIPE_FORMAT_WITH_MODES
        recipe["binding_modes"] = {
            **read.binding_modes.model_dump(exclude_unset=True),
            "modes": {
                name: {
                    **mode.model_dump(exclude_unset=True),
                    "binding": _verbs(mode.binding, plan.credentials),
                }
                for name, mode in read.binding_modes.modes.items()
            },
        }
    if read.adopt:
        recipe["adopt"] = _adopt(read.adopt, plan)
        if plan.adopt:
            # A version that knows no adoption would make something new instead.
            recipe["format"] = RECIPE_FORMAT_WITH_ADOPTION
    if read.database:
        port = read.database.port or DATABASE_KINDS[read.database.kind].port
        recipe["database"] = read.database.model_dump(exclude_none=True) | {"port": port}
        if read.database.kind != "postgresql":
            # A version that knows one kind would speak PostgreSQL to whatever server it is.
            recipe["format"] = max(recipe["format"], RECIPE_FORMAT_WITH_KINDS)
    modes = read.binding_modes.modes.values() if read.binding_modes else ()
    verbs = [*read.binding, *(verb for mode in modes for verb in mode.binding)]
    if read.database and read.database.kind == "sqlserver":
        recipe["format"] = RECIPE_FORMAT_WITH_SQL_SERVER
    if any(_is_of_format_4(verb) for verb in verbs):
        # A version that knows neither UUIDs nor passwords would give it another name, and no password; one that
        # knows no `when` would make what was not asked for.
        recipe["format"] = RECIPE_FORMAT_WITH_SECRETS
    if any(verb.database_user is not None and verb.database_user.entra for verb in verbs):
        # A version that knows no Entra would make a login with a password that nobody asked for.
        recipe["format"] = RECIPE_FORMAT_WITH_SECRETS
    more = plan.credentials.add.values() if plan.credentials else ()
    composed = [*more, *(v for verb in verbs if verb.compose for v in verb.compose.credentials.values())]
    if any(value.connection_string == "redis_uri" for value in composed):
        # A version that knows databases' connection strings only would look for a database.
        recipe["format"] = RECIPE_FORMAT_WITH_REDIS
    if any(value.part or value.mongodb for value in composed):
        recipe["format"] = RECIPE_FORMAT_WITH_SECRETS
    if any(p.alone for p in user.values()) or any(r.purge for r in read.resources):
        # A version that knows none of these would let through what is to be refused, and keep what is to be purged.
        recipe["format"] = RECIPE_FORMAT_WITH_SECRETS
    return recipe


def _verbs(verbs: Sequence[Verb], changes: CredentialChangesFile | None) -> list[dict[str, Any]]:
    """Return the verbs of a way to bind, its credentials under the names that the plan gives them."""
    found = [verb.model_dump(exclude_unset=True) for verb in verbs]
    if changes is None:
        return found
    more = {key: value.model_dump(exclude_unset=True) for key, value in changes.add.items()}
    for verb in found:
        if "compose" in verb:
            credentials = verb["compose"]["credentials"]
            verb["compose"]["credentials"] = {
                **{changes.rename.get(key, key): value for key, value in credentials.items()},
                **more,
            }
    return found


def _adopt(said: AdoptFile, plan: PlanFile) -> JsonObject:
    written = said.model_dump(
        include={"only", "resource", "require", "names", "outputs", "below", "kept"}, exclude_none=True
    )
    if said.administrator:
        port = said.administrator.port or DATABASE_KINDS[said.administrator.kind].port
        written["administrator"] = said.administrator.model_dump(exclude_none=True) | {"port": port}
    return {
        **written,
        "modes": list(plan.adopt),
        "allowed": list(said.modes),
        "deletes": plan.deletes_adopted,
        "parameters": {
            name: {"default": parameter.default} if parameter.default is not None else {}
            for name, parameter in said.parameters.items()
        },
        "needed": [name for name, parameter in said.parameters.items() if parameter.required],
    }


def _is_of_format_4(verb: Verb) -> bool:
    child, role = verb.child, verb.role
    return (child is not None and child.is_more_than_a_key) or (role is not None and role.when is not None)


def _user(parameter: UserParameter, in_template: bool) -> JsonObject:  # noqa: FBT001 - private
    said = parameter.model_dump(
        include={"default", "through", "grows_only", "immutable", "alone"}, exclude_none=True
    )
    return {**said, "in_template": in_template}
