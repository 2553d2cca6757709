"""Where an instance's resources go: subscription, resource group and region. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from broker.azure.naming import external_name
from broker.domain.instances import ServiceInstance
from broker.domain.json_values import JsonObject
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.parameters import effective
from broker.provisioners.recipe import GROUP_RULE, Recipe
from broker.provisioners.verdicts import Impossible


@dataclass(frozen=True)
class Place:
    """
    A subscription, a group in it and a region.

    `own_group` is true for a group that is the instance's alone and goes with it; `create_group` if the broker
    may make the group when it is missing.
    """

    subscription: str
    group: str
    location: str
    own_group: bool = False
    create_group: bool = False


def place_for(
    recipe: Recipe,
    asked: JsonObject,
    instance: ServiceInstance,
    options: ProvisionerOptions,
    *,
    generation: int,
    parent: ServiceInstance | None,
) -> Place:
    """
    Settle where to go: the plan's word before the request's, and that before the operator's default.

    Raises:
        Impossible: Nobody names a resource group, or a child's parent has no place yet.
    """
    said = recipe.placement
    location = said.get("location") or effective(recipe, asked).get("location") or options.location
    subscription = said.get("subscription") or options.subscription
    if said["group"] == "parent":
        record = parent.record if parent else {}
        if not record.get("group"):
            raise Impossible(
                f"The parent of the service instance '{instance.instance_id}' has nothing in Azure. Order the "
                "parent again."
            )
        return Place(record["subscription"], record["group"], record["location"])
    if said["group"] == "own":
        name = external_name(
            GROUP_RULE, options.broker_id, instance.platform, instance.instance_id, generation
        )
        return Place(subscription, name, location, own_group=True, create_group=True)
    group = said.get("resource_group") or options.resource_group
    if group is None:
        raise Impossible(
            "Neither the plan nor the broker's settings name a resource group. An operator has to set "
            "BROKER_AZURE_RESOURCE_GROUP or the plan's placement."
        )
    return Place(subscription, group, location, create_group=said.get("create_group", False))
