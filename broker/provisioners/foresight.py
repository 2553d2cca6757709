"""Where an instance will be, told when it is accepted: names follow from ids, so nothing has to be asked."""

from __future__ import annotations

from broker.azure.clouds import Cloud
from broker.azure.resource_ids import portal_url
from broker.domain.adoption import RESOURCE_ID, AdoptionMode, adopted_as
from broker.domain.catalog import ServicePlan
from broker.domain.foresight import Foresee, Foresight
from broker.domain.instances import ServiceInstance
from broker.domain.json_values import JsonObject, same_json
from broker.errors import ChangeNotSupported, InvalidParameters, shown
from broker.provisioners.adoption import wanted_of
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.recipe import Recipe
from broker.provisioners.settling import settled
from broker.provisioners.verdicts import Contradiction, Impossible

_ARM_TEMPLATE = "arm_template"


def foreseeing(options: ProvisionerOptions, cloud: Cloud) -> Foresee:
    """Return what tells place and portal page of an instance that `arm_template` will make."""

    def foresee(plan: ServicePlan, instance: ServiceInstance, parent: ServiceInstance | None) -> Foresight:
        """
        Tell what is known; nothing where the operation itself will have to say why.

        Raises:
            InvalidParameters: The parameters contradict each other in a way that no schema can tell.
        """
        asked = instance.asked or instance.applied
        if plan.provisioner != _ARM_TEMPLATE or asked is None:
            return Foresight()
        recipe, generation = Recipe.read(plan.recipe), instance.generation
        _refuse_changes(recipe, instance)
        try:
            # A child that is there is updated without a look at its parent, and its resource is known.
            known = {RESOURCE_ID: instance.adopts} if plan.parents and not parent and instance.adopts else {}
            wanted = wanted_of(recipe, {**known, **asked.parameters}, options, parent=_known_of(parent))
            if wanted is not None:
                return Foresight(
                    subscription=wanted.id.subscription,
                    region=parent.region if parent else None,
                    resource_group=wanted.id.group,
                    dashboard_url=portal_url(cloud, str(wanted.id), options.tenant_id),
                    adopts=wanted.id.key,
                )
            found = settled(recipe, asked, instance, options, generation=generation, parent=parent)
        except Contradiction as contradiction:
            raise InvalidParameters(contradiction.description) from contradiction
        except Impossible:
            return Foresight()
        return Foresight(
            subscription=found.place.subscription,
            region=found.place.location,
            resource_group=found.place.group,
            dashboard_url=portal_url(cloud, found.main.id, options.tenant_id),
        )

    return foresee


def _known_of(parent: ServiceInstance | None) -> JsonObject:
    """Return the record of a parent; of one that is still being adopted its id is known already."""
    if parent is None:
        return {}
    return parent.record or ({"main": {"id": parent.adopts}} if parent.adopts else {})


def _refuse_changes(recipe: Recipe, instance: ServiceInstance) -> None:
    """
    Refuse an update of what was adopted that could not be carried out.

    Raises:
        ChangeNotSupported: It would change what is never changed.
    """
    mode, applied, asked = adopted_as(instance.record), instance.applied, instance.asked
    if mode is None or applied is None or asked is None:
        return
    if mode is AdoptionMode.BIND_ONLY:
        own = (recipe.adopt or {"parameters": {}})["parameters"]
        before, after = applied.parameters, asked.parameters
        changed = sorted(
            name for name in {*before, *after} - {*own} if not same_json(before.get(name), after.get(name))
        )
        if changed:
            raise ChangeNotSupported(
                f"{shown(changed[0])} cannot be changed: the service instance {shown(instance.instance_id)} was "
                "adopted by bind-only, and nothing of it is changed in Azure. Change it there."
            )
