"""What Azure keeps of a deleted resource, together with its name: deleted once more where the order says so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog

from broker.azure import naming
from broker.azure.arm import Arm
from broker.azure.resource_ids import parse
from broker.domain.json_values import JsonObject
from broker.provisioners import records
from broker.provisioners.base import Cost, Next, Work
from broker.provisioners.deployment import poll_delay, waited
from broker.provisioners.options import ProvisionerOptions
from broker.provisioners.parameters import effective
from broker.provisioners.recipe import Recipe, pick
from broker.provisioners.settling import asked_of
from broker.provisioners.verdicts import from_azure, request_id

log = structlog.get_logger(__name__)

ASK_AGAIN_AFTER = timedelta(minutes=2)


def planned(work: Work, record: JsonObject, ids: Sequence[str]) -> JsonObject:
    """
    Return what to write into the *record* of the resources with these *ids* that are to be purged once deleted.

    Nothing for plans that purge nothing. Deletion reads the record alone, so each creation and update writes it.
    """
    recipe = Recipe.of(work.operation)
    given = effective(recipe, asked_of(work).parameters)
    types = {said["type"].lower(): said for said in recipe.resources if "purge" in said}
    if not types:
        return {}
    found = []
    for resource_id in ids:
        parsed = parse(resource_id)
        said = types.get(parsed.type.lower())
        if said is None or not pick(said["purge"]["when"], {"parameters": given}):
            continue
        place = f"/subscriptions/{record['subscription']}/providers/{parsed.namespace}"
        place += f"/locations/{record['location']}"
        found.append(
            {
                "id": f"{place}/{said['purge']['collection']}/{parsed.name}",
                "of": resource_id,
                "api_version": said["api_version"],
            }
        )
    return {"purge": found}


class Purging:
    """Purges, one step at a time, what a deletion has left."""

    def __init__(self, arm: Arm, options: ProvisionerOptions) -> None:
        self._arm = arm
        self._options = options

    async def step(self, work: Work, gone: Sequence[str]) -> Next | None:
        """
        Take the next step; None once nothing of what the record names is left that can be purged.

        Raises:
            StepFailed: Azure refused or could not be asked. The next deletion goes on here.
        """
        state = dict(work.operation.state)
        done = list(state.get("purged", ()))
        for one in work.instance.record.get("purge", ()):
            if one["id"] in done:
                continue
            work.guard()
            found = await from_azure(
                self._arm.get_resource(one["id"], one["api_version"], client_request_id=request_id(work))
            )
            asked_before = state.get("purging") == one["id"]
            if found is None and not asked_before and "purge_unseen" not in state:
                # What was deleted just now is not listed everywhere at once.
                state["purge_unseen"] = work.now.isoformat()
                return self._next(work, state, gone, one, delay=self._options.poll_interval * 2)
            if found is None or not self._to_be_purged(work, found):
                done.append(one["id"])
                state = {key: value for key, value in state.items() if key not in {"purging", "purge_unseen"}}
                state["purged"] = done
                continue
            if not asked_before or waited(work, "purge_asked") > ASK_AGAIN_AFTER:
                await work.before_change()
                await from_azure(
                    self._arm.begin_action(
                        one["id"], "purge", one["api_version"], client_request_id=request_id(work)
                    )
                )
                state |= {"purging": one["id"], "purge_asked": work.now.isoformat()}
            delay = poll_delay(
                self._options.poll_interval, waited(work, "purge_asked") if asked_before else timedelta(0)
            )
            return self._next(work, state, gone, one, delay=delay)
        return None

    def _next(
        self, work: Work, state: JsonObject, gone: Sequence[str], one: JsonObject, *, delay: timedelta
    ) -> Next:
        return Next(
            phase="remove",
            state=state,
            gone=gone,
            delay=delay,
            description=f"Purging what Azure keeps of {records.shown(one['of'])}.",
            progress=bool(gone) or state != work.operation.state,
            cost=Cost(reads=1, writes=1),
        )

    def _to_be_purged(self, work: Work, found: JsonObject) -> bool:
        """Tell whether what Azure kept is ours, and can be purged before its time."""
        properties = found.get("properties") or {}
        if not naming.is_ours(properties.get("tags"), work.instance.record.get("tags", {})):
            log.warning("What was deleted under our name is somebody else's.", kept=found.get("id"))
            return False
        if properties.get("purgeProtectionEnabled"):
            log.warning("Protection keeps what was deleted.", kept=found.get("id"))
            return False
        return True
