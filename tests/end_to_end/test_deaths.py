"""A broker is killed; nothing survives but the database and Azure, and the next process ends the work."""

import pytest

from tests.end_to_end.a_broker_process import At
from tests.end_to_end.logins import works
from tests.end_to_end.orders import ALL_IN_ONE
from tests.end_to_end.world import through_death
from tests.osb.platform import an_id
from tests.simulated import wait_until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("dies", "dies_again"),
    [
        (At("claimed", "provision"), At("claimed", "deprovision")),
        (At("in save", "provision", ""), At("in save", "deprovision", "")),
        (At("before step", "provision", "submit"), At("before step", "deprovision", "remove")),
        (At("after step", "provision", "submit"), At("after step", "deprovision", "remove")),
        (At("in save", "provision", "submit"), At("in save", "deprovision", "remove")),
        (At("saved", "provision", "submit"), At("saved", "deprovision", "remove")),
        (At("after step", "provision", "database"), At("after step", "deprovision", "history")),
        (At("in save", "provision", "database"), At("in save", "deprovision", "history")),
    ],
    ids=str,
)
def test_an_instance_is_made_once_and_goes_wholly_wherever_the_broker_dies(world, dies, dies_again):
    instance = an_id()

    broker, ordered = through_death(world, dies, lambda p: p.provision(instance, ALL_IN_ONE.order()))
    settled = broker.platform.settle(instance).json()

    # Where it died in its last save, the order that is repeated to the next broker may find it made.
    assert ordered.status_code in {200, 202}
    assert settled["state"] == "succeeded"
    assert world.operations("provision") == ["succeeded"]
    assert len(world.deployments()) == len(world.servers()) == world.count("service_instances") == 1
    assert world.recorded() == world.made()

    broker.kill()
    broker, deleted = through_death(
        world, dies_again, lambda p: p.deprovision(instance, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id)
    )
    settled = broker.platform.settle(instance)

    # Where it died in or after its last save, the second DELETE may find it gone.
    assert deleted.status_code in {202, 410}
    assert settled.status_code == 410
    assert world.operations("deprovision") == ["succeeded"]
    assert world.resources() == []
    assert world.count("service_instances") == 0
    assert world.count("external_resources", "gone_at IS NULL") == 0
    assert len(world.deployments()) == 1


@pytest.mark.parametrize(
    "dies",
    [
        At("claimed", "bind"),
        At("in save", "bind", ""),
        At("before step", "bind", "verbs"),
        At("after step", "bind", "verbs"),
        At("in save", "bind", "verbs"),
        At("saved", "bind", "verbs"),
    ],
    ids=str,
)
def test_a_binding_has_one_login_wherever_the_broker_dies(lasting, dies):
    binding = an_id()
    before = lasting.logins()

    broker, bound = through_death(
        lasting.world, dies, lambda p: p.bind(lasting.instance, binding, ALL_IN_ONE.body())
    )
    broker.kill()

    assert bound.status_code in {200, 201}, bound.text
    credentials = bound.json()["credentials"]
    assert lasting.logins() - before == {credentials["username"]}
    assert works(credentials, lasting.ca_file)
    assert lasting.world.count("service_bindings", f"binding_id = '{binding}'") == 1
    assert lasting.world.statuses(binding) == ["succeeded"]


@pytest.mark.parametrize(
    "dies",
    [
        At("claimed", "unbind"),
        At("before step", "unbind"),
        At("after step", "unbind"),
        At("in save", "unbind"),
    ],
    ids=str,
)
def test_an_unbound_login_is_refused_wherever_the_broker_dies(lasting, dies):
    binding, before = an_id(), lasting.logins()
    credentials = lasting.bound(binding)

    broker, unbound = through_death(
        lasting.world,
        dies,
        lambda p: p.unbind(lasting.instance, binding, ALL_IN_ONE.plan_id, ALL_IN_ONE.service_id),
    )
    broker.kill()

    assert unbound.status_code in {200, 410}, unbound.text
    assert not works(credentials, lasting.ca_file)
    assert lasting.logins() == before
    assert lasting.world.count("service_bindings", f"binding_id = '{binding}'") == 0
    assert lasting.world.statuses(binding) == ["succeeded", "succeeded"]


@pytest.mark.parametrize(
    "dies",
    [
        At("claimed", "update"),
        At("before step", "update", "submit"),
        At("after step", "update", "submit"),
        At("in save", "update", "submit"),
        At("after step", "update", "database"),
        At("in save", "update", "database"),
    ],
    ids=str,
)
def test_an_update_is_one_deployment_wherever_the_broker_dies(lasting, dies):
    world, size = lasting.world, lasting.next_size()
    before = len(world.deployments())

    broker, updated = through_death(
        world,
        dies,
        lambda p: p.update(
            lasting.instance, {"service_id": ALL_IN_ONE.service_id, "parameters": {"storageGB": size}}
        ),
    )
    settled = broker.platform.settle(lasting.instance).json()
    shown = broker.platform.fetch(lasting.instance).json()
    broker.kill()

    assert updated.status_code in {200, 202}, updated.text
    assert settled["state"] == "succeeded", settled
    assert shown["parameters"]["storageGB"] == size
    assert len(world.deployments()) == before + 1
    assert len(world.servers()) == 1
    assert works(lasting.credentials, lasting.ca_file)


def test_a_deployment_that_reaches_azure_after_the_death_is_still_the_only_one(world):
    instance = an_id()
    world.azure.fault("slow", method="PUT", path=f"/{world.group}/.*/deployments/", seconds=4)
    doomed = world.start()

    doomed.platform.provision(instance, ALL_IN_ONE.order())
    wait_until(lambda: world.calls("PUT", "/deployments/"))
    doomed.kill()
    assert world.deployments() == [], "the PUT is still on its way"
    broker = world.start()
    settled = broker.platform.settle(instance).json()
    wait_until(lambda: all(call["handled"] for call in world.calls("PUT", "/deployments/")))

    assert settled["state"] == "succeeded"
    assert len(set(world.deployments())) == 1
    assert len(world.servers()) == 1
    assert world.recorded() == world.made()


def test_when_one_of_two_processes_dies_the_other_carries_its_operations_on(postgresql_world):
    world = postgresql_world
    # More than one runner claims at once, and slow enough for the death to find them under way.
    world.azure.clock(speed=100)
    instances = [an_id() for _ in range(4)]
    one, other = world.start(), world.start()

    for instance in instances:
        assert one.platform.provision(instance, ALL_IN_ONE.order()).status_code == 202
    wait_until(lambda: len(set(world.deployments())) == 4)
    one.kill()
    world.azure.clock(speed=world.azure.speed)
    settled = [other.platform.settle(instance).json() for instance in instances]

    assert [answer["state"] for answer in settled] == ["succeeded"] * 4
    assert len(world.deployments()) == len(world.servers()) == 4
    assert world.operations("provision") == ["succeeded"] * 4
    other.stop()


def test_operators_see_that_a_claim_was_taken_over(postgresql_world):
    world, instance = postgresql_world, an_id()
    doomed = world.start(At("after step", "provision", "submit"))
    doomed.platform.provision(instance, ALL_IN_ONE.order())
    doomed.died()

    other = world.start()
    settled = other.platform.settle(instance).json()

    assert settled["state"] == "succeeded"
    assert len(world.deployments()) == 1
    taken = world.rows("SELECT count(*) FROM operation_events WHERE what = 'taken over'")
    assert taken == [(1,)]
    other.stop()
