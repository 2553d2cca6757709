from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.operations.retrying import (
    LONGEST_DELAY,
    LONGEST_RETRY_AFTER,
    SHORTEST_DELAY,
    Trouble,
    back_off,
)
from broker.operations.runner import RunnerOptions
from broker.provisioners.base import StepFailed

spreads = st.floats(0, 1)


@given(st.integers(1, 10_000), spreads)
def test_a_delay_is_neither_nothing_nor_without_end(errors: int, spread: float):
    assert SHORTEST_DELAY <= back_off(errors, spread=spread) <= LONGEST_DELAY


@given(st.integers(1, 100), spreads, st.timedeltas(timedelta(0), LONGEST_RETRY_AFTER))
def test_nobody_is_asked_again_before_the_time_he_named(errors: int, spread: float, retry_after: timedelta):
    delay = back_off(errors, spread=spread, retry_after=retry_after)

    assert retry_after <= delay <= retry_after + timedelta(seconds=2.2)
    assert delay > timedelta(0)


def test_who_wants_to_be_asked_again_tomorrow_is_asked_before_that_looks_like_a_clock_that_was_set_back():
    delay = back_off(100, spread=1, retry_after=timedelta(days=1))

    assert delay < RunnerOptions(name="any").longest_wait


@pytest.mark.parametrize(
    ("failed", "after", "again"),
    [
        (StepFailed("No.", retryable=False), 1, False),
        (StepFailed("Later.", retryable=True), 1_000, True),
        (StepFailed("Twice.", retryable=True, at_most=2), 1, True),
        (StepFailed("Twice.", retryable=True, at_most=2), 2, False),
    ],
)
def test_what_is_tried_again_and_how_often(failed: StepFailed, after: int, again: bool):
    assert Trouble.of(failed).tried_again(after) is again
