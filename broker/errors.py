"""
The refusals of the broker, one class each; code and status belong to the class.

    BrokerError
    ├── MalformedRequest (400)          the request is no such request; nothing has changed
    │   ├── InvalidParameters           parameters do not fit the plan's schema
    │   ├── UnknownServicePlan          no such pair of offering and plan
    │   ├── NotOrdered                  a plan of before that takes no new orders; names its successor
    │   └── NeverPossible               Azure will never make it as it was ordered
    ├── NotAuthenticated (401)
    │   └── NotAnOperator               no operator's credentials came with a request to the admin API
    ├── RoleMissing (403)               an operator who may only read wants to act
    ├── NotFound (404)
    ├── MethodNotAllowed (405)
    ├── AlreadyExists (409)             the id is in use with other attributes
    ├── Ambiguous (409)                 several platforms have what an operator names
    ├── CatalogChanged (409)            another revision is in force than the one that was expected
    ├── Gone (410)
    ├── UnsupportedApiVersion (412)
    ├── BodyTooLarge (413)
    ├── Unprocessable (422)             right in form, but not now or not here
    │   ├── AsyncRequired, ConcurrencyError, RequiresApp, MaintenanceInfoConflict
    │   ├── ChangeNotSupported          plan or parameter cannot be changed so
    │   ├── NotBindable
    │   ├── ParentUnknown               the parent that a child names does not exist in its scope
    │   ├── InstanceUnusable            its creation or deletion has failed
    │   ├── InstanceMissing             it was deleted in Azure, past the broker
    │   ├── ResourceTaken               another service instance has what is to be adopted
    │   ├── QuotaUsedUp                 the tenant has as many instances as tenant rules grant
    │   ├── NotPossibleNow              Azure would refuse it until an operator has mended something
    │   ├── SealingKeyMissing           its stored values cannot be opened
    │   ├── WrongState                  an operator's deed that makes no sense in this state
    │   └── HasChildren                 a parent cannot go before its children
    ├── OperationFailed (500)           an awaited operation failed
    ├── Unforeseen (500)                a fault of the broker itself
    └── Unavailable (503)
        ├── StoreUnavailable            the database did not answer
        ├── CatalogBusy                 others change the catalog all the time
        └── StillRunning                an awaited operation goes on; repeat the request
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime


class BrokerError(Exception):
    """
    A refusal: an HTTP status, an error word, and a sentence for the person who asked.

    `retry_after` is in seconds. `instance_usable` and `update_repeatable` are set for failed updates and
    deprovisions only (spec, "Service Broker Errors").
    """

    status: int = 500
    code: str = "InternalServerError"

    def __init__(
        self,
        description: str,
        *,
        retry_after: int | None = None,
        instance_usable: bool | None = None,
        update_repeatable: bool | None = None,
    ) -> None:
        super().__init__(description)
        self.description = description
        self.retry_after = retry_after
        self.instance_usable = instance_usable
        self.update_repeatable = update_repeatable


class MalformedRequest(BrokerError):
    """The request cannot be read as what it claims to be."""

    status = 400
    code = "BadRequest"


class InvalidParameters(MalformedRequest):
    """Parameters that the plan's schema refuses."""

    code = "InvalidParameters"


class UnknownServicePlan(MalformedRequest):
    """No such service offering, no such plan of it, or not visible to this platform: one answer for all."""

    code = "UnknownServicePlan"

    def __init__(self, service_offering_id: str, service_plan_id: str | None) -> None:
        plan = f" with a plan {shown(service_plan_id)}" if service_plan_id else ""
        super().__init__(
            f"There is no service offering {shown(service_offering_id)}{plan} in the catalog. "
            "Read GET /v2/catalog for what can be ordered."
        )


class NotOrdered(MalformedRequest):
    """A plan that is kept for the service instances that it has; the description names what to order instead."""

    code = "NotOrdered"


class NeverPossible(MalformedRequest):
    """
    What was ordered can never be made like this: a region or size that is not offered, a name that is taken.

    Found before anything was made; `code` says which it is.
    """

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code


class NotAuthenticated(BrokerError):
    """No platform's credentials came with the request."""

    status = 401
    code = "Unauthorized"

    def __init__(self) -> None:
        super().__init__(
            "The request carries no valid credentials of a platform registered with this broker: send its name and "
            "password, or its bearer token."
        )


