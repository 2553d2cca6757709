"""From Azure's documents and azure-core's exceptions to one of our failures."""

import inspect
import json
from datetime import UTC, datetime, timedelta

import pytest
from azure.core import exceptions
from azure.identity import AuthenticationRequiredError, CredentialUnavailableError
from hypothesis import given
from hypothesis import strategies as st

from broker.azure.distilling import distil, redact
from broker.azure.failures import (
    Invalid,
    NameTaken,
    NotAuthorized,
    NotFound,
    NotSent,
    OutcomeUnknown,
    PolicyDenied,
    QuotaExceeded,
    ServerFault,
    Throttled,
    TokenRefused,
    TransientConflict,
    UnknownFailure,
    failure_from_error,
    failure_from_response,
    retry_after_of,
    translate,
)

SUBSCRIPTION = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"
SERVER = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.DBforPostgreSQL/flexibleServers/pg-1"
)


def failed_deployment(code, message, **more):
    inner = json.dumps({"error": {"code": code, "message": message, **more}})
    return {
        "code": "DeploymentFailed",
        "message": "At least one resource deployment operation failed. See https://aka.ms/DeployOperations.",
        "details": [{"code": "Conflict", "message": inner, "target": SERVER}],
    }


def test_a_failed_deployment_is_told_by_its_innermost_error():
    failure = failure_from_error(
        failed_deployment("ServerNameAlreadyExists", "Specified server name is already used."),
        correlation_id="c-1",
    )

    assert type(failure) is NameTaken
    assert failure.describe() == (
        "Microsoft.DBforPostgreSQL/flexibleServers 'pg-1': Specified server name is already used. "
        "Order again under another id, so that another name is used. (code ServerNameAlreadyExists, correlation c-1)"
    )


def test_inner_errors_are_walked_depth_first_and_three_that_differ_are_kept():
    def leaf(code):
        return {"code": code, "message": f"Message of {code}."}

    error = {
        "code": "InvalidTemplateDeployment",
        "details": [
            {"code": "A", "message": "outer", "innererror": leaf("B")},
            leaf("C"),
            leaf("C"),
            leaf("D"),
            leaf("E"),
        ],
    }

    assert [found.code for found in distil({"error": error})] == ["B", "C", "D"]


def test_an_inner_code_without_a_message_does_not_displace_an_outer_one_with_a_message():
    (leaf,) = distil({"code": "QuotaExceeded", "message": "Too many.", "innererror": {"code": "Target"}})

    assert (leaf.code, leaf.message) == ("QuotaExceeded", "Too many.")


def test_a_wrapper_with_nothing_below_stands_for_itself():
    assert type(failure_from_error({"code": "Conflict", "message": "Busy."})) is TransientConflict


def test_one_hopeless_resource_makes_the_whole_hopeless():
    error = {
        "code": "DeploymentFailed",
        "details": [
            {"code": "ServerIsBusy", "message": "Busy."},
            {"code": "SkuNotAvailable", "message": "No such size here."},
        ],
    }

    failure = failure_from_error(error)

    assert type(failure) is Invalid
    assert not failure.retryable
    assert "Also: Busy." in failure.describe()


def test_a_policy_is_called_by_its_display_name():
    info = {"policyAssignmentDisplayName": "Only Europe", "policyDefinitionId": "/providers/x"}
    error = failed_deployment(
        "RequestDisallowedByPolicy",
        f'Resource was disallowed by policy. Policy identifiers: \'[{{"id":"/subscriptions/{SUBSCRIPTION}'
        "/providers/Microsoft.Authorization/policyAssignments/eu\"}]'.",
        additionalInfo=[{"type": "PolicyViolation", "info": info}],
    )

    failure = failure_from_error(error)

    assert type(failure) is PolicyDenied
    assert failure.job == "plan owner"
    assert "Policy: Only Europe." in failure.describe()
    assert SUBSCRIPTION not in failure.describe()
    assert "policyAssignments" not in failure.describe()


def test_an_exceeded_quota_is_known_even_under_computes_general_code():
    quota = {"code": "OperationNotAllowed", "message": "Operation would exceed the approved standard Quota."}
    other = {"code": "OperationNotAllowed", "message": "The disk is attached."}

    assert type(failure_from_error(quota)) is QuotaExceeded
    assert type(failure_from_error(other)) is Invalid


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, b"<html><body>Oops</body></html>", ServerFault),
        (502, b"", ServerFault),
        (503, b'{"error": {"code": "Some', ServerFault),
        (429, b'{"error": {"code": "ServerIsBusy", "message": "Slow down."}}', Throttled),
        (400, b"[]", Invalid),
        (401, b"", TokenRefused),
        (403, b'{"error": {"code": "Whatever", "message": "No."}}', NotAuthorized),
        (404, b"null", NotFound),
        (408, b"", OutcomeUnknown),
        (409, b'{"error": {"code": "NeverHeardOf", "message": "Hm."}}', TransientConflict),
        (400, b"[" * 100_000, Invalid),
        (302, b"", UnknownFailure),
        (418, b'{"code": "NeverHeardOf", "message": "Hm."}', UnknownFailure),
    ],
)
def test_any_body_of_any_status_becomes_a_failure(status, body, kind):
    failure = failure_from_response(status, {"X-Ms-Correlation-Request-Id": "c-1"}, body)

    assert type(failure) is kind
    assert failure.status == status
    assert failure.describe().endswith("correlation c-1)")


