"""Work that outlasts its request (spec, "Synchronous and Asynchronous Operations")."""

import time

import pytest

from tests.osb.platform import an_id, change, order, refused


@pytest.mark.requirement("ASY-01", "ASY-02", "ASY-07")
@pytest.mark.parametrize("asynchronous", [None, False, "FALSE"])
def test_a_provision_that_may_not_be_asynchronous_is_refused_and_creates_nothing(
    platform, external, asynchronous
):
    instance_id = an_id()

    refused(platform.provision(instance_id, asynchronous=asynchronous), 422, "AsyncRequired")

    assert platform.poll(instance_id).status_code == 404
    assert platform.deprovision(instance_id).status_code == 410
    assert external.creations[instance_id] == 0


@pytest.mark.requirement("ASY-03", "ASY-07")
@pytest.mark.parametrize("asynchronous", [None, False])
def test_an_update_that_may_not_be_asynchronous_is_refused_and_changes_nothing(
    platform, external, asynchronous
):
    instance_id = platform.ready(order(parameters={"size": 1}))

    refused(
        platform.update(instance_id, change(parameters={"size": 2}), asynchronous=asynchronous),
        422,
        "AsyncRequired",
    )

    assert platform.fetch(instance_id).json()["parameters"] == {"size": 1}
    assert external.updates[instance_id] == 0


@pytest.mark.requirement("ASY-04", "ASY-07")
@pytest.mark.parametrize("asynchronous", [None, False])
def test_a_deprovision_that_may_not_be_asynchronous_is_refused_and_deletes_nothing(
    platform, external, asynchronous
):
    instance_id = platform.ready()

    refused(platform.deprovision(instance_id, asynchronous=asynchronous), 422, "AsyncRequired")

    assert platform.fetch(instance_id).status_code == 200
    assert len(external.living(instance_id)) == 1


@pytest.mark.requirement("ASY-05", "ASY-12")
@pytest.mark.parametrize("asynchronous", [None, False])
def test_a_bind_that_may_not_be_asynchronous_is_finished_with_its_answer(platform, external, asynchronous):
    instance_id, binding_id = platform.ready(), an_id()

    answer = platform.bind(instance_id, binding_id, asynchronous=asynchronous)

    assert answer.status_code == 201
    assert answer.json()["credentials"]["password"] in external.passwords()
    assert platform.fetch(instance_id, binding_id).status_code == 200
    assert platform.poll(instance_id, binding_id).json()["state"] == "succeeded"


@pytest.mark.requirement("ASY-06", "ASY-12")
@pytest.mark.parametrize("asynchronous", [None, False])
def test_an_unbind_that_may_not_be_asynchronous_is_finished_with_its_answer(platform, external, asynchronous):
    instance_id = platform.ready()
    binding_id, bound = platform.bound(instance_id)

    answer = platform.unbind(instance_id, binding_id, asynchronous=asynchronous)

    assert (answer.status_code, answer.json()) == (200, {})
    assert bound["credentials"]["password"] not in external.passwords()
    assert platform.fetch(instance_id, binding_id).status_code == 404


@pytest.mark.requirement("ASY-05")
def test_a_bind_that_may_not_be_asynchronous_and_takes_too_long_is_undone(platform, impatient, external):
    instance_id, binding_id = platform.ready(), an_id()
    with external.holding(binding_id, "bind"):
        answer = impatient.bind(instance_id, binding_id)

    refused(answer, 503)
    platform.settle(instance_id, binding_id)
    assert platform.fetch(instance_id, binding_id).status_code == 404
    assert external.logins_of(binding_id) == []


@pytest.mark.requirement("ASY-06")
def test_an_unbind_that_may_not_be_asynchronous_and_takes_too_long_goes_on(platform, impatient, external):
    instance_id = platform.ready()
    binding_id, _ = platform.bound(instance_id)
    with external.holding(binding_id, "unbind"):
        answer = impatient.unbind(instance_id, binding_id)

    refused(answer, 503)
    assert answer.headers["Retry-After"]
    assert platform.unbind(instance_id, binding_id).status_code in {200, 410}
    assert external.logins_of(binding_id) == []


@pytest.mark.requirement("ASY-08", "ASY-09")
def test_each_202_holds_an_operation_that_is_a_string(platform, impatient, external):
    instance_id, binding_id = an_id(), an_id()
    external.hold(binding_id, "bind", "unbind")

    answers = [platform.provision(instance_id)]
    platform.settle(instance_id)
    answers.append(platform.update(instance_id, change(parameters={"size": 3})))
    platform.settle(instance_id)
    answers.append(impatient.bind(instance_id, binding_id, asynchronous=True))
    external.release(binding_id, "bind")
    platform.settle(instance_id, binding_id)
    answers.append(impatient.unbind(instance_id, binding_id, asynchronous=True))
    external.release(binding_id)
    platform.settle(instance_id, binding_id)
    answers.append(platform.deprovision(instance_id))

    assert [answer.status_code for answer in answers] == [202] * 5
    operations = [answer.json()["operation"] for answer in answers]
    assert all(isinstance(operation, str) and 0 < len(operation) <= 10_000 for operation in operations)
    assert len(set(operations)) == 5


@pytest.mark.requirement("ASY-10")
def test_what_is_finished_at_once_is_answered_so_where_a_202_was_allowed(platform):
    instance_id = platform.ready(order(parameters={"size": 3}))
    binding_id = an_id()

    assert platform.bind(instance_id, binding_id, asynchronous=True).status_code == 201
    assert platform.update(instance_id, change(parameters={"size": 3})).status_code == 200
    assert platform.provision(instance_id, order(parameters={"size": 3})).status_code == 200
    assert platform.unbind(instance_id, binding_id, asynchronous=True).status_code == 200


@pytest.mark.requirement("ASY-11")
@pytest.mark.parametrize("value", ["yes", "1", "", "null", "truetrue", "ja", "tru\u00e9", "[]"])
def test_a_word_that_is_no_boolean_is_refused_and_nothing_is_created(platform, external, value):
    instance_id = an_id()

    answer = platform.provision(instance_id, asynchronous=value)

    assert answer.status_code in {400, 422}
    assert platform.poll(instance_id).status_code == 404


@pytest.mark.requirement("ASY-13")
def test_no_answer_waits_for_the_work_outside(platform, external):
    instance_id = an_id()
    with external.holding(instance_id, "create", "delete"):
        before = time.monotonic()
        platform.provision(instance_id)
        platform.provision(instance_id)
        platform.poll(instance_id)
        platform.deprovision(instance_id)
        platform.poll(instance_id)

        assert time.monotonic() - before < 10, (
            "seconds for five answers, far below a platform's sixty for one"
        )


@pytest.mark.requirement("ASY-12")
def test_an_update_that_is_answered_200_can_be_fetched_at_once(platform):
    instance_id = platform.ready()
    context = {"platform": "kubernetes", "namespace": "n", "clusterid": "c", "instance_name": "new-name"}

    assert platform.update(instance_id, change(context=context)).status_code == 200
    assert platform.poll(instance_id).json()["state"] == "succeeded"
