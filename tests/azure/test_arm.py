"""Each method of `Arm` against a scripted Resource Manager."""

from contextlib import contextmanager

import pytest

from broker.azure.failures import (
    Invalid,
    NotFound,
    NotRegistered,
    OutcomeUnknown,
    TokenRefused,
    TransientConflict,
    UnknownFailure,
)
from tests.azure.stand_in import StandIn, arm_over

pytestmark = pytest.mark.anyio

SERVER = "/subscriptions/s/resourceGroups/g/providers/Microsoft.DBforPostgreSQL/flexibleServers/pg"
DEPLOYMENT = "/subscriptions/s/resourcegroups/g/providers/Microsoft.Resources/deployments/osb-1"
TEMPLATE = {"parameters": {"password": {"type": "secureString"}, "size": {"type": "string"}}, "resources": []}


@pytest.fixture
def azure():
    return StandIn()


@pytest.fixture
async def arm(azure, tmp_path):
    async with arm_over(azure, tmp_path / "token") as arm:
        yield arm


def error(code, message="What happened."):
    return {"error": {"code": code, "message": message}}


async def test_a_resource_is_read_with_token_request_id_and_api_version(arm, azure):
    azure.will_answer("GET", SERVER, 200, {"id": SERVER})

    found = await arm.get_resource(SERVER, "2024-08-01", client_request_id="op-1")

    assert found == {"id": SERVER}
    (asked,) = azure.asked
    assert asked.query == {"api-version": "2024-08-01"}
    assert asked.headers["authorization"] == "Bearer first-token"
    assert asked.headers["x-ms-client-request-id"] == "op-1"
    assert asked.headers["user-agent"] == "azure-service-broker"


@pytest.mark.parametrize(
    "code",
    ["ResourceNotFound", "ResourceGroupNotFound", "ParentResourceNotFound", "ServerGoneOfSomeProvider"],
)
async def test_a_resource_is_absent_when_it_or_what_it_is_in_is_not_found(arm, azure, code):
    azure.will_answer("GET", SERVER, 404, error(code))

    assert await arm.get_resource(SERVER, "2024-08-01", client_request_id="op-1") is None


@pytest.mark.parametrize("code", ["SubscriptionNotFound", "InvalidResourceType", "InvalidResourceNamespace"])
async def test_a_question_put_wrongly_is_never_taken_for_absence(arm, azure, code):
    azure.will_answer("GET", SERVER, 404, error(code))

    with pytest.raises(Invalid):
        await arm.get_resource(SERVER, "2024-08-01", client_request_id="op-1")


async def test_a_proxys_404_page_is_never_taken_for_absence(arm, azure, monkeypatch):
    monkeypatch.setattr("tests.azure.stand_in.HEADERS", {})
    azure.will_answer("GET", SERVER, 404, b"<html>No such page</html>", content_type="text/html")

    with pytest.raises(NotFound):
        await arm.get_resource(SERVER, "2024-08-01", client_request_id="op-1")


async def test_an_answer_that_was_cut_off_leaves_the_outcome_unknown(arm, azure):
    azure.will_answer("PUT", SERVER, 201, b'{"id": "/subsc')

    with pytest.raises(OutcomeUnknown):
        await arm.put_resource(SERVER, "2024-08-01", {"location": "x"}, client_request_id="op-1")


async def test_a_path_that_hides_another_one_is_not_sent(arm, azure):
    with pytest.raises(ValueError, match="no path"):
        await arm.get_resource(f"{SERVER}/../other", "2024-08-01", client_request_id="op-1")

    assert azure.asked == []


async def test_a_put_sends_its_body_and_returns_what_azure_made_of_it(arm, azure):
    azure.will_answer("PUT", SERVER, 202, {"properties": {"state": "Creating"}})

    made = await arm.put_resource(SERVER, "2024-08-01", {"location": "here"}, client_request_id="op-1")

    assert made == {"properties": {"state": "Creating"}}
    assert azure.asked[0].body == {"location": "here"}


async def test_a_secret_that_azure_echoes_does_not_come_back_in_the_failure(arm, azure):
    azure.will_answer("PUT", SERVER, 400, error("InvalidParameterValue", "Value 'open sesame' is too short."))

    with pytest.raises(Invalid) as refused:
        await arm.put_resource(SERVER, "2024-08-01", {}, client_request_id="op-1", secrets=["open sesame"])

    assert "sesame" not in refused.value.describe()


@pytest.mark.parametrize("status", [200, 202, 204, 404])
async def test_deleting_is_content_with_any_sign_that_it_goes_or_is_gone(arm, azure, status):
    azure.will_answer("DELETE", SERVER, status)

    await arm.delete_resource(SERVER, "2024-08-01", client_request_id="op-1")

    assert azure.asked[0].method == "DELETE"


