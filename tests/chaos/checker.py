"""Compares what the store, Azure, the database servers and the platforms say, and lists all that disagrees."""

import base64
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from broker.azure import naming
from tests.chaos.engine_rules import Bounds, at_any_moment, late
from tests.chaos.evidence import Evidence
from tests.chaos.violations import Kind, Violation

DEPLOYMENT = re.compile(r"osb-(?P<instance>[0-9a-f]{32})-(?P<operation>[0-9a-f]{8})$")
DENIALS = frozenset({"unseen", "pruned"})
"""Faults by which Azure answers 404 for what is there."""
_STARTS_AGAIN = ("Trying again", "started afresh", "cleared")
_UNFORESEEN = ("nobody foresaw", "The engine failed on an operation", "Traceback (most recent call last)")
_OURS = (naming.PLATFORM_TAG, naming.INSTANCE_TAG, naming.GENERATION_TAG)


def violations(
    evidence: Evidence, bounds: Bounds, budget: Mapping[str, tuple[float, float]]
) -> list[Violation]:
    """
    Return every violation of a world at rest.

    Args:
        evidence: What was found.
        bounds: How long things may take.
        budget: For each kind of call (read, write, delete) how many may come at once, and how many more a second.
    """
    return [
        *at_any_moment(evidence.stored, bounds),
        *late(evidence.stored, bounds),
        *lost(evidence),
        *stuck(evidence),
        *second_deployments(evidence),
        *resources_and_records(evidence),
        *users_and_records(evidence),
        *over_budget(evidence, bounds, budget),
        *in_the_open(evidence),
        *unforeseen(evidence),
    ]


def lost(evidence: Evidence) -> Iterator[Violation]:
    """What a platform was told must be on record: the operation, and in the end the instance or its absence."""
    stored = evidence.stored
    operations = {str(operation["id"]) for operation in stored.operations}
    bound = {op["binding_id"] for op in stored.operations if op["kind"] == "bind"}
    for promise in evidence.promises:
        whose = promise.binding or promise.instance
        if promise.operation is not None and promise.operation not in operations:
            yield Violation(Kind.LOST, f"operation {promise.operation} of {whose} was accepted")
        if promise.operation is None and promise.binding is not None and promise.binding not in bound:
            yield Violation(Kind.LOST, f"binding {promise.binding} was handed out")
    living = {row["instance_id"]: row["state"] for row in stored.instances}
    living |= {row["binding_id"]: row["state"] for row in stored.bindings}
    for each in sorted(evidence.beliefs.alive):
        if living.get(each) not in {"ready", "bound"}:
            yield Violation(Kind.LOST, f"{each} was made, and is: {living.get(each)}")
    for each in sorted(evidence.beliefs.gone):
        if each in living:
            yield Violation(Kind.LOST, f"the deletion of {each} was confirmed, and it is: {living[each]}")


def stuck(evidence: Evidence) -> Iterator[Violation]:
    """A world at rest has nothing in progress."""
    for operation in evidence.stored.running():
        yield Violation(
            Kind.STUCK,
            f"{operation['kind']} of {operation['binding_id'] or operation['instance_id']} is still in progress: "
            f"{operation['description']}",
        )


