"""What always holds of the store's rows, at each moment and from one moment to the next."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from tests.chaos.stored import Record, Stored
from tests.chaos.violations import Kind, Violation

ENDS = {"succeeded", "failed", "superseded"}
_NUMBERED = re.compile(r"Step (\d+) of \d+")
_STAGES = {"waiting": 0, "clearing": 1, "working": 2, "undoing": 3}
_FRESH_STARTS = {"started afresh", "cleared", "started"}
_BOOKKEEPING = ("status", "stage", "phase", "state", "description", "failure", "finished_at", "errors")
_WORKED_ON = {"creating": "provision", "deleting": "deprovision", "binding": "bind", "unbinding": "unbind"}


@dataclass(frozen=True)
class Bounds:
    """How long things may take: the runners' own lease, and what they were told by their options."""

    lease: timedelta
    undo_grace: timedelta = timedelta(minutes=30)
    step_limit: timedelta = timedelta(minutes=2)
    longest_delay: timedelta = timedelta(minutes=15)

    @property
    def claimed(self) -> timedelta:
        """A lease doubles with each death, four times at most."""
        return self.lease * 16

    @property
    def late(self) -> timedelta:
        """How long after its deadline an operation may end."""
        return self.undo_grace + self.claimed + self.step_limit


def at_any_moment(stored: Stored, bounds: Bounds) -> list[Violation]:
    """Return what is wrong with the rows of one moment."""
    return [
        *two_in_progress(stored),
        *half_a_commit(stored),
        *ended_twice(stored),
        *timers(stored, bounds),
        *phases(stored),
        *without_reason(stored),
    ]


def two_in_progress(stored: Stored) -> Iterator[Violation]:
    """I1: at most one operation in progress on an instance, and one on a binding."""
    running = Counter(operation["binding_key"] or operation["instance_key"] for operation in stored.running())
    for key, count in running.items():
        if count > 1:
            yield Violation(Kind.TWO_IN_PROGRESS, f"{count} operations in progress on {key}")


def half_a_commit(stored: Stored) -> Iterator[Violation]:
    """I2: what an instance or a binding says of itself and what its operation says were written together."""
    running = {op["binding_key"] or op["instance_key"]: op for op in stored.running()}
    living = {row["key"]: row for row in (*stored.instances, *stored.bindings)}
    for key, row in living.items():
        operation = running.get(key)
        kind = operation["kind"] if operation else None
        expected = _WORKED_ON.get(row["state"])
        if expected != kind and not (expected is None and kind == "update"):
            yield Violation(Kind.HALF_A_COMMIT, f"{key} is '{row['state']}', and in progress is: {kind}")
    for instance in stored.instances:
        updated = (running.get(instance["key"]) or {}).get("kind") == "update"
        if instance["state"] == "ready":
            if instance["applied_sealed"] is None:
                yield Violation(Kind.HALF_A_COMMIT, f"{instance['instance_id']} is ready, but never was made")
            if (instance["asked_sealed"] is not None) != updated:
                yield Violation(
                    Kind.HALF_A_COMMIT,
                    f"{instance['instance_id']}: a change is asked for, and no update runs",
                )
    for binding in stored.bindings:
        if binding["state"] == "bound" and binding["credentials_sealed"] is None:
            yield Violation(Kind.HALF_A_COMMIT, f"{binding['binding_id']} is bound without credentials")
    for resource in stored.resources:
        if (
            resource["gone_at"] is None
            and (resource["binding_key"] or resource["instance_key"]) not in living
        ):
            yield Violation(Kind.HALF_A_COMMIT, f"{resource['resource_id']} outlives its owner on record")
    ended = {row["key"] for row in stored.history}
    for operation in stored.operations:
        key = operation["binding_key"] or operation["instance_key"]
        if operation["status"] == "in progress" and (
            key not in living or operation["instance_key"] not in living
        ):
            yield Violation(Kind.HALF_A_COMMIT, f"{_named(operation)} works on what is not there")
        deletes = operation["kind"] in {"deprovision", "unbind"}
        without_effect = key in living if deletes else key not in living and key not in ended
        if operation["status"] == "succeeded" and without_effect:
            yield Violation(Kind.HALF_A_COMMIT, f"{_named(operation)} succeeded without its effect")


