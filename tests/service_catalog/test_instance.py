"""What kubernetes-sigs/service-catalog does with a ServiceInstance, second by second."""

from datetime import timedelta
from itertools import pairwise

import pytest

from tests.service_catalog.conftest import said
from tests.service_catalog.instance import Refused
from tests.service_catalog.machine import REFUSED, TIMED_OUT, Answer, Flags

DONE = said(200, state="succeeded")
GOING_ON = said(200, state="in progress", description="Wait.")


def ready_after(seconds):
    """An operation that goes on for so long."""
    return lambda at: DONE if at >= seconds else GOING_ON


def ready(script):
    script.on("PUT instance", said(201))
    instance = script.instance()
    assert instance.condition.ready
    return instance


def test_polls_come_at_doubling_pauses_so_that_a_long_job_is_noticed_late(script):
    script.on("PUT instance", said(202, operation="op"))
    script.on("poll instance", ready_after(100))
    instance = script.instance()

    script.play.until(settled=[instance])

    assert script.times("poll instance") == [1, 3, 7, 15, 31, 63, 127]
    assert (instance.condition.ready, instance.condition.reason) == (True, "ProvisionedSuccessfully")


def test_the_flag_of_the_longest_pause_makes_it_noticed_soon(script):
    script.on("PUT instance", said(202, operation="op"))
    script.on("poll instance", ready_after(100))
    instance = script.instance(Flags(operation_polling_maximum_backoff=timedelta(seconds=10)))

    script.play.until(settled=[instance])

    assert script.times("poll instance") == [1, 3, 7, 15, 25, 35, 45, 55, 65, 75, 85, 95, 105]


@pytest.mark.parametrize("status", [401, 403, 404, 408, 409, 412, 422])
def test_a_provision_refused_with_4xx_comes_again_and_again_and_is_never_deleted(script, status):
    script.on("PUT instance", *[said(status, error="ConcurrencyError")] * 13, said(201))
    instance = script.instance()

    script.play.until(settled=[instance])

    assert instance.condition.ready
    assert set(script.kinds()) == {"PUT instance"}
    assert script.times("PUT instance")[:5] == [0, 1, 3, 7, 15]
    times = script.times("PUT instance")
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses[-2:] == [1200, 1200]


def test_a_refused_provision_that_its_user_deletes_is_deleted_at_once(script):
    script.on("PUT instance", said(422))
    script.on("DELETE instance", said(410))
    instance = script.instance()
    script.play.until(10)

    instance.delete()
    script.play.until(11)

    assert instance.gone
    assert script.sent()[-1] == ("DELETE instance", 10)


def test_a_provision_refused_with_400_is_final_and_nothing_is_deleted_for_it(script):
    script.on("PUT instance", said(400, description="No such size."))
    instance = script.instance()

    script.play.until(settled=[instance])
    instance.delete()
    script.play.until(10_000)

    assert (instance.condition.failed, instance.gone) == (True, True)
    assert "No such size." in instance.condition.message
    assert script.kinds() == ["PUT instance"]


@pytest.mark.parametrize("odd", [said(500), said(503), Answer(201, b"[1]"), said(204), said(206)])
def test_an_answer_that_may_have_made_something_is_mitigated_before_the_same_order_comes_again(script, odd):
    script.on("PUT instance", odd, said(201))
    script.on("DELETE instance", said(202, operation="op"))
    script.on("poll instance", said(410))
    instance = script.instance()

    script.play.until(settled=[instance])

    assert script.kinds() == ["PUT instance", "DELETE instance", "poll instance", "PUT instance"]
    assert len({sent.request.path for sent in script.play.sent if not sent.request.polls}) == 1
    assert instance.condition.ready


def test_a_request_that_timed_out_is_deleted_twice_at_the_same_moment(script):
    script.on("PUT instance", TIMED_OUT, said(201))
    script.on("DELETE instance", said(410))
    instance = script.instance()

    script.play.until(settled=[instance])

    assert script.sent() == [
        ("PUT instance", 0), ("DELETE instance", 60), ("DELETE instance", 60), ("PUT instance", 61),
    ]  # fmt: skip


@pytest.mark.parametrize("passing", [REFUSED, Answer(200, b"no json")])
def test_a_broker_that_is_not_there_is_asked_again_and_nothing_deleted(script, passing):
    script.on("PUT instance", passing, passing, said(200))
    instance = script.instance()

    script.play.until(settled=[instance])

    assert script.sent() == [("PUT instance", 0), ("PUT instance", 1), ("PUT instance", 3)]


def test_a_broker_that_is_never_there_fails_the_instance_after_seven_days(script):
    script.on("PUT instance", REFUSED)
    instance = script.instance()

    script.play.until(settled=[instance])

    assert instance.condition.reason == "ErrorReconciliationRetryTimeout"
    assert 7 * 86400 < script.play.now < 7 * 86400 + 1201


