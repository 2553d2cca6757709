"""Taking credentials back (spec, "Unbinding")."""

import pytest

from tests.osb.offerings import LARGE, PLAIN, PLAIN_SERVICE, SERVICE
from tests.osb.platform import an_id, refused


@pytest.mark.requirement("UNB-01", "UNB-02", "UNB-06", "UNB-11")
def test_an_unbound_binding_is_gone_and_the_others_stay(platform, external):
    instance_id = platform.ready()
    binding_id, bound = platform.bound(instance_id)
    other_id, other = platform.bound(instance_id)

    first = platform.unbind(instance_id, binding_id)
    second = platform.unbind(instance_id, binding_id)

    assert (first.status_code, first.json()) == (200, {})
    refused(second, 410)
    assert bound["credentials"]["password"] not in external.passwords()
    assert other["credentials"]["password"] in external.passwords()
    assert platform.fetch(instance_id, other_id).status_code == 200
    assert platform.fetch(instance_id).status_code == 200


@pytest.mark.requirement("UNB-03", "UNB-04", "UNB-12")
def test_an_unbind_without_its_ids_is_400_and_leaves_the_binding(platform, external):
    instance_id = platform.ready()
    binding_id, bound = platform.bound(instance_id)

    refused(platform.unbind(instance_id, binding_id, service_id=...), 400)
    refused(platform.unbind(instance_id, binding_id, plan_id=...), 400)
    refused(platform.unbind(instance_id, binding_id, plan_id=""), 400)

    assert platform.fetch(instance_id, binding_id).status_code == 200
    assert bound["credentials"]["password"] in external.passwords()


@pytest.mark.requirement("UNB-05", "UNB-07", "ORP-02")
def test_unbinding_what_is_not_there_is_410(platform):
    instance_id = platform.ready()
    binding_id, _ = platform.bound(instance_id)

    refused(platform.unbind(instance_id, an_id()), 410)
    refused(platform.unbind(an_id(), an_id()), 410)
    refused(platform.unbind(an_id(), binding_id), 410)


@pytest.mark.requirement("UNB-08")
def test_the_same_unbind_while_it_runs_is_202_with_the_first_operation(platform, impatient, external):
    instance_id = platform.ready()
    binding_id, _ = platform.bound(instance_id)
    with external.holding(binding_id, "unbind"):
        answers = [impatient.unbind(instance_id, binding_id, asynchronous=True) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202] * 2
    assert len({answer.json()["operation"] for answer in answers}) == 1
    platform.settle(instance_id, binding_id)
    refused(platform.unbind(instance_id, binding_id), 410)


@pytest.mark.requirement("UNB-09", "UNB-14")
def test_an_unbind_during_the_bind_ends_with_nothing_left(platform, impatient, external):
    instance_id, binding_id = platform.ready(), an_id()
    with external.holding(binding_id, "bind"):
        impatient.bind(instance_id, binding_id, asynchronous=True)
        answer = impatient.unbind(instance_id, binding_id, asynchronous=True)

    if answer.status_code == 422:
        refused(answer, 422, "ConcurrencyError")
        platform.settle(instance_id, binding_id)
        assert impatient.unbind(instance_id, binding_id, asynchronous=True).status_code in {200, 202}
    else:
        assert answer.status_code in {200, 202}
    settled = platform.settle(instance_id, binding_id)

    assert settled.status_code in {404, 410} or settled.json()["state"] in {"succeeded", "failed"}
    assert platform.fetch(instance_id, binding_id).status_code == 404
    refused(platform.unbind(instance_id, binding_id), 410)
    assert external.logins_of(binding_id) == []


@pytest.mark.requirement("UNB-10")
def test_unbinding_under_another_instance_is_410_and_leaves_the_binding(platform):
    instance_id, elsewhere = platform.ready(), platform.ready()
    binding_id, _ = platform.bound(instance_id)

    refused(platform.unbind(elsewhere, binding_id), 410)

    assert platform.fetch(instance_id, binding_id).status_code == 200


@pytest.mark.requirement("UNB-13")
@pytest.mark.parametrize(
    ("service_id", "plan_id"),
    [(SERVICE, LARGE), (PLAIN_SERVICE, PLAIN), ("unknown", "unknown"), (SERVICE, "x" * 5000)],
)
def test_ids_that_are_not_the_bindings_never_leave_half_a_binding(platform, external, service_id, plan_id):
    instance_id = platform.ready()
    binding_id, bound = platform.bound(instance_id)

    answer = platform.unbind(instance_id, binding_id, plan_id, service_id)

    assert answer.status_code in {200, 400, 414}
    there = platform.fetch(instance_id, binding_id).status_code == 200
    assert there == (answer.status_code != 200)
    assert there == (bound["credentials"]["password"] in external.passwords())


def test_an_unbind_that_failed_can_be_repeated(platform, external):
    instance_id = platform.ready()
    binding_id, bound = platform.bound(instance_id)
    external.fail(binding_id, "unbind", "The server is being restarted.")

    failed = platform.unbind(instance_id, binding_id)
    external.mend(binding_id)
    again = platform.unbind(instance_id, binding_id)

    assert "being restarted" in refused(failed, 500)
    assert again.status_code == 200
    assert bound["credentials"]["password"] not in external.passwords()
