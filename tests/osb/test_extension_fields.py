"""Fields that this broker does not know mean nothing to it (spec, "Vendor Extension Fields")."""

import pytest

from tests.osb.offerings import SERVICE, SMALL, VERSION
from tests.osb.platform import an_id, ask, change, order

MORE = {"x-vendor": {"a": [1, None, "b"]}, "backup": True, "labels": None}


@pytest.mark.requirement("EXT-01", "EXT-06")
def test_unknown_fields_of_a_provision_are_passed_over_and_make_no_difference(platform, external):
    instance_id = an_id()

    first = platform.provision(instance_id, order(**MORE))
    platform.settle(instance_id)
    again = platform.provision(instance_id, order(**(MORE | {"x-vendor": "other"})))
    without = platform.provision(instance_id, order())

    assert [first.status_code, again.status_code, without.status_code] == [202, 200, 200]
    assert external.creations[instance_id] == 1


@pytest.mark.requirement("EXT-02", "UPD-21")
def test_unknown_fields_of_an_update_and_of_its_previous_values_are_passed_over(platform, external):
    instance_id = platform.ready()
    previous = {"service_id": SERVICE, "plan_id": SMALL, "organization_id": "o", "space_id": "s", "x-more": 1}

    answer = platform.update(instance_id, change(parameters={"size": 8}, previous_values=previous, **MORE))

    assert answer.status_code == 202
    assert platform.settle(instance_id).json()["state"] == "succeeded"
    assert external.living(instance_id)[0].parameters["size"] == 8


@pytest.mark.requirement("EXT-03")
def test_unknown_fields_of_a_bind_and_of_its_resource_are_passed_over(platform):
    instance_id, binding_id = platform.ready(), an_id()
    body = ask(bind_resource={"app_guid": "a", "x-more": {"b": 1}, "route": "r.example"}, **MORE)

    assert platform.bind(instance_id, binding_id, body).status_code == 201
    assert platform.bind(instance_id, binding_id, body).status_code == 200


@pytest.mark.requirement("EXT-04", "PRV-25")
def test_unknown_fields_of_context_and_maintenance_info_are_passed_over(platform):
    context = {"platform": "kubernetes", "namespace": "n", "clusterid": "c", "x-more": [1], "y": {"z": None}}
    maintenance = {"version": VERSION, "description": "anything", "x-more": 5}
    instance_id = an_id()

    provisioned = platform.provision(instance_id, order(context=context, maintenance_info=maintenance))
    platform.settle(instance_id)
    updated = platform.update(instance_id, change(context=context, maintenance_info=maintenance))

    assert provisioned.status_code == 202
    assert updated.status_code == 200
    assert platform.bind(instance_id, an_id(), ask(context=context)).status_code == 201


@pytest.mark.requirement("EXT-05")
def test_unknown_query_parameters_are_passed_over(platform):
    instance_id = an_id()
    path = f"/v2/service_instances/{instance_id}"

    assert platform.request("GET", "/v2/catalog?x=1&y").status_code == 200
    assert platform.request("PUT", f"{path}?accepts_incomplete=true&x=1&y=%20", order()).status_code == 202
    assert platform.request("GET", f"{path}/last_operation?x=1").status_code == 200
    platform.settle(instance_id)
    assert platform.request("GET", f"{path}?x=1").status_code == 200
    ids = f"service_id={SERVICE}&plan_id={SMALL}"
    assert platform.request("DELETE", f"{path}?{ids}&accepts_incomplete=true&x=1").status_code == 202
