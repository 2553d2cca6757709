"""
What can go wrong when Azure is asked, one class per thing to do about it.

    AzureFailure
    ├── NotSent             the request has surely not left; nothing has changed
    ├── OutcomeUnknown      it may have been carried out; look before trying again
    ├── Throttled           too many calls (429); `retry_after` says when
    ├── ServerFault         Azure's own fault (5xx)
    ├── TransientConflict   busy with something else, or being deleted
    ├── TokenRefused        no token, or Azure does not accept it
    ├── NotAuthorized       the broker's identity lacks a permission (may take minutes to spread)
    ├── PolicyDenied        a policy of the organisation forbids it
    ├── QuotaExceeded       the subscription's quota or the region's capacity is used up
    ├── NameTaken           a globally unique name belongs to somebody else
    ├── SoftDeleted         the name is held by something that was deleted and not yet purged
    ├── NotRegistered       the subscription has not registered the resource provider
    ├── Invalid             template, parameter, SKU or location can never work like this
    ├── NotFound            what was addressed is not there
    └── UnknownFailure      a refusal that this version does not know
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Literal

from azure.core import exceptions

from broker.azure import distilling
from broker.azure.distilling import JsonObject, Leaf

Job = Literal["caller", "plan owner", "operator"]

MAX_PART = 280
MAX_ALSO = 90
"""How much of Azure's own words a description holds: of the first error, and of each of the others."""


