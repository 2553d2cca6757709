"""The double meets the recorded answers, and has to send what the real controller sent."""

import base64
import json
from collections import defaultdict, deque
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from tests.service_catalog import envelopes
from tests.service_catalog.binding import Binding
from tests.service_catalog.envelopes import Account, BindingEnvelopes, Cluster, InstanceEnvelopes
from tests.service_catalog.instance import Instance, Spec
from tests.service_catalog.machine import TIMED_OUT, Answer, Flags
from tests.service_catalog.playing import Over, Play

RECORDED = [json.loads(line) for line in (Path(__file__).parent / "recorded.jsonl").read_text().splitlines()]
CLUSTER = Cluster("b185c4e8-71c9-4ebf-b9f7-164c36e2b196", "default", "2c5c5fae-4b51-4c06-ae51-2cbf0b7296bc")
FLAGS = Flags()
ANYBODY = Account("anybody")


def by_instance():
    groups = defaultdict(list)
    for record in sorted(RECORDED, key=lambda one: one["t"]):
        if record["path"] != "/v2/catalog":
            groups[record["path"].split("/")[3]].append(record)
    return dict(groups)


def binding_of(record):
    parts = record["path"].split("/")
    return parts[5] if len(parts) > 5 and parts[4] == "service_bindings" else None


def compared(method, target, headers, body):
    return (
        method,
        target,
        {k: v for k, v in headers.items() if v and k not in {"Host", "Authorization"}},
        body,
    )


def as_recorded(record):
    target = record["path"] + (f"?{record['query']}" if record["query"] else "")
    body = record["body"] and json.dumps(record["body"], separators=(",", ":"), ensure_ascii=False).encode()
    return compared(record["method"], target, record["headers"], body)


def as_sent(request):
    return compared(request.method, request.target, request.headers, request.body)


def author_of(record):
    kind, encoded = record["headers"]["X-Broker-Api-Originating-Identity"].split()
    assert kind == "kubernetes"
    said = json.loads(base64.b64decode(encoded))
    return Account(said["username"], tuple(said["groups"]), said["uid"])


class Director:
    """Answers as recorded, and does what its user must have done whenever the objects have come to rest."""

    def __init__(self, instance_id, records):
        self.id, self.left = instance_id, deque(records)
        self.records = defaultdict(deque)
        for record in records:
            self.records[binding_of(record)].append(record)
        self.things = {}
        self.play = Play(self.answer)

    def answer(self, request, _at):
        mine = self.records[binding_of({"path": request.path})]
        if not mine:
            raise Over
        record = mine.popleft()
        self.answered_at = record["t"]
        assert as_sent(request) == as_recorded(record)
        # The feature gate was opened in the middle of the recording.
        if mine and (thing := self.things.get(binding_of(record))) and isinstance(thing, Binding):
            asynchronous = "accepts_incomplete" in mine[0]["query"]
            if mine[0]["method"] == "DELETE":
                thing.envelopes = replace(thing.envelopes, asynchronous=asynchronous)
        if (record["body"] or {}).get("parameters", {}).get("hang", 0) > 60 and record["answer_body"] == "{}":
            return TIMED_OUT
        return Answer(int(record["answer"].split()[0]), record["answer_body"].encode())

    def next(self):
        """The first recorded request that nobody has sent."""
        while self.left and self.left[0] not in self.records[binding_of(self.left[0])]:
            self.left.popleft()
        return self.left[0] if self.left else None

    def run(self):
        while record := self.next():
            if any(thing.stalled for thing in self.things.values()):
                # The recorded controller was restarted here, after a silence.
                assert record["t"] - self.answered_at > 300
                self.play.restart()
            else:
                self.act(record)
            self.play.until()
            assert self.next() is not record, f"never sent: {record}"

    def act(self, record):
        body, binding = record["body"] or {}, binding_of(record)
        instance = self.things.get(None)
        match record["method"], binding:
            case "PUT", None:
                own = InstanceEnvelopes(
                    CLUSTER, body["context"]["instance_name"], self.id, body["service_id"]
                )
                spec = Spec(body["plan_id"], body.get("parameters", {}))
                self.things[None] = Instance(FLAGS, envelopes=own, spec=spec, user=author_of(record))
                self.play.add(self.things[None])
            case "PUT", _:
                asynchronous = "accepts_incomplete" in parse_qs(record["query"])
                own = BindingEnvelopes(instance.envelopes, binding, author_of(record), asynchronous)
                parameters = body.get("parameters", {})
                self.things[binding] = Binding(FLAGS, envelopes=own, instance=instance, parameters=parameters)
                self.play.add(self.things[binding])
            case "PATCH", None:
                nothing = not {"plan_id", "parameters"} & body.keys()
                author = ANYBODY if "plan_id" in body else author_of(record)
                instance.change(
                    plan_id=body.get("plan_id"), parameters=body.get("parameters"), again=nothing, by=author
                )
            case "DELETE", _:
                thing = self.things[binding]
                if isinstance(thing, Binding):
                    thing.envelopes = replace(thing.envelopes, by=author_of(record))
                thing.delete()


GROUPS = by_instance()


@pytest.mark.parametrize(
    "instance", GROUPS, ids=lambda key: (GROUPS[key][0]["body"] or {})["context"]["instance_name"]
)
def test_the_double_sends_what_the_controller_sent_after_the_same_answers(instance):
    Director(instance, GROUPS[instance]).run()


def test_the_catalog_is_asked_for_as_recorded():
    recorded = [as_recorded(record) for record in RECORDED if record["path"] == "/v2/catalog"]

    assert recorded == [as_sent(envelopes.catalog())] * 4
