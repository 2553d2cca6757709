"""
Each request that Kubernetes Service Catalog was seen to send, in its place in the life.

The status and body asserted are those after which that controller does the right thing: it takes any 400 as final,
any error at all on a bind as final, reads every 2xx body and an unbind's 410 body as JSON, and knows nothing newer
than version 2.14.
"""

import json
import re
from pathlib import Path

import pytest

from tests.osb.offerings import LARGE, SERVICE, SMALL
from tests.osb.platform import an_id, at_once, order, refused

FILE = Path(__file__).parent / "vectors" / "service-catalog.jsonl"
VECTORS = {
    vector["name"]: vector for vector in map(json.loads, FILE.read_text(encoding="utf-8").splitlines())
}
PARAMETERS = {"size": 3}


class Controller:
    """The recorded client: sends a vector for one instance and one binding."""

    def __init__(self, platform, external):
        self.platform, self.external = platform, external
        self.instance, self.binding = an_id(), an_id()
        self.operation = "none"
        self.parameters = PARAMETERS

    def send(self, name):
        vector = VECTORS[name]
        words = {
            "{instance}": self.instance, "{binding}": self.binding, "{service}": SERVICE, "{plan}": SMALL,
            "{other_plan}": LARGE, "{operation}": self.operation, "{parameters}": self.parameters,
        }  # fmt: skip

        def fill(value):
            if isinstance(value, dict):
                return {key: fill(inner) for key, inner in value.items()}
            return words.get(value, value) if isinstance(value, str) else value

        path = vector["path"].replace("{instance}", self.instance).replace("{binding}", self.binding)
        answer = self.platform.request(
            vector["method"],
            path,
            fill(vector["body"]),
            params=fill(vector["query"]),
            headers=vector["headers"],
        )
        if answer.status_code == 202:
            self.operation = answer.json()["operation"]
        return answer

    def until(self, name, state):
        """Poll as recorded until the state is reached; every poll in between must be a good one."""
        from tests.osb.test_orphans import wait_until

        def seen():
            answer = self.send(name)
            assert answer.status_code == 200, answer.text
            return answer.json()["state"] == state

        wait_until(seen)

    def ready(self):
        assert self.send("provision").status_code == 202
        self.until("poll a finished provision", "succeeded")
        return self


@pytest.fixture
def controller(platform, external):
    return Controller(platform, external)


@pytest.fixture
def impatient_controller(impatient, external):
    return Controller(impatient, external)


def test_every_recorded_request_is_sent_by_a_test_of_this_file():
    source = Path(__file__).read_text(encoding="utf-8")

    assert set(re.findall(r'(?:send|until)\(\s*"([^"]+)"', source)) == set(VECTORS)


def test_the_catalog_is_one_that_the_controller_can_take_in(controller):
    answers = [controller.send("catalog"), controller.send("catalog again")]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    for service in answers[0].json()["services"]:
        for thing in [service, *service["plans"]]:
            assert 1 <= len(thing["id"]) <= 63
            assert 1 <= len(thing["name"]) <= 63
            assert thing["description"]
        assert all(isinstance(plan["free"], bool) for plan in service["plans"])


def test_a_provision_is_202_and_polled_until_it_has_succeeded(controller, external):
    with external.holding(controller.instance, "create"):
        answer = controller.send("provision")
        assert answer.status_code == 202
        assert len(answer.json()["operation"]) < 10_000
        polled = controller.send("poll a provision")
        assert (polled.status_code, polled.json()["state"]) == (200, "in progress")
    controller.until("poll a finished provision", "succeeded")

    assert external.living(controller.instance)[0].parameters == PARAMETERS


def test_a_provision_without_parameters_is_served(controller, external):
    assert controller.send("provision without parameters").status_code == 202
    controller.until("poll a finished provision", "succeeded")

    assert external.living(controller.instance)[0].parameters == {}


def test_an_order_refused_because_the_instance_is_going_is_served_when_it_has_gone(controller, external):
    controller.ready()
    with external.holding(controller.instance, "delete"):
        controller.send("deprovision")
        refused(controller.send("provision after a refusal"), 422, "ConcurrencyError")
    controller.platform.settle(controller.instance)

    assert controller.send("provision after a refusal").status_code == 202
    controller.until("poll a finished provision", "succeeded")


