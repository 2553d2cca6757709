"""
The steps of an update: look, submit, wait, removal of what is no longer wanted, database.

The template is deployed again, incrementally, so what it no longer names stays until it is deleted by its recorded id.
A failed update leaves the instance usable: nothing is deleted before the deployment has succeeded.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from broker.azure import naming
from broker.azure.arm import Arm
from broker.azure.failures import AzureFailure
from broker.domain.adoption import adopted_as
from broker.domain.operations import ExternalResource
from broker.provisioners import purging, records
from broker.provisioners.adopting import Adopting
from broker.provisioners.base import Cost, Next, Work
from broker.provisioners.creation import Creation, ready
from broker.provisioners.deployment import poll_delay, waited
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.parameters import effective
from broker.provisioners.recipe import Recipe
from broker.provisioners.settling import asked_of
from broker.provisioners.verdicts import UNUSABLE, Impossible, Vanished, from_azure, of_azure, request_id


class Updating:
    """Carries an update out, one step at a time."""

    def __init__(self, arm: Arm, options: ProvisionerOptions, creation: Creation, adopting: Adopting) -> None:
        self._arm = arm
        self._options = options
        self._creation = creation
        self._adopting = adopting

    async def look(self, work: Work) -> Next:
        """See what Azure runs now, and write down what the update will add."""
        record = dict(work.instance.record)
        main = record["main"]
        work.guard()
        live = await from_azure(
            self._arm.get_resource(main["id"], main["api_version"], client_request_id=request_id(work))
        )
        if live is None:
            raise Vanished(
                f"{records.shown(main['id'])} is no longer there: somebody deleted it in Azure. "
                "Delete this service instance, and order a new one."
            )
        if main["tagged"] and not naming.is_ours(live.get("tags"), record["tags"]):
            raise Impossible(
                f"{records.shown(main['id'])} no longer carries the broker's tags, so it was left as it is. "
                "An operator has to put the tags back."
            )
        recipe = Recipe.of(work.operation)
        adopted = adopted_as(record) is not None
        if adopted:
            work = await self._adopting.prepared(work)
            record = dict(work.instance.record)
        grown = self._grown(work, recipe, live)
        target = self._creation.target(work, grown)
        wanted = recipe.planned(target.subscription, target.group, target.parameters)
        there = records.living(work)
        recorded = {r.resource_id.lower() for r in work.resources if r.gone_at is None}
        last = max((resource.position for resource in work.resources), default=0)
        added = [
            ExternalResource(work.instance.key, planned.id, planned.api_version, last + number)
            for number, planned in enumerate(wanted, start=1)
            if planned.id.lower() not in recorded
        ]
        if adopted:
            added = await self._adopting.made_before(work, added)
        ids = {planned.id.lower() for planned in wanted}
        removed = [
            r for r in there if r.resource_id.lower() not in ids and not records.is_top_level(r.resource_id)
        ]
        deployments = [*record.get("deployments", ()), target.name]
        record["deployments"] = list(dict.fromkeys(deployments))
        if not adopted:
            record |= purging.planned(work, record, [planned.id for planned in wanted])
        return Next(
            phase="submit",
            record=record,
            resources=added,
            secrets=records.secrets_of(work.instance),
            state={
                "grown": grown,
                "remove": [{"id": r.resource_id, "api_version": r.api_version} for r in removed],
            },
            description=f"Changing {records.shown(main['id'])}.",
            cost=Cost(reads=1, writes=1),
        )

    async def judged(self, work: Work, failed: Next) -> Next:
        """
        Say of an update that Azure did not carry out whether what it left can be used: a part may have been changed.

        Raises:
            StepFailed: Azure could not be asked now.
        """
        main: Any = work.instance.record["main"]
        work.guard()
        try:
            live = await self._arm.get_resource(
                main["id"], main["api_version"], client_request_id=request_id(work)
            )
        except AzureFailure as failure:
            if failure.retryable:
                raise of_azure(failure) from failure
            return replace(failed, instance_usable=True)
        if live is None:
            return replace(failed, instance_usable=False, update_repeatable=False)
        properties = live.get("properties") or {}
        broken = {str(properties.get(key, "")) for key in ("state", "provisioningState")}
        broken = {state for state in broken if state.lower() in UNUSABLE}
        if not broken:
            return replace(failed, instance_usable=True)
        return replace(
            failed,
            instance_usable=False,
            description=f"{failed.description} It cannot be used now: Azure says '{', '.join(sorted(broken))}' of "
            f"{records.shown(main['id'])}; an operator has to look at it there.",
        )

    async def remove(self, work: Work) -> Next:
        """Delete what the update dropped from a list, and wait until it is seen to be gone."""
        state = dict(work.operation.state)
        gone: list[str] = []
        for index, resource in enumerate(state.get("remove", ())):
            work.guard()
            found = await from_azure(
                self._arm.get_resource(
                    resource["id"], resource["api_version"], client_request_id=request_id(work)
                )
            )
            if found is None:
                gone.append(resource["id"])
                continue
            if state.get("removing") != resource["id"] or waited(work, "asked") > timedelta(minutes=1):
                await work.before_change()
                await from_azure(
                    self._arm.delete_resource(
                        resource["id"], resource["api_version"], client_request_id=request_id(work)
                    )
                )
                state |= {"removing": resource["id"], "asked": work.now.isoformat()}
            state["remove"] = state["remove"][index:]
            return Next(
                phase="remove",
                state=state,
                gone=gone,
                delay=poll_delay(self._options.poll_interval, waited(work, "asked")),
                description=f"Deleting {records.shown(resource['id'])}.",
                cost=Cost(reads=1, deletes=1),
            )
        if not work.instance.record.get("database"):
            return replace(ready(work.instance.record), gone=gone)
        return Next(
            phase="database", gone=gone, state={**state, "remove": []}, description="Preparing the database."
        )

    def _grown(self, work: Work, recipe: Recipe, live: Any) -> dict[str, int]:
        """
        Find what Azure has let grow by itself beyond what is asked for: it is kept.

        Raises:
            Impossible: The request would shrink what can only grow.
        """
        asked = asked_of(work).parameters
        before = work.instance.applied.parameters if work.instance.applied else {}
        given = effective(recipe, asked)
        grown = {}
        for name, said in recipe.user.items():
            if not said.get("grows_only") or name not in given:
                continue
            value = recipe.live_value(name, recipe.resources[0]["type"], live)
            lowest = max(before.get(name, given[name]), given[name])
            if given[name] < lowest:
                raise Impossible(
                    f"'{name}' can only grow: it is {lowest} and cannot become {given[name]}. Give {lowest} or more."
                )
            grown[name] = max(value, given[name]) if isinstance(value, int) else given[name]
        return grown
