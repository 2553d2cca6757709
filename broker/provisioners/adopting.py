"""
The steps of taking over what exists: check, look, tag; of looking at it again; and of letting go of it.

`check` and `look` read only, in Azure and in a database server. What is bound only is never written to: no tag, no
deployment, no deletion. What is managed carries the broker's tags from `tag` to `release`, beside those that it has.
"""

from __future__ import annotations

from dataclasses import replace

from broker.azure import naming
from broker.azure.arm import Arm
from broker.azure.resource_ids import parse, portal_url
from broker.domain.adoption import AdoptionMode, adopted_as
from broker.domain.json_values import JsonObject
from broker.domain.operations import ExternalResource
from broker.provisioners import adoption, records
from broker.provisioners.adoptable import Adoptables, Seen, patiently, require
from broker.provisioners.adoption import Wanted
from broker.provisioners.base import Cost, Next, Outcome, Work
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.preflight import Refused, asked
from broker.provisioners.recipe import Recipe
from broker.provisioners.settling import asked_of
from broker.provisioners.verdicts import NOT_POSSIBLE, Impossible, Vanished, from_azure, request_id


class Adopting:
    """Takes over what exists, one step at a time."""

    def __init__(self, arm: Arm, options: ProvisionerOptions) -> None:
        self._arm = arm
        self._options = options
        self._adoptables = Adoptables(arm, options)

    def wanted(self, work: Work) -> Wanted | None:
        """
        Tell what the operation is to adopt; None if it is to make something.

        Raises:
            Contradiction: What was ordered contradicts itself.
        """
        recipe = Recipe.of(work.operation)
        if recipe.adopt is None:
            return None
        parent = work.parent.record if work.parent else {}
        return adoption.wanted_of(recipe, asked_of(work).parameters, self._options, parent=parent)

    async def check(self, work: Work, wanted: Wanted) -> Next:
        """
        Refuse what cannot be adopted, and leave nothing; or go on to the adoption.

        Raises:
            StepFailed: Azure could not be asked.
        """
        try:
            seen = await self._adoptables.seen(work, wanted, asked)
            await self._adoptables.check_permissions(work, wanted)
            await self._adoptables.sign_in(work, seen)
        except Refused as refused:
            return Next(Outcome.FAILED, description=refused.description, unmade=True, refusal=refused.refusal)
        except Impossible as impossible:
            return Next(Outcome.FAILED, description=impossible.description, unmade=True, refusal=NOT_POSSIBLE)
        shown = records.shown(seen.record["main"]["id"])
        if work.operation.dry_run:
            return Next(
                Outcome.DONE,
                description=f"{shown} can be adopted. {self._adoptables.foretold(work, seen)}",
                unmade=True,
            )
        return Next(phase="", description=f"{shown} can be adopted.", cost=Cost(reads=1 + len(seen.lives)))

    async def look(self, work: Work, wanted: Wanted) -> Next:
        """Write down what is there as a creation would write down what it makes."""
        try:
            seen = await self._adoptables.seen(work, wanted, patiently)
            await self._adoptables.sign_in(work, seen)
        except Refused as refused:
            raise Impossible(refused.description) from refused
        main = seen.record["main"]
        row = ExternalResource(work.instance.key, main["id"], main["api_version"], 1, made_by_us=False)
        return Next(
            phase="tag",
            description=f"Adopting {records.shown(main['id'])}.",
            record=seen.record,
            secrets=seen.secrets,
            resources=[row],
            subscription=seen.record["subscription"],
            resource_group=seen.record["group"],
            region=seen.record["location"],
            dashboard_url=portal_url(self._arm.cloud, main["id"], self._options.tenant_id),
            cost=Cost(writes=1 if main["tagged"] else 0),
        )

    async def tag(self, work: Work) -> Next:
        """End the adoption: what is managed, and can have tags, gets the broker's beside those that it has."""
        record = work.instance.record
        if record["tags"]:
            await work.before_change()
            await from_azure(
                self._arm.merge_tags(record["main"]["id"], record["tags"], client_request_id=request_id(work))
            )
        return Next(Outcome.DONE, description=_ready(record))

    async def again(self, work: Work) -> Next:
        """
        Look again at what is bound only: an update that changes nothing in Azure.

        Raises:
            Vanished: It is gone.
            Impossible: It cannot be bound any more, or the new administrator cannot sign in.
            StepFailed: Azure or the server could not be asked.
        """
        record = work.instance.record
        recipe = Recipe.of(work.operation)
        live = await self._adoptables.live(work, record["main"], patiently)
        if live is None:
            raise Vanished(
                f"{records.shown(record['main']['id'])} is no longer there: somebody deleted it in Azure. Delete this "
                "service instance."
            )
        wanted = Wanted(parse(record["main"]["id"]), AdoptionMode.BIND_ONLY)
        try:
            source = await self._adoptables.source(work, recipe, wanted, live, patiently)
            require(recipe, source, live, wanted)
            secrets = {**records.secrets_of(work.instance), **adoption.secrets_of(recipe, source)}
            newer = {**record, "outputs": adoption.outputs_of(recipe, source) or record.get("outputs", {})}
            await self._adoptables.sign_in(work, Seen(wanted, live, {}, newer, secrets, source))
        except Refused as refused:
            raise Impossible(refused.description) from refused
        return Next(Outcome.DONE, record=newer, secrets=secrets, description=_ready(record))

    async def prepared(self, work: Work) -> Work:
        """
        Return the work of an update with what the managed resource has of all that users do not give.

        Raises:
            StepFailed: Azure could not be asked.
        """
        recipe, instance = Recipe.of(work.operation), work.instance
        configuration = asked_of(work)
        main = instance.record["main"]
        live = await self._adoptables.live(work, main, patiently)
        if live is None:
            return work  # The update finds that out for itself.
        wanted = Wanted(parse(main["id"]), AdoptionMode.MANAGE)
        source = await self._adoptables.source(work, recipe, wanted, live, patiently)
        lives = await self._adoptables.lives(work, recipe, live, source, patiently)
        kept = adoption.kept_of(
            recipe, configuration.parameters, lives, self._options.egress_addresses, source
        )
        secrets = {**configuration.secrets, **adoption.secrets_of(recipe, source)}
        return replace(
            work,
            instance=replace(
                instance,
                record={**instance.record, records.KEPT: kept},
                asked=replace(configuration, secrets=secrets),
            ),
        )

    async def made_before(self, work: Work, resources: list[ExternalResource]) -> list[ExternalResource]:
        """Return what an update of a managed resource will name, and mark what is there already as not ours."""
        marked = []
        for resource in resources:
            main = {"id": resource.resource_id, "api_version": resource.api_version}
            there = await self._adoptables.live(work, main, patiently)
            marked.append(replace(resource, made_by_us=there is None))
        return marked

    async def release(self, work: Work) -> Next:
        """Take the broker's tags off what was managed, and leave it; what is gone is gone."""
        record = work.instance.record
        live = await self._adoptables.live(work, record["main"], patiently)
        if live is not None and naming.is_ours(live.get("tags"), record["tags"]):
            await work.before_change()
            await from_azure(
                self._arm.remove_tags(
                    record["main"]["id"],
                    record["tags"],
                    client_request_id=request_id(work),
                )
            )
        return Next(phase="history", description="The broker's tags are off.")


def _ready(record: JsonObject) -> str:
    shown = records.shown(record["main"]["id"])
    if adopted_as(record) is AdoptionMode.BIND_ONLY:
        return f"{shown} is adopted: it can be bound, and is never changed."
    return f"{shown} is adopted."
