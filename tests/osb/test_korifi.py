"""
Korifi's ways, read in its source.

It sends no Content-Type, no context, no originating identity and `"parameters": null`; it repeats PUT and DELETE on
every reconciliation while the operation runs, and takes 400, 409 and 422 as final.
"""

import json

import pytest

from tests.osb.offerings import SERVICE, SMALL
from tests.osb.platform import an_id, order, refused

IDS = f"service_id={SERVICE}&plan_id={SMALL}&accepts_incomplete=true"


class Korifi:
    def __init__(self, platform):
        self.platform = platform
        self.instance, self.binding = an_id(), an_id()

    def send(self, method, path, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        length = f"\r\nContent-Length: {len(data)}" if body is not None else ""
        return self.platform.raw(
            f"{method} /v2/service_instances/{self.instance}{path} HTTP/1.1{length}", data
        )

    def provision(self):
        return self.send("PUT", "?accepts_incomplete=true", order(parameters=None))

    def deprovision(self):
        return self.send("DELETE", "?" + IDS)

    def bind(self):
        body = {
            "service_id": SERVICE, "plan_id": SMALL, "app_guid": "app", "bind_resource": {"app_guid": "app"},
            "parameters": None,
        }  # fmt: skip
        return self.send("PUT", f"/service_bindings/{self.binding}?accepts_incomplete=true", body)

    def unbind(self):
        return self.send("DELETE", f"/service_bindings/{self.binding}?{IDS}")

    def settle(self, binding=None):
        return self.platform.settle(self.instance, binding)


@pytest.fixture
def korifi(platform):
    return Korifi(platform)


@pytest.mark.requirement("PRV-05", "CTY-02")
def test_a_provision_repeated_on_every_reconciliation_is_202_while_it_runs_and_then_200(korifi, external):
    with external.holding(korifi.instance, "create"):
        answers = [korifi.provision() for _ in range(4)]
    korifi.settle()
    done = korifi.provision()

    assert [answer.status for answer in answers] == [202] * 4
    assert len({answer.json()["operation"] for answer in answers}) == 1
    assert done.status == 200
    assert external.creations[korifi.instance] == 1


@pytest.mark.requirement("DEP-07")
def test_a_deprovision_repeated_on_every_reconciliation_is_202_while_it_runs_and_then_410(korifi, external):
    korifi.provision()
    korifi.settle()
    with external.holding(korifi.instance, "delete"):
        answers = [korifi.deprovision() for _ in range(4)]
    korifi.settle()

    assert [answer.status for answer in answers] == [202] * 4
    assert len({answer.json()["operation"] for answer in answers}) == 1
    refused(korifi.deprovision(), 410)
    assert external.living(korifi.instance) == []


@pytest.mark.requirement("BND-05", "BND-17")
def test_a_bind_is_repeated_with_the_same_answer(korifi, external):
    korifi.provision()
    korifi.settle()

    first, again = korifi.bind(), korifi.bind()

    assert (first.status, again.status) == (201, 200)
    assert first.json() == again.json()
    assert korifi.unbind().status == 200
    refused(korifi.unbind(), 410)


@pytest.mark.requirement("DEP-03")
def test_ids_of_a_delete_may_stand_in_its_body_as_korifi_of_2024_sent_them(korifi, external):
    ids = {"service_id": SERVICE, "plan_id": SMALL}
    korifi.provision()
    korifi.settle()
    korifi.bind()

    unbound = korifi.send("DELETE", f"/service_bindings/{korifi.binding}?accepts_incomplete=true", ids)
    deleted = korifi.send("DELETE", "?accepts_incomplete=true", ids)
    korifi.settle()

    assert unbound.status == 200
    assert deleted.status == 202
    assert external.living(korifi.instance) == []