def test_the_same_id_is_ordered_anew_after_a_delete(controller, external):
    assert controller.send("deprovision after a server fault").status_code == 410

    assert controller.send("provision after a server fault").status_code == 202
    controller.until("poll a finished provision", "succeeded")

    assert external.creations[controller.instance] == 1


def test_an_order_whose_answer_could_not_be_read_is_deleted_and_made_once_more(controller, external):
    controller.ready()
    assert controller.send("deprovision").status_code == 202
    controller.platform.settle(controller.instance)

    assert controller.send("provision after an odd answer").status_code == 202
    controller.until("poll a finished provision", "succeeded")

    assert len(external.living(controller.instance)) == 1


def test_two_deletes_and_the_order_again_after_a_time_out_end_with_one_instance(controller, external):
    external.hold(controller.instance, "create")
    controller.send("provision")
    deletes = [
        lambda: controller.send("deprovision while provisioning"),
        lambda: controller.send("deprovision while provisioning, at the same moment"),
    ]

    answers = at_once(2, lambda i: deletes[i]())
    external.release(controller.instance)
    controller.platform.settle(controller.instance)

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["operation"] == answers[1].json()["operation"]
    assert external.living(controller.instance) == []
    assert controller.send("provision after a time-out").status_code == 202
    controller.until("poll a finished provision", "succeeded")
    assert len(external.living(controller.instance)) == 1


def test_a_failed_provision_is_polled_as_failed_and_its_delete_is_served(controller, external):
    external.fail(controller.instance, "create", "The subscription has no quota left.")
    controller.send("provision")
    controller.until("poll a failed provision", "failed")

    answer = controller.send("deprovision after a failure")
    settled = controller.platform.settle(controller.instance)

    assert answer.status_code in {200, 202, 410}
    assert settled.status_code in {200, 410}
    assert controller.send("deprovision after a failure").status_code == 410


def test_a_failed_order_that_comes_again_with_the_same_id_is_tried_afresh(controller, external):
    external.fail(controller.instance, "create")
    controller.send("provision")
    controller.until("poll a failed provision", "failed")
    external.mend(controller.instance)

    assert controller.send("provision after a server fault").status_code == 202
    controller.until("poll a finished provision", "succeeded")


def test_an_update_of_parameters_is_202_and_keeps_the_plan(controller, external):
    controller.ready()
    controller.parameters = {"size": 9}

    assert controller.send("update parameters").status_code == 202
    controller.platform.settle(controller.instance)

    (thing,) = external.living(controller.instance)
    assert (thing.plan_id, thing.parameters) == (SMALL, {"size": 9})


def test_an_update_of_the_plan_is_202_and_keeps_the_parameters(controller, external):
    controller.ready()

    assert controller.send("update the plan").status_code == 202
    controller.platform.settle(controller.instance)

    (thing,) = external.living(controller.instance)
    assert (thing.plan_id, thing.parameters) == (LARGE, PARAMETERS)


def test_an_update_of_nothing_is_200_with_an_object(controller, external):
    controller.ready()

    answer = controller.send("update nothing")

    assert (answer.status_code, answer.json()) == (200, {})
    assert external.updates[controller.instance] == 0


def test_a_bind_is_201_at_once_and_comes_again_with_the_same_secret(controller, external):
    controller.ready()
    controller.parameters = {"role": "reader"}

    first = controller.send("bind")
    again = controller.send("bind")

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", key) for key in first.json()["credentials"])
    assert first.json()["credentials"]["password"] in external.passwords()


@pytest.mark.parametrize("slow", [False, True])
def test_a_bind_is_never_refused_for_being_synchronous(controller, external, slow):
    import threading

    controller.ready()
    controller.parameters = {"role": "reader"}
    if slow:
        external.hold(controller.binding, "bind")
        threading.Timer(1.0, external.release, (controller.binding,)).start()

    answer = (
        controller.send("bind without being asynchronous")
        if slow
        else controller.send("bind without parameters")
    )

    assert answer.status_code == 201


