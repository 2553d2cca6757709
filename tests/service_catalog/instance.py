"""A ServiceInstance, as the controller of Service Catalog deals with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.service_catalog.envelopes import Account, InstanceEnvelopes
from tests.service_catalog.machine import Answer, Backoff, Condition, Send, Thing, Wait, Work

PROVISION, UPDATE = "provision", "update"
DEPROVISION, MITIGATION = "deprovision", "orphan mitigation"
_RETRIES = 1.0, 1200.0
"""Seconds: the first pause between two tries of a provision or update, and the longest."""


class Refused(Exception):
    """The webhook lets no change through while an operation goes on."""


@dataclass(frozen=True)
class Spec:
    """What its user asks for."""

    plan_id: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    update_requests: int = 0


@dataclass
class Instance(Thing):
    """
    Provisioned, updated, polled, deprovisioned; orphans mitigated.

    `known` is what the broker has last confirmed, `asked` what the operation in progress is about, `failed_spec`
    what has failed for good and is not tried again before it changes.
    """

    envelopes: InstanceEnvelopes = field(kw_only=True)
    spec: Spec = field(kw_only=True)
    user: Account = field(kw_only=True)
    known: Spec | None = None
    asked: Spec | None = None
    failed_spec: Spec | None = None
    needs_deletion: bool = False
    orphan: bool = False
    twice: bool = False
    """The next deletion is sent twice at once, as after a request that timed out."""
    verdict: tuple[str, str] | None = None
    """What is told when orphan mitigation has ended; None: it is provisioned again."""
    bindings: int = 0
    retries: Backoff = field(init=False)
    next_try: float = 0.0

    def restarted(self) -> None:
        """Forget what is in memory only."""
        super().restarted()
        self.retries = Backoff(*_RETRIES)
        self.next_try = 0.0

    @property
    def busy(self) -> bool:
        """Whether an operation goes on; unbinding waits for its end."""
        return self.in_progress is not None or self.orphan or self._has_work

    @property
    def settled(self) -> bool:
        return self.gone or not (self.busy or self.deleting)

    @property
    def _has_work(self) -> bool:
        return self.spec not in (self.known, self.failed_spec)

    def change(
        self,
        *,
        plan_id: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        again: bool = False,
        by: Account | None = None,
    ) -> None:
        """
        Change the spec; *again* raises updateRequests.

        Raises:
            Refused: An operation goes on, or the object is being deleted.
        """
        if self.busy or self.deleting:
            raise Refused(self.envelopes.name)
        self.user = by or self.user
        self.spec = Spec(
            plan_id or self.spec.plan_id,
            self.spec.parameters if parameters is None else parameters,
            self.spec.update_requests + again,
        )
        self.condition, self.next_try = Condition(reason="Changed"), 0.0
        self.change_noticed()

    def delete(self) -> None:
        """Set the deletion timestamp, which is legal at any moment."""
        self.deleting = True
        self.change_noticed()

    def run(self) -> Work:
        """Live until gone."""
        while not self.gone:
            if self.in_progress is not None:
                yield from self._poll()
            elif self.orphan:
                yield from self._delete(MITIGATION)
            elif self.deleting and self.bindings:
                yield Wait()
            elif self.deleting and self.needs_deletion:
                yield from self._delete(DEPROVISION)
            elif self.deleting:
                self.gone = True
            elif not self._has_work:
                yield Wait()
            elif self.next_try > self.now:
                yield Wait(self.next_try - self.now)
            elif self.known is None:
                yield from self._provision()
            else:
                yield from self._update(self.known)

    # Provisioning

    def _provision(self) -> Work:
        self._begins(PROVISION)
        self.asked, self.needs_deletion = self.spec, True
        (answer,) = yield Send((self.envelopes.provision(self.spec.plan_id, self.spec.parameters),))
        match answer:
            case Answer(status=200 | 201) if answer.document is not None:
                self._confirmed("ProvisionedSuccessfully")
            case Answer(status=202) if answer.document is not None:
                self._accepted(PROVISION, answer)
            case Answer(status=400):
                self.needs_deletion = False
                self._final("ProvisionCallFailed", answer.description)
            case Answer(fault="timed out"):
                self.twice = True
                self._mitigate(answer)
            case Answer(status=int(status)) if status != 200 and (200 <= status < 300 or status >= 500):
                self._mitigate(answer)
            case _:
                self._retry("ErrorCallingProvision", answer)

    def _mitigate(self, answer: Answer) -> None:
        self.orphan = True
        self.next_try = self.now + self.retries.next()
        if self.timed_out:
            self.verdict = "ErrorReconciliationRetryTimeout", answer.description
        self._not_ready("OrphanMitigation", answer.description)

    def _retry(self, reason: str, answer: Answer) -> None:
        if self.timed_out:
            self._final("ErrorReconciliationRetryTimeout", answer.description)
        else:
            self.next_try = self.now + self.retries.next()
            self._not_ready(reason, answer.description)

    def _confirmed(self, reason: str) -> None:
        self.known, self.failed_spec = self.asked, None
        self.retries.forget()
        self._ended()
        self._ready(reason)

    def _final(self, reason: str, message: str) -> None:
        self.failed_spec = self.asked
        self._ended()
        self._failed(reason, message)

    # Updates

    def _update(self, known: Spec) -> Work:
        self._begins(UPDATE)
        self.asked = self.spec
        request = self.envelopes.update(
            known_plan_id=known.plan_id,
            plan_id=self.spec.plan_id if self.spec.plan_id != known.plan_id else None,
            parameters=self.spec.parameters if self.spec.parameters != known.parameters else None,
            by=self.user,
        )
        (answer,) = yield Send((request,))
        match answer:
            case Answer(status=200) if answer.document is not None:
                self._confirmed("InstanceUpdatedSuccessfully")
            case Answer(status=202) if answer.document is not None:
                self._accepted(UPDATE, answer)
            case Answer(status=400):
                self._final("UpdateInstanceCallFailed", answer.description)
            case _:
                self._retry("ErrorCallingUpdateInstance", answer)

    # Deletion, also of what may have been made

    @property
    def _plan_id(self) -> str:
        """The plan as last known to the broker; during an operation the one that it is about."""
        about = self.asked if self.known is None or self.in_progress == UPDATE else self.known
        return (about or self.spec).plan_id

    def _delete(self, kind: str) -> Work:
        self._begins(kind)
        times, self.twice = 2 if self.twice else 1, False
        answers = yield Send((self.envelopes.deprovision(self._plan_id),) * times)
        for answer in answers:
            if answer.status in {200, 410}:
                self._deleted()
                return
            if answer.status == 202 and answer.document is not None:
                self._accepted(kind, answer)
                return
        yield from self._delete_again(answers[0].description)

    def _delete_again(self, message: str) -> Work:
        if self.timed_out:
            self._failed("ErrorReconciliationRetryTimeout", message)
            yield Wait(minds=False)
        self._not_ready("DeprovisionCallFailed", message)
        yield from self._again_in_a_burst()

    def _deleted(self) -> None:
        self._ended()
        self.orphan = self.needs_deletion = False
        self.known = None
        if self.verdict is not None:
            (reason, message), self.verdict = self.verdict, None
            self._final(reason, message)

    # Polling

    def _poll(self) -> Work:
        kind = self.in_progress
        answer = yield from self._polled(self.envelopes.poll(self._plan_id, self.operation))
        if answer is None:
            return
        state = (answer.document or {}).get("state")
        message = str((answer.document or {}).get("description", answer.description))
        if answer.status == 410 and kind in {PROVISION, UPDATE}:
            yield from self._after_an_error(answer)
        elif answer.status == 410 or (answer.status == 200 and state == "succeeded"):
            if kind in {DEPROVISION, MITIGATION}:
                self._deleted()
            else:
                self._confirmed(
                    "ProvisionedSuccessfully" if kind == PROVISION else "InstanceUpdatedSuccessfully"
                )
        elif answer.status == 400 or state == "failed" or self.timed_out:
            yield from self._has_failed(kind, message)
        else:
            self.condition.message = message

    def _has_failed(self, kind: str | None, message: str) -> Work:
        self.in_progress = self.operation = None
        if kind == PROVISION:
            self.orphan, self.verdict = True, ("ProvisionCallFailed", message)
            self._not_ready("OrphanMitigation", message)
        elif kind == UPDATE:
            self._final("UpdateInstanceCallFailed", message)
        else:
            yield from self._delete_again(message)
