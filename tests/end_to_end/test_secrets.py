"""Nothing that opens a door is written down in clear, by anybody, through a whole life and a death."""

import base64
import json

import pytest

from tests.chaos.checker import holds
from tests.chaos.stored import dump
from tests.end_to_end.orders import ALL_IN_ONE
from tests.osb.platform import an_id

pytestmark = pytest.mark.slow
CANARY = "a-canary-in-the-parameters"


def deployments_of(world) -> str:
    """All that Azure shows of the deployments, their operations too."""
    path = f"/resourceGroups/{world.group}/providers/Microsoft.Resources/deployments"
    listed = world.azure.call("GET", path).json()["value"]
    details = [world.azure.call("GET", f"{path}/{one['name']}/operations").json() for one in listed]
    assert listed
    return json.dumps([listed, details])


def test_no_secret_is_in_the_store_the_logs_the_metrics_or_azures_history(world):
    instance, binding = an_id(), an_id()
    broker = world.start()
    broker.platform.ready(ALL_IN_ONE.order(tags={"note": CANARY}), instance_id=instance)
    answer = broker.platform.bind(instance, binding, ALL_IN_ONE.body())
    broker.kill()
    stored = dump(world.database_url)
    (administrator,) = world.passwords(instance)
    second = world.start()
    second.platform.update(instance, {"service_id": ALL_IN_ONE.service_id, "parameters": {"storageGB": 64}})
    assert second.platform.settle(instance).json()["state"] == "succeeded"
    second.platform.bound(instance, ALL_IN_ONE.body())
    second.platform.unbind(instance, binding, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)
    metrics = second.metrics()
    second.stop()

    credentials = answer.json()["credentials"]
    told = {
        "store": stored,
        "store at the end": dump(world.database_url),
        "logs": world.log.read_bytes(),
        "metrics": metrics.encode(),
        "ledger": json.dumps(world.azure.ledger()).encode(),
        "state": json.dumps(world.azure.state()).encode(),
        "deployments": deployments_of(world).encode(),
    }
    secrets = {
        "administrator": administrator,
        "binding": credentials["password"],
        "uri": credentials["uri"],
        "platform": world.password,
        "sealing key": base64.b64encode(world.key).decode(),
    }
    found = [
        (name, place)
        for place, text in told.items()
        for name, secret in secrets.items()
        if holds(text, secret)
    ]
    assert found == []
    # A parameter is a secret for all that the broker knows; Azure itself shows tags.
    assert [
        place for place in ("store", "store at the end", "logs", "metrics") if holds(told[place], CANARY)
    ] == []
    assert holds(told["store"], instance), "the dump holds what is no secret"
