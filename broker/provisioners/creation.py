"""
The steps of a creation: look, group, submit, wait, database.

`look` reads only. What it found free is written down in the same save that leads to `submit`, so nothing is
made without a record and nothing foreign is ever recorded as ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog

from broker.azure import naming
from broker.azure.arm import Arm
from broker.azure.failures import Invalid
from broker.azure.resource_ids import portal_url
from broker.data_planes.engines import engine
from broker.domain.json_values import JsonObject
from broker.domain.operations import ExternalResource
from broker.provisioners import databases, purging, records
from broker.provisioners.base import Cost, Next, Outcome, Work
from broker.provisioners.deployment import Target, look, poll_delay, retry_delay, submit, waited
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.parameters import effective, template_parameters
from broker.provisioners.placement import Place
from broker.provisioners.recipe import Recipe
from broker.provisioners.settling import Plan, asked_of, known_of, settled
from broker.provisioners.verdicts import Impossible, from_azure, request_id

log = structlog.get_logger(__name__)


def ready(record: JsonObject) -> Next:
    """Return the end of a creation or update that has come to what was asked."""
    return Next(Outcome.DONE, description=f"{records.shown(record['main']['id'])} is ready.")


class Creation:
    """Carries a creation out, one step at a time."""

    def __init__(self, arm: Arm, options: ProvisionerOptions) -> None:
        self._arm = arm
        self._options = options

    async def look(self, work: Work) -> Next:
        """Settle names and place, and see whether they are free, or ours from before the store was restored."""
        recipe = Recipe.of(work.operation)
        plan = self._plan(work, recipe, work.instance.generation)
        newer = await self._left_by_a_later_store(work, recipe, plan)
        plan = newer or plan
        await self._refuse_foreign_parent(work)
        if plan.place.own_group:
            await self._refuse_foreign_group(work, plan.place, plan.known.tags)
        for resource in plan.resources:
            if resource.each:
                continue
            work.guard()
            found = await from_azure(
                self._arm.get_resource(resource.id, resource.api_version, client_request_id=request_id(work))
            )
            if found is None:
                break  # What is below it cannot be there either.
            if resource.tagged and not naming.is_ours(found.get("tags"), plan.known.tags):
                return Next(
                    Outcome.FAILED,
                    description=f"The name of {records.shown(resource.id)} is taken in Azure by something that "
                    "this broker did not make. It was left as it is. Order again under another id.",
                )
            log.info("What was ordered is there already.", instance=work.instance.instance_id)
        return replace(self._written_down(work, plan), state=await self._former_deployment(work, plan))

    async def _former_deployment(self, work: Work, plan: Plan) -> JsonObject:
        """
        Note a deployment that this operation ran before its clean-up, when it is tried once more.

        The clean-up takes it out of the history, but Azure may be late with that, or refuse it. Nothing was
        submitted under this generation yet, so whatever bears the operation's name is from a former one.
        """
        if work.instance.generation == 0:
            return {}
        name = naming.deployment_name(work.instance.key, work.operation.id)
        work.guard()
        there = await from_azure(
            self._arm.get_deployment(
                plan.place.subscription, plan.place.group, name, client_request_id=request_id(work)
            )
        )
        return {"former": there.correlation_id or ""} if there is not None and there.terminal else {}

    def _plan(self, work: Work, recipe: Recipe, generation: int) -> Plan:
        return settled(
            recipe, asked_of(work), work.instance, self._options, generation=generation, parent=work.parent
        )

    async def _left_by_a_later_store(self, work: Work, recipe: Recipe, plan: Plan) -> Plan | None:
        """
        Find by tag what this instance made under a generation that this store does not know of.

        That is so after the store was restored from a backup: without this look a second server would be made.
        Generations below are past lives of the id that this store has ended; they are never taken up again.
        """
        if not plan.main.tagged:
            return None
        tags = {
            name: plan.known.tags[name]
            for name in (naming.BROKER_TAG, naming.PLATFORM_TAG, naming.INSTANCE_TAG)
        }
        work.guard()
        found = await from_azure(
            self._arm.resources_by_tags(plan.place.subscription, tags, client_request_id=request_id(work))
        )
        generations = {
            int(tag)
            for resource in found
            if (tag := _tag(resource, naming.GENERATION_TAG)).isdecimal() and int(tag) > plan.generation
        }
        ids = {str(resource["id"]).lower() for resource in found}
        for generation in sorted(generations, reverse=True):
            later = self._plan(work, recipe, generation)
            if later.main.id.lower() in ids:
                return later
        return None

    def _written_down(self, work: Work, plan: Plan) -> Next:
        place, key = plan.place, work.instance.key
        record: dict[str, Any] = {
            "format": 1,
            "generation": plan.generation,
            "subscription": place.subscription,
            "group": place.group,
            "location": place.location,
            "names": dict(plan.known.names),
            "tags": dict(plan.known.tags),
            "main": {
                "id": plan.main.id,
                "api_version": plan.main.api_version,
                "tagged": plan.main.tagged,
            },
            "above": records.above_of(work.parent),
            "deployments": [naming.deployment_name(key, work.operation.id)],
        }
        record |= purging.planned(work, record, [resource.id for resource in plan.resources])
        planned = [
            ExternalResource(key, resource.id, resource.api_version, position)
            for position, resource in enumerate(plan.resources, start=1)
        ]
        if place.own_group:
            planned.insert(0, records.group_resource(work, place.subscription, place.group))
        return Next(
            phase="group" if place.create_group else "submit",
            description=f"Creating {records.shown(plan.main.id)}.",
            record=record,
            secrets=plan.known.secrets,
            resources=planned,
            state={},
            generation=plan.generation,
            subscription=place.subscription,
            resource_group=place.group,
            region=place.location,
            dashboard_url=portal_url(self._arm.cloud, plan.main.id, self._options.tenant_id),
            cost=Cost(reads=1, writes=1),
        )

    async def group(self, work: Work) -> Next:
        """Make the resource group if it is missing."""
        record = work.instance.record
        subscription, group = record["subscription"], record["group"]
        own = Recipe.of(work.operation).placement["group"] == "own"
        work.guard()
        there = await from_azure(self._arm.get_group(subscription, group, client_request_id=request_id(work)))
        if there is None:
            tags = record["tags"] if own else {naming.BROKER_TAG: record["tags"][naming.BROKER_TAG]}
            await work.before_change()
            await from_azure(
                self._arm.put_group(
                    subscription, group, record["location"], tags, client_request_id=request_id(work)
                )
            )
        return Next(phase="submit", cost=Cost(reads=1, writes=1))

    async def _refuse_foreign_group(self, work: Work, place: Place, tags: Mapping[str, str]) -> None:
        work.guard()
        there = await from_azure(
            self._arm.get_group(place.subscription, place.group, client_request_id=request_id(work))
        )
        if there is not None and not naming.is_ours(there.get("tags"), tags):
            raise Impossible(
                f"The resource group '{place.group}' belongs to somebody else. It was left as it is. "
                "Order again under another id."
            )

    async def _refuse_foreign_parent(self, work: Work) -> None:
        above = records.above_of(work.parent)
        if above is None:
            return
        work.guard()
        there = await from_azure(
            self._arm.get_resource(above["id"], above["api_version"], client_request_id=request_id(work))
        )
        if there is None:
            raise Impossible(
                f"{records.shown(above['id'])} of the parent is no longer there in Azure. Delete the "
                "parent, and order it and this again."
            )
        if above.get("tagged", True) and not naming.is_ours(there.get("tags"), above["tags"]):
            raise Impossible(
                f"{records.shown(above['id'])} does not carry the parent's tags any more, so it may be somebody "
                "else's. It was left as it is; an operator has to look at it."
            )

    def target(self, work: Work, grown: dict[str, int] | None = None) -> Target:
        """Return the deployment of this operation, for a creation and for an update alike."""
        record, recipe = work.instance.record, Recipe.of(work.operation)
        secret = records.secrets_of(work.instance)
        known = known_of(self._options, record, secret, work.parent, grown)
        return Target(
            subscription=record["subscription"],
            group=record["group"],
            name=naming.deployment_name(work.instance.key, work.operation.id),
            template=recipe.template,
            parameters=template_parameters(recipe, asked_of(work).parameters, known),
        )

    async def submit(self, work: Work) -> Next:
        """Start the deployment, or find that it was started."""
        state = dict(work.operation.state)
        target = self.target(work, state.get("grown"))
        started = await submit(self._arm, work, target, ended_before=state.pop("former", None))
        state["since"] = work.now.isoformat()
        return Next(
            phase="wait",
            state=state,
            delay=poll_delay(self._options.poll_interval, timedelta(0), started.retry_after),
            description=f"Azure works on {records.shown(work.instance.record['main']['id'])}.",
            cost=Cost(reads=1),
        )

    async def wait(self, work: Work, *, then: str) -> Next:
        """Look at the deployment; its success leads to the phase *then*."""
        record, state = dict(work.instance.record), dict(work.operation.state)
        name = naming.deployment_name(work.instance.key, work.operation.id)
        attempt = state.get("attempt", 1)
        seen = await look(
            self._arm,
            work,
            record["subscription"],
            record["group"],
            name,
            grace=self._options.poll_interval * 2,
            attempt=attempt,
        )
        delay = poll_delay(
            self._options.poll_interval,
            waited(work, "since"),
            seen.deployment.retry_after if seen.deployment else None,
        )
        if seen.again:
            if seen.failure is not None and seen.deployment is not None:
                state["former"] = seen.deployment.correlation_id or ""
                state["attempt"] = attempt + 1
                return Next(
                    phase="submit",
                    state=state,
                    delay=retry_delay(self._options.poll_interval, attempt, work.instance.key),
                    description=f"{seen.failure.describe()} Trying again.",
                    cost=Cost(reads=1, writes=1),
                )
            return Next(phase="submit", state=state, progress=False, cost=Cost(reads=1, writes=1))
        if seen.failure is not None:
            return Next(
                Outcome.FAILED,
                phase="wait",
                description=seen.failure.describe(),
                update_repeatable=not isinstance(seen.failure, Invalid),
            )
        if not seen.ended:
            description = f"Azure works on {records.shown(record['main']['id'])}."
            return Next(
                phase="wait", delay=delay, description=description, progress=False, cost=Cost(reads=1)
            )
        assert seen.deployment is not None
        record["outputs"] = dict(seen.deployment.outputs)
        record["database"] = databases.described(Recipe.of(work.operation), record, record["outputs"])
        if then == "database" and not record["database"]:
            return replace(ready(record), record=record)
        description = (
            "Preparing the database." if then == "database" else "Removing what is no longer wanted."
        )
        return Next(phase=then, record=record, description=description)

    async def database(self, work: Work) -> Next:
        """Prepare the database for bindings, if the plan has one; then all is done."""
        database = work.instance.record.get("database")
        if database is not None:
            recipe = Recipe.of(work.operation)
            given = effective(recipe, asked_of(work).parameters)
            await databases.from_server(
                work,
                engine(databases.kind_of(database)).prepare_database(
                    databases.server_of(database, work.instance, work.parent, self._options),
                    database["database"],
                    owner_role=database["owner_role"],
                    extensions=databases.extensions(recipe, given),
                ),
            )
        return Next(
            Outcome.DONE, description=f"{records.shown(work.instance.record['main']['id'])} is ready."
        )


def _tag(resource: JsonObject, name: str) -> str:
    lowered = {key.lower(): str(value) for key, value in (resource.get("tags") or {}).items()}
    return lowered.get(name.lower(), "")
