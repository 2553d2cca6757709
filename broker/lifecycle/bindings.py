"""What a platform can ask about service bindings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar
from uuid import UUID, uuid4

import structlog

from broker.domain.binding_rules import check_bind, decide_bind, decide_unbind, parameters_of_rotation
from broker.domain.bindings import BindingState, ServiceBinding
from broker.domain.catalog import Catalog, ServicePlan
from broker.domain.decisions import AlreadyDone, Join, WaitFor
from broker.domain.instance_rules import check_belongs
from broker.domain.instances import InstanceState, ServiceInstance
from broker.domain.json_values import JsonObject
from broker.domain.operations import Operation, OperationKind, OperationStatus, Stage
from broker.domain.requests import BindRequest, Caller, UnbindRequest
from broker.errors import ConcurrencyError, Gone, NotFound, OperationFailed, StillRunning, shown
from broker.lifecycle import tenancy
from broker.lifecycle.deletions import begin_unbind
from broker.lifecycle.instances import inputs, log_acceptance, refused
from broker.lifecycle.options import CatalogSource, LifecycleOptions, time_to_work
from broker.lifecycle.waiting import Patience, decided, ended
from broker.store import audit, bindings, instances, operations
from broker.store.database import Database, Transaction

log = structlog.get_logger(__name__)

T = TypeVar("T")

# When a binding with a lifetime should be rotated: late enough to be worth it, early enough to be done in time.
_RENEW_AT = 0.8


@dataclass(frozen=True)
class Bound:
    """A service binding as it is shown to the platform; `created` if this very request made it."""

    credentials: JsonObject
    parameters: JsonObject = field(default_factory=dict)
    endpoints: tuple[JsonObject, ...] = ()
    expires_at: datetime | None = None
    renew_before: datetime | None = None
    created: bool = False


@dataclass(frozen=True)
class BindingAccepted:
    """An operation goes on; the platform polls it."""

    operation_id: UUID


@dataclass(frozen=True)
class Unbound:
    """The binding's credentials are refused from now on."""


@dataclass(frozen=True)
class _Started:
    operation: Operation
    joined: bool
    may_be_late: bool
    """Whether a late answer is possible: the platform agreed, and can fetch the binding afterwards."""


