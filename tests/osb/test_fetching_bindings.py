"""Looking at a binding (spec, "Fetching a Service Binding")."""

import pytest

from tests.osb.offerings import SERVICE, SMALL
from tests.osb.platform import an_id, ask, refused


@pytest.mark.requirement("GBN-01", "GBN-02", "GBN-08", "GBN-11")
def test_a_finished_binding_shows_what_its_bind_answered(platform):
    instance_id = platform.ready()
    binding_id, bound = platform.bound(instance_id, ask(parameters={"role": "writer"}))

    answer = platform.fetch(instance_id, binding_id)

    assert answer.status_code == 200
    body = answer.json()
    assert body["credentials"] == bound["credentials"]
    assert body["endpoints"] == bound["endpoints"]
    assert body["parameters"] == {"role": "writer"}
    assert isinstance(body.get("metadata", {}), dict)
    assert not {"syslog_drain_url", "route_service_url", "volume_mounts"} & set(body)


@pytest.mark.requirement("GBN-03", "GBN-04", "GBN-10")
def test_an_unknown_binding_is_404_wherever_it_is_looked_for(platform):
    instance_id = platform.ready()
    binding_id, _ = platform.bound(instance_id)

    refused(platform.fetch(instance_id, an_id()), 404)
    refused(platform.fetch(an_id(), binding_id), 404)
    refused(platform.fetch(platform.ready(), binding_id), 404)


@pytest.mark.requirement("GBN-05", "GBN-07")
def test_a_binding_in_the_making_is_404_and_then_has_its_credentials(platform, impatient, external):
    instance_id, binding_id = platform.ready(), an_id()
    with external.holding(binding_id, "bind"):
        impatient.bind(instance_id, binding_id, asynchronous=True)

        refused(platform.fetch(instance_id, binding_id), 404)
    platform.settle(instance_id, binding_id)
    assert platform.fetch(instance_id, binding_id).json()["credentials"]["password"] in external.passwords()


@pytest.mark.requirement("GBN-06")
def test_an_unbound_binding_is_404(platform):
    instance_id = platform.ready()
    binding_id, _ = platform.bound(instance_id)
    platform.unbind(instance_id, binding_id)

    refused(platform.fetch(instance_id, binding_id), 404)


@pytest.mark.requirement("GBN-09")
def test_hints_make_no_difference(platform):
    instance_id = platform.ready()
    binding_id, _ = platform.bound(instance_id)

    answers = [
        platform.fetch(instance_id, binding_id),
        platform.fetch(instance_id, binding_id, service_id=SERVICE, plan_id=SMALL),
        platform.fetch(instance_id, binding_id, plan_id=SMALL),
    ]

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.requirement("GBN-02")
def test_a_sensitive_bind_parameter_is_never_shown_again(platform):
    instance_id = platform.ready()
    canary = "only-the-owner-knows"

    binding_id, bound = platform.bound(instance_id, ask(parameters={"role": "reader", "key": canary}))
    fetched = platform.fetch(instance_id, binding_id)
    again = platform.bind(instance_id, binding_id, ask(parameters={"role": "reader", "key": canary}))
    conflict = platform.bind(
        instance_id, binding_id, ask(parameters={"role": "reader", "key": canary + "-not"})
    )
    wrong = [
        platform.bind(instance_id, an_id(), ask(parameters=parameters))
        for parameters in ({"key": canary.upper()}, {"key": [canary]}, {"key": canary * 4}, {"keys": canary})
    ]

    assert fetched.json()["parameters"] == {"role": "reader"}
    assert again.status_code == 200
    assert [conflict.status_code, *(answer.status_code for answer in wrong)] == [409, 400, 400, 400, 400]
    told = [str(bound), *(answer.text for answer in (fetched, again, conflict, *wrong))]
    assert [text for text in told if canary in text.lower()] == []