def second_deployments(evidence: Evidence) -> Iterator[Violation]:
    """
    Azure started one deployment for each operation, and one more for each fresh start that the operation noted.

    Where Azure itself denied a deployment that it had started (it was not seen yet, or not kept), nobody can know
    better: it is started again under the same name, which changes nothing that was made; likewise where a PUT was still
    on its way (see `unknowable`). Nothing was made twice for one generation of an instance, and nothing for an
    operation that never was.
    """
    operations = {op["id"].hex[:8]: op for op in evidence.stored.operations}
    started = Counter({name: len(calls) for name, calls in _started(evidence).items()})
    denied = Counter(call["deployment"] for call in evidence.ledger if call["fault"] in DENIALS)
    for name, count in started.items():
        parts = DEPLOYMENT.match(name)
        operation = operations.get(parts["operation"]) if parts else None
        if operation is None:
            yield Violation(Kind.ROLLED_BACK, f"deployment {name} belongs to no operation on record")
            continue
        again = sum(
            any(word in f"{event['what']} {event['detail']}" for word in _STARTS_AGAIN)
            for event in evidence.stored.events_of(operation["id"])
        )
        expected = 1 + again + denied[name]
        if count > expected + unknowable(evidence, name):
            yield Violation(Kind.SECOND_DEPLOYMENT, f"{name} was started {count} times, {expected} expected")
    made = Counter(
        (one["type"], *(one["tags"].get(tag) for tag in _OURS[:2]))
        for one in evidence.resources()
        if all(tag in one["tags"] for tag in _OURS)
    )
    for (kind, platform, instance), count in made.items():
        if count > 1:
            yield Violation(Kind.SECOND_DEPLOYMENT, f"{count} of {kind} for {platform}'s {instance}")


def unknowable(evidence: Evidence, name: str) -> int:
    """
    Count the PUTs of a deployment that no successor could know of, nor its sender hold back.

    Azure cannot check a fence. One whose sender has died, or lost its claim to a clock that jumped, may be taken in
    after a successor was told that nothing is there: the ledger shows that the successor's PUT arrived while the former
    was not handled yet. And a process may stand still between the database's word and its first byte. In either
    case the PUTs bear different fences; two of one fence are the sender's own fault.
    """
    calls = sorted(_started(evidence).get(name, ()), key=lambda call: str(call["time"]))
    puts = [put for put in evidence.puts if put.deployment == name]
    if len({put.fence for put in puts}) < len(calls):
        return 0
    overlapping = sum(
        bool(former["ended"]) and later["time"] <= former["ended"] for former, later in pairwise(calls)
    )
    return min(len(calls) - 1, overlapping + sum(put.stood_still for put in puts))


