"""Where an instance will be, told when it is accepted: names follow from ids, so nothing has to be asked."""

from __future__ import annotations

from broker.azure.clouds import Cloud
from broker.azure.resource_ids import portal_url
from broker.domain.catalog import ServicePlan
from broker.domain.foresight import Foresee, Foresight
from broker.domain.instances import ServiceInstance
from broker.errors import InvalidParameters
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
        try:
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
