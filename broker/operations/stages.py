"""What follows from a step: the engine's own stages, pure. Whatever the provisioner, an operation ends by these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from broker.domain import descriptions
from broker.domain.bindings import BindingState, ServiceBinding
from broker.domain.instances import InstanceState, ServiceInstance
from broker.domain.json_values import JsonObject
from broker.domain.operations import (
    REFUSAL,
    ExternalResource,
    Operation,
    OperationKind,
    OperationStatus,
    Stage,
)
from broker.operations.retrying import CLAIMS_AT_MOST, Trouble, back_off
from broker.provisioners.base import Next, Outcome
from broker.provisioners.records import shown
from broker.store.call_meter import CallCost
from broker.store.operations_queue import FIRST_COST, Changes, Claim

CANCELLABLE = frozenset(set(OperationKind) - {OperationKind.DEPROVISION, OperationKind.UNBIND})
"""What can be undone, or left where it is."""
_JITTER = 0.1
"""The part by which a delay is drawn out at random: what began together must not be looked at together."""
_CANCELLED = "it was cancelled before it had ended. Order it again if it is still wanted."
_CANCELLED_UPDATE = (
    "it was cancelled before it had ended. What had begun in Azure may still take effect there; the next update "
    "overwrites it."
)
_TRY_AGAIN = {
    OperationKind.PROVISION: "Order it again; if that takes as long, an operator has to look into it.",
    OperationKind.UPDATE: "Ask for the change again; if that takes as long, an operator has to look into it.",
    OperationKind.DEPROVISION: "Delete it again to go on where it stopped.",
    OperationKind.BIND: "Bind again under another id.",
    OperationKind.UNBIND: "Delete it again to go on where it stopped.",
    OperationKind.REFRESH: "The credentials are those of before; refresh them again.",
}
_DONE = {
    OperationKind.PROVISION: "The service instance is ready.",
    OperationKind.UPDATE: "The service instance was updated.",
    OperationKind.DEPROVISION: "The service instance and all that belonged to it are gone.",
    OperationKind.BIND: "The service binding is ready.",
    OperationKind.UNBIND: "The service binding is gone.",
    OperationKind.REFRESH: "The credentials were read again.",
}


def ends_at(operation: Operation, *, undo_grace: timedelta) -> datetime:
    """Return when the operation's present stage has to be over; cleaning up may take longer than the order."""
    grace = undo_grace if operation.stage is Stage.UNDOING else timedelta(0)
    return operation.deadline_at + grace


def before_step(claim: Claim, *, undo_grace: timedelta) -> Trouble | None:
    """Return why no step is to be taken: out of time, cancelled, or a danger to its runners."""
    operation = claim.operation
    if claim.now >= ends_at(operation, undo_grace=undo_grace):
        took = operation.deadline_at - operation.created_at
        cause = f" Last error: {operation.last_error}" if operation.last_error else ""
        return Trouble(
            f"{subject(operation)}: it did not end within {_minutes(took)}; it was at: {claim.step or 'waiting'}."
            f"{cause} {_TRY_AGAIN[operation.kind]}",
            retryable=False,
        )
    if operation.claims > CLAIMS_AT_MOST:
        return Trouble(
            f"{subject(operation)}: the broker stopped {CLAIMS_AT_MOST} times while it worked on this; an operator "
            f"finds it in the log under operation {operation.id}.",
            retryable=False,
        )
    if _is_cancelled(operation):
        return Trouble(_cancelled(operation), retryable=False)
    return None


def subject(operation: Operation) -> str:
    """Name what an operation is about, for people."""
    if operation.binding_id is not None:
        return f"Service binding '{operation.binding_id}'"
    return f"Service instance '{operation.instance_id}'"


def needs_no_waiting(claim: Claim) -> bool:
    """Whether an accepted operation can start at once: most can, and none is to lose a transaction over it."""
    operation = claim.operation
    if operation.kind is OperationKind.PROVISION:
        return claim.instance.parent_key is None and not claim.resources
    return operation.binding_key is not None