class NotAnOperator(NotAuthenticated):
    """No operator's token came with a request to the admin API; a platform's credentials are nothing there."""

    def __init__(self) -> None:
        BrokerError.__init__(
            self,
            "The request carries no valid token of an operator; the admin API takes no other credentials.",
        )


class RoleMissing(BrokerError):
    """The operator may look, but not act."""

    status = 403
    code = "Forbidden"

    def __init__(self, operator: str) -> None:
        super().__init__(
            f"The operator {shown(operator)} has the role 'read'; this request needs the role 'operate'. "
            "Nothing has changed."
        )


class NotFound(BrokerError):
    """No such resource, or none that may be shown now."""

    status = 404
    code = "NotFound"


class MethodNotAllowed(BrokerError):
    """The path exists, the method on it does not."""

    status = 405
    code = "MethodNotAllowed"

    def __init__(self, description: str, *, allowed: Sequence[str] = ()) -> None:
        super().__init__(description)
        self.allowed = tuple(allowed)


class AlreadyExists(BrokerError):
    """The id is in use with other attributes; nothing has changed."""

    status = 409
    code = "Conflict"


class Ambiguous(BrokerError):
    """An operator names something that several platforms have; nothing has changed."""

    status = 409
    code = "Ambiguous"

    def __init__(self, what: str, platforms: Sequence[str]) -> None:
        super().__init__(
            f"{what} exists on several platforms: {', '.join(platforms)}. Name the platform, too."
        )


class CatalogChanged(BrokerError):
    """A change was meant for another revision of the catalog than the one in force; nothing has changed."""

    status = 409
    code = "CatalogChanged"

    def __init__(self, current: int, expected: int | None) -> None:
        super().__init__(
            f"Revision {current} of the catalog is in force, not {expected}: somebody else was faster. Look at it, and "
            "propose the change again."
        )


class Gone(BrokerError):
    """There is nothing (any more) to delete or to poll."""

    status = 410
    code = "Gone"


class UnsupportedApiVersion(BrokerError):
    """The platform speaks a major version that this broker does not."""

    status = 412
    code = "UnsupportedApiVersion"


class BodyTooLarge(BrokerError):
    """The request's body is larger than this broker reads."""

    status = 413
    code = "BodyTooLarge"


class Unprocessable(BrokerError):
    """The request is well formed, but what it asks for is not possible now or not here."""

    status = 422
    code = "Unprocessable"


class AsyncRequired(Unprocessable):
    """The operation takes longer than a request may (spec, "Asynchronous Operations")."""

    code = "AsyncRequired"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} takes longer than one request; repeat it with accepts_incomplete=true.")


class ConcurrencyError(Unprocessable):
    """
    Another operation holds this service instance or service binding.

    The platform may repeat the request later and must not start orphan mitigation (spec, "Blocking
    Operations").
    """

    code = "ConcurrencyError"

    def __init__(self, resource: str, running: str) -> None:
        super().__init__(
            f"{resource} is busy with another {running}; retry once that has ended.", retry_after=5
        )


class RequiresApp(Unprocessable):
    """This service binds only to applications (spec, "Binding")."""

    code = "RequiresApp"

    def __init__(self) -> None:
        super().__init__("This service binds only to an application: send app_guid in bind_resource.")


class MaintenanceInfoConflict(Unprocessable):
    """The platform's catalog is older or newer than the broker's (spec, "Maintenance Info Object")."""

    code = "MaintenanceInfoConflict"

    def __init__(self, sent: str, current: str | None) -> None:
        now = f"is {shown(current)}" if current else "has none"
        super().__init__(
            f"maintenance_info.version {shown(sent)} was sent, but the plan's {now}. Fetch the catalog again."
        )


class ChangeNotSupported(Unprocessable):
    """A plan or parameter that cannot be changed, or not in this direction or state."""

    code = "ChangeNotSupported"


class NotBindable(Unprocessable):
    """The plan gives no credentials."""

    code = "NotBindable"


class InstanceUnusable(Unprocessable):
    """The service instance has failed and can only be deprovisioned."""

    code = "InstanceUnusable"


class InstanceMissing(Unprocessable):
    """The service instance is not there in Azure any more, though the broker has not deleted it."""

    code = "InstanceMissing"

    def __init__(self, instance_id: str, since: datetime) -> None:
        super().__init__(
            f"Service instance {shown(instance_id)} is missing in Azure since {since:%Y-%m-%d %H:%M} UTC: it was "
            "deleted there, past the broker. Deprovision it, or have it restored in Azure under the same name."
        )


