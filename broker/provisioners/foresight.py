"""Where an instance will be, told when it is accepted: names follow from ids, so nothing has to be asked."""

from __future__ import annotations

from broker.azure import naming
from broker.azure.clouds import Cloud
from broker.azure.resource_ids import portal_url
from broker.domain.catalog import ServicePlan
from broker.domain.foresight import Foresee, Foresight
from broker.domain.instances import ServiceInstance
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.parameters import Known, template_parameters
from broker.provisioners.placement import place_for
from broker.provisioners.recipe import Recipe
from broker.provisioners.verdicts import Impossible

_ARM_TEMPLATE = "arm_template"
_UNKNOWN_YET = {"administrator_login": "", "administrator_password": ""}


def foreseeing(options: ProvisionerOptions, cloud: Cloud) -> Foresee:
    """Return what tells place and portal page of an instance that `arm_template` will make."""

    def foresee(plan: ServicePlan, instance: ServiceInstance, parent: ServiceInstance | None) -> Foresight:
        if plan.provisioner != _ARM_TEMPLATE or instance.asked is None:
            return Foresight()
        generation, asked = instance.generation, instance.asked.parameters
        identity = (options.broker_id, instance.platform, instance.instance_id, generation)
        try:
            recipe = Recipe.read(plan.recipe)
            place = place_for(recipe, asked, instance, options, generation=generation, parent=parent)
            known = Known(
                names=recipe.names(*identity),
                location=place.location,
                tags=naming.tags(*identity),
                egress_addresses=tuple(str(address) for address in options.egress_addresses),
                secrets=_UNKNOWN_YET,
                parent=parent.record if parent else {},
            )
            resources = recipe.planned(
                place.subscription, place.group, template_parameters(recipe, asked, known)
            )
        except Impossible:
            # The operation will say so, in its own words.
            return Foresight()
        return Foresight(
            subscription=place.subscription,
            region=place.location,
            resource_group=place.group,
            dashboard_url=portal_url(cloud, resources[0].id, options.tenant_id),
        )

    return foresee