def advance(
    claim: Claim,
    step: Next | Trouble,
    *,
    undo_grace: timedelta,
    spread: float,
    pace: timedelta = timedelta(0),
) -> Changes:
    """
    Return what to write after a step; *claim* is what the store holds now, locked.

    Args:
        claim: What was worked on.
        step: What came of it.
        undo_grace: How much longer than the order its clean-up may take.
        spread: A random number from 0 to 1.
        pace: How far apart two looks at the same thing must be, so that there are calls enough for everybody's.
    """
    if isinstance(step, Trouble):
        return _after_trouble(claim, step, undo_grace=undo_grace, spread=spread)
    claim = _with_results(claim, step)
    noted = _Noted(step)
    if step.unmade and not claim.resources:
        return _unmade(claim, step)
    if step.outcome is Outcome.GO_ON:
        delay = look_again_in(step.delay, pace=pace, spread=spread)
        return noted.on(_going_on(claim, replace(step, delay=delay), undo_grace=undo_grace))
    if step.outcome is Outcome.FAILED:
        said = step.description or (
            f"{subject(claim.operation)}: it failed at {claim.step or 'its first step'} without a reason; an operator "
            f"finds more in the log under operation {claim.operation.id}."
        )
        return noted.on(_stage_failed(claim, said, step))
    if _is_cancelled(claim.operation) and claim.operation.kind is not OperationKind.UPDATE:
        return noted.on(_stage_failed(claim, _cancelled(claim.operation), step))
    return noted.on(_stage_done(claim, step))


def look_again_in(delay: timedelta, *, pace: timedelta, spread: float) -> timedelta:
    """Return when to look again: when the step wants it, at the common pace, and not all at one moment."""
    return delay if delay <= timedelta(0) else max(delay, pace) * (1 + _JITTER * spread)


def touches_instance(claim: Claim, step: Next | Trouble) -> bool:
    """Whether what follows from a step may change more than the operation and its binding: lock the instance first."""
    if isinstance(step, Trouble):
        return not step.tried_again(claim.operation.errors + 1)
    return step.outcome is not Outcome.GO_ON or (claim.operation.binding_key is None and _says_more(step))


def working(claim: Claim, *, operation: Operation | None = None, event: str = "started") -> Changes:
    """Return the beginning of the provisioner's work."""
    operation = replace(
        operation or claim.operation,
        stage=Stage.WORKING,
        phase="",
        state={},
        description="Started.",
        errors=0,
    )
    return Changes(operation, step="", step_since=claim.now, events=((event, ""),))


def waiting(claim: Claim, words: str, again_in: timedelta) -> Changes:
    """Return the note that the operation waits for something else of the broker's, in *words*."""
    since = claim.step_since if claim.step == words and claim.step_since else claim.now
    operation = replace(claim.operation, description=_described(words, since), claims=0)
    return Changes(
        operation,
        delay=_until(claim, again_in, timedelta(0)),
        release=True,
        step=words,
        step_since=since,
        cost=CallCost(),
    )


def clearing(claim: Claim) -> Changes:
    """Return the beginning of the removal of what an earlier, failed creation has left."""
    operation = replace(
        claim.operation,
        stage=Stage.CLEARING,
        phase="",
        state={},
        errors=0,
        description="Removing what an earlier attempt has left.",
    )
    return Changes(operation, step_since=claim.now, events=(("clearing", ""),))


def next_generation(claim: Claim, *, event: str) -> Changes:
    """Return a fresh start of a creation, under other names."""
    operation, instance = claim.operation, claim.instance
    if operation.again:
        operation = replace(operation, again=False, failure=None, last_error=None)
    changes = working(claim, operation=operation, event=event)
    fresh = replace(instance, generation=instance.generation + 1, record={}, state=InstanceState.CREATING)
    return replace(changes, instance=fresh, all_gone=bool(claim.resources))