def _started(evidence: Evidence) -> Mapping[str, list[Mapping[str, Any]]]:
    """The PUTs of deployments that Azure has accepted, by name."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for call in evidence.ledger:
        inside = f"/resourcegroups/{evidence.group}/".lower() in call["path"].lower()
        if call["method"] == "PUT" and call["deployment"] and inside and _accepted(call):
            found.setdefault(call["deployment"], []).append(call)
    return found


def put_again(evidence: Evidence) -> int:
    """Count, over all deployments, what `unknowable` allows for: a table tells it."""
    return sum(unknowable(evidence, name) for name in _started(evidence))


def _accepted(call: Mapping[str, Any]) -> bool:
    """Whether Azure did what was asked; somebody who was killed meanwhile may have cut it off before."""
    answered = call["status"] is not None and call["status"] < 300
    return bool(call["handled"]) and (answered or (call["fault"] == "reply_lost" and call["code"] is None))


def resources_and_records(evidence: Evidence) -> Iterator[Violation]:
    """What lives in Azure is on record with an instance that lives; what is on record as living lives."""
    stored = evidence.stored
    instances = {row["key"]: row for row in stored.instances}
    bindings = {row["key"]: row for row in stored.bindings}
    recorded = {
        row["resource_id"].lower(): row
        for row in stored.resources
        if row["gone_at"] is None and row["instance_key"] in instances
    }
    living = {one["id"].lower() for one in evidence.resources()}
    living |= {str(one["id"]).lower() for one in evidence.azure.get("role_assignments", ())}
    for each in sorted(living - recorded.keys()):
        if f"/resourcegroups/{evidence.group}/".lower() in each:
            yield Violation(Kind.RESOURCE_WITHOUT_RECORD, each)
    for each, row in recorded.items():
        ready = instances[row["instance_key"]]["state"] == "ready"
        if row["binding_key"] is not None:
            ready = ready and bindings.get(row["binding_key"], {}).get("state") == "bound"
        if ready and row["made_by_us"] and each not in living:
            yield Violation(Kind.RECORD_WITHOUT_RESOURCE, each)


def users_and_records(evidence: Evidence) -> Iterator[Violation]:
    """Each role on a server belongs to a binding or a database on record, and each bound login is there."""
    logins = {
        made["username"]: binding
        for binding in evidence.stored.bindings
        for made in binding["record"].get("made", ())
        if "username" in made
    }
    owners = {
        (row["record"].get("database") or {}).get("owner_role", ""): row for row in evidence.stored.instances
    }
    there: set[str] = set()
    for server in evidence.servers:
        for role in sorted(server.roles or ()):
            there.add(role)
            if role not in logins and role not in owners:
                yield Violation(
                    Kind.USER_WITHOUT_RECORD, f"{role} on {server.id.rsplit('/', maxsplit=1)[-1]}"
                )
    unread = any(server.roles is None for server in evidence.servers)
    for login, binding in logins.items():
        if binding["state"] == "bound" and login not in there and not unread:
            yield Violation(
                Kind.RECORD_WITHOUT_RESOURCE, f"login {login} of binding {binding['binding_id']} is gone"
            )


def over_budget(
    evidence: Evidence, bounds: Bounds, budget: Mapping[str, tuple[float, float]]
) -> Iterator[Violation]:
    """
    I9: no window of time holds more calls than the shared budget had for it.

    A call is paid for before it is made; between the two lies a lease at most, hence the allowance.
    """
    words = {
        "GET": "read",
        "HEAD": "read",
        "DELETE": "delete",
        "PUT": "write",
        "PATCH": "write",
        "POST": "write",
    }
    for kind, (burst, per_second) in budget.items():
        times = sorted(
            datetime.fromisoformat(call["time"])
            for call in evidence.ledger
            if words.get(call["method"]) == kind
            and f"/resourcegroups/{evidence.group}/".lower() in call["path"].lower()
        )
        allowance = burst + per_second * bounds.lease.total_seconds()
        for told in overflows(times, allowance, per_second):
            yield Violation(Kind.BUDGET, f"calls of the kind {kind}: {told}")


def overflows(times: Sequence[datetime], burst: float, per_second: float) -> Iterator[str]:
    """Tell the first moment at which more was done than *burst* at once and *per_second* from then on."""
    first, level, last = 0, 0.0, times[0] if times else None
    for number, at in enumerate(times):
        passed = (at - (last or at)).total_seconds()
        level, last = max(0.0, level - passed * per_second) + 1, at
        if level <= 1:
            first = number
        if level > burst:
            yield f"{number - first + 1} from {times[first]:%H:%M:%S} to {at:%H:%M:%S}"
            return


def in_the_open(evidence: Evidence) -> Iterator[Violation]:
    """No secret is written anywhere, in no spelling."""
    for place, text in evidence.texts.items():
        hidden = evidence.secrets if place.startswith("Azure's") else {**evidence.secrets, **evidence.private}
        for name, secret in hidden.items():
            if holds(text, secret):
                yield Violation(Kind.SECRET, f"{name}, in {place}")


def holds(text: bytes, secret: str) -> bool:
    """Whether *secret* stands in *text*: as it is, as hexadecimal digits, in base64, or within JSON."""
    raw = secret.encode()
    spelt = (raw, raw.hex().encode(), base64.b64encode(raw), json.dumps(secret).encode()[1:-1])
    return any(form in text for form in spelt)


def unforeseen(evidence: Evidence) -> Iterator[Violation]:
    """A fault that the broker did not foresee is one of its own, even if all ended well."""
    seen: Counter[str] = Counter()
    for line in evidence.logs.splitlines():
        if any(word in line for word in _UNFORESEEN):
            seen[_last_words(line)] += 1
    for words, count in seen.items():
        yield Violation(Kind.UNFORESEEN, f"{count} times: {words}")


def _last_words(line: str) -> str:
    try:
        entry: dict[str, Any] = json.loads(line)
    except ValueError:
        return line[:300]
    trace = str(entry.get("exception", "")).strip().splitlines()
    return f"{entry.get('event')} {trace[-1] if trace else ''}"[:400]
