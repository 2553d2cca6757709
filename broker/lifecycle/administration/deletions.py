"""
What an operator can do to be rid of something: delete it as a platform would, or have the broker forget it.

Deleting goes by the engine, and ends as every deletion does. Abandoning always ends: the record goes to the history,
at once (and everything in Azure stays as it is, tags and all), or after one more attempt to delete.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeGuard
from uuid import UUID

from broker.domain.bindings import ServiceBinding
from broker.domain.instances import ServiceInstance
from broker.domain.operations import Operation, OperationKind
from broker.domain.operators import Deed
from broker.errors import HasChildren, NotFound, WrongState, shown
from broker.lifecycle.administration.deeds import Done, done, instance_of, note, whose
from broker.lifecycle.deletions import begin_deprovision, begin_unbind, end
from broker.lifecycle.instances import living_plan, log_acceptance
from broker.lifecycle.options import CatalogSource, LifecycleOptions, time_to_work
from broker.store import bindings, instances, operations, operations_queue, resources
from broker.store.database import Database, Transaction


class InAzure(StrEnum):
    """What becomes of an abandoned record's resources in Azure."""

    KEEP = "keep"
    """They stay as they are; the record goes at once."""
    DELETE = "delete"
    """They are deleted as well as it goes; the record goes when that has ended, one way or the other."""


@dataclass
class _Told:
    dry_run: bool
    effects: list[str] = field(default_factory=list)
    operations: list[UUID] = field(default_factory=list)

    @property
    def done(self) -> Done:
        return Done(self.effects, self.operations)

    def begun(self, operation: Operation) -> None:
        self.operations.append(operation.id)
        if not self.dry_run:
            log_acceptance(operation)


class DeletionAdministration:
    """Deletes and abandons for operators."""

    def __init__(
        self, database: Database, catalog: CatalogSource, options: LifecycleOptions | None = None
    ) -> None:
        self._db = database
        self._catalog = catalog
        self._options = options or LifecycleOptions()

    async def delete(
        self, instance_id: str, platform: str | None, deed: Deed, *, with_children: bool = False
    ) -> Done:
        """
        Order a deprovision, whatever state the instance is in; a second call joins the first.

        Raises:
            NotFound, Ambiguous: There is no such instance, or there are several.
            HasChildren: It has, and they are not to go with it.
        """

        async def act(tx: Transaction) -> Done:
            instance = await instance_of(tx, instance_id, platform)
            told = _Told(deed.dry_run)
            for each in await _family(tx, instance, with_children=with_children):
                await self._delete(tx, each, told)
                await note(tx, deed, "delete", whose(each))
            return told.done

        return await done(self._db, deed, act)

    async def abandon(
        self,
        instance_id: str,
        platform: str | None,
        deed: Deed,
        *,
        in_azure: InAzure,
        with_children: bool = False,
    ) -> Done:
        """
        Have the broker forget an instance with its bindings; its history, and what is left of it in Azure, stay known.

        The id may be used again at once: the next instance under it gets other names in Azure.

        Raises:
            NotFound, Ambiguous: There is no such instance, or there are several.
            HasChildren: It has, and they are not to go with it.
        """

        async def act(tx: Transaction) -> Done:
            instance = await instance_of(tx, instance_id, platform)
            told = _Told(deed.dry_run)
            for each in reversed(await _family(tx, instance, with_children=with_children)):
                if in_azure is InAzure.KEEP:
                    await _forget_instance(tx, each, deed, told)
                else:
                    await self._delete(tx, each, told, abandon=_words(deed))
                await note(tx, deed, f"abandon, {in_azure} in Azure", whose(each))
            return told.done

        return await done(self._db, deed, act)

    async def abandon_binding(
        self, instance_id: str, binding_id: str, platform: str | None, deed: Deed, *, in_azure: InAzure
    ) -> Done:
        """
        Have the broker forget a binding; kept in Azure, its credentials go on working until somebody changes that.

        Raises:
            NotFound, Ambiguous: There is no such instance or binding, or there are several.
            WrongState: Its instance is being deleted, which removes the binding, too.
        """

        async def act(tx: Transaction) -> Done:
            instance = await instance_of(tx, instance_id, platform)
            binding = await _binding_of(tx, instance, binding_id)
            told = _Told(deed.dry_run)
            if in_azure is InAzure.KEEP:
                await _forget_binding(tx, instance, binding, deed, told)
            else:
                await self._unbind(tx, instance, binding, told, abandon=_words(deed))
            await note(
                tx,
                deed,
                f"abandon, {in_azure} in Azure",
                f"service binding {binding_id} of {whose(instance)}",
            )
            return told.done

        return await done(self._db, deed, act)

    async def _delete(
        self, tx: Transaction, instance: ServiceInstance, told: _Told, *, abandon: str | None = None
    ) -> None:
        name = _name(instance)
        running = await operations.running_on_instance(tx, instance.key)
        if _does_it_already(running, abandon):
            told.effects.append(f"{name} is being deleted already; this joins that.")
            told.operations.append(running.id)
            return
        operation = await begin_deprovision(
            tx, instance, running, deadline_at=self._deadline(tx, instance), abandon=abandon
        )
        first = ""
        if running is not None:
            first += f" The running {running.kind} ends."
        if bound := len(await bindings.of_instance(tx, instance.key)):
            first += f" Service bindings that are removed first: {bound}."
        last = " The record goes even if that fails." if abandon is not None else ""
        told.effects.append(f"{name} is deleted in Azure.{first}{last}")
        told.begun(operation)

    async def _unbind(
        self,
        tx: Transaction,
        instance: ServiceInstance,
        binding: ServiceBinding,
        told: _Told,
        *,
        abandon: str | None,
    ) -> None:
        name = f"Service binding {shown(binding.binding_id)}"
        running = await operations.running_on_binding(tx, binding.key)
        on_instance = await operations.running_on_instance(tx, instance.key)
        if on_instance is not None and on_instance.kind is OperationKind.DEPROVISION:
            raise WrongState(
                f"{name} goes with its service instance, which is being deleted. Nothing has changed."
            )
        operation = await begin_unbind(
            tx, instance, binding, running, deadline_at=self._deadline(tx, instance), abandon=abandon
        )
        told.effects.append(f"{name} is removed in Azure. The record goes even if that fails.")
        told.begun(operation)

    def _deadline(self, tx: Transaction, instance: ServiceInstance) -> datetime:
        return tx.now + time_to_work(living_plan(self._catalog.current(), instance), self._options)