def failed(claim: Claim, reason: str, step: Next | None = None) -> Changes:
    """Return the failure of the whole operation, with nothing (more) to be cleaned up by it."""
    operation, instance, binding = claim.operation, claim.instance, claim.binding
    match operation.kind:
        case OperationKind.PROVISION if operation.dry_run:
            # Nobody knows of its instance, so nobody would delete it.
            return replace(_ended(claim, operation, OperationStatus.FAILED, reason), unmade=True)
        case OperationKind.PROVISION:
            instance = replace(instance, state=InstanceState.CREATE_FAILED)
        case OperationKind.UPDATE:
            instance = replace(instance, asked=None)
            usable = step.instance_usable if step else None
            repeatable = step.update_repeatable if step else None
            operation = replace(
                operation,
                instance_usable=True if usable is None else usable,
                update_repeatable=True if repeatable is None else repeatable,
            )
        case OperationKind.DEPROVISION:
            instance = replace(instance, state=InstanceState.DELETE_FAILED)
        case OperationKind.BIND if binding is not None:
            binding = replace(binding, state=BindingState.BIND_FAILED)
        case OperationKind.UNBIND if binding is not None:
            binding = replace(binding, state=BindingState.UNBIND_FAILED)
    if operation.abandons is not None:
        said = f"{reason} The broker has forgotten it all the same, as an operator wanted."
        ended = _ended(claim, operation, OperationStatus.FAILED, said, instance=instance, binding=binding)
        return replace(ended, removed=f"{operation.abandons} {reason}")
    return _ended(claim, operation, OperationStatus.FAILED, reason, instance=instance, binding=binding)


def _unmade(claim: Claim, step: Next) -> Changes:
    """Return the end of an operation in which nothing was made: of the instance nothing is left but its operation."""
    status = OperationStatus.SUCCEEDED if step.outcome is Outcome.DONE else OperationStatus.FAILED
    operation = claim.operation
    operation = replace(operation, state={**operation.state, **_refusal(step)})
    return replace(_ended(claim, operation, status, step.description), unmade=True)


def _refusal(step: Next | None) -> JsonObject:
    if step is None or step.refusal is None:
        return {}
    return {REFUSAL: {"code": step.refusal.code, "never": step.refusal.never}}


def unhandled(claim: Claim) -> Changes:
    """Return the failure of an operation that no running build could carry on until its time was over."""
    operation = claim.operation
    first = f"{operation.failure} " if operation.failure else ""
    return failed(
        claim,
        f"{first}{subject(operation)}: no runner of the broker knows the provisioner '{operation.provisioner}' in "
        f"version {operation.handler_version}. An operator has to start a release that does; then delete it.",
    )


def _stage_done(claim: Claim, step: Next) -> Changes:
    operation, instance, binding = claim.operation, claim.instance, claim.binding
    description = step.description or _DONE[operation.kind]
    match operation.kind, operation.stage:
        case OperationKind.PROVISION, Stage.CLEARING:
            return next_generation(claim, event="cleared")
        case OperationKind.PROVISION, Stage.UNDOING:
            if operation.again:
                return next_generation(claim, event="started afresh")
            return replace(failed(claim, operation.failure or _cancelled(operation)), all_gone=True)
        case OperationKind.BIND, Stage.UNDOING:
            ended = failed(claim, operation.failure or _cancelled(operation))
            return replace(ended, all_gone=True, removed="The binding failed and was undone.")
        case OperationKind.PROVISION, _:
            ready = replace(instance, state=InstanceState.READY, applied=instance.asked, asked=None)
            return _ended(claim, operation, OperationStatus.SUCCEEDED, description, instance=ready)
        case OperationKind.UPDATE, _:
            updated = replace(instance, applied=instance.asked or instance.applied, asked=None)
            return _ended(claim, operation, OperationStatus.SUCCEEDED, description, instance=updated)
        case OperationKind.BIND, _ if binding is not None:
            bound = replace(binding, state=BindingState.BOUND)
            return _ended(claim, operation, OperationStatus.SUCCEEDED, description, binding=bound)
        case OperationKind.REFRESH, _:
            return _ended(claim, operation, OperationStatus.SUCCEEDED, description, binding=binding)
        case _:
            ended = _ended(
                claim, operation, OperationStatus.SUCCEEDED, description, instance=instance, binding=binding
            )
            reason = "Unbound." if operation.kind is OperationKind.UNBIND else "Deprovisioned."
            return replace(ended, all_gone=True, removed=reason)


