"""What an operator can see and do about resources without a record, and records without a resource."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

from broker.domain.instances import InstanceState, ServiceInstance
from broker.domain.inventory import ORPHANS, Inventory, Stray, StrayKind
from broker.domain.json_values import JsonObject
from broker.domain.operations import ExternalResource
from broker.domain.operators import Deed
from broker.errors import MalformedRequest, NotFound, WrongState, shown
from broker.lifecycle.administration.deeds import Done, done, note
from broker.lifecycle.deletions import begin_deprovision
from broker.store import instances, inventories, operations, resources
from broker.store.database import Database, Transaction
from broker.store.errors import ClaimLost

DELETED_WITHIN = timedelta(hours=2)
_PROVISIONER = "arm_template"
_RECORD_FORMAT = 1


class InventoryAdministration:
    """Shows what the last look at Azure has found, asks for another one, and has strays deleted."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def read(self) -> Inventory:
        """
        Return what the last look has found, and which instances are missing now.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._db.transaction(read_only=True) as tx:
            return await inventories.read(tx)

    async def take(self, deed: Deed) -> Done:
        """
        Have stock taken at once; one that is under way is not begun again.

        Raises:
            StoreUnavailable: The database does not answer.
        """

        async def act(tx: Transaction) -> Done:
            await inventories.ask_for(tx)
            await note(tx, deed, "take stock", "azure")
            return Done(["Azure is compared with the records."])

        return await done(self._db, deed, act)

    async def delete(
        self, deed: Deed, resource_ids: Collection[str] = (), *, every_orphan: bool = False
    ) -> Done:
        """
        Have strays deleted in Azure: those that are named, or every orphan; what was abandoned has to be named.

        Each is taken on record as an instance of nobody's and deprovisioned as any other, which reads its tags once
        more right before it is deleted and leaves it alone if any of the four is not as it was found. The same order
        again joins the one that is under way, or begins it anew after it has failed.

        Raises:
            MalformedRequest: Nothing is named, and not every orphan is meant.
            NotFound: The last look at Azure has not found what is named as a stray.
            WrongState: It is on record as a living service instance's by now, or is being deleted with its group.
            StoreUnavailable: The database does not answer.
        """
        if not resource_ids and not every_orphan:
            raise MalformedRequest("Name the resources to delete, or ask for every orphan.")

        async def act(tx: Transaction) -> Done:
            await resources.hold_still(tx)
            strays = (await inventories.read(tx)).strays
            found = {stray.resource_id.lower(): stray for stray in strays}
            wanted = [_named(found, one) for one in resource_ids]
            if every_orphan:
                wanted += [stray for stray in strays if stray.kind is StrayKind.ORPHAN]
            lives = await inventories.recorded(tx, orphans=False)
            told: list[str] = []
            begun: list[UUID] = []
            covered: set[str] = set()
            # A group comes before what is in it: that goes with it, under one operation.
            for stray in sorted(
                wanted, key=lambda one: (one.resource_id.count("/"), one.resource_id.lower())
            ):
                if stray.resource_id.lower() in covered:
                    continue
                whole = [stray, *_inside(stray, strays)]
                covered |= {one.resource_id.lower() for one in whole}
                begun.append(await self._order(tx, whole, lives))
                told += [f"{one.resource_id} is deleted." for one in whole]
                await note(tx, deed, "delete orphan", f"resource {stray.resource_id}")
            return Done(told or ["There is no orphan."], begun)

        return await done(self._db, deed, act)

    async def _order(self, tx: Transaction, whole: Sequence[Stray], lives: Mapping[str, bool]) -> UUID:
        """Begin the deletion of a stray with what is inside it, or join the one that is under way."""
        stray = whole[0]
        for one in whole:
            if lives.get(one.resource_id.lower()):
                raise WrongState(
                    f"{shown(one.resource_id)} is on record as a living service instance's by now."
                )
        instance = await instances.locked(tx, ORPHANS, _name_of(stray))
        if instance is None:
            instance = await self._adopted(tx, whole, _name_of(stray))
        await self._noted(tx, instance, whole)
        running = await operations.running_on_instance(tx, instance.key)
        if running is not None:
            return running.id
        operation = await begin_deprovision(tx, instance, None, deadline_at=tx.now + DELETED_WITHIN)
        return operation.id

    async def _adopted(self, tx: Transaction, whole: Sequence[Stray], instance_id: str) -> ServiceInstance:
        stray = whole[0]
        subscription, group = _place(stray.resource_id)
        instance = ServiceInstance(
            key=uuid4(),
            platform=ORPHANS,
            instance_id=instance_id,
            generation=0,
            state=InstanceState.DELETING,
            service_offering_id="",
            created_at=tx.now,
            provisioner=_PROVISIONER,
            subscription=subscription,
            region=stray.location or None,
            resource_group=group,
            record=_record(stray, subscription, group),
        )
        await instances.add(tx, instance)
        return instance

    async def _noted(self, tx: Transaction, instance: ServiceInstance, whole: Sequence[Stray]) -> None:
        taken = [
            ExternalResource(instance.key, one.resource_id, one.api_version, position)
            for position, one in enumerate(whole)
        ]
        await resources.forget_abandoned(tx, [one.resource_id for one in taken])
        try:
            await resources.note(tx, taken)
        except ClaimLost:
            raise WrongState(
                f"{shown(whole[0].resource_id)} is being deleted already, as part of another orphan. Nothing has "
                "changed; look again when that has ended."
            ) from None


def _named(found: Mapping[str, Stray], resource_id: str) -> Stray:
    stray = found.get(resource_id.lower())
    if stray is None:
        raise NotFound(
            f"The last look at Azure has not found {shown(resource_id)} as a stray; have another one taken."
        )
    return stray


def _inside(group: Stray, strays: Sequence[Stray]) -> list[Stray]:
    prefix, tags = group.resource_id.lower() + "/", dict(group.tags)
    return [one for one in strays if one.resource_id.lower().startswith(prefix) and dict(one.tags) == tags]


def _name_of(stray: Stray) -> str:
    return f"orphan-{hashlib.sha256(stray.resource_id.lower().encode()).hexdigest()[:16]}"


def _place(resource_id: str) -> tuple[str, str]:
    _, _, subscription, _, group, *_ = resource_id.split("/")
    return subscription, group


def _record(stray: Stray, subscription: str, group: str) -> JsonObject:
    """Write down what a deletion goes by; see `broker.provisioners.records`."""
    return {
        "format": _RECORD_FORMAT,
        "generation": 0,
        "subscription": subscription,
        "group": group,
        "location": stray.location,
        "names": {},
        "tags": dict(stray.tags),
        "main": {"id": stray.resource_id, "api_version": stray.api_version, "tagged": True},
        "above": None,
        "deployments": [],
    }
