"""What a refusal looks like (spec, "Service Broker Errors")."""

import json

import pytest

from broker.api import answers
from broker.errors import RequiresApp
from tests.osb.offerings import FIXED, HURRIED, SERVICE, SMALL
from tests.osb.platform import an_id, ask, change, order, refused

REASONS = ["{", "[]", order(service_id=...), order(plan_id="unknown"), order(parameters={"size": 0})]


@pytest.mark.requirement("ERR-01", "ERR-02", "ERR-03", "ERR-10", "ERR-12")
def test_each_refusal_has_its_status_a_word_and_a_sentence(platform, external):
    instance_id = platform.ready()
    fixed = platform.ready(order(FIXED))
    refusals = [
        (platform.provision(an_id(), "{"), 400),
        (platform.request("GET", "/v2/catalog", auth=None), 401),
        (platform.fetch(an_id()), 404),
        (platform.poll(an_id()), 404),
        (platform.request("GET", "/v2/unknown"), 404),
        (platform.request("POST", "/v2/catalog"), 405),
        (platform.provision(instance_id, order(parameters={"size": 5})), 409),
        (platform.deprovision(an_id()), 410),
        (platform.unbind(instance_id, an_id()), 410),
        (platform.catalog(headers={"X-Broker-API-Version": "3.0"}), 412),
        (platform.provision(an_id(), b" " * (17 * 1024 * 1024)), 413),
        (platform.provision(an_id(), asynchronous=None), 422),
        (platform.update(fixed, change(plan_id=SMALL)), 422),
    ]

    for answer, status in refusals:
        assert answer.status_code == status, answer.text
        body = answer.json()
        assert set(body) <= {"error", "description", "instance_usable", "update_repeatable"}
        assert body["error"].isalnum()
        assert len(body["description"]) > 10
        assert body["description"][-1] in ".!?"


@pytest.mark.requirement("ERR-04", "ERR-05")
def test_the_two_flags_stand_in_polls_of_failed_updates_only(platform, external):
    instance_id, failing = platform.ready(), an_id()
    external.fail(failing, "create")
    external.fail(instance_id, "update", flags=(True, False))

    platform.provision(failing)
    failed_provision = platform.settle(failing).json()
    platform.update(instance_id, change(parameters={"size": 7}))
    failed_update = platform.settle(instance_id).json()

    assert failed_provision["state"] == failed_update["state"] == "failed"
    assert "instance_usable" not in failed_provision
    assert "update_repeatable" not in failed_provision
    assert (failed_update["instance_usable"], failed_update["update_repeatable"]) == (True, False)


@pytest.mark.requirement("ERR-06", "ERR-13")
def test_the_defined_causes_have_exactly_their_words(platform, external):
    instance_id, waiting = platform.ready(), an_id()
    with external.holding(waiting, "create"):
        platform.provision(waiting)

        refused(platform.provision(an_id(), asynchronous=None), 422, "AsyncRequired")
        refused(platform.update(waiting, change(parameters={"size": 2})), 422, "ConcurrencyError")
        maintained = order(maintenance_info={"version": "0.0.9"})
        refused(platform.provision(an_id(), maintained), 422, "MaintenanceInfoConflict")
        refused(
            platform.update(instance_id, change(maintenance_info={"version": "0.0.9"})),
            422,
            "MaintenanceInfoConflict",
        )


@pytest.mark.requirement("ERR-06")
def test_the_cause_that_no_offering_of_ours_has_would_have_its_word_too():
    answer = answers.refused(RequiresApp())

    assert answer.status_code == 422
    assert json.loads(bytes(answer.body))["error"] == "RequiresApp"


@pytest.mark.requirement("ERR-07")
def test_a_refused_request_of_any_kind_changes_nothing(platform, external):
    instance_id = platform.ready(order(parameters={"size": 4}))
    binding_id, _ = platform.bound(instance_id)
    before = platform.fetch(instance_id).json(), platform.fetch(instance_id, binding_id).json()

    for answer in [
        platform.provision(instance_id, order(parameters={"size": 5})),
        platform.update(instance_id, change(parameters={"size": 5000})),
        platform.update(instance_id, change(plan_id="unknown")),
        platform.update(instance_id, change(parameters={"size": 5}), asynchronous=False),
        platform.bind(instance_id, binding_id, ask(parameters={"role": "writer"})),
        platform.unbind(instance_id, binding_id, ...),
        platform.deprovision(instance_id, ...),
        platform.deprovision(instance_id, asynchronous=False),
    ]:
        assert 400 <= answer.status_code < 500, answer.text

    assert (platform.fetch(instance_id).json(), platform.fetch(instance_id, binding_id).json()) == before
    assert external.updates[instance_id] == 0


@pytest.mark.requirement("ERR-08")
def test_a_bind_that_failed_with_5xx_leaves_nothing(platform, external):
    instance_id, binding_id = platform.ready(), an_id()
    external.fail(binding_id, "bind", "The server refuses more logins.")

    answer = platform.bind(instance_id, binding_id)

    assert "refuses more logins" in refused(answer, 500)
    assert platform.fetch(instance_id, binding_id).status_code == 404
    assert external.logins_of(binding_id) == []
    assert platform.unbind(instance_id, binding_id).status_code == 410


@pytest.mark.requirement("ERR-11")
@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("GET", "/v2", {404}),
        ("GET", "/v2/catalogs", {404}),
        ("GET", "/v2/service_instances", {404}),
        ("GET", "/v2/service_instances/a/b", {404}),
        ("GET", "/v2/service_instances/a/service_bindings", {404}),
        ("GET", "/v2/service_instances/a/service_bindings/b/c", {404}),
        ("GET", "/openapi.json", {404}),
        ("GET", "/metrics", {404}),
        ("POST", "/v2/catalog", {404, 405}),
        ("DELETE", "/v2/catalog", {404, 405}),
        ("POST", "/v2/service_instances/a", {404, 405}),
        ("PATCH", "/v2/service_instances/a/service_bindings/b", {404, 405}),
        ("PUT", "/v2/service_instances/a/last_operation", {404, 405}),
    ],
)
def test_unknown_paths_and_methods_are_404_and_405(platform, method, path, statuses):
    assert platform.request(method, path).status_code in statuses


@pytest.mark.requirement("ERR-12")
def test_the_reason_of_a_failure_outside_reaches_the_user_without_a_trace(platform, external):
    instance_id = an_id()
    external.fail(instance_id, "create", "The region has no capacity for this size; choose another.")

    platform.provision(instance_id)
    answer = platform.settle(instance_id)

    assert "no capacity for this size" in answer.json()["description"]
    assert "Traceback" not in answer.text


def test_an_operation_that_runs_out_of_time_fails_and_says_so(platform, external):
    instance_id = an_id()
    external.throttle(instance_id, "create")

    platform.provision(instance_id, order(HURRIED))
    answer = platform.settle(instance_id).json()

    assert answer["state"] == "failed"
    assert answer["description"]


def test_a_wrong_parameter_is_named_with_what_is_allowed(platform):
    tier = refused(platform.provision(an_id(), order(parameters={"tier": "warm"})), 400)
    size = refused(platform.provision(an_id(), order(parameters={"size": 1000})), 400)
    unknown = refused(platform.provision(an_id(), order(parameters={"tear": "hot"})), 400)

    assert "tier" in tier
    assert "cool" in tier
    assert "hot" in tier
    assert "size" in size
    assert "100" in size
    assert "tear" in unknown
    assert SERVICE not in unknown