def test_an_unbind_is_200_and_410_with_a_json_body_when_it_comes_again(controller, external):
    controller.ready()
    bound = controller.send("bind without parameters").json()

    first = controller.send("unbind")
    again = controller.send("unbind again")

    assert (first.status_code, first.json()) == (200, {})
    assert again.status_code == 410
    assert isinstance(again.json(), dict)
    assert bound["credentials"]["password"] not in external.passwords()


def test_a_bind_that_failed_is_410_on_unbind(controller, external):
    controller.ready()
    controller.parameters = {"role": "owner"}
    assert controller.send("bind").status_code == 400
    assert controller.send("unbind after a refusal").status_code == 410
    assert controller.send("unbind after an odd answer").status_code == 410

    controller.parameters = {"role": "reader"}
    external.fail(controller.binding, "bind")
    assert controller.send("bind").status_code == 500
    assert controller.send("unbind after a server fault").status_code == 410
    assert external.creations[controller.binding] == 0


def test_after_a_plan_change_unbind_and_deprovision_name_the_new_plan(controller, external):
    controller.ready()
    controller.send("bind without parameters")
    controller.send("update the plan")
    controller.platform.settle(controller.instance)

    assert controller.send("unbind after a plan change").status_code == 200
    assert controller.send("deprovision after a plan change").status_code == 202
    controller.platform.settle(controller.instance)
    assert external.living(controller.instance) == []


def test_a_deprovision_is_202_and_polled_until_it_tells_to_stop(controller, external):
    controller.ready()
    with external.holding(controller.instance, "delete"):
        assert controller.send("deprovision").status_code == 202
        polled = controller.send("poll a deprovision")
        assert (polled.status_code, polled.json()["state"]) == (200, "in progress")
    controller.platform.settle(controller.instance)

    last = controller.send("poll a finished deprovision")

    assert last.status_code == 410 or last.json()["state"] == "succeeded"
    assert isinstance(last.json(), dict)
    assert controller.send("deprovision again").status_code == 410


def test_a_deprovision_that_failed_is_polled_as_failed_and_sent_again(controller, external):
    controller.ready()
    external.fail(controller.instance, "delete", "A lock holds the resource group.")
    controller.send("deprovision")
    controller.until("poll a deprovision", "failed")
    external.mend(controller.instance)

    assert controller.send("deprovision again").status_code == 202
    controller.platform.settle(controller.instance)
    assert external.living(controller.instance) == []


def test_an_asynchronous_bind_is_polled_and_then_fetched(impatient_controller, external):
    controller = impatient_controller.ready()
    controller.parameters = {"role": "reader"}
    with external.holding(controller.binding, "bind"):
        assert controller.send("bind asynchronously").status_code == 202
        assert controller.send("poll a bind").json()["state"] == "in progress"
    controller.until("poll a finished bind", "succeeded")

    fetched = controller.send("fetch a binding")

    assert fetched.status_code == 200
    assert fetched.json()["credentials"]["password"] in external.passwords()
    assert controller.send("unbind asynchronously").status_code in {200, 202}
    controller.platform.settle(controller.instance, controller.binding)
    assert fetched.json()["credentials"]["password"] not in external.passwords()


def test_a_failed_asynchronous_bind_is_polled_as_failed_and_leaves_nothing(impatient_controller, external):
    controller = impatient_controller.ready()
    controller.parameters = {"role": "reader"}
    external.hold(controller.binding, "bind")
    assert controller.send("bind asynchronously").status_code == 202
    external.fail(controller.binding, "bind")
    external.release(controller.binding)

    controller.until("poll a failed bind", "failed")

    assert controller.send("unbind asynchronously").status_code in {200, 202, 410}
    assert external.creations[controller.binding] == 0


def test_two_deletes_at_the_same_moment_for_an_id_never_seen_are_410_both(controller):
    answers = at_once(2, lambda _: controller.send("deprovision"))

    assert [answer.status_code for answer in answers] == [410, 410]


def test_a_platform_with_another_account_for_each_request_is_served(controller):
    # Provisioning and deletion come from the controller's own account, bindings from the real user.
    headers = {vector["headers"].get("X-Broker-Api-Originating-Identity") for vector in VECTORS.values()}
    assert len(headers) > 2

    controller.ready()
    assert controller.send("bind without parameters").status_code == 201
    assert controller.platform.provision(an_id(), order()).status_code == 202
