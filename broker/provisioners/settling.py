"""Settles, before Azure is asked for anything, what a creation will make: names, place and parameters. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from broker.azure import naming
from broker.data_planes import secrets
from broker.domain.adoption import adopted_as
from broker.domain.instances import Configuration, ServiceInstance
from broker.domain.json_values import JsonObject
from broker.provisioners import records
from broker.provisioners.base import Work
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.parameters import Known, effective, refuse_together, template_parameters
from broker.provisioners.placement import Place, place_for
from broker.provisioners.recipe import PlannedResource, Recipe
from broker.provisioners.verdicts import Impossible

LOGIN_PREFIX = "osb"
_LONGEST_LOGIN = 53
_SHORTEST_LOGIN = 24


@dataclass(frozen=True)
class Plan:
    """Everything about a creation that is settled before Azure is asked to make anything."""

    place: Place
    generation: int
    known: Known
    parameters: dict[str, Any] = field(repr=False)
    resources: tuple[PlannedResource, ...]

    @property
    def main(self) -> PlannedResource:
        return self.resources[0]


def asked_of(work: Work) -> Configuration:
    """Return what the operation is to bring about."""
    configuration = work.instance.asked or work.instance.applied
    if configuration is None:
        raise Impossible(
            f"Nothing is known of what was asked for of the service instance '{work.instance.instance_id}'. Delete "
            "it, and order it again."
        )
    return configuration


def known_of(
    options: ProvisionerOptions,
    record: JsonObject,
    secret: JsonObject,
    parent: ServiceInstance | None,
    grown: Mapping[str, int] | None = None,
) -> Known:
    """Return what the broker adds to the parameters of an instance with this *record*."""
    return Known(
        names=record["names"],
        location=record["location"],
        tags=record["tags"],
        egress_addresses=tuple(str(address) for address in options.egress_addresses),
        principal=options.principal,
        secrets=secret,
        parent=parent.record if parent else {},
        grown=grown or {},
        adopted=adopted_as(record) is not None,
        kept=record.get(records.KEPT, {}),
    )


def settled(
    recipe: Recipe,
    asked: Configuration,
    instance: ServiceInstance,
    options: ProvisionerOptions,
    *,
    generation: int,
    parent: ServiceInstance | None,
) -> Plan:
    """
    Settle names, place and parameters of one generation of an instance; draws a password if there is none.
    Makes no call.

    Raises:
        Impossible: It can be seen beforehand that this cannot be made.
    """
    place = place_for(recipe, asked.parameters, instance, options, generation=generation, parent=parent)
    identity = (options.broker_id, instance.platform, instance.instance_id, generation)
    secret = {
        # Azure never lets this name change, and a restored store has to find the same one again.
        "administrator_login": secrets.generated_username(
            LOGIN_PREFIX, "\0".join(map(str, identity[:3])), longest=_longest_login(recipe)
        ),
        "administrator_password": secrets.generated_password(),
        **asked.secrets,
    }
    record = {
        "names": recipe.names(*identity),
        "location": place.location,
        "tags": {**recipe.tags, **naming.tags(*identity)},
    }
    known = known_of(options, record, secret, parent)
    if instance.applied is not None:
        refuse_together(recipe, asked.parameters, instance.applied.parameters)
        known = replace(known, before=effective(recipe, instance.applied.parameters))
    parameters = template_parameters(recipe, asked.parameters, known)
    resources = recipe.planned(place.subscription, place.group, parameters)
    return Plan(place, generation, known, parameters, resources)


def _longest_login(recipe: Recipe) -> int:
    """As many characters as the template takes for the administrator's name: MySQL's 32, for one."""
    takes = [
        int(recipe.template["parameters"][name].get("maxLength", _LONGEST_LOGIN))
        for name, source in recipe.broker.items()
        if source == "administrator_login"
    ]
    return max(_SHORTEST_LOGIN, min([_LONGEST_LOGIN, *takes]))