def _stage_failed(claim: Claim, reason: str, step: Next | None = None) -> Changes:
    operation = claim.operation
    undoes = (
        operation.kind in {OperationKind.PROVISION, OperationKind.BIND}
        and operation.stage is Stage.WORKING
        and not operation.dry_run
    )
    if undoes:
        operation = replace(
            operation,
            stage=Stage.UNDOING,
            phase="",
            # Kept for the request that waits: it is refused once nothing is left.
            state=_refusal(step),
            errors=0,
            failure=descriptions.failure(reason, operation.id),
            description=descriptions.one_line(f"Failed: {reason} Removing what was made."),
        )
        changed_instance = claim.instance if operation.binding_key is None else None
        return Changes(
            operation,
            instance=changed_instance,
            binding=claim.binding,
            step_since=claim.now,
            events=(("undoing", reason),),
        )
    if operation.stage in {Stage.UNDOING, Stage.CLEARING}:
        first = f"{descriptions.one_line(operation.failure, at_most=400)} " if operation.failure else ""
        reason = descriptions.one_line(reason, at_most=300)
        reason = f"{first}The clean-up did not end: {reason}{_left(claim.resources)} Delete it to go on cleaning up."
    return failed(claim, reason, step)


def _going_on(claim: Claim, step: Next, *, undo_grace: timedelta) -> Changes:
    words = claim.step
    if step.description:
        text = step.description.rstrip(". ")
        words = f"Step {step.number} of {step.of}: {text}" if step.number else text
    same = words == claim.step and claim.step_since is not None
    since = claim.step_since if same and claim.step_since else claim.now
    operation = replace(
        claim.operation,
        phase=step.phase,
        description=descriptions.one_line(_after_failure(claim.operation, _in_progress(claim, words, since))),
        errors=0 if step.progress else claim.operation.errors,
    )
    # Whoever asked for an end of this is not to wait for the timer.
    delay = timedelta(0) if _is_cancelled(operation) else step.delay
    writes_instance = operation.binding_key is None and _says_more(step)
    moved = operation.phase != claim.operation.phase or not same
    return Changes(
        operation,
        delay=_until(claim, delay, undo_grace),
        instance=claim.instance if writes_instance else None,
        binding=claim.binding if _says_more(step) else None,
        step=words,
        step_since=since,
        cost=CallCost(step.cost.reads, step.cost.writes, step.cost.deletes),
        events=(("step", words),) if moved and words else (),
    )


def _after_trouble(claim: Claim, trouble: Trouble, *, undo_grace: timedelta, spread: float) -> Changes:
    operation = replace(
        claim.operation, errors=claim.operation.errors + 1, last_error=trouble.description[:2000]
    )
    if not trouble.tried_again(operation.errors):
        return _stage_failed(replace(claim, operation=operation), trouble.description)
    delay = back_off(operation.errors, spread=spread, retry_after=trouble.retry_after)
    delay = _until(claim, delay, undo_grace)
    what = claim.step or "Started"
    said = f"{what}: {trouble.description.rstrip('. ')}; trying again at {_clock(claim.now + delay)}."
    return Changes(
        replace(operation, description=descriptions.one_line(_after_failure(operation, said))),
        delay=delay,
        release=True,
        step=claim.step,
        step_since=claim.step_since,
        cost=FIRST_COST,
        events=(("error", trouble.description),),
    )


def _with_results(claim: Claim, step: Next) -> Claim:
    """Put into instance, binding and operation what the step has found out."""
    operation, instance, binding = claim.operation, claim.instance, claim.binding
    if step.state is not None:
        kept = {REFUSAL: operation.state[REFUSAL]} if REFUSAL in operation.state else {}
        operation = replace(operation, state={**step.state, **kept})
    operation = replace(operation, subscription=step.subscription or operation.subscription)
    if operation.binding_key is None:
        instance = replace(
            instance,
            record=instance.record if step.record is None else step.record,
            region=step.region or instance.region,
            resource_group=step.resource_group or instance.resource_group,
            subscription=step.subscription or instance.subscription,
            dashboard_url=step.dashboard_url or instance.dashboard_url,
            generation=instance.generation if step.generation is None else step.generation,
        )
        if step.secrets is not None and instance.asked is not None:
            instance = replace(instance, asked=replace(instance.asked, secrets=step.secrets))
    elif binding is not None:
        binding = _bound(binding, step, claim.now)
    return replace(claim, operation=operation, instance=instance, binding=binding)