async def test_a_delete_that_meets_another_operation_may_be_tried_again(arm, azure):
    azure.will_answer("DELETE", SERVER, 409, error("AnotherOperationInProgress"), retry_after="7")

    with pytest.raises(TransientConflict) as refused:
        await arm.delete_resource(SERVER, "2024-08-01", client_request_id="op-1")

    assert refused.value.retryable
    assert refused.value.retry_after.total_seconds() == 7


async def test_an_action_is_posted_without_a_body_unless_one_is_given(arm, azure):
    azure.will_answer("POST", f"{SERVER}/listKeys", 200, {"keys": []})

    assert await arm.action(SERVER, "listKeys", "2024-08-01", client_request_id="op-1") == {"keys": []}
    assert azure.asked[0].body is None


async def test_an_action_that_takes_long_is_refused_rather_than_half_done(arm, azure):
    azure.will_answer("POST", f"{SERVER}/restart", 202, location="https://arm.test/later")

    with pytest.raises(UnknownFailure, match="restart"):
        await arm.action(SERVER, "restart", "2024-08-01", client_request_id="op-1")


async def test_resources_are_found_by_all_their_tags_over_all_pages(arm, azure):
    ours = {"osb-broker-id": "b", "osb-instance-id": "it's long"}
    found = {"id": "1", "type": "T", "tags": {"OSB-broker-id": "b", "osb-instance-id": "it's long"}}
    other = {"id": "2", "type": "T", "tags": {"osb-broker-id": "other", "osb-instance-id": "it's long"}}
    azure.will_answer(
        "GET", "/subscriptions/s/resources", 200, {"value": [other], "nextLink": "https://arm.test/more?x=1"}
    )
    azure.will_answer("GET", "/more", 200, {"value": [found, {"id": "3", "type": "T"}]})

    assert await arm.resources_by_tags("s", ours, client_request_id="op-1") == [found]
    assert azure.asked[0].query["$filter"] == "tagName eq 'osb-instance-id' and tagValue eq 'it''s long'"


async def test_a_next_page_at_another_host_never_gets_the_token(arm, azure):
    page = {"value": [], "nextLink": "https://arm.test.evil/more"}
    azure.will_answer("GET", "/subscriptions/s/resources", 200, page)

    with pytest.raises(UnknownFailure, match="another place"):
        await arm.resources_by_tags("s", {"a": "b"}, client_request_id="op-1")

    assert len(azure.asked) == 1


async def test_a_group_is_made_read_listed_and_deleted(arm, azure):
    path = "/subscriptions/s/resourceGroups/g"
    azure.will_answer("PUT", path, 201, {"id": path})
    azure.will_answer("GET", path, 200, {"id": path})
    azure.will_answer("GET", f"{path}/resources", 200, {"value": [{"id": SERVER}]})
    azure.will_answer("DELETE", path, 202)

    assert await arm.put_group("s", "g", "here", {"a": "b"}, client_request_id="op-1") == {"id": path}
    assert await arm.get_group("s", "g", client_request_id="op-1") == {"id": path}
    assert await arm.group_resources("s", "g", client_request_id="op-1") == [{"id": SERVER}]
    await arm.delete_group("s", "g", client_request_id="op-1")

    assert azure.asked[0].body == {"location": "here", "tags": {"a": "b"}}
    assert await arm.get_group("s", "other", client_request_id="op-1") is None
    assert await arm.group_resources("s", "other", client_request_id="op-1") == []


async def test_a_deployment_is_put_incrementally_with_its_parameters_as_values(arm, azure):
    azure.will_answer(
        "PUT", DEPLOYMENT, 201, {"properties": {"provisioningState": "Accepted", "correlationId": "c"}}
    )

    told = await arm.put_deployment(
        "s", "g", "osb-1", TEMPLATE, {"size": "B1"}, tags={"a": "b"}, client_request_id="op-1"
    )

    assert (told.state, told.terminal, told.correlation_id) == ("Accepted", False, "c")
    assert azure.asked[0].query == {"api-version": "2025-04-01"}
    assert azure.asked[0].body == {
        "properties": {"mode": "Incremental", "template": TEMPLATE, "parameters": {"size": {"value": "B1"}}},
        "tags": {"a": "b"},
    }


@pytest.mark.parametrize("code", ["DeploymentActive", "DeploymentActiveAndUneditable"])
async def test_our_own_deployment_still_active_means_that_it_was_accepted(arm, azure, code):
    azure.will_answer("PUT", DEPLOYMENT, 409, error(code))

    told = await arm.put_deployment("s", "g", "osb-1", TEMPLATE, {}, client_request_id="op-1")

    assert told.state == "Accepted"


