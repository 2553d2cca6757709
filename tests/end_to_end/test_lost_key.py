"""The sealing key is gone: the start says so, and what it sealed can still be deleted, in Azure too."""

import base64
import secrets

import pytest

from tests.end_to_end.orders import ALL_IN_ONE
from tests.osb.platform import an_id

pytestmark = pytest.mark.slow


def another_ring() -> str:
    return f"k2:{base64.b64encode(secrets.token_bytes(32)).decode()}"


def test_without_its_key_an_instance_with_a_binding_can_be_deleted_once_the_key_is_known_to_be_lost(
    sqlite_world,
):
    world, instance, binding = sqlite_world, an_id(), an_id()
    broker = world.start()
    broker.platform.ready(ALL_IN_ONE.order(), instance_id=instance)
    assert broker.platform.bind(instance, binding, ALL_IN_ONE.body()).status_code == 201
    broker.kill()
    ring = another_ring()

    with pytest.raises(AssertionError, match=r"BROKER_SEALING_KEYS lacks: 'k1' \(3 values\)"):
        world.start(sealing_keys=ring)
    with world.serving(sealing_keys=ring, lost_sealing_keys="k1") as platform:
        refused = platform.bind(instance, an_id(), ALL_IN_ONE.body())
        platform.gone(instance, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)

    assert (refused.status_code, refused.json()["error"]) == (422, "SealingKeyMissing")
    assert world.made() == world.recorded() == set()