def test_a_failed_provision_is_deleted_and_not_tried_again(script):
    script.on("PUT instance", said(202, operation="op"))
    script.on("poll instance", said(200, state="failed", description="No quota."))
    script.on("DELETE instance", said(200))
    instance = script.instance()

    script.play.until(settled=[instance])
    script.play.until(100_000)

    assert script.kinds() == ["PUT instance", "poll instance", "DELETE instance"]
    assert (instance.condition.failed, instance.condition.message) == (True, "No quota.")


@pytest.mark.parametrize(
    "error", [said(500), said(404), REFUSED, TIMED_OUT, Answer(200, b"no json"), said(410)]
)
def test_fifteen_errors_while_polling_leave_it_hanging_until_the_controller_restarts(script, error):
    script.on("PUT instance", said(202, operation="op"))
    script.on("poll instance", *[error] * 16, DONE)
    instance = script.instance()

    script.play.until(100_000)
    assert (instance.stalled, len(script.times("poll instance"))) == (True, 16)
    if error.fault != "timed out":
        assert script.times("poll instance")[-1] == pytest.approx(1 + 0.005 * (2**15 - 1))
    script.play.restart()
    script.play.until(settled=[instance])

    assert instance.condition.ready
    assert script.times("poll instance")[-1] == 100_001


def test_an_update_sends_what_changed_alone(script):
    instance = ready(script)
    script.on("PATCH instance", said(200))

    instance.change(parameters={"size": 2})
    script.play.until(settled=[instance])
    instance.change(plan_id="large")
    script.play.until(settled=[instance])
    instance.change(parameters={})
    script.play.until(settled=[instance])
    instance.change(again=True)
    script.play.until(settled=[instance])

    bodies = [sent.request.body for sent in script.play.sent if sent.request.method == "PATCH"]
    assert [(b'"plan_id":"large"' in body, b'"parameters"' in body) for body in bodies] == [
        (False, True), (True, False), (True, False), (True, False),
    ]  # fmt: skip
    assert [body.count(b"plan_id") for body in bodies] == [1, 2, 1, 1]


@pytest.mark.parametrize("error", [said(500), said(422), TIMED_OUT, REFUSED])
def test_an_update_that_met_an_error_comes_again_and_deletes_nothing(script, error):
    instance = ready(script)
    script.on("PATCH instance", error, error, said(200))

    instance.change(parameters={"size": 2})
    script.play.until(settled=[instance])

    assert script.kinds() == ["PUT instance", *["PATCH instance"] * 3]
    assert instance.known.parameters == {"size": 2}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_failed_update_is_final_until_the_spec_changes_again(script, asynchronous):
    instance = ready(script)
    script.on("PATCH instance", said(202, operation="op") if asynchronous else said(400), said(200))
    script.on("poll instance", said(200, state="failed"))
    instance.change(parameters={"size": 2})
    script.play.until(100_000)
    assert instance.condition.failed

    instance.change(parameters={"size": 3})
    script.play.until(settled=[instance])

    assert instance.condition.ready
    assert instance.known.parameters == {"size": 3}


def test_no_change_is_let_through_while_an_operation_goes_on(script):
    script.on("PUT instance", said(202, operation="op"))
    script.on("poll instance", ready_after(100))
    instance = script.instance()
    script.play.until(10)

    with pytest.raises(Refused):
        instance.change(parameters={"size": 2})


def test_a_deletion_waits_for_the_end_of_the_operation_and_for_the_bindings(script):
    script.on("PUT instance", said(202, operation="op"))
    script.on("poll instance", ready_after(100))
    script.on("PUT binding", said(201, credentials={}))
    script.on("DELETE binding", said(200))
    script.on("DELETE instance", said(200))
    instance = script.instance()
    binding = script.binding(instance)
    script.play.until(10)

    instance.delete()
    script.play.until(1000)
    assert (instance.gone, "DELETE instance" in script.kinds()) == (False, False)
    binding.delete()
    script.play.until(2000)

    assert (binding.gone, instance.gone) == (True, True)


def test_a_deletion_that_met_errors_comes_in_bursts_of_fifteen_with_resyncs_between(script):
    instance = ready(script)
    script.on("DELETE instance", said(500))

    instance.delete()
    script.play.until(1000)

    times = script.times("DELETE instance")
    assert len([at for at in times if at < 0.2]) == 6
    assert [at for at in times if at < 170][-1] == pytest.approx(0.005 * (2**15 - 1))
    assert next(at for at in times if at > 170) == pytest.approx(0.005 * (2**15 - 1) + 300)
    assert len([at for at in times if at < 300]) == 16


def test_a_deletion_that_failed_is_sent_again(script):
    instance = ready(script)
    script.on("DELETE instance", said(202, operation="one"), said(202, operation="two"))
    script.on("poll instance", said(200, state="failed"), said(410))

    instance.delete()
    script.play.until(100)

    assert instance.gone
    assert script.kinds() == ["PUT instance", *["DELETE instance", "poll instance"] * 2]


def test_a_restart_repeats_the_order_whose_answer_nobody_has_seen(script):
    script.on("PUT instance", said(422), said(201))
    instance = script.instance()
    script.play.until(0.5)

    script.play.restart()

    assert instance.condition.ready
    assert script.sent() == [("PUT instance", 0), ("PUT instance", 0.5)]
