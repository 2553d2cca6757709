"""What a violation of the broker's promises is called, and the shape of one."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The kinds, in the order of a table; the engine's invariants bear their numbers."""

    LOST = "lost"
    STUCK = "stuck"
    SECOND_DEPLOYMENT = "second deployment"
    RESOURCE_WITHOUT_RECORD = "resource without a record"
    USER_WITHOUT_RECORD = "database user without a record"
    RECORD_WITHOUT_RESOURCE = "record without its resource"
    WITHOUT_REASON = "failure without a reason"
    SECRET = "secret in the open"
    UNFORESEEN = "unforeseen fault in a log"
    TWO_IN_PROGRESS = "I1 two in progress"
    HALF_A_COMMIT = "I2 half a commit"
    ENDED_TWICE = "I3 change after the end"
    FENCE = "I4 write without a fence"
    TIMER = "I5 timer out of bounds"
    PHASES = "I7 phases out of order"
    LATE = "I8 ended too late"
    BUDGET = "I9 more calls than the budget"
    ROLLED_BACK = "I10 rolled back, yet executed"


@dataclass(frozen=True)
class Violation:
    """One broken promise: which, and what about."""

    kind: Kind
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"
