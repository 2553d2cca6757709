"""A bind that is found to be impossible: 4xx, by which platforms know that there is nothing to clean up."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.osb.platform import an_id, refused
from tests.simulated import wait_until

TOLD = "The thing takes no more logins."


@pytest.mark.parametrize(("never", "status"), [(True, 400), (False, 422)])
@pytest.mark.parametrize("late", [False, True])
def test_a_bind_that_cannot_be_made_is_refused_and_leaves_nothing(platform, external, never, status, late):
    instance_id, binding_id = platform.ready(), an_id()
    external.refuse(binding_id, TOLD, "LimitReached", never=never)

    answer = platform.bind(instance_id, binding_id, asynchronous=late)

    refused(answer, status, "LimitReached")
    assert answer.json()["description"].startswith(TOLD)
    assert external.logins_of(binding_id) == []
    assert platform.fetch(instance_id, binding_id).status_code == 404
    refused(platform.unbind(instance_id, binding_id), 410)


def test_a_refused_bind_is_tried_anew_when_it_is_repeated(platform, external):
    instance_id, binding_id = platform.ready(), an_id()
    external.refuse(binding_id, TOLD, "LimitReached")

    answers = [platform.bind(instance_id, binding_id) for _ in range(2)]
    external.mend(binding_id)
    made = platform.bind(instance_id, binding_id)

    assert [answer.status_code for answer in answers] == [422, 422]
    assert made.status_code == 201
    assert len(external.logins_of(binding_id)) == 1


def test_two_identical_binds_at_once_are_both_refused(platform, external):
    instance_id, binding_id = platform.ready(), an_id()
    external.refuse(binding_id, TOLD, "LimitReached")

    with (
        ThreadPoolExecutor(2) as pool,
        external.holding(binding_id, "bind"),
    ):
        asked = [pool.submit(platform.bind, instance_id, binding_id) for _ in range(2)]
        wait_until(lambda: platform.poll(instance_id, binding_id).status_code == 200)
        external.release(binding_id, "bind")
        answers = [one.result() for one in asked]

    for answer in answers:
        refused(answer, 422, "LimitReached")
    refused(platform.unbind(instance_id, binding_id), 410)


def test_what_a_refused_bind_could_not_take_back_is_left_to_the_platforms_deletion(platform, external):
    instance_id, binding_id = platform.ready(), an_id()
    external.refuse(binding_id, TOLD, "LimitReached", never=True)
    external.fail(binding_id, "unbind", "The thing lets nobody go.")

    refused(platform.bind(instance_id, binding_id), 500, "OperationFailed")
    external.mend(binding_id)

    assert platform.unbind(instance_id, binding_id).status_code == 200


def test_a_late_bind_that_is_refused_ends_failed_with_the_sentence(impatient, external):
    instance_id, binding_id = impatient.ready(), an_id()
    external.refuse(binding_id, TOLD, "LimitReached")

    with external.holding(binding_id, "bind"):
        accepted = impatient.bind(instance_id, binding_id, asynchronous=True)
    polled = impatient.settle(instance_id, binding_id).json()

    assert accepted.status_code == 202
    assert polled["state"] == "failed"
    assert polled["description"].startswith(TOLD)
    refused(impatient.unbind(instance_id, binding_id), 410)
