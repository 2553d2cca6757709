"""New credentials for old ones (spec, "Binding Rotation")."""

import pytest

from tests.osb.offerings import PLAIN, PLAIN_SERVICE
from tests.osb.platform import an_id, ask, order, refused


@pytest.mark.requirement("ROT-01", "ROT-02", "ROT-06", "ROT-08")
def test_a_rotated_binding_has_new_credentials_and_the_old_ones_work_until_unbound(platform, external):
    instance_id = platform.ready()
    old, first = platform.bound(instance_id, ask(parameters={"role": "reader"}))

    new, second = platform.bound(instance_id, ask(predecessor_binding_id=old))

    assert first["credentials"]["password"] != second["credentials"]["password"]
    assert {first["credentials"]["password"], second["credentials"]["password"]} <= external.passwords()
    assert platform.fetch(instance_id, new).json()["parameters"] == {"role": "reader"}
    assert platform.fetch(instance_id, old).status_code == 200
    assert platform.unbind(instance_id, old).status_code == 200
    assert first["credentials"]["password"] not in external.passwords()
    assert second["credentials"]["password"] in external.passwords()
    assert platform.fetch(instance_id, new).status_code == 200
    assert platform.unbind(instance_id, new).status_code == 200


@pytest.mark.requirement("ROT-05")
def test_the_predecessor_alone_is_enough(platform):
    instance_id = platform.ready()
    old, _ = platform.bound(instance_id)

    assert platform.bind(instance_id, an_id(), {"predecessor_binding_id": old}).status_code == 201


@pytest.mark.requirement("ROT-07")
def test_the_same_rotation_again_is_200_and_makes_nothing(platform, external):
    instance_id, new = platform.ready(), an_id()
    old, _ = platform.bound(instance_id, ask(parameters={"role": "reader"}))
    body = ask(predecessor_binding_id=old)

    first = platform.bind(instance_id, new, body)
    again = platform.bind(instance_id, new, body)

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert external.creations[new] == 1


@pytest.mark.requirement("ROT-03", "ROT-04", "ROT-09", "ROT-10")
def test_a_rotation_from_what_is_no_binding_of_the_instance_is_refused_and_leaves_nothing(platform, external):
    instance_id, elsewhere = platform.ready(), platform.ready()
    others, _ = platform.bound(elsewhere)
    unbound, _ = platform.bound(instance_id)
    platform.unbind(instance_id, unbound)

    for predecessor in (an_id(), others, unbound, "", instance_id):
        for body in (ask(predecessor_binding_id=predecessor), {"predecessor_binding_id": predecessor}):
            binding_id = an_id()
            assert 400 <= platform.bind(instance_id, binding_id, body).status_code < 500, predecessor
            assert platform.fetch(instance_id, binding_id).status_code == 404
            assert external.creations[binding_id] == 0


@pytest.mark.requirement("ROT-09")
@pytest.mark.parametrize("predecessor", [7, ["a"], {"a": 1}, True])
def test_a_predecessor_that_is_no_string_is_400(platform, predecessor):
    refused(platform.bind(platform.ready(), an_id(), ask(predecessor_binding_id=predecessor)), 400)


def test_a_plan_that_does_not_rotate_refuses_to(platform):
    instance_id = platform.ready(order(PLAIN, service_id=PLAIN_SERVICE))
    old, _ = platform.bound(instance_id, ask(PLAIN, service_id=PLAIN_SERVICE))

    answer = platform.bind(
        instance_id, an_id(), ask(PLAIN, service_id=PLAIN_SERVICE, predecessor_binding_id=old)
    )

    assert 400 <= answer.status_code < 500
