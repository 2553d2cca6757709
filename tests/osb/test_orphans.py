"""What a platform cleans up after (spec, "Orphan Mitigation"), and the same order sent again around a clean-up."""

import pytest

from tests.osb.platform import an_id, ask, order, refused


@pytest.mark.requirement("ORP-01", "ORP-02")
def test_deleting_what_was_never_made_is_410(platform):
    refused(platform.deprovision(an_id()), 410)
    refused(platform.unbind(an_id(), an_id()), 410)
    refused(platform.unbind(platform.ready(), an_id()), 410)


@pytest.mark.requirement("ORP-03")
def test_an_order_whose_client_went_away_can_be_deleted(platform, external):
    import json

    instance_id = an_id()
    body = json.dumps(order()).encode()
    head = (
        f"PUT /v2/service_instances/{instance_id}?accepts_incomplete=true HTTP/1.1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}"
    )
    with platform.open_socket() as connection:
        connection.sendall(platform.head(head) + body)

    # Sent later and yet served earlier, a DELETE would find nothing: the order is on its way through the broker.
    wait_until(lambda: platform.poll(instance_id).status_code == 200)
    answers = [platform.deprovision(instance_id)]
    platform.settle(instance_id)
    answers.append(platform.deprovision(instance_id))

    assert [answer.status_code for answer in answers] == [202, 410]
    assert external.living(instance_id) == []


@pytest.mark.requirement("ORP-04")
def test_a_failed_order_leaves_nothing_outside_and_can_be_deleted(platform, external):
    instance_id = an_id()
    external.fail(instance_id, "create")
    platform.provision(instance_id)

    assert platform.settle(instance_id).json()["state"] == "failed"
    assert external.living(instance_id) == []
    assert platform.deprovision(instance_id).status_code in {200, 202, 410}
    platform.settle(instance_id)
    refused(platform.deprovision(instance_id), 410)


@pytest.mark.requirement("ORP-05")
@pytest.mark.parametrize(
    "body", ["{", order(plan_id="unknown"), order(maintenance_info={"version": "0.1.0"})]
)
def test_deleting_after_a_refused_order_is_410(platform, body):
    instance_id, binding_id = an_id(), an_id()
    assert platform.provision(instance_id, body).status_code in {400, 422}

    refused(platform.deprovision(instance_id), 410)
    other = platform.ready()
    assert platform.bind(other, binding_id, ask(parameters={"role": 1})).status_code == 400
    refused(platform.unbind(other, binding_id), 410)


@pytest.mark.requirement("ORP-07", "ERR-09")
def test_no_answer_of_a_whole_life_is_an_odd_success_or_a_failure(platform):
    # `check_any` refuses an odd 2xx in each answer of this whole folder; here one life is looked at.
    instance_id = platform.ready()
    binding_id, _ = platform.bound(instance_id)
    platform.unbind(instance_id, binding_id)
    platform.gone(instance_id)

    assert {answer.status_code for answer in platform.seen} <= {200, 201, 202, 404, 410}


def test_the_same_order_during_the_clean_up_of_a_failed_one_joins_it_and_tries_afresh(platform, external):
    instance_id, body = an_id(), order(parameters={"size": 3})
    external.fail(instance_id, "create")
    with external.holding(instance_id, "delete"):
        first = platform.provision(instance_id, body)
        wait_until(lambda: "quota" in platform.poll(instance_id).text)
        external.mend(instance_id)
        again = platform.provision(instance_id, body)
        other = platform.provision(instance_id, order(parameters={"size": 4}))

    assert (again.status_code, again.json()["operation"]) == (202, first.json()["operation"])
    refused(other, 409)
    assert platform.settle(instance_id).json()["state"] == "succeeded"
    (thing,) = external.living(instance_id)
    assert thing.generation == 1
    assert external.creations[instance_id] == 1


def test_the_same_order_after_the_clean_up_of_a_failed_one_is_a_new_try(platform, external):
    instance_id, body = an_id(), order(parameters={"size": 3})
    external.fail(instance_id, "create")
    first = platform.provision(instance_id, body)
    assert platform.settle(instance_id).json()["state"] == "failed"
    external.mend(instance_id)

    refused(platform.provision(instance_id, order(parameters={"size": 4})), 409)
    again = platform.provision(instance_id, body)

    assert again.status_code == 202
    assert again.json()["operation"] != first.json()["operation"]
    assert platform.settle(instance_id).json()["state"] == "succeeded"
    (thing,) = external.living(instance_id)
    assert thing.generation == 1


def test_two_platforms_order_the_same_id_and_get_two_instances(platform, other_platform, external):
    instance_id = an_id()
    body = order(parameters={"size": 2})

    for one in (platform, other_platform):
        assert one.provision(instance_id, body).status_code == 202
        assert one.settle(instance_id).json()["state"] == "succeeded"

    assert {thing.platform for thing in external.living(instance_id)} == {platform.name, other_platform.name}
    binding_id, bound = platform.bound(instance_id)
    refused(other_platform.unbind(instance_id, binding_id), 410)
    other_platform.gone(instance_id)
    assert bound["credentials"]["password"] in external.passwords()
    assert [thing.platform for thing in external.living(instance_id)] == [platform.name]


def wait_until(condition):
    import time

    from tests.osb.platform import BETWEEN_LOOKS, PATIENCE

    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(BETWEEN_LOOKS)