async def test_any_other_conflict_on_a_deployment_is_a_failure(arm, azure):
    azure.will_answer("PUT", DEPLOYMENT, 409, error("MissingSubscriptionRegistration"))

    with pytest.raises(NotRegistered) as refused:
        await arm.put_deployment("s", "g", "osb-1", TEMPLATE, {}, client_request_id="op-1")

    assert not refused.value.retryable
    assert "az provider register" in refused.value.describe()


async def test_a_secure_parameter_that_azure_echoes_does_not_come_back(arm, azure):
    azure.will_answer("PUT", DEPLOYMENT, 400, error("InvalidTemplate", "'hidden words' will not do."))

    with pytest.raises(Invalid) as refused:
        await arm.put_deployment(
            "s", "g", "osb-1", TEMPLATE, {"password": "hidden words"}, client_request_id="op-1"
        )

    assert "hidden" not in refused.value.describe()


async def test_a_finished_deployment_tells_outputs_and_resources(arm, azure):
    azure.will_answer(
        "GET",
        DEPLOYMENT,
        200,
        {
            "properties": {
                "provisioningState": "Succeeded",
                "outputs": {"host": {"type": "String", "value": "pg.example"}},
                "outputResources": [{"id": SERVER}],
                "correlationId": "c",
            }
        },
    )

    told = await arm.get_deployment("s", "g", "osb-1", client_request_id="op-1")

    assert told.terminal
    assert told.succeeded
    assert told.outputs == {"host": "pg.example"}
    assert told.output_resources == (SERVER,)


@pytest.mark.parametrize("state", ["Accepted", "Running", "Updating", "SomethingNew"])
async def test_a_state_that_is_no_end_means_still_running(arm, azure, state):
    azure.will_answer("GET", DEPLOYMENT, 200, {"properties": {"provisioningState": state}}, retry_after="12")

    told = await arm.get_deployment("s", "g", "osb-1", client_request_id="op-1")

    assert not told.terminal
    assert told.retry_after.total_seconds() == 12


async def test_a_pruned_deployment_is_absent(arm, azure):
    azure.will_answer("GET", DEPLOYMENT, 404, error("DeploymentNotFound"))

    assert await arm.get_deployment("s", "g", "osb-1", client_request_id="op-1") is None


async def test_validation_says_nothing_or_what_would_be_refused(arm, azure):
    path = f"{DEPLOYMENT}/validate"
    nested = {
        "code": "InvalidTemplateDeployment",
        "message": "See inner.",
        "details": [{"code": "SkuNotAvailable", "message": "No B1 here."}],
    }
    azure.will_answer("POST", path, 200, {"properties": {}})
    azure.will_answer("POST", path, 400, {"error": nested})
    azure.will_answer("POST", path, 200, {"error": nested})

    await arm.validate_deployment("s", "g", "osb-1", TEMPLATE, {}, client_request_id="op-1")
    for _ in range(2):
        with pytest.raises(Invalid, match="No B1 here") as refused:
            await arm.validate_deployment("s", "g", "osb-1", TEMPLATE, {}, client_request_id="op-1")
        assert refused.value.code == "SkuNotAvailable"


@pytest.mark.parametrize("status", [204, 409, 404])
async def test_cancelling_what_has_ended_is_no_error(arm, azure, status):
    azure.will_answer("POST", f"{DEPLOYMENT}/cancel", status, error("DeploymentCannotBeCancelled"))

    await arm.cancel_deployment("s", "g", "osb-1", client_request_id="op-1")


async def test_a_deployment_is_deleted_from_the_history(arm, azure):
    azure.will_answer("DELETE", DEPLOYMENT, 202)

    await arm.delete_deployment("s", "g", "osb-1", client_request_id="op-1")
    await arm.delete_deployment("s", "g", "pruned", client_request_id="op-1")


async def test_failed_operations_are_gathered_through_nested_deployments(arm, azure):
    path = "/subscriptions/s/resourcegroups/g/deployments/{}/operations"
    nested = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Resources/deployments/inner"

    def operation(state, target, type_, code):
        return {
            "properties": {
                "provisioningState": state,
                "targetResource": {"id": target, "resourceType": type_},
                "statusMessage": {"error": {"code": code, "message": "Why."}},
            }
        }

    azure.will_answer(
        "GET",
        path.format("osb-1"),
        200,
        {
            "value": [
                operation("Succeeded", SERVER, "X/Y", "Fine"),
                operation("Failed", nested, "Microsoft.Resources/deployments", "DeploymentFailed"),
            ]
        },
    )
    azure.will_answer(
        "GET", path.format("inner"), 200, {"value": [operation("Failed", SERVER, "X/Y", "Deep")]}
    )

    errors = await arm.deployment_failures("s", "g", "osb-1", client_request_id="op-1")

    assert errors == [{"target": SERVER, "code": "Deep", "message": "Why."}]