class Bindings:
    """Accepts what platforms ask about service bindings, and waits for the answer where that is better."""

    def __init__(
        self, database: Database, catalog: CatalogSource, options: LifecycleOptions | None = None
    ) -> None:
        self._db = database
        self._catalog = catalog
        self._options = options or LifecycleOptions()

    async def bind(self, request: BindRequest) -> Bound | BindingAccepted:
        """
        Make a binding and wait for it; the same request again joins it or finds it.

        While the instance is created or updated the request waits, too. When its time is over and the
        platform cannot poll, the bind is undone and the answer makes the platform delete the binding.

        Raises:
            BrokerError: As `decide_bind`, `check_bind` and `parameters_of_rotation` say.
            NeverPossible, NotPossibleNow: It cannot be made, and nothing is left of it.
            OperationFailed: The bind failed; what it made was removed, or the next unbind removes it.
            StillRunning: It took too long.
        """
        patience = Patience(self._options.request_wait)
        while True:
            decision = await self._decided(lambda: self._bind(request), patience)
            if isinstance(decision, Bound):
                return decision
            if isinstance(decision, _Started):
                return await self._bound(request, decision, patience)
            if patience.over:
                kind = str(decision.operation.kind)
                raise ConcurrencyError(f"Service instance {shown(request.instance_id)}", kind)
            await self._wait(decision.operation.id, patience)

    async def unbind(self, request: UnbindRequest) -> Unbound | BindingAccepted:
        """
        Delete a binding and wait for its end, whatever else is running; the same request again joins it.

        Raises:
            BrokerError: As `decide_unbind` and `check_belongs` say.
            OperationFailed: The credentials could not be withdrawn; the next unbind goes on from there.
            StillRunning: It goes on; the same request joins it.
        """
        patience = Patience(self._options.request_wait)
        started = await self._decided(lambda: self._unbind(request), patience)
        operation = await self._wait(started.operation.id, self._waits(started, patience))
        if operation is None:
            if started.may_be_late:
                return BindingAccepted(started.operation.id)
            raise StillRunning(
                f"Service binding {shown(request.binding_id)} is still being removed; "
                "repeat the request to wait for it.",
                retry_after=5,
            )
        if operation.status is OperationStatus.FAILED:
            raise OperationFailed(operation.description)
        if started.joined:
            # One deletion is told once: whoever asked for what was on its way finds it gone.
            raise Gone(f"There is no service binding {shown(request.binding_id)} any more.")
        return Unbound()

    async def fetch(self, platform: str, instance_id: str, binding_id: str) -> Bound:
        """
        Show a binding with its credentials.

        Raises:
            NotFound: There is none, or it is not (or not any more) complete.
        """
        instance, binding = await self._decided(
            lambda: self._read(platform, instance_id, binding_id), Patience(self._options.quick_wait)
        )
        if instance is None or binding is None or binding.credentials is None:
            raise NotFound(f"There is no service binding {shown(binding_id)} that could be shown now.")
        if binding.state in {BindingState.BINDING, BindingState.BIND_FAILED}:
            raise NotFound(f"There is no service binding {shown(binding_id)} that could be shown now.")
        catalog = self._catalog.current()
        offering = catalog.offering(instance.service_offering_id)
        if offering is not None and not offering.bindings_retrievable:
            raise NotFound(f"Bindings of the service offering {shown(offering.name)} cannot be fetched.")
        plan = catalog.find(instance.service_offering_id, binding.service_plan_id)
        # Without the plan nobody knows which parameters are secret: then none is shown.
        visible = {
            name: value
            for name, value in binding.parameters.items()
            if plan and name not in plan.bind_sensitive
        }
        return replace(_bound(binding), parameters=visible)

    async def _bound(
        self, request: BindRequest, started: _Started, patience: Patience
    ) -> Bound | BindingAccepted:
        operation = await self._wait(started.operation.id, self._waits(started, patience))
        if operation is None and started.may_be_late:
            return BindingAccepted(started.operation.id)
        if operation is None and not started.joined:
            operation = await self._cancel(started.operation)
        if operation is None:
            goes_on = "is still being made" if started.joined else "is being undone"
            raise StillRunning(
                f"Service binding {shown(request.binding_id)} took longer than a request may and {goes_on}.",
                retry_after=5,
            )
        if operation.status is OperationStatus.FAILED:
            deletion = await self._decided(lambda: self._ended_by(request, operation), patience)
            if deletion is not None:
                raise ConcurrencyError(f"Service binding {shown(request.binding_id)}", str(deletion))
            if operation.refusal is not None and await self._is_gone(request, operation, patience):
                raise refused(operation.refusal, operation.description)
            raise OperationFailed(operation.description)
        binding = await self._binding(request, patience)
        if binding is None or binding.key != operation.binding_key or binding.credentials is None:
            raise ConcurrencyError(f"Service binding {shown(request.binding_id)}", str(OperationKind.UNBIND))
        return replace(_bound(binding), created=not started.joined)

    async def _binding(self, request: BindRequest, patience: Patience) -> ServiceBinding | None:
        platform, instance_id = request.caller.platform, request.instance_id
        _, binding = await self._decided(
            lambda: self._read(platform, instance_id, request.binding_id), patience
        )
        return binding

    async def _is_gone(self, request: BindRequest, bind: Operation, patience: Patience) -> bool:
        """Whether nothing is left of a bind that has failed: only then its platform has nothing to clean up."""
        left = await self._binding(request, patience)
        return left is None or left.key != bind.binding_key

    async def _ended_by(self, request: BindRequest, bind: Operation) -> OperationKind | None:
        """Tell which deletion has ended *bind*, if one has: then it did not fail, it was overtaken."""
        platform, instance_id = request.caller.platform, request.instance_id
        async with self._db.transaction(read_only=True) as tx:
            newest = await operations.last_of_binding(tx, platform, instance_id, request.binding_id)
            if newest is not None and newest.id != bind.id and newest.kind is OperationKind.UNBIND:
                return newest.kind
            instance = await instances.get(tx, platform, instance_id)
        if instance is None or instance.key != bind.instance_key or instance.state is InstanceState.DELETING:
            return OperationKind.DEPROVISION
        return None

    async def _read(
        self, platform: str, instance_id: str, binding_id: str
    ) -> tuple[ServiceInstance | None, ServiceBinding | None]:
        async with self._db.transaction(read_only=True) as tx:
            instance = await instances.get(tx, platform, instance_id)
            return instance, await bindings.get(tx, instance.key, binding_id) if instance else None

    async def _bind(self, request: BindRequest) -> Bound | _Started | WaitFor:
        caller = request.caller
        catalog = self._catalog.current()
        async with self._db.transaction() as tx:
            instance = await instances.locked(tx, caller.platform, request.instance_id)
            rules = self._options.tenants.current()
            catalog = tenancy.standing_of(rules, catalog, instance, request.service_plan_id).catalog
            instance_operation = await operations.running_on_instance(tx, instance.key) if instance else None
            binding = await bindings.get(tx, instance.key, request.binding_id) if instance else None
            running = await operations.running_on_binding(tx, binding.key) if binding else None
            decision = decide_bind(instance, instance_operation, binding, running, request)
            assert instance is not None, "decide_bind refuses what is not there"
            if isinstance(decision, WaitFor):
                # Refuse at once what would be refused after the wait as well.
                self._checked(catalog, instance, request)
                return decision
            if isinstance(decision, AlreadyDone):
                assert binding is not None, "only what is there is done"
                return _bound(binding)
            may_be_late = self._may_be_late(catalog, instance) and request.accepts_incomplete
            if isinstance(decision, Join):
                return _Started(decision.operation, joined=True, may_be_late=may_be_late)
            plan = self._checked(catalog, instance, request)
            parameters = request.parameters or {}
            if request.predecessor_binding_id is not None:
                predecessor = await bindings.get(tx, instance.key, request.predecessor_binding_id)
                parameters = parameters_of_rotation(plan, predecessor, request)
            binding = _new_binding(tx, instance, plan, request, parameters)
            await bindings.add(tx, binding)
            duration = time_to_work(plan, self._options) if may_be_late else self._options.request_wait
            operation = replace(
                self._operation(tx, instance, binding, OperationKind.BIND, caller, tx.now + duration),
                inputs=inputs(plan, catalog.revision),
            )
            await operations.add(tx, operation)
            await self._audit(tx, caller, "bind", request.instance_id, request.binding_id)
            tx.wake()
        log_acceptance(operation)
        return _Started(operation, joined=False, may_be_late=may_be_late)

    async def _unbind(self, request: UnbindRequest) -> _Started:
        caller = request.caller
        catalog = self._catalog.current()
        async with self._db.transaction() as tx:
            tx.opens_all = False
            instance = await instances.locked(tx, caller.platform, request.instance_id)
            # Locked before it is read: a step may be writing down at this moment what the undo will go by.
            binding = await bindings.locked(tx, instance.key, request.binding_id) if instance else None
            running = await operations.running_on_binding(tx, binding.key) if binding else None
            decision = decide_unbind(binding, running, request)
            assert instance is not None, "decide_unbind refuses what is not there"
            assert binding is not None, "decide_unbind refuses what is not there"
            check_belongs(instance, request.service_offering_id, request.service_plan_id, catalog)
            may_be_late = request.accepts_incomplete
            if isinstance(decision, Join):
                return _Started(decision.operation, joined=True, may_be_late=may_be_late)
            plan = catalog.find(instance.service_offering_id, binding.service_plan_id)
            operation = await begin_unbind(
                tx,
                instance,
                binding,
                decision.running,
                deadline_at=tx.now + time_to_work(plan, self._options),
                request_identity=caller.request_identity,
                trace=caller.trace,
            )
            await self._audit(tx, caller, "unbind", request.instance_id, request.binding_id)
            tx.wake()
        log_acceptance(operation)
        return _Started(operation, joined=False, may_be_late=may_be_late)

    async def _cancel(self, operation: Operation) -> Operation | None:
        """Mark a bind to be undone; one that has ended in the meantime is returned, for its end is the answer."""
        async with self._db.transaction() as tx:
            current = await operations.get(tx, operation.id)
            if current is None or current.finished:
                return current
            await operations.save_request(tx, replace(current, cancel_requested_at=tx.now, due_at=tx.now))
            tx.wake()
            return None

    def _waits(self, started: _Started, patience: Patience) -> Patience:
        """Take less time where a late answer is possible: soon enough, and most often the better one."""
        if not started.may_be_late:
            return patience
        return Patience(min(self._options.quick_wait, patience.left))

    async def _decided(self, decide: Callable[[], Awaitable[T]], patience: Patience) -> T:
        return await decided(decide, patience=patience, look_again=self._options.look_again)

    async def _wait(self, operation_id: UUID, patience: Patience) -> Operation | None:
        return await ended(self._db, operation_id, patience=patience)

    def _checked(self, catalog: Catalog, instance: ServiceInstance, request: BindRequest) -> ServicePlan:
        made = instance.configuration
        _, plan = catalog.plan(
            request.service_offering_id or instance.service_offering_id,
            request.service_plan_id or (made.service_plan_id if made else ""),
        )
        check_bind(instance, plan, request)
        return plan

    @staticmethod
    def _may_be_late(catalog: Catalog, instance: ServiceInstance) -> bool:
        offering = catalog.offering(instance.service_offering_id)
        return offering is not None and offering.bindings_retrievable

    @staticmethod
    def _operation(
        tx: Transaction,
        instance: ServiceInstance,
        binding: ServiceBinding,
        kind: OperationKind,
        caller: Caller,
        deadline_at: datetime,
    ) -> Operation:
        return Operation(
            id=uuid4(),
            kind=kind,
            platform=instance.platform,
            instance_id=instance.instance_id,
            instance_key=instance.key,
            binding_id=binding.binding_id,
            binding_key=binding.key,
            created_at=tx.now,
            due_at=tx.now,
            deadline_at=deadline_at,
            provisioner=instance.provisioner,
            stage=Stage.WORKING,
            subscription=instance.subscription,
            request_identity=caller.request_identity,
            trace=caller.trace,
        )

    @staticmethod
    async def _audit(tx: Transaction, caller: Caller, action: str, instance_id: str, binding_id: str) -> None:
        await audit.add(
            tx,
            actor=caller.platform,
            originating_identity=caller.originating_identity,
            action=action,
            object=f"service binding {binding_id} of service instance {instance_id}",
        )


def _new_binding(
    tx: Transaction,
    instance: ServiceInstance,
    plan: ServicePlan,
    request: BindRequest,
    parameters: JsonObject,
) -> ServiceBinding:
    lifetime = plan.binding_lifetime
    return ServiceBinding(
        key=uuid4(),
        instance_key=instance.key,
        binding_id=request.binding_id,
        state=BindingState.BINDING,
        service_plan_id=plan.id,
        created_at=tx.now,
        parameters=parameters,
        bind_resource=request.bind_resource,
        context=request.context,
        predecessor_id=request.predecessor_binding_id,
        expires_at=tx.now + lifetime if lifetime else None,
        renew_before=tx.now + lifetime * _RENEW_AT if lifetime else None,
    )


def _bound(binding: ServiceBinding) -> Bound:
    return Bound(
        credentials=binding.credentials or {},
        parameters=binding.parameters,
        endpoints=binding.endpoints,
        expires_at=binding.expires_at,
        renew_before=binding.renew_before,
    )
