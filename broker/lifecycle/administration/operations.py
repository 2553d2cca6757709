"""What an operator can see and do of operations: look, retry now, cancel."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from broker.domain.bindings import ServiceBinding
from broker.domain.instances import ServiceInstance
from broker.domain.operations import Operation, OperationKind, OperationStatus, Stage
from broker.domain.operators import Deed
from broker.domain.pages import Page, PageRequest
from broker.domain.summaries import OperationFilter, OperationHistory, OperationSummary
from broker.errors import NotFound, WrongState, shown
from broker.lifecycle.administration.deeds import Done, done, note
from broker.lifecycle.deletions import begin_deprovision, begin_unbind
from broker.lifecycle.instances import living_plan, log_acceptance
from broker.lifecycle.options import CatalogSource, LifecycleOptions, time_to_work
from broker.store import bindings, instances, operations
from broker.store.administration import operations as listed
from broker.store.database import Database, Transaction

_DELETIONS = {OperationKind.DEPROVISION, OperationKind.UNBIND}


class OperationAdministration:
    """Shows operators the operations of all platforms, and lets them step in."""

    def __init__(
        self, database: Database, catalog: CatalogSource, options: LifecycleOptions | None = None
    ) -> None:
        self._db = database
        self._catalog = catalog
        self._options = options or LifecycleOptions()

    async def page(self, wanted: OperationFilter, at: PageRequest) -> Page[OperationSummary]:
        """
        Return a page of operations: those that are stuck first, then those in progress, then the newest.

        Raises:
            MalformedRequest: The cursor is none of this list.
        """
        async with self._db.transaction(read_only=True) as tx:
            return await listed.page(tx, wanted, at)

    async def show(self, operation_id: UUID) -> OperationHistory:
        """
        Return an operation with everything that happened to it.

        Raises:
            NotFound: There is none of that id (any more).
        """
        async with self._db.transaction(read_only=True) as tx:
            found = await listed.with_events(tx, operation_id)
        if found is None:
            raise NotFound(f"There is no operation {operation_id} (any more).")
        return found

    async def retry(self, operation_id: UUID, deed: Deed) -> Done:
        """
        Make a waiting operation due now, with a clean slate; or go on with a deletion that has failed.

        A running deletion gets its whole time anew. Creations and updates do not: the platform has been told by when
        they end.

        Raises:
            NotFound: There is no such operation, or what it worked on is gone.
            WrongState: It succeeded, is being worked on at this moment, is not the latest of its instance or
                binding, or is no deletion and has failed.
        """

        async def act(tx: Transaction) -> Done:
            operation, instance, binding = await self._locked(tx, operation_id)
            if operation.finished:
                return await self._again(tx, operation, instance, binding, deed)
            if operation.owner is not None and operation.due_at > tx.now:
                raise WrongState(
                    f"The runner {shown(operation.owner)} is working on it at this moment; there is nothing to hurry."
                )
            deadline_at = operation.deadline_at
            if operation.kind in _DELETIONS:
                deadline_at = max(deadline_at, self._deadline(tx, instance))
            await operations.hurry(tx, operation, deadline_at=deadline_at)
            await self._noted(tx, operation, "retry", deed)
            return Done(
                [f"{_name(operation)} is tried again now, and nothing counts against it."], [operation.id]
            )

        return await done(self._db, deed, act)

    async def cancel(self, operation_id: UUID, deed: Deed) -> Done:
        """
        End a running creation, update or bind; what was made is removed, an update leaves the old plan in force.

        Raises:
            NotFound: There is no such operation, or what it works on is gone.
            WrongState: It has ended, is a deletion, or is being undone already.
        """

        async def act(tx: Transaction) -> Done:
            operation, _, _ = await self._locked(tx, operation_id)
            if operation.finished:
                raise WrongState(f"{_name(operation)} has ended: {operation.status.value}.")
            if operation.kind in _DELETIONS:
                raise WrongState(
                    f"{_name(operation)} is a deletion, which is never cancelled. If it cannot end, abandon what it "
                    "deletes."
                )
            if operation.stage is Stage.UNDOING and not operation.again:
                raise WrongState(f"{_name(operation)} has failed or was cancelled, and is being undone.")
            if operation.cancel_requested_at is not None:
                raise WrongState(f"{_name(operation)} is cancelled already; it ends with its next step.")
            # What is undone in order to begin afresh is only kept from beginning.
            cancelled_at = None if operation.stage is Stage.UNDOING else tx.now
            await operations.save_request(
                tx, replace(operation, again=False, cancel_requested_at=cancelled_at, due_at=tx.now)
            )
            await self._noted(tx, operation, "cancel", deed)
            ends = (
                "it ends as failed, and the service instance keeps its plan and parameters"
                if operation.kind is OperationKind.UPDATE
                else "it ends as failed, and the credentials stay what they were"
                if operation.kind is OperationKind.REFRESH
                else "what it has made is removed, and it ends as failed"
            )
            return Done([f"{_name(operation)} is cancelled: {ends}."], [operation.id])

        return await done(self._db, deed, act)

    async def _again(
        self,
        tx: Transaction,
        failed: Operation,
        instance: ServiceInstance,
        binding: ServiceBinding | None,
        deed: Deed,
    ) -> Done:
        name = _name(failed)
        if failed.status is OperationStatus.SUCCEEDED:
            raise WrongState(f"{name} has succeeded; there is nothing to retry.")
        if failed.kind not in _DELETIONS:
            raise WrongState(
                f"{name} has failed, and whoever ordered it was told so: order again, or delete what there is."
            )
        if binding is not None:
            newest = await operations.last_of_binding(
                tx, failed.platform, failed.instance_id, binding.binding_id
            )
            running = await operations.running_on_binding(tx, binding.key)
        else:
            newest = await operations.last_of_instance(tx, failed.platform, failed.instance_id)
            running = await operations.running_on_instance(tx, instance.key)
        if newest is None or newest.id != failed.id or running is not None:
            now = newest.id if newest is not None else "unknown"
            raise WrongState(f"{name} is not the latest one; that is {now}.")
        deadline_at = self._deadline(tx, instance)
        if binding is not None:
            begun = await begin_unbind(tx, instance, binding, None, deadline_at=deadline_at)
        else:
            begun = await begin_deprovision(tx, instance, None, deadline_at=deadline_at)
        if not deed.dry_run:
            log_acceptance(begun)
        await self._noted(tx, failed, "retry", deed)
        return Done([f"{name} has failed; a new {begun.kind} goes on where it stopped."], [begun.id])

    async def _locked(
        self, tx: Transaction, operation_id: UUID
    ) -> tuple[Operation, ServiceInstance, ServiceBinding | None]:
        seen = await operations.get(tx, operation_id)
        if seen is None:
            raise NotFound(f"There is no operation {operation_id} (any more).")
        # In everybody's order: instance, binding, operation.
        instance = await instances.locked_by_key(tx, seen.instance_key)
        binding = await bindings.locked_by_key(tx, seen.binding_key) if seen.binding_key is not None else None
        operation = await operations.locked(tx, operation_id)
        if operation is None or instance is None or (seen.binding_key is not None and binding is None):
            raise NotFound(f"{_name(seen)} has nothing to work on any more: that is gone.")
        return operation, instance, binding

    async def _noted(self, tx: Transaction, operation: Operation, action: str, deed: Deed) -> None:
        await operations.note(tx, operation.id, action, deed.reason, deed.operator.actor)
        await note(tx, deed, action, f"operation {operation.id}: {_whose(operation)} of {operation.platform}")

    def _deadline(self, tx: Transaction, instance: ServiceInstance) -> datetime:
        return tx.now + time_to_work(living_plan(self._catalog.current(), instance), self._options)


def _name(operation: Operation) -> str:
    return f"The {operation.kind} of {_whose(operation)}"


def _whose(operation: Operation) -> str:
    if operation.binding_id is not None:
        return f"service binding {shown(operation.binding_id)}"
    return f"service instance {shown(operation.instance_id)}"
