"""Named points at which a test lets the process die."""

from __future__ import annotations

from broker.domain.operations import Operation


class Failpoints:
    """Does nothing; a test's own subclass ends the process at the point that it looks for."""

    CLAIMED = "claimed"
    BEFORE_STEP = "before step"
    AFTER_STEP = "after step"
    IN_SAVE = "in save"
    SAVED = "saved"

    def reached(self, point: str, operation: Operation) -> None:
        """Called when the runner passes *point* with *operation*, which is as it was before the step."""