class AzureFailure(Exception):
    """
    Azure did not do what it was asked.

    `message`, `resource` and `advice` are redacted and may be shown to users. `code` is the innermost
    code of Azure, or a word of our own in lower case. `at_most` limits how often a retryable failure is tried
    (None: until the caller's deadline). `job` says who can mend it. `request_id` is what the broker called its request;
    Azure's support finds it where there is no `correlation_id`.
    """

    retryable: ClassVar[bool] = False
    at_most: ClassVar[int | None] = None
    default_job: ClassVar[Job] = "operator"
    default_advice: ClassVar[str] = "The broker's operator finds more in its log."

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        resource: str = "",
        retry_after: timedelta | None = None,
        correlation_id: str | None = None,
        status: int | None = None,
        job: Job | None = None,
        advice: str | None = None,
        leaves: tuple[Leaf, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.resource = resource
        self.retry_after = retry_after
        self.correlation_id = correlation_id
        self.status = status
        self.job: Job = job or self.default_job
        self.advice = self.default_advice if advice is None else advice
        self.leaves = leaves
        self.request_id: str | None = None

    def describe(self) -> str:
        """
        Return the sentence for a user: what, why, what to do, and the words to quote when asking for help.

        One line of at most 700 characters; what is too long loses the end of Azure's words, not the advice or code.
        """
        words = [f"code {self.code}"] if self.code else []
        if self.correlation_id:
            words.append(f"correlation {self.correlation_id}")
        elif self.request_id:
            words.append(f"request {self.request_id}")
        quoted = f" ({', '.join(words)})" if words else ""
        what = f"{self.resource}: {self.message}" if self.resource else self.message
        told = _sentence(what, MAX_PART) + "".join(
            " Also: "
            + _sentence(f"{leaf.resource}: {leaf.message}" if leaf.resource else leaf.message, MAX_ALSO)
            for leaf in self.leaves
            if leaf.code != self.code and leaf.message
        )
        return f"{told} {self.advice}{quoted}"

    def __str__(self) -> str:
        return self.describe()


class NotSent(AzureFailure):
    """The request has surely not left: no connection, or no token server in reach. Nothing has changed."""

    retryable = True
    default_advice = "Azure cannot be reached from the broker; it is tried again."


class OutcomeUnknown(AzureFailure):
    """The request left and no answer came back. It may have been carried out: look before repeating it."""

    retryable = True
    default_advice = "The broker looks again what became of it."


class Throttled(AzureFailure):
    """Too many calls. `retry_after` is Azure's word for when to come back, if it gave one."""

    retryable = True
    default_advice = "Azure limits how often it may be asked; the broker waits and tries again."


class ServerFault(AzureFailure):
    """Azure's own fault."""

    retryable = True
    default_advice = "This is a fault in Azure; it is tried again."


class TransientConflict(AzureFailure):
    """Something else is going on with the resource; the same request may work later."""

    retryable = True
    default_advice = "Azure is busy with this resource; it is tried again."


class TokenRefused(AzureFailure):
    """No token was to be had, or Azure does not accept it. Nothing has changed."""

    retryable = True
    at_most = 3
    default_advice = "The broker's own sign-in to Azure has to be repaired by its operator."


class NotAuthorized(AzureFailure):
    """
    The broker's identity lacks a permission.

    Tried a few times, since a new role assignment needs minutes to be known everywhere.
    """

    retryable = True
    at_most = 3
    default_advice = "The broker's operator has to grant its identity this permission."


class PolicyDenied(AzureFailure):
    """A policy of the organisation forbids it."""

    default_job: ClassVar[Job] = "plan owner"
    default_advice = "Change what the policy objects to, or ask for an exemption."


class QuotaExceeded(AzureFailure):
    """The subscription's quota or the region's capacity is used up."""

    default_advice = "An operator has to raise the quota; another size or region may work now."


class NameTaken(AzureFailure):
    """A name that must be unique in the world belongs to somebody else."""

    default_advice = "Order again under another id, so that another name is used."


class SoftDeleted(AzureFailure):
    """The name is held by something that was deleted and is not yet purged."""

    default_advice = (
        "An operator has to purge the deleted resource of this name, or order again under another id."
    )


class NotRegistered(AzureFailure):
    """The subscription has not registered the resource provider. The broker never registers one by itself."""

    default_advice = "An operator has to register the provider: az provider register --namespace <namespace>."


class Invalid(AzureFailure):
    """Template, parameter, SKU or location: the same request can never work."""

    default_job: ClassVar[Job] = "caller"
    default_advice = "Order again with other parameters or another plan."


class NotFound(AzureFailure):
    """What was addressed is not there."""

    default_job: ClassVar[Job] = "operator"
    default_advice = "Somebody may have deleted it in Azure; an operator has to look there."


class UnknownFailure(AzureFailure):
    """A refusal that this version of the broker does not know."""

    default_advice = (
        "The broker does not know this answer; an operator has to look in Azure for what it means."
    )


def failure_from_response(
    status: int, headers: Mapping[str, str], body: bytes, *, secrets: Iterable[str] = (), resource: str = ""
) -> AzureFailure:
    """
    Return what a response that is no success means; any body is survived (HTML, cut JSON, none).

    *resource* is the id of what was addressed; *secrets* are values that must not come back in a message.
    """
    try:
        document = json.loads(body) if body else None
    except (ValueError, RecursionError):
        document = None
    lowered = {name.lower(): value for name, value in headers.items()}
    return _failure(
        distilling.distil(document, secrets=secrets),
        status=status,
        retry_after=retry_after_of(lowered),
        correlation_id=lowered.get("x-ms-correlation-request-id") or lowered.get("x-ms-request-id"),
        resource=distilling.short_resource(resource),
    )


def failure_from_error(
    error: JsonObject, *, correlation_id: str | None = None, resource: str = "", secrets: Iterable[str] = ()
) -> AzureFailure:
    """Return what the error document of a failed deployment or long operation means."""
    return _failure(
        distilling.distil(error, secrets=secrets),
        status=None,
        retry_after=None,
        correlation_id=correlation_id,
        resource=distilling.short_resource(resource),
    )


def _failure(
    leaves: tuple[Leaf, ...],
    *,
    status: int | None,
    retry_after: timedelta | None,
    correlation_id: str | None,
    resource: str,
) -> AzureFailure:
    # Imported late: the table names the classes above.
    from broker.azure.error_codes import verdict  # noqa: PLC0415

    if not leaves:
        kind = verdict("", "", status).kind
        message = f"Azure answered {status} without a reason" if status else "Azure gave no reason"
        return kind(
            message,
            code=f"http-{status}" if status else "no-reason",
            resource=resource,
            retry_after=retry_after,
            correlation_id=correlation_id,
            status=status,
        )
    judged = [(leaf, verdict(leaf.code, leaf.message, status, under=leaf.under)) for leaf in leaves]
    # One hopeless resource makes trying again hopeless, whatever the others say.
    leaf, sentence = next((pair for pair in judged if not pair[1].kind.retryable), judged[0])
    advice = sentence.advice
    if leaf.policies:
        advice = f"Policy: {'; '.join(leaf.policies)}. {PolicyDenied.default_advice}"
    return sentence.kind(
        leaf.message or sentence.cause or f"Azure refused with {leaf.code}",
        code=leaf.code,
        resource=leaf.resource or resource,
        retry_after=retry_after,
        correlation_id=correlation_id,
        status=status,
        job=sentence.job,
        advice=advice,
        leaves=leaves,
    )


def _sentence(text: str, at_most: int) -> str:
    cut = text if len(text) <= at_most else text[: at_most - 1].rstrip() + "…"
    return cut if cut.endswith((".", "!", "?", "…")) else f"{cut}."


def retry_after_of(headers: Mapping[str, str], *, now: datetime | None = None) -> timedelta | None:
    """
    Return how long the server asks to wait: seconds, milliseconds or a date; None when it does not say.

    *headers* have lower-case names. A date in the past is no wait.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        try:
            return max(timedelta(milliseconds=float(headers[name])), timedelta(0))
        except (KeyError, ValueError, OverflowError):
            continue
    said = headers.get("retry-after", "").strip()
    if not said:
        return None
    try:
        return max(timedelta(seconds=float(said)), timedelta(0))
    except (ValueError, OverflowError):
        pass
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(moment - (now or datetime.now(UTC)), timedelta(0))


def translate(error: BaseException) -> AzureFailure:
    """
    Return what an exception of azure-core or azure-identity means; a failure of ours comes back as it is.

    Anything else is a fault in this program and raised again.
    """
    match error:
        case AzureFailure():
            return error
        case exceptions.ClientAuthenticationError():
            return TokenRefused(_first_line(error), code="no-token")
        case exceptions.ServiceRequestError():
            return NotSent(_first_line(error), code="not-sent")
        case exceptions.ServiceResponseError() | exceptions.DecodeError():
            return OutcomeUnknown(_first_line(error), code="no-answer")
        case exceptions.HttpResponseError() if error.response is not None:
            return failure_from_response(
                error.status_code or 0, dict(getattr(error.response, "headers", {})), _body_of(error.response)
            )
        case exceptions.DeserializationError():
            return OutcomeUnknown(_first_line(error), code="unreadable-answer")
        case (
            exceptions.StreamConsumedError()
            | exceptions.StreamClosedError()
            | exceptions.ResponseNotReadError()
        ):
            return OutcomeUnknown(_first_line(error), code="unreadable-answer")
        case exceptions.AzureError() | exceptions.SerializationError():
            return UnknownFailure(_first_line(error), code=type(error).__name__)
        case _:
            raise error


def _body_of(response: Any) -> bytes:
    try:
        content = response.content
    except exceptions.AzureError:
        return b""
    return content if isinstance(content, bytes) else b""


def _first_line(error: BaseException) -> str:
    return distilling.redact(str(error).partition("\n")[0]) or type(error).__name__