class SealingKeyMissing(Unprocessable):
    """
    What is stored of it was sealed with a key that the broker does not have.

    An operator can mend it, and meanwhile it can be deleted, so this is no 5xx: on one, a platform would delete
    a service instance that is all right.
    """

    code = "SealingKeyMissing"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"What is stored of this was sealed with the key {shown(key)}, which the broker does not have. An operator "
            "has to put it back into BROKER_SEALING_KEYS; until then this can only be deleted."
        )


class WrongState(Unprocessable):
    """What an operator wants done makes no sense in this state; nothing has changed."""

    code = "WrongState"


class ParentUnknown(Unprocessable):
    """
    A child names a parent that does not exist in its namespace or space, or that has failed.

    Not 400: Kubernetes gives up on that for good, and a parent may come a moment after its child.
    """

    code = "ParentUnknown"


class NotPossibleNow(Unprocessable):
    """
    Azure would refuse what was ordered until an operator has mended something: a quota, a policy, a permission.

    Found before anything was made; `code` says which it is. The same order may be repeated.
    """

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code


class ResourceTaken(Unprocessable):
    """What is to be adopted belongs to another service instance, which adopted or made it; nothing has changed."""

    code = "AlreadyManaged"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Another service instance of this broker has {shown(name)} already. Use that one, or delete it first."
        )


class QuotaUsedUp(Unprocessable):
    """
    A quota of the tenant rules is used up; nothing has changed.

    The same order goes through once something was deleted or an operator has granted more. Not to be confused with
    Azure's own quotas (`QuotaExceeded`).
    """

    code = "QuotaUsedUp"

    def __init__(self, quota: str, scope: str, plans: str, *, used: int, limit: int, ask: str = "") -> None:
        super().__init__(
            f"The quota {shown(quota)} of {scope} is used up: {used} of {limit} service instances of {plans} are there "
            "already. Delete one that is no longer needed, or ask "
            f"{ask or 'the operator of this broker'} for more, and repeat the order."
        )


class HasChildren(Unprocessable):
    """A parent instance cannot be deprovisioned before its children."""

    code = "HasChildren"

    def __init__(self, instance_id: str, children: Sequence[str]) -> None:
        named = ", ".join(shown(child) for child in children[:10])
        more = f" and {len(children) - 10} more" if len(children) > 10 else ""
        super().__init__(
            f"Service instance {shown(instance_id)} still has child instances: {named}{more}. "
            "Delete them first."
        )


class OperationFailed(BrokerError):
    """An operation that this request waited for has failed; its description says why."""

    status = 500
    code = "OperationFailed"


class Unforeseen(BrokerError):
    """A fault of the broker itself; the log has it whole."""

    def __init__(self) -> None:
        super().__init__(
            "The broker met an unforeseen fault; an operator finds it in the log. Nothing is known to have changed."
        )


class Unavailable(BrokerError):
    """A passing fault on the broker's side; the same request may be repeated."""

    status = 503
    code = "ServiceUnavailable"


class StoreUnavailable(Unavailable):
    """
    The broker's database did not answer in time, or takes no writes; nothing is known to have changed.

    `why` says of the database what is wrong with it.
    """

    code = "StoreUnavailable"

    def __init__(self, why: str = "does not answer at the moment", *, lasting: bool = False) -> None:
        self.why = why
        mend = " An operator has to mend that." if lasting else ""
        super().__init__(
            f"The broker's database {why}.{mend} Repeat the request.", retry_after=30 if lasting else 5
        )


class CatalogBusy(Unavailable):
    """Others have changed the catalog each time this change was about to be published; nothing has changed."""

    code = "CatalogBusy"

    def __init__(self) -> None:
        super().__init__("Others change the catalog all the time. Repeat the request.", retry_after=5)


class StillRunning(Unavailable):
    """What was asked for goes on after the request has run out of time; the same request joins it."""

    code = "StillRunning"


def shown(value: str | None) -> str:
    """Quote what a client sent, cut and escaped, so that it cannot be turned against its reader."""
    text = "" if value is None else value
    text = text if len(text) <= 80 else text[:77] + "..."
    return "'" + text.encode("unicode_escape").decode("ascii") + "'"