@given(st.binary(max_size=200), st.integers(300, 599))
def test_no_body_breaks_the_reading_of_a_failure(body, status):
    assert failure_from_response(status, {}, body).describe()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "code", "message", "details", "innererror", "additionalInfo", "info", "target"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_no_document_breaks_the_reading_of_a_failure(document):
    assert failure_from_response(400, {}, json.dumps(document).encode()).describe()


def test_waiting_times_come_in_seconds_milliseconds_and_dates():
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)

    def told(**headers):
        return retry_after_of({name.replace("_", "-"): value for name, value in headers.items()}, now=noon)

    assert told(retry_after="17") == timedelta(seconds=17)
    assert told(retry_after="Mon, 23 Nov 2026 12:00:30 GMT") == timedelta(seconds=30)
    assert told(retry_after="Mon, 23 Nov 2026 11:00:00 GMT") == timedelta(0)
    assert told(retry_after="-5") == timedelta(0)
    assert told(x_ms_retry_after_ms="1500") == timedelta(seconds=1.5)
    assert told(retry_after="soon") is None
    assert told(retry_after="1e400") is None
    assert told(retry_after="nan") is None
    assert told() is None


def test_what_nobody_should_see_is_taken_out_of_a_message():
    principal = "6f9619ff-8b86-d011-b42d-00cf4fc964ff"
    text = (
        f"The client '{principal}' with object id '{principal}' lacks 'Microsoft.X/read' over scope "
        f"'{SERVER}'\nand AccountKey=c2VjcmV0;EndpointSuffix=x Password: 'hunter22', sig=abc%3D Bearer ey.J.x "
        "postgresql://admin:letmein@pg.example/db and Qk9ybTk4aGRmS0pIRktKSERGS0pIRktKSEZLSkhGS0pIRg=="
    )

    shown = redact(text)

    for hidden in (principal, SUBSCRIPTION, "c2VjcmV0", "hunter22", "abc%3D", "ey.J", "letmein", "Qk9ybTk4"):
        assert hidden not in shown
    assert "Microsoft.DBforPostgreSQL/flexibleServers 'pg-1'" in shown
    assert "\n" not in shown
    assert len(redact("word " * 200)) <= 300


def test_a_huge_message_is_read_in_no_time():
    failure = failure_from_error({"code": "ServerIsBusy", "message": "/a" * 500_000})

    assert len(failure.message) <= 300


SAMPLES = {
    exceptions.ServiceRequestError: NotSent,
    exceptions.ServiceRequestTimeoutError: NotSent,
    exceptions.ServiceResponseError: OutcomeUnknown,
    exceptions.ServiceResponseTimeoutError: OutcomeUnknown,
    exceptions.ClientAuthenticationError: TokenRefused,
    CredentialUnavailableError: TokenRefused,
    exceptions.DecodeError: OutcomeUnknown,
    exceptions.IncompleteReadError: OutcomeUnknown,
    exceptions.StreamConsumedError: OutcomeUnknown,
    exceptions.StreamClosedError: OutcomeUnknown,
    exceptions.ResponseNotReadError: OutcomeUnknown,
    exceptions.DeserializationError: OutcomeUnknown,
    exceptions.SerializationError: UnknownFailure,
    exceptions.AzureError: UnknownFailure,
    exceptions.HttpResponseError: UnknownFailure,
    exceptions.ResourceExistsError: UnknownFailure,
    exceptions.ResourceNotFoundError: UnknownFailure,
    exceptions.ResourceModifiedError: UnknownFailure,
    exceptions.ResourceNotModifiedError: UnknownFailure,
    exceptions.TooManyRedirectsError: UnknownFailure,
    exceptions.ODataV4Error: UnknownFailure,
}


class Response:
    request = None
    status_code = 409
    reason = "Conflict"
    headers = {"x-ms-request-id": "r-1"}  # noqa: RUF012 - never changed
    content = b'{"error": {"code": "ServerIsBusy", "message": "Busy."}}'

    def text(self, _encoding=None):
        return self.content.decode()


def made(kind):
    """Make an exception of *kind* with what its constructor insists on."""
    if kind is exceptions.TooManyRedirectsError:
        return kind([])
    if kind in {exceptions.ODataV4Error, exceptions.StreamConsumedError, exceptions.StreamClosedError}:
        return kind(Response())
    if kind is exceptions.ResponseNotReadError:
        return kind(Response())
    return kind("What happened.")


def sdk_exceptions():
    return {
        kind
        for _, kind in inspect.getmembers(exceptions, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == exceptions.__name__
    }


def test_every_exception_of_azure_core_is_known_here():
    assert sdk_exceptions() <= SAMPLES.keys()


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
def test_an_exception_of_azure_core_becomes_a_failure(kind):
    expected = TransientConflict if kind is exceptions.ODataV4Error else SAMPLES[kind]

    assert type(translate(made(kind))) is expected


def test_a_refused_sign_in_of_any_kind_is_a_refused_token():
    assert type(translate(AuthenticationRequiredError(scopes=["s"]))) is TokenRefused


def test_an_exception_with_a_response_is_told_by_the_response():
    failure = translate(exceptions.ResourceExistsError(response=Response()))

    assert type(failure) is TransientConflict
    assert failure.code == "ServerIsBusy"


def test_a_fault_of_ours_is_not_taken_for_azures():
    with pytest.raises(KeyError):
        translate(KeyError("mine"))
