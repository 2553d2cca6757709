"""The table of Azure's error codes, through every form in which Azure sends one."""

import inspect
import json
from pathlib import Path

import pytest

from broker.azure import failures
from broker.azure.error_codes import catalogue
from broker.azure.failures import AzureFailure, failure_from_error, failure_from_response
from tests.azure.stand_in import StandIn, arm_over
from tests.descriptions import faults_of

ANSWERS = {
    file.stem: json.loads(file.read_text())
    for file in sorted((Path(__file__).parent / "answers").glob("*.json"))
}
SERVER = (
    "/subscriptions/00000000-1111-2222-3333-444444444444/resourceGroups/g/providers/"
    "Microsoft.DBforPostgreSQL/flexibleServers/pg-1"
)
CODES = [entry.code for entry in catalogue().values()]
KINDS = [
    kind
    for _, kind in inspect.getmembers(failures, inspect.isclass)
    if issubclass(kind, AzureFailure) and kind is not AzureFailure
]


def told(answer):
    headers = {"x-ms-correlation-request-id": "c-1"}
    if answer["status"] is None:
        return failure_from_error(answer["answer"], correlation_id="c-1")
    return failure_from_response(answer["status"], headers, json.dumps(answer["answer"]).encode())


@pytest.mark.parametrize("name", [name for name, answer in ANSWERS.items() if "answer" in answer])
def test_the_cause_is_found_however_deep_azure_puts_it(name):
    answer = ANSWERS[name]
    expected = answer["expected"]

    failure = told(answer)

    assert (failure.code, type(failure).__name__) == (expected["code"], expected["kind"])
    assert failure.resource == expected["resource"]
    assert expected["text"] in failure.describe()
    assert list(failure.leaves[0].policies) == expected.get("policies", [])
    assert not faults_of(failure.describe(), names_something=bool(expected["resource"]))


@pytest.mark.anyio
async def test_the_cause_is_found_in_the_operations_of_a_deployment_within_a_deployment(tmp_path):
    azure, subscription = StandIn(), "00000000-1111-2222-3333-444444444444"
    for name, listed in ANSWERS["operations"]["operations"].items():
        path = f"/subscriptions/{subscription}/resourcegroups/shop/deployments/{name}/operations"
        azure.will_answer("GET", path, 200, listed)

    async with arm_over(azure, tmp_path / "token") as arm:
        errors = await arm.deployment_failures(subscription, "shop", "outer", client_request_id="op-1")

    failure = failure_from_error({"details": errors}, correlation_id="c-1")
    assert failure.code == "ServerNameAlreadyExists"
    assert failure.resource == "Microsoft.DBforPostgreSQL/flexibleServers 'pg-one'"
    assert "Also: Microsoft.Storage/storageAccounts 'stone': The gateway did not" in failure.describe()
    assert not faults_of(failure.describe())


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("message", ["What happened to it.", ""])
def test_a_code_says_what_happened_what_to_do_and_whose_job_it_is(code, message):
    entry = catalogue()[code.lower()]
    sent, _, about = code.partition(", ")
    inner = {
        "error": {
            "code": sent,
            "message": f"{message}{about and f' The {about} is used up.'}",
            "target": SERVER,
        }
    }
    nested = {
        "code": "DeploymentFailed",
        "message": "See below.",
        "details": [{"code": "Conflict", "message": json.dumps(inner)}],
    }

    failure = failure_from_error(nested, correlation_id="c-1")

    assert type(failure) is entry.kind
    assert failure.job == (entry.job or entry.kind.default_job)
    assert failure.describe().startswith("Microsoft.DBforPostgreSQL/flexibleServers 'pg-1': ")
    assert (message or entry.cause) in failure.describe() or about
    assert (entry.advice or entry.kind.default_advice) in failure.describe()
    assert failure.describe().endswith(f"(code {sent}, correlation c-1)")
    assert not faults_of(failure.describe())


def test_each_code_is_known_from_somewhere_and_there_are_many():
    assert len(CODES) >= 100
    for entry in catalogue().values():
        assert entry.cause, entry.code
        assert len(entry.source) > 10, entry.code
        assert entry.kind in KINDS, entry.code
        assert entry.job in {None, "caller", "plan owner", "operator"}, entry.code


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_failure_says_whose_job_it_is_and_what_to_do(kind):
    failure = kind("What happened", code="some-code", resource="flexibleServers 'pg-1'", correlation_id="c-1")

    assert kind.__doc__
    assert failure.job in {"caller", "plan owner", "operator"}
    assert not faults_of(failure.describe())


@pytest.mark.parametrize(
    ("code", "again"),
    [
        ("ResourceQuotaExceeded", False),
        ("RequestDisallowedByPolicy", False),
        ("LocationNotAvailableForResourceType", False),
        ("SkuNotAvailable", False),
        ("StorageAccountAlreadyTaken", False),
        ("MissingSubscriptionRegistration", False),
        ("ServerIsBusy", True),
        ("AnotherOperationInProgress", True),
        ("SubscriptionRequestsThrottled", True),
        ("InternalServerError", True),
        ("NeverHeardOf", False),
    ],
)
def test_what_is_hopeless_is_tried_once_and_what_passes_again(code, again):
    assert failure_from_error({"code": code, "message": "What happened."}).retryable is again


def test_an_endless_answer_keeps_its_advice_and_its_code():
    error = {
        "code": "DeploymentFailed",
        "details": [
            {"code": code, "message": "very long " * 200, "target": f"{SERVER}{'x' * 90}"}
            for code in ("SkuNotAvailable", "ServerIsBusy", "QuotaExceeded")
        ],
    }

    described = failure_from_error(error, correlation_id="c-1").describe()

    assert len(described) <= 700
    assert "Choose a size or plan" in described
    assert described.endswith("(code SkuNotAvailable, correlation c-1)")
