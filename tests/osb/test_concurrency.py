"""Many requests at the same moment (spec, "Blocking Operations")."""

from collections import Counter

import pytest

from tests.osb.offerings import LARGE
from tests.osb.platform import an_id, ask, at_once, change, order, refused

MANY = 20


def statuses(answers):
    return Counter(answer.status_code for answer in answers)


def only_concurrency_errors(answers):
    for answer in answers:
        if answer.status_code == 422:
            refused(answer, 422, "ConcurrencyError")


@pytest.mark.requirement("CON-01", "CON-02")
def test_twenty_identical_provisions_are_one_creation(platform, external):
    instance_id = an_id()
    external.hold(instance_id, "create")

    answers = at_once(MANY, lambda _: platform.provision(instance_id, order(parameters={"size": 3})))
    external.release(instance_id)
    platform.settle(instance_id)

    assert statuses(answers) == {202: MANY}
    assert len({answer.json()["operation"] for answer in answers}) == 1
    assert external.creations[instance_id] == 1
    platform.gone(instance_id)
    assert external.living(instance_id) == []
    refused(platform.deprovision(instance_id), 410)


@pytest.mark.requirement("CON-03")
def test_of_provisions_with_two_sets_of_attributes_one_set_wins(platform, external):
    instance_id = an_id()
    external.hold(instance_id, "create")

    answers = at_once(MANY, lambda i: platform.provision(instance_id, order(parameters={"size": 1 + i % 2})))
    external.release(instance_id)
    platform.settle(instance_id)

    assert statuses(answers) == {202: MANY // 2, 409: MANY // 2}
    winners = {i % 2 for i, answer in enumerate(answers) if answer.status_code == 202}
    (winner,) = winners
    assert external.living(instance_id)[0].parameters == {"size": 1 + winner}


@pytest.mark.requirement("CON-04")
def test_twenty_identical_binds_are_one_binding(platform, external):
    instance_id, binding_id = platform.ready(), an_id()

    answers = at_once(MANY, lambda _: platform.bind(instance_id, binding_id))

    assert set(statuses(answers)) <= {200, 201}
    assert statuses(answers)[201] <= 1 or external.creations[binding_id] == 1
    assert statuses(answers)[201] == 1
    assert len({answer.json()["credentials"]["password"] for answer in answers}) == 1
    assert external.creations[binding_id] == 1


@pytest.mark.requirement("CON-05")
def test_of_binds_with_two_sets_of_parameters_one_set_wins(platform, external):
    instance_id, binding_id = platform.ready(), an_id()
    roles = ("reader", "writer")

    answers = at_once(
        MANY, lambda i: platform.bind(instance_id, binding_id, ask(parameters={"role": roles[i % 2]}))
    )

    assert set(statuses(answers)) <= {200, 201, 409, 422}
    only_concurrency_errors(answers)
    (winner,) = {i % 2 for i, answer in enumerate(answers) if answer.status_code < 300}
    assert platform.fetch(instance_id, binding_id).json()["parameters"] == {"role": roles[winner]}
    assert external.creations[binding_id] == 1


@pytest.mark.requirement("CON-06")
def test_twenty_identical_deprovisions_are_one_deletion(platform, external):
    instance_id = platform.ready()
    external.hold(instance_id, "delete")

    answers = at_once(MANY, lambda _: platform.deprovision(instance_id))
    external.release(instance_id)
    platform.settle(instance_id)

    assert statuses(answers) == {202: MANY}
    assert len({answer.json()["operation"] for answer in answers}) == 1
    assert external.living(instance_id) == []


@pytest.mark.requirement("CON-07")
def test_twenty_identical_unbinds_are_one_removal(platform, external):
    instance_id = platform.ready()
    binding_id, bound = platform.bound(instance_id)

    answers = at_once(MANY, lambda _: platform.unbind(instance_id, binding_id))

    assert set(statuses(answers)) <= {200, 410}
    assert statuses(answers)[200] >= 1
    assert bound["credentials"]["password"] not in external.passwords()
    refused(platform.unbind(instance_id, binding_id), 410)


@pytest.mark.requirement("CON-08")
def test_twenty_binds_of_one_instance_at_once_are_twenty_201(platform, external):
    instance_id = platform.ready()

    answers = at_once(MANY, lambda _: platform.bind(instance_id, an_id()))

    assert statuses(answers) == {201: MANY}
    passwords = {answer.json()["credentials"]["password"] for answer in answers}
    assert len(passwords) == MANY
    assert passwords <= external.passwords()


@pytest.mark.requirement("CON-09")
def test_updates_of_one_instance_at_once_are_served_or_told_to_wait(platform, external):
    instance_id = platform.ready(order(parameters={"size": 1}))
    external.hold(instance_id, "update")

    answers = at_once(10, lambda i: platform.update(instance_id, change(parameters={"size": 10 + i})))
    external.release(instance_id)
    platform.settle(instance_id)

    assert statuses(answers) == {202: 1, 422: 9}
    only_concurrency_errors(answers)
    (winner,) = [i for i, answer in enumerate(answers) if answer.status_code == 202]
    assert external.living(instance_id)[0].parameters == {"size": 10 + winner}


@pytest.mark.requirement("CON-10")
def test_provisions_of_different_ids_at_once_all_succeed(platform, external):
    ids = [an_id() for _ in range(10)]

    answers = at_once(len(ids), lambda i: platform.provision(ids[i]))

    assert statuses(answers) == {202: len(ids)}
    assert [platform.settle(i).json()["state"] for i in ids] == ["succeeded"] * len(ids)
    assert [external.creations[i] for i in ids] == [1] * len(ids)


@pytest.mark.requirement("CON-11")
def test_a_bind_and_a_deprovision_at_once_leave_nothing_that_cannot_be_removed(platform, external):
    for _ in range(5):
        instance_id, binding_id = platform.ready(), an_id()
        calls = [lambda: platform.bind(instance_id, binding_id), lambda: platform.deprovision(instance_id)]  # noqa: B023

        bound, deleted = at_once(2, lambda i: calls[i]())  # noqa: B023

        assert deleted.status_code == 202
        assert bound.status_code in {201, 404, 422}
        only_concurrency_errors([bound])
        platform.settle(instance_id)
        refused(platform.deprovision(instance_id), 410)
        assert external.living(instance_id) == []
        if bound.status_code == 201:
            assert bound.json()["credentials"]["password"] not in external.passwords()
        refused(platform.unbind(instance_id, binding_id), 410)


def test_a_slow_instance_holds_up_no_other(platform, external):
    slow = an_id()
    with external.holding(slow, "create"):
        platform.provision(slow, order(LARGE))

        assert platform.fetch(platform.ready()).status_code == 200
    platform.settle(slow)
