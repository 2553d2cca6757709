"""
The steps of a deletion: cancel, remove, roles, history. Reads the record and the recorded resources, no plan.

Newest first, each until it is seen to be gone; what stands below another resource goes with it. Before anything at the
top is deleted its tags are read: what does not carry ours is never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog

from broker.azure import naming
from broker.azure.arm import Arm
from broker.azure.failures import AzureFailure
from broker.data_planes.engines import engine
from broker.domain.adoption import adopted_as
from broker.domain.json_values import JsonObject
from broker.domain.operations import ExternalResource
from broker.provisioners import databases, records
from broker.provisioners.base import Cost, Next, Outcome, Work
from broker.provisioners.deployment import poll_delay, waited
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.purging import Purging
from broker.provisioners.verdicts import Impossible, from_azure, request_id

log = structlog.get_logger(__name__)

ASK_AGAIN_AFTER = timedelta(minutes=2)
"""A deletion that was accepted and came to nothing is asked for once more; a second DELETE is harmless."""
_MOST_LOOKS = 10
_GOING = frozenset({"dropping", "deleting", "deprovisioning"})


class Removal:
    """Carries a deletion out, one step at a time."""

    def __init__(self, arm: Arm, options: ProvisionerOptions) -> None:
        self._arm = arm
        self._options = options
        self._purging = Purging(arm, options)

    async def cancel(self, work: Work) -> Next:
        """Stop a deployment of ours that still runs, and wait for its end: it would make what is deleted."""
        stopping = await self._stopping(work)
        if stopping is not None:
            return stopping
        if not records.living(work) and not work.instance.record.get("purge"):
            return self._after(work)
        return Next(phase="remove", description="Deleting what was made.", cost=Cost(reads=3, deletes=1))

    async def _stopping(self, work: Work) -> Next | None:
        """Return what to wait for while a deployment of ours runs; None when none does."""
        record = work.instance.record
        names = record.get("deployments", ())
        if names:
            place, name = (record["subscription"], record["group"]), names[-1]
            work.guard()
            found = await from_azure(
                self._arm.get_deployment(*place, name, client_request_id=request_id(work))
            )
            if found is not None and not found.terminal:
                state = dict(work.operation.state)
                if "cancelled" not in state or waited(work, "cancelled") > ASK_AGAIN_AFTER:
                    await work.before_change()
                    await from_azure(
                        self._arm.cancel_deployment(*place, name, client_request_id=request_id(work))
                    )
                    state["cancelled"] = work.now.isoformat()
                return Next(
                    phase=work.operation.phase,
                    state=state,
                    delay=poll_delay(self._options.poll_interval, timedelta(0)),
                    description="Stopping the deployment that still runs.",
                    cost=Cost(reads=1, writes=1),
                )
        return None

    async def remove(self, work: Work) -> Next:
        """Delete the newest of what is left, or see that it is gone."""
        left = records.living(work)
        if work.operation.state.get("unseen"):
            # The creation may have been stopped in the middle of its PUT, and Azure have taken that in since.
            stopping = await self._stopping(work)
            if stopping is not None:
                return stopping
        gone: list[str] = []
        unseen: list[str] = []
        if left and await self._gone_with_its_parent(work):
            above = work.instance.record["above"]["id"]
            if self._surely_gone(work, above):
                return await self._purged(work, [resource.resource_id for resource in left])
            return self._look_again(work, [above], gone)
        for _ in range(_MOST_LOOKS):
            target = _next_target(left)
            if target is None:
                return self._look_again(work, unseen, gone) if unseen else await self._purged(work, gone)
            found = await self._find(work, target)
            if found is not None and unseen:
                return self._look_again(work, unseen, gone)
            if found is not None:
                return await self._delete(work, target, found, gone)
            below = [r.resource_id for r in left if records.is_below(r.resource_id, target.resource_id)]
            if self._surely_gone(work, target.resource_id):
                gone += [target.resource_id, *below]
            else:
                unseen.append(target.resource_id)
            left = [r for r in left if r.resource_id not in {target.resource_id, *below}]
        if unseen:
            return self._look_again(work, unseen, gone)
        return Next(phase="remove", gone=gone, cost=Cost(reads=_MOST_LOOKS, deletes=1))

    async def _purged(self, work: Work, gone: Sequence[str]) -> Next:
        return await self._purging.step(work, gone) or self._after(work, gone=gone)

    def _surely_gone(self, work: Work, resource_id: str) -> bool:
        """
        Tell whether what is not found is gone, and not only too new to be found everywhere.

        It is gone when this operation has seen it and asked for its deletion, or when it was not found twice, some
        time apart.
        """
        state = work.operation.state
        since = state.get("unseen", {}).get(resource_id)
        return state.get("deleting") == resource_id or (
            since is not None and work.now - datetime.fromisoformat(since) >= self._grace
        )

    def _look_again(self, work: Work, unseen: Sequence[str], gone: Sequence[str]) -> Next:
        state = dict(work.operation.state)
        before = state.get("unseen", {})
        state["unseen"] = {each: before.get(each, work.now.isoformat()) for each in unseen}
        return Next(
            phase="remove",
            state=state,
            gone=gone,
            delay=self._grace,
            description=f"Making sure that {records.shown(unseen[0])} is gone.",
            progress=bool(gone) or state["unseen"] != before,
            cost=Cost(reads=_MOST_LOOKS, deletes=1),
        )

    @property
    def _grace(self) -> timedelta:
        return self._options.poll_interval * 2

    async def _delete(
        self, work: Work, target: ExternalResource, found: JsonObject, gone: Sequence[str]
    ) -> Next:
        record, shown = work.instance.record, records.shown(target.resource_id)
        if records.is_top_level(target.resource_id) and not naming.is_ours(
            found.get("tags"), record.get("tags", {})
        ):
            raise Impossible(
                f"{shown} does not carry this service instance's tags, so it may be somebody else's. It was left "
                "as it is; an operator has to look at it."
            )
        if records.is_group(target.resource_id):
            await self._refuse_foreign_contents(work, target)
        state = dict(work.operation.state)
        asked_before = state.get("deleting") == target.resource_id
        if not asked_before or (waited(work, "asked") > ASK_AGAIN_AFTER and not _going(found)):
            await self._ask_for_deletion(work, target)
            state |= {"deleting": target.resource_id, "asked": work.now.isoformat()}
        return Next(
            phase="remove",
            state=state,
            gone=gone,
            delay=poll_delay(
                self._options.poll_interval, waited(work, "asked") if asked_before else timedelta(0)
            ),
            description=f"Waiting until {shown} is gone.",
            progress=not asked_before or bool(gone),
            cost=Cost(reads=2, deletes=1),
        )

    async def _refuse_foreign_contents(self, work: Work, target: ExternalResource) -> None:
        """Leave a group alone in which there is something that was not made for its instance."""
        _, _, subscription, _, group = target.resource_id.split("/")
        ours = [r.resource_id for r in work.resources if not records.is_group(r.resource_id)]
        work.guard()
        found = await from_azure(
            self._arm.group_resources(subscription, group, client_request_id=request_id(work))
        )
        ids = [str(resource["id"]) for resource in found]
        foreign = [
            id_
            for id_ in ids
            if not any(id_.lower() == own.lower() or records.is_below(id_, own) for own in ours)
        ]
        if foreign:
            raise Impossible(
                f"{records.shown(target.resource_id)} holds what this broker did not make, such as "
                f"{records.shown(foreign[0])}. Both were left as they are; an operator has to move or delete it."
            )

    async def roles(self, work: Work) -> Next:
        """Drop what a child's database leaves on its parent's server: its owner and its logins."""
        record = work.instance.record
        database = record.get("database")
        if database is not None and database["server"] == "parent" and record.get("above"):
            try:
                server = databases.server_of(database, work.instance, work.parent, self._options)
            except Impossible:
                if await databases.is_there(self._arm, work, record["above"]):
                    raise
            else:
                await databases.unless_gone(
                    self._arm,
                    work,
                    record["above"],
                    engine(databases.kind_of(database)).drop_database_roles(
                        server, database["database"], owner_role=database["owner_role"]
                    ),
                )
        return Next(phase="history", cost=Cost(deletes=len(record.get("deployments", ()))))

    async def history(self, work: Work) -> Next:
        """Take the deployments out of the group's history; that never holds a deletion up."""
        record = work.instance.record
        for name in record.get("deployments", ()):
            await work.before_change()
            try:
                await self._arm.delete_deployment(
                    record["subscription"], record["group"], name, client_request_id=request_id(work)
                )
            except AzureFailure as failure:
                log.warning("A deployment stays in the history.", deployment=name, reason=failure.code)
        if adopted_as(record) is not None and not records.goes_with_its_instance(work.instance):
            said = (
                f"The service instance is gone. {records.shown(record['main']['id'])} was adopted, and stays."
            )
            return Next(Outcome.DONE, phase="history", description=said)
        return Next(Outcome.DONE, phase="history", description="Everything was seen to be gone.")

    def _after(self, work: Work, gone: Sequence[str] = ()) -> Next:
        record = work.instance.record
        if not record:
            return Next(Outcome.DONE, gone=gone, description="There is nothing in Azure.")
        if adopted_as(record) is not None and not records.goes_with_its_instance(work.instance):
            return Next(
                phase="release" if record["tags"] else "history",
                gone=gone,
                description="Letting go of what was adopted.",
                cost=Cost(reads=1, writes=1, deletes=len(record.get("deployments", ()))),
            )
        on_a_parent = (record.get("database") or {}).get("server") == "parent"
        return Next(
            phase="roles" if on_a_parent else "history",
            gone=gone,
            description="Cleaning up.",
            cost=Cost(reads=1, deletes=len(record.get("deployments", ()))),
        )

    async def _gone_with_its_parent(self, work: Work) -> bool:
        """Tell whether a child's parent is gone in Azure; one that is not the parent's any more is not touched."""
        above: Any = work.instance.record.get("above")
        if above is None:
            return False
        work.guard()
        found = await from_azure(
            self._arm.get_resource(above["id"], above["api_version"], client_request_id=request_id(work))
        )
        tagged = above.get("tagged", True)
        if found is not None and tagged and not naming.is_ours(found.get("tags"), above["tags"]):
            raise Impossible(
                f"{records.shown(above['id'])} does not carry its service instance's tags any more, so what is on it "
                "was left as it is; an operator has to look at it."
            )
        return found is None

    async def _find(self, work: Work, target: ExternalResource) -> JsonObject | None:
        work.guard()
        if records.is_group(target.resource_id):
            _, _, subscription, _, group = target.resource_id.split("/")
            return await from_azure(
                self._arm.get_group(subscription, group, client_request_id=request_id(work))
            )
        return await from_azure(
            self._arm.get_resource(target.resource_id, target.api_version, client_request_id=request_id(work))
        )

    async def _ask_for_deletion(self, work: Work, target: ExternalResource) -> None:
        await work.before_change()
        if records.is_group(target.resource_id):
            _, _, subscription, _, group = target.resource_id.split("/")
            await from_azure(self._arm.delete_group(subscription, group, client_request_id=request_id(work)))
        else:
            await from_azure(
                self._arm.delete_resource(
                    target.resource_id, target.api_version, client_request_id=request_id(work)
                )
            )


def _next_target(left: Sequence[ExternalResource]) -> ExternalResource | None:
    """
    Return the newest resource that does not go with another one of the list.

    Groups go last and empty: somebody else's resource must not go with them.
    """
    kept = [r for r in left if not records.is_group(r.resource_id)] or left
    tops = [
        resource
        for resource in kept
        if not any(records.is_below(resource.resource_id, other.resource_id) for other in kept)
    ]
    return max(tops, key=lambda resource: resource.position, default=None)


def _going(found: JsonObject) -> bool:
    properties = found.get("properties") or {}
    states = {str(properties.get(key, "")).lower() for key in ("state", "provisioningState")}
    return bool(states & _GOING)
