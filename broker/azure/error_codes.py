"""
Azure's error codes: what each one means and whose job it is. Data, in one place.

Codes and their handling follow Microsoft's "Troubleshoot common Azure deployment errors" and the providers' own
documents. Codes are compared without regard to case.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.azure.failures import (
    AzureFailure,
    Invalid,
    Job,
    NameTaken,
    NotAuthorized,
    NotFound,
    NotRegistered,
    OutcomeUnknown,
    PolicyDenied,
    QuotaExceeded,
    ServerFault,
    SoftDeleted,
    Throttled,
    TokenRefused,
    TransientConflict,
    UnknownFailure,
)


@dataclass(frozen=True)
class Verdict:
    """What a code means; None leaves `job` and `advice` to the class."""

    kind: type[AzureFailure]
    job: Job | None = None
    advice: str | None = None


_OTHER_SIZE = Verdict(Invalid, "caller", "Choose a size or plan that the region offers to this subscription.")
_OTHER_REGION = Verdict(Invalid, "caller", "Choose another location.")
_TEMPLATE = Verdict(Invalid, "plan owner", "The plan's template has to be corrected by its owner.")
_PARAMETER = Verdict(Invalid, "caller", "Correct the named parameter and order again.")
_CAPACITY = Verdict(
    QuotaExceeded, "operator", "Azure is short of capacity there; another size or region may work."
)
_LOCKED = Verdict(NotAuthorized, "operator", "A lock protects it; an operator has to remove the lock first.")
_HISTORY = Verdict(
    TransientConflict, "operator", "The group's deployment history is full; Azure is pruning it."
)
_SUBSCRIPTION = Verdict(Invalid, "operator", "The broker's subscription has to be set right by an operator.")
_UNKNOWN_TYPE = Verdict(
    Invalid, "plan owner", "The plan names a type or api-version that this Azure does not have."
)

TABLE: dict[str, Verdict] = {
    # The caller or the plan: can never work like this.
    "SkuNotAvailable": _OTHER_SIZE,
    "SkuNotSupported": _OTHER_SIZE,
    "InvalidSku": _OTHER_SIZE,
    "InvalidSkuName": _OTHER_SIZE,
    "UnsupportedSku": _OTHER_SIZE,
    "InvalidRequestedSku": _OTHER_SIZE,
    "ProvisioningDisabled": _OTHER_REGION,
    "RegionIsOfferRestricted": _OTHER_REGION,
    "LocationIsOfferRestricted": _OTHER_REGION,
    "LocationNotAvailableForResourceType": _OTHER_REGION,
    "LocationNotAvailableForResourceGroup": _OTHER_REGION,
    "InvalidLocation": _OTHER_REGION,
    "InvalidResourceLocation": Verdict(
        Invalid, "plan owner", "A resource of this name exists in another location; it cannot be moved."
    ),
    "InvalidTemplate": _TEMPLATE,
    "InvalidTemplateDeployment": _TEMPLATE,
    "InvalidContentLink": _TEMPLATE,
    "DeploymentOutputEvaluationFailed": _TEMPLATE,
    "InvalidDeploymentParameterKey": _TEMPLATE,
    "InvalidRequestContent": _TEMPLATE,
    "InvalidRequestFormat": _TEMPLATE,
    "PropertyChangeNotAllowed": Verdict(
        Invalid, "caller", "This property cannot be changed once the resource exists."
    ),
    "NoRegisteredProviderFound": _UNKNOWN_TYPE,
    "InvalidResourceType": _UNKNOWN_TYPE,
    "InvalidResourceNamespace": _UNKNOWN_TYPE,
    "InvalidApiVersionParameter": _UNKNOWN_TYPE,
    "MissingApiVersionParameter": _UNKNOWN_TYPE,
    "UnsupportedApiVersion": _UNKNOWN_TYPE,
    "AccountNameInvalid": _PARAMETER,
    "InvalidParameter": _PARAMETER,
    "InvalidParameterValue": _PARAMETER,
    "ParameterOutOfRange": _PARAMETER,
    "InvalidResourceName": _PARAMETER,
    "InvalidServerName": _PARAMETER,
    "InvalidDatabaseName": _PARAMETER,
    "ReservedResourceName": _PARAMETER,
    "PasswordTooLong": _PARAMETER,
    "PasswordNotComplex": _PARAMETER,
    "InvalidPassword": _PARAMETER,
    "StorageSizeReductionNotSupported": _PARAMETER,
    "ServerVersionNotSupported": _PARAMETER,
    "DowngradeNotSupported": _PARAMETER,
    # Policy.
    "RequestDisallowedByPolicy": Verdict(PolicyDenied),
    "RequestDisallowedByAzure": Verdict(
        PolicyDenied, "plan owner", "Azure does not let this subscription use that region."
    ),
    "PolicyViolation": Verdict(PolicyDenied),
    # Capacity.
    "ResourceQuotaExceeded": Verdict(QuotaExceeded),
    "QuotaExceeded": Verdict(QuotaExceeded),
    "SubscriptionQuotaExceeded": Verdict(QuotaExceeded),
    "ResourceGroupQuotaExceeded": Verdict(QuotaExceeded),
    "ResourceGroupQuotaLimitReached": Verdict(QuotaExceeded),
    "CoreQuotaExceeded": Verdict(QuotaExceeded),
    "ServerCountLimitExceeded": Verdict(QuotaExceeded),
    "AllocationFailed": _CAPACITY,
    "ZonalAllocationFailed": _CAPACITY,
    "OverconstrainedAllocationRequest": _CAPACITY,
    "InsufficientCapacity": _CAPACITY,
    "OutOfCapacity": _CAPACITY,
    # Names.
    "StorageAccountAlreadyTaken": Verdict(NameTaken),
    "ServerNameAlreadyExists": Verdict(NameTaken),
    "NameAlreadyExists": Verdict(NameTaken),
    "NameNotAvailable": Verdict(NameTaken),
    "NameUnavailable": Verdict(NameTaken),
    "NameInUse": Verdict(NameTaken),
    "DnsRecordInUse": Verdict(NameTaken),
    "DnsRecordIsReserved": Verdict(NameTaken),
    "VaultAlreadyExists": Verdict(NameTaken),
    "CustomDomainInUse": Verdict(NameTaken),
    "NamespaceAlreadyExists": Verdict(NameTaken),
    "AccountAlreadyExists": Verdict(NameTaken),
    "FlagMustBeSetForRestore": Verdict(SoftDeleted),
    "ServiceAlreadyExistsInSoftDeletedState": Verdict(SoftDeleted),
    "VaultNameNotAvailableSoftDeleted": Verdict(SoftDeleted),
    "SoftDeletedResourceExists": Verdict(SoftDeleted),
    # Busy: the same request may work later.
    "AnotherOperationInProgress": Verdict(TransientConflict),
    "OperationInProgress": Verdict(TransientConflict),
    "OperationPreempted": Verdict(TransientConflict),
    "ConflictingServerOperation": Verdict(TransientConflict),
    "ConflictingConcurrentWrite": Verdict(TransientConflict),
    "ConcurrentUpdateError": Verdict(TransientConflict),
    "RetryableError": Verdict(TransientConflict),
    "ServerIsBusy": Verdict(TransientConflict),
    "ServerBusy": Verdict(TransientConflict),
    "ServerNotReady": Verdict(TransientConflict),
    "ResourceGroupBeingDeleted": Verdict(TransientConflict),
    "ResourceGroupDeletionBlocked": Verdict(TransientConflict),
    "ResourceBeingDeleted": Verdict(TransientConflict),
    "ResourceDeploymentCanceled": Verdict(TransientConflict),
    "ParentResourceNotFound": Verdict(
        TransientConflict, "operator", "What it belongs to is not there (yet); it is tried again."
    ),
    "ResourceNotProvisioned": Verdict(TransientConflict),
    "ResourceNotReady": Verdict(TransientConflict),
    "DeploymentActive": Verdict(TransientConflict),
    "DeploymentActiveAndUneditable": Verdict(TransientConflict),
    "DeploymentBeingDeleted": Verdict(TransientConflict),
    "Conflict": Verdict(TransientConflict),
    "PreconditionFailed": Verdict(TransientConflict),
    "DeploymentQuotaExceeded": _HISTORY,
    "DeploymentHistoryLimitExceeded": _HISTORY,
    "RoleAssignmentExists": Verdict(Invalid, "caller", "One principal gets one role on one scope once."),
    "PrincipalNotFound": Verdict(
        Invalid, "caller", "principalId is the object id of a principal of the subscription's own tenant."
    ),
    # The broker's identity.
    "AuthorizationFailed": Verdict(NotAuthorized),
    "LinkedAuthorizationFailed": Verdict(NotAuthorized),
    "Forbidden": Verdict(NotAuthorized),
    "RoleAssignmentUpdateNotPermitted": Verdict(NotAuthorized),
    "ScopeLocked": _LOCKED,
    "InvalidAuthenticationToken": Verdict(TokenRefused),
    "InvalidAuthenticationTokenTenant": Verdict(TokenRefused),
    "ExpiredAuthenticationToken": Verdict(TokenRefused),
    "AuthenticationFailed": Verdict(TokenRefused),
    "AuthenticationFailedMissingToken": Verdict(TokenRefused),
    "SubscriptionNotFound": _SUBSCRIPTION,
    "InvalidSubscriptionId": _SUBSCRIPTION,
    "SubscriptionDisabled": _SUBSCRIPTION,
    "ReadOnlyDisabledSubscription": _SUBSCRIPTION,
    "DisallowedOperation": _SUBSCRIPTION,
    # The provider.
    "MissingSubscriptionRegistration": Verdict(NotRegistered),
    "SubscriptionNotRegistered": Verdict(NotRegistered),
    "MissingRegistrationForLocation": Verdict(NotRegistered),
    # Absent.
    "ResourceNotFound": Verdict(NotFound),
    "ResourceGroupNotFound": Verdict(NotFound),
    "DeploymentNotFound": Verdict(NotFound),
    "NotFound": Verdict(NotFound),
    # Azure itself.
    "TooManyRequests": Verdict(Throttled),
    "SubscriptionRequestsThrottled": Verdict(Throttled),
    "ResourceRequestsThrottled": Verdict(Throttled),
    "OperationThrottled": Verdict(Throttled),
    "InternalServerError": Verdict(ServerFault),
    "InternalError": Verdict(ServerFault),
    "InternalFailure": Verdict(ServerFault),
    "InternalExecutionError": Verdict(ServerFault),
    "ServiceUnavailable": Verdict(ServerFault),
    "ServerTimeout": Verdict(ServerFault),
    "GatewayTimeout": Verdict(ServerFault),
    "OperationTimedOut": Verdict(ServerFault),
    "RequestTimeout": Verdict(OutcomeUnknown),
    "BadRequest": Verdict(Invalid),
}

BY_CODE = {code.lower(): verdict for code, verdict in TABLE.items()}

BY_STATUS: dict[int, type[AzureFailure]] = {
    400: Invalid,
    401: TokenRefused,
    403: NotAuthorized,
    404: NotFound,
    408: OutcomeUnknown,
    409: TransientConflict,
    412: TransientConflict,
    413: Invalid,
    422: Invalid,
    423: TransientConflict,
    429: Throttled,
}


def verdict(code: str, message: str, status: int | None) -> Verdict:
    """
    Return what *code* means; the HTTP *status*, when there is one, decides about codes that are not in the table.

    429 is throttling whatever the code. *message* is looked at for one code only.
    """
    if status == 429:
        return Verdict(Throttled)
    # Compute reports an exceeded quota under the same code as any other forbidden operation; only its
    # text tells them apart (Microsoft's own page on quota errors says to look there).
    if code.lower() == "operationnotallowed":
        return Verdict(QuotaExceeded) if "quota" in message.lower() else Verdict(Invalid)
    if known := BY_CODE.get(code.lower()):
        return known
    if status is None:
        return Verdict(UnknownFailure)
    if status >= 500:
        return Verdict(ServerFault)
    return Verdict(BY_STATUS.get(status, UnknownFailure))
