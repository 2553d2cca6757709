"""What is refused by what Azure holds or by what was ordered before: 4xx, and nothing is left or changed."""

import pytest

from tests.end_to_end.a_broker_process import At
from tests.end_to_end.orders import Ordered
from tests.end_to_end.world import through_death
from tests.osb.platform import an_id, refused

VAULT = Ordered.of("azure-keyvault")
NAMESPACE = Ordered.of("azure-eventhubs-namespace", "standard")
HUB = Ordered.of("azure-eventhubs-hub")


def ready(platform, ordered, **parameters) -> str:
    instance = an_id()
    assert platform.provision(instance, ordered.order(**parameters)).status_code in {201, 202}
    assert platform.settle(instance).json()["state"] == "succeeded"
    return instance


@pytest.mark.slow
@pytest.mark.parametrize(
    "dies",
    [At("after step", "bind", "verbs"), At("in save", "bind", "verbs"), At("saved", "bind", "verbs")],
    ids=str,
)
def test_a_bind_that_azure_does_not_allow_leaves_nothing_wherever_the_broker_dies(world, dies):
    principal, binding = an_id(), an_id()
    with world.serving() as platform:
        vault = ready(platform, VAULT)
        body = VAULT.body(parameters={"principalId": principal})
        assert platform.bind(vault, an_id(), body).status_code == 201
    assigned = world.azure.state()["role_assignments"]

    broker, answer = through_death(world, dies, lambda p: p.bind(vault, binding, body))

    assert "has this role here already" in refused(answer, 422, "RoleAssignmentExists")
    refused(broker.platform.unbind(vault, binding, VAULT.plan_id, VAULT.service_id), 410)
    assert world.azure.state()["role_assignments"] == assigned
    assert world.count("service_bindings", f"binding_id = '{binding}'") == 0
    assert set(world.statuses(binding)) == {"failed"}


def test_an_update_that_contradicts_the_parent_is_refused_and_begins_nothing(world):
    with world.serving() as platform:
        ready(platform, NAMESPACE, alias="events")
        hub = ready(platform, HUB, parentAlias="events")

        answer = platform.update(
            hub, {"service_id": HUB.service_id, "parameters": {"messageRetentionInDays": 30}}
        )

        assert "7 days at most" in refused(answer, 400, "InvalidParameters")
        assert world.operations("update") == []
        assert platform.fetch(hub).json()["parameters"] == {"parentAlias": "events"}
