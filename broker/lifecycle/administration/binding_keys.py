"""What an operator can do about keys of Azure's in credentials, which others may change there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

from broker.domain.binding_keys import may_read_keys
from broker.domain.bindings import BindingState, ServiceBinding
from broker.domain.catalog import Catalog
from broker.domain.instances import InstanceState, ServiceInstance
from broker.domain.json_values import JsonObject
from broker.domain.operations import Operation, OperationKind, Stage
from broker.domain.operators import Deed
from broker.domain.summaries import KeyCheck
from broker.errors import NotFound, WrongState, shown
from broker.lifecycle.administration.deeds import Done, done, instance_of, note, whose
from broker.lifecycle.instances import inputs, log_acceptance
from broker.lifecycle.options import CatalogSource
from broker.store import bindings, instances, inventories, operations
from broker.store.administration import bindings as listed
from broker.store.database import Database, Transaction

REFRESHED_WITHIN = timedelta(minutes=10)
AT_MOST = 500
"""Bindings in one order."""


class BindingKeyAdministration:
    """Has keys compared with Azure's, and read from there again."""

    def __init__(self, database: Database, catalog: CatalogSource) -> None:
        self._db = database
        self._catalog = catalog

    async def refresh(
        self, instance_id: str, platform: str | None, deed: Deed, *, binding_id: str | None = None
    ) -> Done:
        """
        Have the keys of a binding, or of all bindings of an instance that have any, read again.

        Each is an operation; one that is under way for the same binding is joined. Its end replaces the sealed
        credentials; until then, and if it fails, they are those of before.

        Raises:
            NotFound, Ambiguous: There is no such instance or binding, or there are several.
            WrongState: The named binding holds no keys, or is not complete, or is being removed.
        """

        async def act(tx: Transaction) -> Done:
            instance = await instance_of(tx, instance_id, platform)
            if binding_id is None:
                wanted = await bindings.of_instance(tx, instance.key)
                return await self._several(tx, deed, [(instance, one.binding_id) for one in wanted])
            binding = await bindings.locked(tx, instance.key, binding_id)
            if binding is None:
                raise NotFound(
                    f"The service instance {shown(instance_id)} has no living service binding {shown(binding_id)}; the "
                    "history may know what became of it."
                )
            if (obstacle := await self._obstacle(tx, instance, binding)) is not None:
                raise WrongState(f"Service binding {shown(binding_id)} {obstacle} Nothing has changed.")
            told, operation_id = await self._order(tx, instance, binding, deed)
            return Done([told], [operation_id])

        return await done(self._db, deed, act)

    async def refresh_stale(self, platform: str | None, deed: Deed) -> Done:
        """
        Have the keys of all stale bindings read again, of one platform's or of all, 500 in one order.

        Raises:
            StoreUnavailable: The database does not answer.
        """

        async def act(tx: Transaction) -> Done:
            found: list[tuple[ServiceInstance, str]] = []
            for owner, instance_id, binding_id in await listed.stale(tx, platform, at_most=AT_MOST):
                instance = await instances.locked(tx, owner, instance_id)
                if instance is not None:
                    found.append((instance, binding_id))
            return await self._several(tx, deed, found)

        return await done(self._db, deed, act)

    async def check(self, deed: Deed) -> Done:
        """
        Have the keys of all bindings compared with Azure's at once; one that is under way is not begun again.

        Raises:
            StoreUnavailable: The database does not answer.
        """

        async def act(tx: Transaction) -> Done:
            await inventories.ask_for(tx, inventories.KEYS)
            await note(tx, deed, "compare keys", "all service bindings")
            return Done(["The keys of all service bindings are compared with Azure's."])

        return await done(self._db, deed, act)

    async def last_check(self) -> KeyCheck:
        """
        Return what the last comparison has found, and how many bindings are stale now.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._db.transaction(read_only=True) as tx:
            row = await inventories.last_round(tx, inventories.KEYS)
            stale = await bindings.count_stale(tx)
        if row is None:
            return KeyCheck(stale=stale)
        return KeyCheck(
            due_at=None if row.owner else row.due_at,
            running_since=row.started_at if row.owner else None,
            finished_at=row.finished_at,
            trouble=row.trouble,
            looked_at=row.report.get("looked_at", 0),
            stale=stale,
        )

    async def _several(
        self, tx: Transaction, deed: Deed, wanted: Sequence[tuple[ServiceInstance, str]]
    ) -> Done:
        told: list[str] = []
        begun: list[UUID] = []
        for instance, binding_id in wanted:
            binding = await bindings.locked(tx, instance.key, binding_id)
            if binding is None or await self._obstacle(tx, instance, binding) is not None:
                continue
            words, operation_id = await self._order(tx, instance, binding, deed)
            told.append(words)
            begun.append(operation_id)
        return Done(told or ["There is no such service binding with keys that could be read again."], begun)

    async def _obstacle(
        self, tx: Transaction, instance: ServiceInstance, binding: ServiceBinding
    ) -> str | None:
        """Tell why its keys cannot be read again."""
        if binding.unopened is not None:
            return f"cannot be opened: the sealing key {binding.unopened} is missing."
        if binding.state is not BindingState.BOUND or instance.state is InstanceState.DELETING:
            return f"is not complete, or is being removed: its state is '{binding.state}'."
        plan = self._catalog.current().find(instance.service_offering_id, binding.service_plan_id)
        if binding.keys_checked_at is None and (plan is None or not may_read_keys(plan.recipe)):
            return "holds no keys of Azure's: there is nothing to read again."
        running = await operations.running_on_binding(tx, binding.key)
        if running is not None and running.kind is not OperationKind.REFRESH:
            return f"is busy with another {running.kind}."
        return None

    async def _order(
        self, tx: Transaction, instance: ServiceInstance, binding: ServiceBinding, deed: Deed
    ) -> tuple[str, UUID]:
        name = f"service binding {binding.binding_id} of {whose(instance)}"
        running = await operations.running_on_binding(tx, binding.key)
        if running is not None:
            return f"The keys of {name} are being read already; this joins that.", running.id
        operation = Operation(
            id=uuid4(),
            kind=OperationKind.REFRESH,
            platform=instance.platform,
            instance_id=instance.instance_id,
            instance_key=instance.key,
            binding_id=binding.binding_id,
            binding_key=binding.key,
            created_at=tx.now,
            due_at=tx.now,
            deadline_at=tx.now + REFRESHED_WITHIN,
            provisioner=instance.provisioner,
            stage=Stage.WORKING,
            inputs=_inputs(self._catalog.current(), instance, binding),
            subscription=instance.subscription,
        )
        await operations.add(tx, operation)
        await note(tx, deed, "refresh", name)
        if not deed.dry_run:
            log_acceptance(operation)
        return f"The keys of {name} are read from Azure again.", operation.id


def _inputs(catalog: Catalog, instance: ServiceInstance, binding: ServiceBinding) -> JsonObject:
    """Give the plan's present recipe to a binding that has none of its own."""
    plan = catalog.find(instance.service_offering_id, binding.service_plan_id)
    if plan is None or binding.keys_checked_at is not None:
        return {"plan_id": binding.service_plan_id}
    return inputs(plan, catalog.revision)
