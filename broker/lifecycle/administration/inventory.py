"""What an operator can see and do about resources without a record, and records without a resource."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid4

from broker.domain.instances import InstanceState, ServiceInstance
from broker.domain.inventory import Inventory, Stray, StrayKind
from broker.domain.json_values import JsonObject
from broker.domain.operations import ExternalResource, Operation, OperationKind
from broker.domain.operators import Deed, Operator
from broker.errors import MalformedRequest
from broker.store import audit, instances, inventories, operations, resources
from broker.store.database import Database, Transaction
from broker.store.errors import Duplicate

ORPHANS = "(orphans)"
"""Stands for a platform with what is deleted because it is of no service instance; no platform is called so."""
DELETED_WITHIN = timedelta(hours=2)
_PROVISIONER = "arm_template"
_RECORD_FORMAT = 1


@dataclass(frozen=True)
class StrayDeletion:
    """What became of the order to delete a stray: the operation that does it, or why there is none."""

    resource_id: str
    operation_id: UUID | None = None
    instance_id: str | None = None
    refused: str | None = None


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

    async def take(self, operator: Operator) -> Inventory:
        """
        Have stock taken at once; one that is under way is not begun again. Returns what is known so far.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._db.transaction() as tx:
            await inventories.ask_for(tx)
            await audit.add(tx, operator.actor, None, "take stock", "azure")
            return await inventories.read(tx)

    async def delete(
        self, deed: Deed, resource_ids: Collection[str] = (), *, every_orphan: bool = False
    ) -> list[StrayDeletion]:
        """
        Have strays deleted in Azure: those that are named, or every orphan; what was abandoned has to be named.

        Each is taken on record as an instance of nobody's and deprovisioned as any other, which reads its tags once
        more right before it is deleted and leaves it alone if any of the four is not as it was found. The same order
        again joins the one that is under way, or begins it anew after it has failed.

        Raises:
            MalformedRequest: Nothing is named, and not every orphan is meant.
            StoreUnavailable: The database does not answer; some may have been ordered.
        """
        if not resource_ids and not every_orphan:
            raise MalformedRequest("Name the resources to delete, or ask for every orphan.")
        found = {stray.resource_id.lower(): stray for stray in (await self.read()).strays}
        wanted = [one.lower() for one in resource_ids]
        if every_orphan:
            wanted += [name for name, stray in found.items() if stray.kind is StrayKind.ORPHAN]
        done: list[StrayDeletion] = []
        covered: set[str] = set()
        # A group comes before what is in it: that goes with it, under one operation.
        for name in sorted(set(wanted), key=lambda one: (one.count("/"), one)):
            if name in covered:
                continue
            stray = found.get(name)
            if stray is None:
                told = "The last look at Azure has not found this as a stray; have another one taken."
                done.append(StrayDeletion(name, refused=told))
                continue
            inside = [
                one
                for other, one in found.items()
                if other.startswith(name + "/") and dict(one.tags) == dict(stray.tags)
            ]
            covered |= {one.resource_id.lower() for one in inside}
            done.append(await self._ordered(deed, stray, inside))
        return done

    async def _ordered(self, deed: Deed, stray: Stray, inside: list[Stray]) -> StrayDeletion:
        try:
            return await self._order(deed, stray, inside)
        except Duplicate:
            # Another operator was faster by a moment: join what he has ordered.
            return await self._order(deed, stray, inside)

    async def _order(self, deed: Deed, stray: Stray, inside: list[Stray]) -> StrayDeletion:
        async with self._db.transaction() as tx:
            instance_id = _name_of(stray)
            known = await instances.locked(tx, ORPHANS, instance_id)
            if known is None:
                lives = await inventories.recorded(tx)
                if any(lives.get(one.resource_id.lower()) for one in (stray, *inside)):
                    told = "It is on record as a living service instance's by now."
                    return StrayDeletion(stray.resource_id, refused=told)
            running = await operations.running_on_instance(tx, known.key) if known else None
            if running is not None:
                return StrayDeletion(stray.resource_id, running.id, instance_id)
            if deed.dry_run:
                return StrayDeletion(stray.resource_id, instance_id=instance_id)
            instance = known or await self._adopted(tx, stray, inside, instance_id)
            await instances.save(tx, replace(instance, state=InstanceState.DELETING))
            operation = _deprovision(tx, instance)
            await operations.add(tx, operation)
            await audit.add(
                tx, deed.operator.actor, None, "delete orphan", f"resource {stray.resource_id}", deed.reason
            )
            return StrayDeletion(stray.resource_id, operation.id, instance_id)

    async def _adopted(
        self, tx: Transaction, stray: Stray, inside: list[Stray], instance_id: str
    ) -> ServiceInstance:
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
        taken = [
            ExternalResource(instance.key, one.resource_id, one.api_version, position)
            for position, one in enumerate((stray, *inside))
        ]
        await resources.forget_abandoned(tx, [one.resource_id for one in taken])
        await resources.note(tx, taken)
        return instance


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


def _deprovision(tx: Transaction, instance: ServiceInstance) -> Operation:
    return Operation(
        id=uuid4(),
        kind=OperationKind.DEPROVISION,
        platform=instance.platform,
        instance_id=instance.instance_id,
        instance_key=instance.key,
        created_at=tx.now,
        due_at=tx.now,
        deadline_at=tx.now + DELETED_WITHIN,
        provisioner=instance.provisioner,
        inputs={"plan_id": None},
        subscription=instance.subscription,
    )
