import json
from uuid import uuid4

import pytest

from tests.service_catalog.binding import Binding
from tests.service_catalog.envelopes import Account, BindingEnvelopes, Cluster, InstanceEnvelopes
from tests.service_catalog.instance import Instance, Spec
from tests.service_catalog.machine import Answer, Flags
from tests.service_catalog.playing import Play

USER = Account("alice")


def said(status, **document):
    return Answer(status, json.dumps(document).encode())


class Script:
    """A broker that answers from lists, one for each method and kind of path; the last answer stays."""

    def __init__(self):
        self.play = Play(self.answer)
        self.answers = {}

    def on(self, what, *answers):
        self.answers[what] = list(answers)

    def answer(self, request, at):
        answers = self.answers[what_it_is(request)]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return answer(at) if callable(answer) else answer

    def instance(self, flags=None):
        flags = flags or Flags()
        own = InstanceEnvelopes(
            Cluster("a-cluster", "a-namespace", "its-uid"), "db", str(uuid4()), "a-service"
        )
        instance = Instance(flags, envelopes=own, spec=Spec("small", {"size": 1}), user=USER)
        self.play.add(instance)
        return instance

    def binding(self, instance, *, asynchronous=False, flags=None):
        own = BindingEnvelopes(instance.envelopes, str(uuid4()), USER, asynchronous)
        binding = Binding(flags or Flags(), envelopes=own, instance=instance, parameters={})
        self.play.add(binding)
        return binding

    def sent(self):
        """What was sent, and at which second."""
        return [(what_it_is(sent.request), round(sent.at, 3)) for sent in self.play.sent]

    def times(self, what):
        return [at for each, at in self.sent() if each == what]

    def kinds(self):
        return [what for what, _ in self.sent()]


def what_it_is(request):
    kind = "binding" if "/service_bindings/" in request.path else "instance"
    if request.polls:
        return f"poll {kind}"
    return f"{request.method} {kind}"


@pytest.fixture
def script():
    return Script()
