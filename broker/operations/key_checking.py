"""Rounds that compare the keys which were handed out with those that Azure has now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import structlog

from broker.domain.bindings import ServiceBinding
from broker.domain.instances import ServiceInstance
from broker.domain.json_values import JsonObject
from broker.operations.rounds import Doubts, Rounds, RoundsOptions
from broker.provisioners.keys import Keys
from broker.store import bindings, instances, inventories
from broker.store.database import Database
from broker.store.inventories import Taking

log = structlog.get_logger(__name__)

_BATCH = 100
_REMEMBERED = 100
"""Answers of Azure that are held in memory at once: bindings of one account lie side by side."""


@dataclass
class _Round:
    doubts: Doubts = field(default_factory=Doubts)
    answers: dict[tuple[str, str], JsonObject] = field(default_factory=dict, repr=False)
    looked_at: int = 0
    stale: int = 0


class KeyChecker(Rounds):
    """
    Marks bindings whose keys were changed in Azure as stale, and those that are right again as fresh.

    It posts listKeys and the like, one call for all bindings of a resource, and compares in memory: no key is stored or
    logged. It replaces nothing: that is ordered by an operator.
    """

    def __init__(self, database: Database, keys: Keys, options: RoundsOptions) -> None:
        super().__init__(database, inventories.KEYS, options)
        self._keys = keys

    async def _take(self, taking: Taking) -> None:
        now, after = _Round(), None
        while True:
            async with self._database.transaction(read_only=True) as tx:
                tx.opens_all = False
                batch = await bindings.with_keys(tx, after=after, at_most=_BATCH)
                owners = await instances.by_keys(tx, {one.instance_key for one in batch})
                above = {one.parent_key for one in owners.values() if one.parent_key is not None}
                owners |= await instances.by_keys(tx, above)
            if not batch:
                break
            await self._compare(taking, now, batch, owners)
            after = batch[-1].instance_key, batch[-1].key
        async with self._database.transaction() as tx:
            report: dict[str, Any] = {"looked_at": now.looked_at, "stale": now.stale}
            await inventories.finish(
                tx, taking, next_in=self._options.every, found=report, trouble=now.doubts.told
            )
        log.info("Keys were compared.", **report)

    async def _compare(
        self,
        taking: Taking,
        now: _Round,
        batch: Sequence[ServiceBinding],
        owners: Mapping[UUID, ServiceInstance],
    ) -> None:
        for binding in batch:
            instance = owners.get(binding.instance_key)
            if instance is None or instance.missing_since is not None or binding.unopened is not None:
                continue

            async def post(resource_id: str, name: str, api_version: str) -> JsonObject:
                known = now.answers.get((resource_id, name))
                if known is None:
                    await self._paced(taking)
                    if len(now.answers) >= _REMEMBERED:
                        now.answers.clear()
                    known = now.answers[resource_id, name] = await self._keys.post(
                        resource_id, name, api_version
                    )
                return known

            with now.doubts.about(f"service binding {binding.binding_id} of {instance.instance_id}"):
                parent = owners.get(instance.parent_key) if instance.parent_key else None
                is_stale = await self._keys.is_stale(instance, parent, binding, post)
                now.looked_at += 1
                now.stale += is_stale
                await self._mark(taking, instance, binding, is_stale=is_stale)

    async def _mark(
        self, taking: Taking, instance: ServiceInstance, binding: ServiceBinding, *, is_stale: bool
    ) -> None:
        async with self._database.transaction() as tx:
            await inventories.hold(tx, taking)
            marked = await bindings.mark_keys(tx, binding, is_stale=is_stale)
        if marked and is_stale is (binding.stale_since is None):
            log.warning(
                "The keys of a service binding were changed in Azure."
                if is_stale
                else "The keys of a service binding are those of Azure again.",
                platform=instance.platform,
                instance=instance.instance_id,
                binding=binding.binding_id,
            )
