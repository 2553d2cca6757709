"""What a broker has in Azure, by its tag: asked of Azure, not of the broker."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from broker.azure.arm import Arm
from broker.azure.naming import BROKER_TAG, tags
from broker.azure.resource_ids import group_id, parse

_LOOK_EVERY = timedelta(seconds=1)
# Microsoft promises no time within which a new tag is found; minutes have been seen.
APPEARS_WITHIN = timedelta(minutes=5)
VANISHES_WITHIN = timedelta(minutes=2)


@dataclass(frozen=True)
class Leftovers:
    """
    Looks for one broker's resources in the subscriptions that it may use.

    `api_versions` are by resource type in lower case. `groups` are resource groups (subscription and name) that the
    broker may have made: a list of resources does not hold them.
    """

    arm: Arm
    subscriptions: Sequence[str]
    broker_id: str
    api_versions: dict[str, str]
    groups: Sequence[tuple[str, str]] = ()

    async def found(self) -> list[str]:
        """Return the ids of what carries the broker's tag and is really there."""
        tag = {BROKER_TAG: tags(self.broker_id, "", "", 0)[BROKER_TAG]}
        ids = [
            str(resource["id"])
            for subscription in self.subscriptions
            for resource in await self.arm.resources_by_tags(
                subscription, tag, client_request_id=_request_id()
            )
        ]
        groups = [
            group_id(subscription, group)
            for subscription, group in self.groups
            if await self.arm.get_group(subscription, group, client_request_id=_request_id()) is not None
        ]
        resources = [resource_id for resource_id in ids if await self._is_there(resource_id)]
        return [*groups, *resources]

    async def appeared(self, *, within: timedelta = APPEARS_WITHIN) -> list[str]:
        """Wait until something is found; an empty list when the time is over."""
        return await self._until(bool, within)

    async def vanished(self, *, within: timedelta = VANISHES_WITHIN) -> list[str]:
        """Wait until nothing is found; what is still there when the time is over."""
        return await self._until(lambda found: not found, within)

    async def _until(self, enough: Callable[[list[str]], bool], within: timedelta) -> list[str]:
        loop = asyncio.get_running_loop()
        ends = loop.time() + within.total_seconds()
        while True:
            found = await self.found()
            if enough(found) or loop.time() > ends:
                return found
            await asyncio.sleep(_LOOK_EVERY.total_seconds())

    async def _is_there(self, resource_id: str) -> bool:
        # The list lags behind: a resource that is gone may stand in it for a while.
        version = self.api_versions.get(parse(resource_id).type.lower())
        if version is None:
            return True
        found = await self.arm.get_resource(resource_id, version, client_request_id=_request_id())
        return found is not None


def delete_command(resource_id: str) -> str:
    """Return the command line that deletes a resource or a resource group."""
    _, _, subscription, _, group, *below = resource_id.split("/")
    if below:
        return f"az resource delete --ids {resource_id}"
    return f"az group delete --subscription {subscription} --name {group}"


def _request_id() -> str:
    return str(uuid.uuid4())
