"""Bringing in what platforms hold as service instances of an older broker, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from broker.domain.adoption import DELETE_POLICY, MODE, RESOURCE_ID, AdoptionMode
from broker.domain.catalog import ServicePlan
from broker.domain.instances import Context
from broker.domain.json_values import JsonObject
from broker.domain.operators import Deed
from broker.domain.requests import Caller, Importing, ProvisionRequest
from broker.errors import AlreadyExists, InvalidParameters, MalformedRequest, shown
from broker.lifecycle.instances import Accepted, Instances, refused
from broker.lifecycle.options import CatalogSource

PICKED = "picked"
"""How a parameter goes into a template from which it cannot be read back."""


@dataclass(frozen=True)
class Held:
    """A service instance as its platform knows it, and the resource that it is."""

    platform: str
    instance_id: str
    service_offering_id: str
    service_plan_id: str
    context: Context
    resource_id: str
    adopt: AdoptionMode = AdoptionMode.BIND_ONLY
    delete_policy: str | None = None
    parent: str | None = None
    """Instance id or alias of the parent, for a child."""
    alias: str | None = None
    parameters: JsonObject = field(default_factory=dict)
    secrets: JsonObject = field(default_factory=dict, repr=False)
    """Parameters that nobody is shown, such as an administrator's password."""


@dataclass(frozen=True)
class Imported:
    """
    What became of it: `outcome` is `begun` (by `operation`), `known` (it is there, and just so), or, after a dry run,
    `possible` or `untried`.
    """

    outcome: str
    description: str
    operation: UUID | None = None


class Imports:
    """Makes service instances of what exists, under the plans of older brokers or any other that lets it be adopted."""

    def __init__(
        self, instances: Instances, catalog: CatalogSource, platforms: Sequence[str] | None = None
    ) -> None:
        self._instances = instances
        self._catalog = catalog
        self._platforms = platforms

    async def bring_in(self, deed: Deed, held: Held) -> Imported:
        """
        Accept one; the same one again changes nothing, and finds out whether it was brought in.

        Azure is asked before it is accepted, as for any order. A dry run asks as well, and leaves nothing but its row
        in the audit; what stands on a parent is not tried by it.

        Raises:
            BrokerError: It cannot be, and nothing has changed; as `Instances.provision` says.
        """
        self._check_platform(held.platform)
        _, plan = self._catalog.current().plan(held.service_offering_id, held.service_plan_id)
        request = ProvisionRequest(
            Caller(held.platform),
            held.instance_id,
            held.service_offering_id,
            held.service_plan_id,
            _parameters(plan.to_import(), held),
            held.context,
            accepts_incomplete=True,
            importing=Importing(deed.operator.actor, deed.reason),
        )
        if not deed.dry_run:
            outcome = await self._instances.provision(request)
            if isinstance(outcome, Accepted):
                return Imported("begun", "It is being imported.", outcome.operation_id)
            return Imported("known", "It was imported before, and is as it is described here.")
        if held.parent is not None:
            plan.to_import().create_parameters.check(request.parameters)
            return Imported("untried", "It stands on a parent, and can only be tried by importing it.")
        try:
            told = await self._instances.try_out(request)
        except AlreadyExists as known:
            return Imported("known", known.description)
        if told.refusal is not None:
            raise refused(told.refusal, told.description)
        return Imported("possible", told.description)

    def _check_platform(self, platform: str) -> None:
        if self._platforms is not None and platform not in self._platforms:
            known = ", ".join(sorted(self._platforms)) or "none"
            raise MalformedRequest(
                f"There is no platform {shown(platform)} in BROKER_PLATFORMS; there are {known}."
            )


def _parameters(plan: ServicePlan, held: Held) -> JsonObject:
    """
    Put together what an order would say.

    Raises:
        InvalidParameters: A secret is given in the open, or an update would set what nobody has given.
    """
    if in_the_open := sorted(held.parameters.keys() & set(plan.sensitive)):
        raise InvalidParameters(f"{shown(in_the_open[0])} is a secret: give it among the secrets.")
    given = {**held.parameters, **held.secrets}
    if held.adopt is AdoptionMode.MANAGE:
        user = plan.recipe.get("user", {})
        unread = sorted(
            name for name, said in user.items() if said.get("through") == PICKED and name not in given
        )
        if unread:
            raise InvalidParameters(
                f"{shown(unread[0])} is missing among the parameters: what the resource has of it cannot be read back, "
                "and the next change would overwrite it."
            )
    words = {"alias": held.alias, "parentAlias": held.parent, DELETE_POLICY: held.delete_policy}
    modes = plan.recipe["adopt"]["modes"]
    if len(modes) > 1:
        words[MODE] = held.adopt.value
    elif held.adopt.value not in modes:
        raise InvalidParameters(f"The plan {shown(plan.name)} is imported by {modes[0]} alone.")
    return {
        **given,
        **{name: value for name, value in words.items() if value is not None},
        RESOURCE_ID: held.resource_id,
    }