def _bound(binding: ServiceBinding, step: Next, now: datetime) -> ServiceBinding:
    if step.keys_read:
        binding = replace(binding, keys_checked_at=now, stale_since=None)
    return replace(
        binding,
        record=binding.record if step.record is None else step.record,
        secrets=binding.secrets if step.secrets is None else step.secrets,
        credentials=binding.credentials if step.credentials is None else step.credentials,
        endpoints=tuple(step.endpoints) or binding.endpoints,
    )


class _Noted:
    """Adds to any change the resources that the step has spoken of."""

    def __init__(self, step: Next) -> None:
        self._step = step

    def on(self, changes: Changes) -> Changes:
        return replace(changes, resources=self._step.resources, gone=self._step.gone)


def _ended(
    claim: Claim,
    operation: Operation,
    status: OperationStatus,
    description: str,
    *,
    instance: ServiceInstance | None = None,
    binding: ServiceBinding | None = None,
) -> Changes:
    if status is OperationStatus.FAILED:
        description = descriptions.failure(description, operation.id)
    return Changes(
        replace(operation, status=status, description=description),
        # An operation on a binding leaves the instance alone.
        instance=instance if operation.binding_key is None else None,
        binding=binding,
        step=claim.step,
        step_since=claim.step_since,
        cost=CallCost(),
        events=((status.value, description),),
    )


def _cancelled(operation: Operation) -> str:
    said = _CANCELLED_UPDATE if operation.kind is OperationKind.UPDATE else _CANCELLED
    return f"{subject(operation)}: {said}"


def _is_cancelled(operation: Operation) -> bool:
    """Only what can be undone, or left where it is, is cancelled, and only before it is being undone."""
    return (
        operation.cancel_requested_at is not None
        and operation.kind in CANCELLABLE
        and operation.stage in {Stage.WORKING, Stage.WAITING}
    )


def _says_more(step: Next) -> bool:
    """Whether a step has found out anything that is kept with the instance or the binding."""
    told = (
        step.generation,
        step.record,
        step.secrets,
        step.credentials,
        step.region,
        step.resource_group,
        step.subscription,
    )
    return any(value is not None for value in (*told, step.dashboard_url)) or bool(step.endpoints)


def _until(claim: Claim, delay: timedelta, undo_grace: timedelta) -> timedelta:
    """Cut a delay so that the stage's end is noticed when it comes, or at once when it has come already."""
    left = ends_at(claim.operation, undo_grace=undo_grace) - claim.now
    return min(delay, max(left, timedelta(0)))


def _after_failure(operation: Operation, said: str) -> str:
    return f"Failed: {operation.failure} Cleaning up: {said}" if operation.failure else said


def _left(resources: Sequence[ExternalResource]) -> str:
    living = [shown(one.resource_id) for one in resources if one.gone_at is None and one.made_by_us]
    if not living:
        return ""
    more = f" and {len(living) - 3} more" if len(living) > 3 else ""
    return f" Still there: {', '.join(living[:3])}{more}."


def _in_progress(claim: Claim, words: str, since: datetime) -> str:
    lasts = claim.operation.expected_duration if claim.operation.stage is Stage.WORKING else None
    return descriptions.usually(_described(words, since), lasts)


def _described(words: str, since: datetime) -> str:
    return f"{words}, since {_clock(since)}." if words else "In progress."


def _clock(moment: datetime) -> str:
    return moment.strftime("%H:%M:%S UTC")


def _minutes(time: timedelta) -> str:
    seconds = round(time.total_seconds())
    return f"{seconds // 60} minutes" if seconds >= 120 else f"{seconds} seconds"
