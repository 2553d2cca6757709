"""Tells at acceptance where an instance will be, so that its first answer can name its page in the portal. Pure."""

from __future__ import annotations

from broker.azure.clouds import Cloud
from broker.azure.resource_ids import portal_url
from broker.domain.catalog import ServicePlan
from broker.domain.foresight import Foresee, Foresight
from broker.domain.instances import ServiceInstance
from broker.provisioners.creation import settled
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.recipe import Recipe
from broker.provisioners.verdicts import Impossible


def foreseer(options: ProvisionerOptions, cloud: Cloud) -> Foresee:
    """Return what tells, without a call, where an instance of a plan will be made."""

    def foresee(plan: ServicePlan, instance: ServiceInstance, parent: ServiceInstance | None) -> Foresight:
        asked = instance.asked or instance.applied
        if plan.provisioner != "arm_template" or asked is None:
            return Foresight()
        try:
            plan_of = settled(
                Recipe.read(plan.recipe),
                asked,
                instance,
                options,
                generation=instance.generation,
                parent=parent,
            )
        except Impossible:
            return Foresight()  # The operation will say why.
        return Foresight(
            subscription=plan_of.place.subscription,
            region=plan_of.place.location,
            resource_group=plan_of.place.group,
            dashboard_url=portal_url(cloud, plan_of.main.id, options.tenant_id),
        )

    return foresee
