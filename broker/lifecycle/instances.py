"""What a platform can ask about service instances."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar
from uuid import UUID, uuid4

import structlog

from broker.domain import descriptions
from broker.domain.catalog import Catalog, ServicePlan
from broker.domain.decisions import AlreadyDone, Change, Create, CreateAfresh, CreateAgain, Join
from broker.domain.instance_rules import check_order, decide_deprovision, decide_provision, decide_update
from broker.domain.instances import Configuration, InstanceState, ServiceInstance
from broker.domain.json_values import JsonObject
from broker.domain.operations import (
    CHECK,
    DRY_RUN,
    EXPECTED,
    Operation,
    OperationKind,
    OperationStatus,
    Refusal,
    Stage,
)
from broker.domain.requests import Caller, DeprovisionRequest, Importing, ProvisionRequest, UpdateRequest
from broker.domain.tenants import Tenant
from broker.errors import (
    AlreadyExists,
    AsyncRequired,
    HasChildren,
    InvalidParameters,
    MalformedRequest,
    NeverPossible,
    NotFound,
    NotPossibleNow,
    ResourceTaken,
    StillRunning,
    StoreUnavailable,
    shown,
)
from broker.lifecycle import parents, tenancy
from broker.lifecycle.deletions import begin_deprovision
from broker.lifecycle.options import CatalogSource, LifecycleOptions, time_to_work
from broker.lifecycle.waiting import Patience, checked, decided, ended
from broker.store import audit, instances, operations
from broker.store.database import Database, Transaction

log = structlog.get_logger(__name__)

ALIAS_BYTES = 255
"""An alias at most; it is in an index, and PostgreSQL bounds what an index holds."""

_CHECKS_SINCE = 2
"""The handler version that knows the phase CHECK: runners of an older release leave such operations alone."""

T = TypeVar("T")

_Polls: TypeAlias = ProvisionRequest | UpdateRequest | DeprovisionRequest


@dataclass(frozen=True)
class Accepted:
    """An operation goes on; the platform polls it."""

    operation_id: UUID
    dashboard_url: str | None = None
    checking: bool = False
    """Its pre-flight goes on: the request still awaits what that says."""


@dataclass(frozen=True)
class TriedOut:
    """What a pre-flight says of an order that is not carried out; `refusal` is None for one that would be accepted."""

    description: str
    refusal: Refusal | None = None


@dataclass(frozen=True)
class Unchanged:
    """It is already as asked for, or became so within the request."""

    dashboard_url: str | None = None


@dataclass(frozen=True)
class FetchedInstance:
    """A service instance as it may be shown."""

    service_offering_id: str
    service_plan_id: str
    parameters: JsonObject
    dashboard_url: str | None = None
    maintenance_version: str | None = None
    attributes: JsonObject = field(default_factory=dict)


class Instances:
    """Accepts what platforms ask about service instances, and answers what is known of them."""

    def __init__(
        self, database: Database, catalog: CatalogSource, options: LifecycleOptions | None = None
    ) -> None:
        self._db = database
        self._catalog = catalog
        self._options = options or LifecycleOptions()

    async def provision(self, request: ProvisionRequest) -> Accepted | Unchanged:
        """
        Accept a provision; the same request again joins the operation or finds the instance.

        A plan with a pre-flight is checked first, by the operation itself: what Azure would refuse is refused here and
        leaves nothing. When Azure is silent for long the order is accepted, and the operation finds out.

        Raises:
            BrokerError: As `decide_provision`, `check_order`, `parents.lock` and `AsyncRequired` say.
            NeverPossible, NotPossibleNow: The pre-flight has found out why it cannot be made.
        """
        outcome = await self._decided(lambda: self._provision(request))
        if not isinstance(outcome, Accepted) or not outcome.checking:
            return outcome
        patience = Patience(self._options.preflight_wait)
        try:
            operation = await checked(self._db, outcome.operation_id, patience=patience)
            if operation is not None and operation.refusal is not None:
                raise refused(operation.refusal, operation.description)
            instance = await self._decided(lambda: self._read(request.caller.platform, request.instance_id))
        except StoreUnavailable:
            # It was accepted, and goes on: an error would make the platform delete what it has ordered.
            return Accepted(outcome.operation_id, outcome.dashboard_url)
        return Accepted(outcome.operation_id, instance.dashboard_url if instance else outcome.dashboard_url)

    async def try_out(self, request: ProvisionRequest) -> TriedOut:
        """
        Say what a provision would be answered, without making anything; the instance id has to be a free one.

        Whatever the plan asks for beforehand, Azure is asked by reads here, and by its own check if the plan says so.

        Raises:
            BrokerError: As `provision`, for what is refused without asking Azure.
            StillRunning: Azure was silent for as long as a request may wait.
        """
        request = replace(request, accepts_incomplete=True)
        accepted = await self._decided(lambda: self._provision(request, dry_run=True))
        if not isinstance(accepted, Accepted) or not accepted.checking:
            raise AlreadyExists(f"There is a service instance {shown(request.instance_id)} already.")
        patience = Patience(self._options.request_wait)
        operation = await ended(self._db, accepted.operation_id, patience=patience)
        if operation is None:
            raise StillRunning(
                "Azure has not answered in time what the order of the service plan "
                f"{shown(request.service_plan_id)} would come to; ask again.",
                retry_after=30,
            )
        if operation.status is OperationStatus.FAILED and operation.refusal is None:
            return TriedOut(operation.description, Refusal("Unchecked", never=False))
        return TriedOut(operation.description, operation.refusal)

    async def update(self, request: UpdateRequest) -> Accepted | Unchanged:
        """
        Accept an update; a changed context alone is taken over at once.

        Raises:
            BrokerError: As `decide_update` and `AsyncRequired` say, and for parameters that contradict each other.
        """
        return await self._decided(lambda: self._update(request))

    async def deprovision(self, request: DeprovisionRequest) -> Accepted:
        """
        Accept a deprovision, whatever else is running; the same request again joins the operation.

        Raises:
            BrokerError: As `decide_deprovision`, `HasChildren` and `AsyncRequired` say.
        """
        return await self._decided(lambda: self._deprovision(request))

    async def fetch(self, platform: str, instance_id: str) -> FetchedInstance:
        """
        Show a service instance; while an update runs, what was applied before.

        Raises:
            NotFound: There is none, or it is not (and may never be) complete.
        """
        instance = await self._decided(lambda: self._read(platform, instance_id))
        if instance is None or instance.applied is None:
            raise NotFound(f"There is no service instance {shown(instance_id)} that could be shown now.")
        applied = instance.applied
        catalog = self._catalog.current()
        offering = catalog.offering(instance.service_offering_id)
        if offering is not None and not offering.instances_retrievable:
            raise NotFound(f"Instances of the service offering {shown(offering.name)} cannot be fetched.")
        plan = catalog.find(instance.service_offering_id, applied.service_plan_id)
        # Without the plan nobody knows which parameters are secret: then none is shown.
        visible = (
            {name: value for name, value in applied.parameters.items() if name not in plan.sensitive}
            if plan
            else {}
        )
        places = {
            "region": instance.region,
            "resourceGroup": instance.resource_group,
            "subscription": instance.subscription,
        }
        return FetchedInstance(
            service_offering_id=instance.service_offering_id,
            service_plan_id=applied.service_plan_id,
            parameters=visible,
            dashboard_url=instance.dashboard_url,
            maintenance_version=applied.maintenance_version,
            attributes={name: value for name, value in places.items() if value},
        )

    async def _decided(self, decide: Callable[[], Awaitable[T]]) -> T:
        options = self._options
        return await decided(decide, patience=Patience(options.quick_wait), look_again=options.look_again)

    async def _read(self, platform: str, instance_id: str) -> ServiceInstance | None:
        async with self._db.transaction(read_only=True) as tx:
            return await instances.get(tx, platform, instance_id)

    async def _provision(self, request: ProvisionRequest, *, dry_run: bool = False) -> Accepted | Unchanged:
        caller = request.caller
        catalog = self._catalog.current()
        async with self._db.transaction() as tx:
            instance = await instances.locked(tx, caller.platform, request.instance_id)
            running = await operations.running_on_instance(tx, instance.key) if instance else None
            decision = decide_provision(instance, running, request)
            if isinstance(decision, AlreadyDone):
                return Unchanged(instance.dashboard_url if instance else None)
            if isinstance(decision, Join | CreateAgain):
                _needs_async(request, "A provision")
                if isinstance(decision, CreateAgain):
                    # The platform's own time for it begins anew with this request.
                    deadline_at = tx.now + time_to_work(living_plan(catalog, instance), self._options)
                    await operations.save_request(
                        tx,
                        replace(
                            decision.operation,
                            again=True,
                            # What an operator has cancelled is this attempt, not the one that is asked for now.
                            cancel_requested_at=None,
                            due_at=tx.now,
                            deadline_at=deadline_at,
                        ),
                    )
                    await self._audit(tx, caller, "provision again", request.instance_id)
                    tx.wake()
                return Accepted(
                    decision.operation.id,
                    instance.dashboard_url if instance else None,
                    checking=decision.operation.phase == CHECK and not dry_run,
                )
            order = tenancy.order_of(
                self._options.tenants.current(),
                catalog,
                # Once something was written down, the context of a request has no word any more.
                tenancy.tenant_of(instance)
                if instance
                else Tenant.of(caller.platform, request.context, caller.view),
                request.service_offering_id,
                request.service_plan_id,
                importing=request.importing is not None,
            )
            plan = order.plan
            check_order(plan, request)
            _needs_async(request, "A provision")
            if isinstance(decision, Create) or instance is None:
                instance = await self._new_instance(tx, request, order, catalog.revision)
                await tenancy.check_quotas(tx, order, request.instance_id)
                if dry_run:
                    # Nobody's order is to be refused for it, and no child is to find it.
                    instance = replace(instance, alias=None, adopts=None)
                await instances.add(tx, instance)
            else:
                instance = await self._afresh(tx, instance, request, order, catalog.revision)
                await instances.save(tx, instance)
                await instances.save_terms(tx, instance)
            operation = self._operation(tx, instance, OperationKind.PROVISION, caller, plan, catalog.revision)
            # A child waits for its parent first, and what an earlier try has left goes first: neither is to be awaited.
            new = isinstance(decision, Create) and instance.parent_key is None
            checking = new and (dry_run or plan.preflight != "none" or instance.adopts is not None)
            if checking:
                operation = replace(
                    operation,
                    phase=CHECK,
                    handler_version=_CHECKS_SINCE,
                    state={DRY_RUN: True} if dry_run else {},
                )
                if dry_run:
                    # Nobody waits for its answer any longer than that.
                    operation = replace(operation, deadline_at=tx.now + self._options.request_wait)
            elif dry_run:
                raise MalformedRequest("What is ordered on a parent can only be tried by ordering it.")
            await operations.add(tx, operation)
            again = isinstance(decision, CreateAfresh)
            deed = "preflight" if dry_run else "provision again" if again else "provision"
            await self._audit(tx, caller, deed, request.instance_id, request.importing)
            tx.wake()
        log_acceptance(operation)
        return Accepted(operation.id, instance.dashboard_url, checking=checking)

    async def _update(self, request: UpdateRequest) -> Accepted | Unchanged:
        caller = request.caller
        catalog = self._catalog.current()
        async with self._db.transaction() as tx:
            instance = await instances.locked(tx, caller.platform, request.instance_id)
            running = await operations.running_on_instance(tx, instance.key) if instance else None
            last = await operations.last_of_instance(tx, caller.platform, request.instance_id)
            standing = tenancy.standing_of(
                self._options.tenants.current(), catalog, instance, request.service_plan_id
            )
            catalog = standing.catalog
            decision = decide_update(instance, running, request, catalog, last=last)
            assert instance is not None, "decide_update refuses what is not there"
            if isinstance(decision, Join | Change):
                _needs_async(request, "This update")
            moved = self._moved(instance, request)
            if isinstance(decision, Change):
                moved = replace(moved, asked=decision.asked, catalog_revision=catalog.revision)
                # By the context that is stored, not by the one that comes with this very request.
                terms = await tenancy.moved_to(tx, standing, instance, decision.asked.service_plan_id)
                moved = replace(moved, terms=terms)
                _, wanted = catalog.plan(instance.service_offering_id, decision.asked.service_plan_id)
                # Where it is does not change; parameters that contradict each other are refused here.
                parent = await instances.by_key(tx, moved.parent_key) if moved.parent_key else None
                self._options.foresee(wanted, moved, parent)
            if moved != instance:
                if moved.alias is not None and moved.scope != instance.scope:
                    await _free_alias(tx, moved.platform, moved.scope, moved.alias, moved.instance_id)
                await instances.save(tx, moved)
                if moved.terms != instance.terms:
                    await instances.save_terms(tx, moved)
                instance = moved
                await self._audit(tx, caller, "update", request.instance_id)
            if not isinstance(decision, Change):
                if isinstance(decision, Join):
                    return Accepted(decision.operation.id, instance.dashboard_url)
                return Unchanged(instance.dashboard_url)
            _, plan = catalog.plan(instance.service_offering_id, decision.asked.service_plan_id)
            operation = self._operation(tx, instance, OperationKind.UPDATE, caller, plan, catalog.revision)
            await operations.add(tx, operation)
            tx.wake()
        log_acceptance(operation)
        return Accepted(operation.id, instance.dashboard_url)

    async def _deprovision(self, request: DeprovisionRequest) -> Accepted:
        caller = request.caller
        catalog = self._catalog.current()
        async with self._db.transaction() as tx:
            tx.opens_all = False
            instance = await instances.locked(tx, caller.platform, request.instance_id)
            running = await operations.running_on_instance(tx, instance.key) if instance else None
            decision = decide_deprovision(instance, running, request, catalog)
            assert instance is not None, "decide_deprovision refuses what is not there"
            _needs_async(request, "A deprovision")
            if isinstance(decision, Join):
                return Accepted(decision.operation.id, instance.dashboard_url)
            if children := await instances.children(tx, instance.key):
                raise HasChildren(instance.instance_id, [child.instance_id for child in children])
            operation = await begin_deprovision(
                tx,
                instance,
                decision.running,
                deadline_at=tx.now + time_to_work(living_plan(catalog, instance), self._options),
                request_identity=caller.request_identity,
                trace=caller.trace,
            )
            await self._audit(tx, caller, "deprovision", request.instance_id)
            tx.wake()
        log_acceptance(operation)
        return Accepted(operation.id, instance.dashboard_url)

    async def _new_instance(
        self, tx: Transaction, request: ProvisionRequest, order: tenancy.Order, revision: int
    ) -> ServiceInstance:
        plan, platform = order.plan, request.caller.platform
        scope = request.context.scope
        alias = request.parameters.get("alias") if plan.takes_alias else None
        if alias is not None:
            if not isinstance(alias, str) or not 0 < len(alias.encode()) <= ALIAS_BYTES:
                raise InvalidParameters(f"'alias' must be a text of 1 to {ALIAS_BYTES} bytes.")
            await _free_alias(tx, platform, scope, alias, request.instance_id)
        parent = await parents.lock(tx, request, plan) if plan.parent is not None else None
        instance = ServiceInstance(
            key=uuid4(),
            platform=platform,
            instance_id=request.instance_id,
            generation=await instances.next_generation(tx, platform, request.instance_id),
            state=InstanceState.CREATING,
            service_offering_id=request.service_offering_id,
            created_at=tx.now,
            provisioner=plan.provisioner,
            asked=Configuration(
                service_plan_id=plan.id,
                parameters=request.parameters,
                maintenance_version=plan.maintenance_version,
            ),
            context=request.context,
            scope=scope,
            alias=alias,
            parent_key=parent.key if parent else None,
            catalog_revision=revision,
            terms=order.written(),
        )
        foreseen = self._foreseen(plan, instance, parent)
        if foreseen.adopts is not None and await instances.has_resource(tx, foreseen.adopts):
            raise ResourceTaken(foreseen.adopts.rpartition("/")[2])
        return foreseen

    async def _afresh(
        self,
        tx: Transaction,
        instance: ServiceInstance,
        request: ProvisionRequest,
        order: tenancy.Order,
        revision: int,
    ) -> ServiceInstance:
        plan = order.plan
        parent = await parents.lock(tx, request, plan) if plan.parent is not None else None
        secrets = instance.asked.secrets if instance.asked else {}
        return replace(
            instance,
            state=InstanceState.CREATING,
            provisioner=plan.provisioner,
            asked=Configuration(
                service_plan_id=plan.id,
                parameters=request.parameters,
                secrets=secrets,
                maintenance_version=plan.maintenance_version,
            ),
            parent_key=parent.key if parent else None,
            catalog_revision=revision,
            terms=order.written(),
        )

    def _foreseen(
        self, plan: ServicePlan, instance: ServiceInstance, parent: ServiceInstance | None
    ) -> ServiceInstance:
        seen = self._options.foresee(plan, instance, parent)
        return replace(
            instance,
            subscription=seen.subscription,
            region=seen.region,
            resource_group=seen.resource_group,
            dashboard_url=seen.dashboard_url,
            adopts=seen.adopts,
        )

    def _moved(self, instance: ServiceInstance, request: UpdateRequest) -> ServiceInstance:
        """Take a new context over, if the offering lets it change."""
        if request.context is None:
            return instance
        offering = self._catalog.current().offering(instance.service_offering_id)
        if offering is not None and not offering.allow_context_updates:
            return instance
        context = instance.context.updated(request.context)
        if context == instance.context:
            return instance
        return replace(instance, context=context, scope=context.scope)

    def _operation(
        self,
        tx: Transaction,
        instance: ServiceInstance,
        kind: OperationKind,
        caller: Caller,
        plan: ServicePlan,
        revision: int,
    ) -> Operation:
        return Operation(
            id=uuid4(),
            kind=kind,
            platform=instance.platform,
            instance_id=instance.instance_id,
            instance_key=instance.key,
            created_at=tx.now,
            due_at=tx.now,
            deadline_at=tx.now + time_to_work(plan, self._options),
            provisioner=instance.provisioner,
            stage=Stage.WAITING,
            description=descriptions.usually("Accepted.", plan.expected_duration),
            inputs=inputs(plan, revision),
            subscription=instance.subscription,
            request_identity=caller.request_identity,
            trace=caller.trace,
        )

    async def _audit(
        self,
        tx: Transaction,
        caller: Caller,
        action: str,
        instance_id: str,
        importing: Importing | None = None,
    ) -> None:
        if importing is not None:
            whose = f"service instance {instance_id} of {caller.platform}"
            action = "try import" if action == "preflight" else "import"
            await audit.add(tx, importing.actor, None, action, whose, importing.reason)
            return
        await audit.add(
            tx,
            actor=caller.platform,
            originating_identity=caller.originating_identity,
            action=action,
            object=f"service instance {instance_id}",
        )


def inputs(plan: ServicePlan, revision: int) -> JsonObject:
    """Freeze what an operation goes by."""
    frozen: JsonObject = {"plan_id": plan.id, "recipe": plan.recipe, "catalog_revision": revision}
    if plan.expected_duration is None:
        return frozen
    return {**frozen, EXPECTED: plan.expected_duration.total_seconds()}


async def _free_alias(tx: Transaction, platform: str, scope: str, alias: str, instance_id: str) -> None:
    holder = await instances.by_alias(tx, platform, scope, alias)
    if holder is not None and holder.instance_id != instance_id:
        raise AlreadyExists(f"The alias {shown(alias)} is in use by another service instance.")


def refused(refusal: Refusal, description: str) -> NeverPossible | NotPossibleNow:
    """Return a refusal of a pre-flight or a bind as a platform is told it."""
    if refusal.never:
        return NeverPossible(refusal.code, description)
    return NotPossibleNow(refusal.code, description)


def _needs_async(request: _Polls, what: str) -> None:
    if not request.accepts_incomplete:
        raise AsyncRequired(what)


def living_plan(catalog: Catalog, instance: ServiceInstance | None) -> ServicePlan | None:
    """Return the instance's plan, unless it has left the catalog."""
    made = instance.configuration if instance else None
    return catalog.find(instance.service_offering_id, made.service_plan_id) if instance and made else None


def log_acceptance(operation: Operation) -> None:
    """Tell operators what begins, without parameters."""
    log.info(
        "An operation was accepted.",
        operation=str(operation.id),
        kind=str(operation.kind),
        platform=operation.platform,
        instance=operation.instance_id,
        binding=operation.binding_id,
        request_identity=operation.request_identity,
    )
