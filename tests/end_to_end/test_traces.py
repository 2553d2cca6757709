"""Traces: one for a request, the operation that it orders, and the calls to Azure, whichever process makes them."""

import secrets
import socket
import subprocess
import sys
import time

import pytest

from tests.end_to_end.a_broker_process import At
from tests.end_to_end.collector import collecting
from tests.end_to_end.orders import ALL_IN_ONE
from tests.osb.platform import an_id


@pytest.fixture
def collector():
    with collecting() as running:
        yield running


def traced(url: str) -> dict[str, str]:
    """Settings of a broker that keeps traces."""
    return {
        "tracing": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",  # in ms; a process that is killed has sent the rest
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=a-test",
    }


def test_one_trace_leads_from_the_request_to_the_calls_that_another_process_makes(sqlite_world, collector):
    world, instance = sqlite_world, an_id()
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    first = world.start(dies=At("after step", "provision", "database"), **traced(collector.url))

    first.platform.provision(
        instance, ALL_IN_ONE.order(), headers={"traceparent": f"00-{trace}-{span}-01", "X-Secret": "no"}
    )
    first.process.join(30)
    second = world.start(**traced(collector.url))
    assert second.platform.settle(instance).json()["state"] == "succeeded"
    second.stop()

    spans = collector.of(trace)
    (request,) = [one for one in spans if one.kind == "SERVER"]
    steps = [one for one in spans if one.kind == "INTERNAL"]
    calls = [one for one in spans if one.kind == "CLIENT"]
    assert request.name == "PUT /v2/service_instances/{instance_id}"
    assert (request.parent, request.attributes["http.response.status_code"]) == (span, "202")
    assert {step.parent for step in steps} == {request.id}
    assert {"provision submit", "provision wait", "provision database"} <= {step.name for step in steps}
    assert {step.attributes["osb.instance.id"] for step in steps} == {instance}
    assert {call.parent for call in calls} <= {step.id for step in steps}
    put = next(call for call in calls if call.name.startswith("PUT ") and "deployments" in call.name)
    assert put.attributes["http.response.status_code"] in {"200", "201"}
    assert not any(one.failed for one in calls)
    assert all(
        (one["service.name"], one["deployment.environment.name"]) == ("azure-service-broker", "a-test")
        for one in collector.resources
    )
    world_knows = [
        *world.passwords(instance),
        world.password,
        world.azure.access.subscription_id,
        world.group,
    ]
    told = bytes(collector.raw)
    assert [one for one in world_knows if one.encode() in told] == []
    assert world.azure.access.token.encode() not in told


def test_a_step_that_fails_says_so_in_its_span(sqlite_world, collector):
    world, instance = sqlite_world, an_id()
    world.azure.fault("error", method="PUT", path=f"/{world.group}/.*/deployments/", status=500, count=1)
    with world.serving(**traced(collector.url)) as platform:
        platform.provision(instance, ALL_IN_ONE.order())
        assert platform.settle(instance).json()["state"] == "succeeded"

    failed = {one.name.split()[0]: one for one in collector.spans if one.failed}
    assert failed["PUT"].attributes["http.response.status_code"] == "500"
    assert failed["provision"].id == failed["PUT"].parent


def test_a_collector_that_is_away_slows_no_request_and_no_stop(sqlite_world):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        broker = sqlite_world.start(**traced(f"http://127.0.0.1:{nobody.getsockname()[1]}"))
        for _ in range(20):
            assert broker.platform.catalog(timeout=5).status_code == 200
        began = time.monotonic()
        broker.stop()

    # Far more than its three seconds, far less than what an exporter tries for.
    assert time.monotonic() - began < 9


def test_what_keeps_traces_is_not_imported_where_none_are_kept():
    told = "import sys, broker.app; print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"

    ran = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"