def _does_it_already(running: Operation | None, abandon: str | None) -> TypeGuard[Operation]:
    if running is None or running.kind is not OperationKind.DEPROVISION:
        return False
    return abandon is None or running.abandons is not None


async def _family(
    tx: Transaction, instance: ServiceInstance, *, with_children: bool
) -> list[ServiceInstance]:
    """Return an instance and what hangs on it, parents before children, locked in that order."""
    found = [instance]
    for each in found:
        children = await instances.children(tx, each.key)
        if children and not with_children:
            raise HasChildren(instance.instance_id, [child.instance_id for child in children])
        locked = [await instances.locked_by_key(tx, child.key) for child in children]
        found += [child for child in locked if child is not None]
    return found


async def _binding_of(tx: Transaction, instance: ServiceInstance, binding_id: str) -> ServiceBinding:
    found = await bindings.locked(tx, instance.key, binding_id)
    if found is None:
        raise NotFound(
            f"{_name(instance)} has no living service binding {shown(binding_id)}; "
            "the history may know what became of it."
        )
    return found


async def _forget_instance(tx: Transaction, instance: ServiceInstance, deed: Deed, told: _Told) -> None:
    words = (
        f"It was ended since an operator abandoned the service instance {shown(instance.instance_id)}; what it had in "
        "Azure was left there. Delete it at the platform to be rid of it there, too."
    )
    running = await operations.running_on_bindings(tx, instance.key)
    if (of_instance := await operations.running_on_instance(tx, instance.key)) is not None:
        running.append(of_instance)
    for operation in running:
        await end(tx, operation, words)
    left = [
        one for one in await resources.of_instance(tx, instance.key) if one.gone_at is None and one.made_by_us
    ]
    bound = len(await bindings.of_instance(tx, instance.key))
    await instances.remove(tx, instance, reason=_words(deed))
    await operations_queue.nudge(tx, instance.key, instance.parent_key, of_binding=False)
    ends = f" {len(running)} running operations end." if running else ""
    told.effects.append(
        f"{_name(instance)} is forgotten: its record goes to the history, with {bound} service bindings.{ends} "
        f"Left in Azure: {len(left)} resources, and whatever credentials were handed out."
    )
    told.effects += [f"Left in Azure: {one.resource_id}" for one in left]


async def _forget_binding(
    tx: Transaction, instance: ServiceInstance, binding: ServiceBinding, deed: Deed, told: _Told
) -> None:
    running = await operations.running_on_binding(tx, binding.key)
    if running is not None:
        await end(
            tx,
            running,
            f"It was ended since an operator abandoned the service binding {shown(binding.binding_id)}; its "
            "credentials were left alone. Delete it at the platform to be rid of it there, too.",
        )
        told.effects.append(f"The running {running.kind} ends.")
    await bindings.remove(tx, binding, instance, reason=_words(deed))
    await operations_queue.nudge(tx, instance.key, instance.parent_key, of_binding=True)
    told.effects.append(
        f"Service binding {shown(binding.binding_id)} is forgotten: its record goes to the history. Its credentials "
        "go on working until somebody takes them away in Azure."
    )


def _name(instance: ServiceInstance) -> str:
    return f"Service instance {shown(instance.instance_id)} of {instance.platform}"


def _words(deed: Deed) -> str:
    return f"Abandoned by {deed.operator.actor}: {deed.reason}"