async def test_permissions_locations_and_provider_are_read(arm, azure):
    azure.will_answer(
        "GET",
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.Authorization/permissions",
        200,
        {"value": [{"actions": ["*"], "notActions": []}]},
    )
    azure.will_answer("GET", "/subscriptions/s/locations", 200, {"value": [{"name": "westeurope"}]})
    azure.will_answer(
        "GET", "/subscriptions/s/providers/Microsoft.X", 200, {"registrationState": "Registered"}
    )

    assert await arm.permissions("s", "g", client_request_id="op-1") == [{"actions": ["*"], "notActions": []}]
    assert await arm.locations("s", client_request_id="op-1") == [{"name": "westeurope"}]
    told = await arm.provider("s", "Microsoft.X", client_request_id="op-1")
    assert told["registrationState"] == "Registered"


async def test_each_call_is_told_without_names(arm, azure):
    azure.will_answer("GET", SERVER, 200, {}, x_ms_ratelimit_remaining_subscription_reads="249")
    azure.will_answer(
        "DELETE", SERVER, 429, None, retry_after="17", x_ms_ratelimit_remaining_subscription_deletes="0"
    )

    await arm.get_resource(SERVER, "2024-08-01", client_request_id="op-1")
    with pytest.raises(Exception, match="429"):
        await arm.delete_resource(SERVER, "2024-08-01", client_request_id="op-1")

    read, deleted = azure.calls
    assert (read.kind, read.method, read.status, read.remaining) == ("read", "GET", 200, 249)
    assert read.pattern == (
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.DBforPostgreSQL/flexibleServers/{}"
    )
    assert (deleted.kind, deleted.status, deleted.remaining, deleted.retry_after) == ("delete", 429, 0, 17.0)
    assert deleted.subscription == "s"


async def test_a_refused_token_is_read_again_once(arm, azure, tmp_path):
    azure.will_answer("GET", SERVER, 200, {})
    await arm.get_resource(SERVER, "2024-08-01", client_request_id="op-1")
    azure._replies.clear()
    azure.will_answer("GET", SERVER, 401, error("ExpiredAuthenticationToken"))
    azure.will_answer("GET", SERVER, 200, {"id": SERVER})
    (tmp_path / "token").write_text("second-token")

    found = await arm.get_resource(SERVER, "2024-08-01", client_request_id="op-1")

    assert found == {"id": SERVER}
    assert azure.asked[0].headers["authorization"] == "Bearer first-token"
    assert azure.asked[-1].headers["authorization"] == "Bearer second-token"


async def test_a_token_that_is_refused_twice_is_the_operators_job(arm, azure):
    azure.will_answer("GET", SERVER, 401, error("InvalidAuthenticationToken"))

    with pytest.raises(TokenRefused) as refused:
        await arm.get_resource(SERVER, "2024-08-01", client_request_id="op-1")

    assert len(azure.asked) == 2
    assert refused.value.job == "operator"


async def test_a_missing_token_file_means_that_nothing_was_sent(arm, azure, tmp_path):
    (tmp_path / "token").unlink()

    with pytest.raises(TokenRefused):
        await arm.get_resource(SERVER, "2024-08-01", client_request_id="op-1")

    assert azure.asked == []


class Trace:
    """What is around each call, and what it was told."""

    def __init__(self):
        self.headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
        self.told = []

    @contextmanager
    def __call__(self, method, pattern):
        self.told.append(f"{method} {pattern}")
        yield self

    def answered(self, status):
        self.told.append(status)


async def test_a_call_carries_the_trace_that_it_belongs_to_and_tells_its_status(azure, tmp_path):
    trace = Trace()
    azure.will_answer("GET", SERVER, 200, {"id": SERVER})

    async with arm_over(azure, tmp_path / "token", trace=trace) as arm:
        await arm.get_resource(SERVER, "2024-08-01", client_request_id="op-1")

    assert azure.asked[0].headers["traceparent"] == trace.headers["traceparent"]
    told = "GET /subscriptions/{}/resourcegroups/{}/providers/Microsoft.DBforPostgreSQL/flexibleServers/{}"
    assert [str(one).lower() for one in trace.told] == [told.lower(), "200"]
