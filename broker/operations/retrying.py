"""Which troubles are tried again, and when. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from broker.provisioners.base import StepFailed

FIRST_DELAY = timedelta(seconds=1)
LONGEST_RETRY_AFTER = timedelta(minutes=10)
"""However late the other side wants to be asked again: a slip of its would hold an operation up to its deadline."""
LONGEST_DELAY = timedelta(seconds=60)
SHORTEST_DELAY = timedelta(milliseconds=200)
UNFORESEEN_AT_MOST = 20
"""How often a step may fail with an exception that nobody foresaw, without progress in between."""
CLAIMS_AT_MOST = 5
"""How many runners an operation may take down with it, one after another, without a word from any of them."""


@dataclass(frozen=True)
class Trouble:
    """Why a step came to nothing; `description` is fit for the person who asked."""

    description: str
    retryable: bool
    retry_after: timedelta | None = None
    at_most: int | None = None
    blocks_everybody: bool = False

    @classmethod
    def of(cls, failed: StepFailed) -> Trouble:
        return cls(
            failed.description,
            retryable=failed.retryable,
            retry_after=failed.retry_after,
            at_most=failed.at_most,
            blocks_everybody=failed.blocks_everybody,
        )

    def tried_again(self, errors: int) -> bool:
        """Whether to try again after this many errors, this one included."""
        return self.retryable and (self.at_most is None or errors < self.at_most)


def back_off(errors: int, *, spread: float, retry_after: timedelta | None = None) -> timedelta:
    """
    Return how long to wait after this many errors in a row.

    Without a word from the other side: anything up to a limit that doubles each time ("full jitter"), so that
    those who failed together do not come back together. With one: no earlier than it says, within reason.

    Args:
        errors: How many there were, this one included.
        spread: A random number from 0 to 1.
        retry_after: When the other side wants to be asked again.
    """
    doublings = min(max(errors, 1) - 1, 10)
    longest = min(LONGEST_DELAY, FIRST_DELAY * (1 << doublings))
    if retry_after is not None:
        wanted = min(max(retry_after, SHORTEST_DELAY), LONGEST_RETRY_AFTER)
        return wanted + min(longest, timedelta(seconds=2)) * spread
    return max(SHORTEST_DELAY, longest * spread)