def ended_twice(stored: Stored) -> Iterator[Violation]:
    """I3, from the events: nothing is noted of an operation after its end, and it ends once."""
    for operation in stored.operations:
        whats = [event["what"] for event in stored.events_of(operation["id"])]
        ends = [number for number, what in enumerate(whats) if what in ENDS]
        finished = operation["status"] != "in progress"
        if ends and (not finished or ends != [len(whats) - 1]):
            yield Violation(Kind.ENDED_TWICE, f"{_named(operation)}: {whats[ends[0] :]}")
        elif finished and not ends:
            yield Violation(Kind.ENDED_TWICE, f"{_named(operation)} has ended, and no event says so")


def timers(stored: Stored, bounds: Bounds) -> Iterator[Violation]:
    """I5: whatever is in progress comes up again within bounds; there is no other way to be forgotten."""
    longest = max(bounds.claimed, bounds.longest_delay)
    for operation in stored.running():
        due_in = operation["due_at"] - stored.now
        if due_in > longest:
            yield Violation(Kind.TIMER, f"{_named(operation)} is due in {due_in}")


def phases(stored: Stored) -> Iterator[Violation]:
    """I7: within a stage the numbered steps never go back; only a fresh start begins anew."""
    for operation in stored.operations:
        highest, stage = 0, 0
        for event in stored.events_of(operation["id"]):
            what = event["what"]
            if what in _FRESH_STARTS:
                highest, stage = 0, 2
            elif what in {"clearing", "undoing"}:
                if _STAGES[what] < stage:
                    yield Violation(Kind.PHASES, f"{_named(operation)} goes back to {what}")
                highest, stage = 0, _STAGES[what]
            elif what == "step" and (numbered := _NUMBERED.match(event["detail"])):
                number = int(numbered[1])
                if number < highest:
                    yield Violation(Kind.PHASES, f"{_named(operation)} goes from {highest} to {number}")
                highest = max(highest, number)


def late(stored: Stored, bounds: Bounds) -> Iterator[Violation]:
    """I8: what has ended did so by its deadline; what should have, and has not, is stuck. A runner was alive."""
    for operation in stored.operations:
        last = operation["deadline_at"] + bounds.late
        if operation["finished_at"] is not None and operation["finished_at"] > last:
            yield Violation(
                Kind.LATE, f"{_named(operation)} ended {operation['finished_at'] - last} too late"
            )
        if operation["status"] == "in progress" and stored.now > last:
            yield Violation(Kind.STUCK, f"{_named(operation)} should have ended at {last:%H:%M:%S}")


def without_reason(stored: Stored) -> Iterator[Violation]:
    """Each failure says why, in words that help."""
    for operation in stored.operations:
        if operation["status"] == "failed" and is_useless(operation["description"]):
            yield Violation(Kind.WITHOUT_REASON, f"{_named(operation)}: {operation['description']!r}")


def is_useless(description: str) -> bool:
    """Whether nobody could act on it: nothing, one word, a placeholder, or a trace."""
    words = description.split()
    traces = ("Traceback", "<class", " object at 0x", 'File "', "Exception(", "Error(")
    return (
        len(words) < 3
        or description.strip() in {"It failed.", "In progress.", "Accepted.", "Started."}
        or words[-1].strip(".") in {"None", "null", "{}"}
        or any(trace in description for trace in traces)
    )


def between(before: Stored, after: Stored) -> list[Violation]:
    """Return what cannot have become of the rows of one moment by another one (I3, I4, I10)."""
    found = []
    now = {operation["id"]: operation for operation in after.operations}
    for old in before.operations:
        new = now.get(old["id"])
        if new is None:
            found.append(Violation(Kind.LOST, f"{_named(old)} has left the table"))
            continue
        changed = [name for name in _BOOKKEEPING if old[name] != new[name]]
        if old["status"] != "in progress" and changed:
            found.append(Violation(Kind.ENDED_TWICE, f"{_named(old)} had ended; changed: {changed}"))
        if new["fence"] < old["fence"]:
            found.append(Violation(Kind.FENCE, f"{_named(old)}: {old['fence']} came down to {new['fence']}"))
        elif changed and new["fence"] == old["fence"]:
            found.append(Violation(Kind.FENCE, f"{_named(old)}: {changed} changed under the same fence"))
    return found


def _named(operation: Record) -> str:
    whose = operation["binding_id"] or operation["instance_id"]
    return f"{operation['kind']} {operation['id']} of {whose}"
