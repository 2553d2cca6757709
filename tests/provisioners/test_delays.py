"""When a step wants to look again."""

from datetime import timedelta

import pytest

from broker.operations.stages import look_again_in
from broker.provisioners.deployment import LONGEST_WAIT, poll_delay

INTERVAL = timedelta(seconds=5)
NOW, MINUTE = timedelta(0), timedelta(minutes=1)


@pytest.mark.parametrize(
    ("age", "retry_after", "expected"),
    [
        (NOW, None, INTERVAL),
        (MINUTE, None, timedelta(seconds=15)),
        (timedelta(hours=1), None, timedelta(seconds=30)),
        (NOW, timedelta(seconds=2), INTERVAL),
        (NOW, timedelta(seconds=17), timedelta(seconds=17)),
        (NOW, timedelta(minutes=3), timedelta(minutes=3)),
        (NOW, timedelta(hours=1), LONGEST_WAIT),
    ],
)
def test_azure_is_not_asked_before_it_wants_to_be_and_less_often_with_age(age, retry_after, expected):
    assert poll_delay(INTERVAL, age, retry_after) == expected


def test_a_look_keeps_the_common_pace_and_those_of_one_moment_are_spread():
    assert look_again_in(INTERVAL, pace=NOW, spread=0) == INTERVAL
    assert look_again_in(INTERVAL, pace=MINUTE, spread=0) == MINUTE
    assert MINUTE < look_again_in(INTERVAL, pace=MINUTE, spread=1) <= timedelta(seconds=66)
    assert look_again_in(NOW, pace=MINUTE, spread=1) == NOW, "what goes on at once is no look"
