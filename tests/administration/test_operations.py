"""Operators look at operations and step in: retry now, cancel."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lifecycle.conftest import CHILD, CHILDREN
from tests.osb.offerings import SERVICE, SMALL
from tests.osb.platform import an_id, ask, at_once, change, order
from tests.simulated import wait_until


def held(platform, external, verb="create"):
    """An instance with an operation that is held; its id and the operation's."""
    instance = an_id()
    if verb == "create":
        external.hold(instance, verb)
        platform.provision(instance)
    else:
        platform.ready(instance_id=instance)
        external.hold(instance, verb)
        if verb == "update":
            platform.update(instance, change(parameters={"size": 7}))
        else:
            platform.deprovision(instance)
    return instance


def test_an_operation_is_shown_with_all_that_happened_to_it(reader, platform, external):
    instance = an_id()
    external.fail(instance, "create", "There is no quota left.")
    platform.provision(instance)
    platform.settle(instance)

    (listed,) = reader.all("/operations", instance_id=instance)
    shown = reader.get(f"/operations/{listed['id']}").json()

    assert shown["operation"] == listed
    assert (listed["kind"], listed["status"]) == ("provision", "failed")
    assert "There is no quota left." in listed["description"]
    whats = [event["what"] for event in shown["events"]]
    assert whats[0] == "started" or "step" in whats
    assert whats[-1] == "failed"
    assert any("There is no quota left." in event["detail"] for event in shown["events"])


def test_what_is_in_progress_comes_before_what_has_ended(reader, platform, external):
    running = held(platform, external)
    ended = [platform.ready() for _ in range(3)]

    first = reader.get("/operations", limit=2).json()
    whole = reader.all("/operations", limit=3)
    external.release(running)

    assert [one["status"] for one in whole] == sorted(
        one["status"] for one in whole if one["status"] == "in progress"
    ) + [one["status"] for one in whole if one["status"] != "in progress"]
    assert first["items"][0]["instance_id"] == running
    assert len({one["id"] for one in whole}) == len(whole)
    assert {running, *ended} <= {one["instance_id"] for one in whole}


def test_a_failed_deletion_goes_on_when_an_operator_retries_it(alice, platform, external):
    instance = platform.ready()
    external.fail(instance, "delete", "A lock is on it.")
    platform.deprovision(instance)
    platform.settle(instance)
    (failed,) = alice.all("/operations", instance_id=instance, kind="deprovision")
    external.mend(instance)

    done = alice.deed(f"/operations/{failed['id']}/retry", "The lock is off.").json()

    assert platform.settle(instance).status_code == 410
    assert external.living(instance) == []
    assert done["operations"] != [failed["id"]]
    assert [(row["actor"], row["action"], row["reason"]) for row in alice.audited(failed["id"])] == [
        ("operator alice", "retry", "The lock is off.")
    ]
    again = alice.deed(f"/operations/{failed['id']}/retry")
    assert again.status_code == 404


def test_of_many_who_retry_a_failed_deletion_at_once_one_begins_it(alice, bob, platform, external):
    instance = platform.ready()
    external.fail(instance, "delete", "A lock is on it.")
    platform.deprovision(instance)
    platform.settle(instance)
    (failed,) = alice.all("/operations", instance_id=instance, kind="deprovision")
    external.mend(instance)
    external.hold(instance, "delete")

    answers = at_once(6, lambda i: (alice, bob)[i % 2].deed(f"/operations/{failed['id']}/retry").status_code)
    external.release(instance)

    assert sorted(answers) == [200] + [422] * 5
    assert platform.settle(instance).status_code == 410


def test_a_failed_unbinding_goes_on_when_an_operator_retries_it(alice, platform, external):
    instance = platform.ready()
    binding, bound = platform.bound(instance)
    external.fail(binding, "unbind", "The server is away.")
    assert platform.unbind(instance, binding).status_code == 500
    (failed,) = alice.all("/operations", binding_id=binding, kind="unbind")
    external.mend(binding)

    alice.deed(f"/operations/{failed['id']}/retry")

    assert platform.settle(instance, binding).status_code == 410
    assert bound["credentials"]["password"] not in external.passwords()


def test_what_makes_no_sense_to_retry_is_refused_with_the_reason(alice, platform, external):
    ready = platform.ready()
    (succeeded,) = alice.all("/operations", instance_id=ready)
    broken = an_id()
    external.fail(broken, "create")
    platform.provision(broken)
    platform.settle(broken)
    (failed,) = alice.all("/operations", instance_id=broken)
    external.mend(broken)
    stuck = platform.ready()
    external.fail(stuck, "delete")
    for _ in range(2):
        platform.deprovision(stuck)
        platform.settle(stuck)
    _, first = alice.all("/operations", instance_id=stuck, kind="deprovision")

    answers = [alice.deed(f"/operations/{one['id']}/retry") for one in (succeeded, failed, first)]
    external.mend(stuck)

    assert [(one.status_code, one.json()["error"]) for one in answers] == [(422, "WrongState")] * 3
    assert [
        word in one.json()["description"]
        for one, word in zip(answers, ("succeeded", "order again", "latest"), strict=True)
    ] == [True] * 3
    assert alice.deed(f"/operations/{an_id()}/retry").status_code == 404
    assert alice.deed("/operations/none/retry").status_code == 404


def test_a_creation_that_is_cancelled_is_undone(alice, platform, external):
    instance = held(platform, external)
    operation = alice.running(instance)

    done = alice.deed(f"/operations/{operation['id']}/cancel", "Wrong region.").json()
    settled = platform.settle(instance).json()
    external.release(instance)

    assert "removed" in done["effects"][0]
    assert (settled["state"], "cancelled" in settled["description"]) == ("failed", True)
    assert external.living(instance) == []
    events = alice.get(f"/operations/{operation['id']}").json()["events"]
    assert [(one["by"], one["detail"]) for one in events if one["what"] == "cancel"] == [
        ("operator alice", "Wrong region.")
    ]
    platform.gone(instance)


def test_an_update_that_is_cancelled_leaves_plan_and_parameters_as_they_were(alice, platform, external):
    instance = held(platform, external, "update")
    before = platform.fetch(instance).json()

    alice.deed(f"/operations/{alice.running(instance)['id']}/cancel")
    settled = platform.settle(instance).json()
    external.release(instance)

    assert settled["state"] == "failed"
    assert settled["instance_usable"] is True
    assert "cancelled" in settled["description"]
    assert platform.fetch(instance).json() == before
    assert platform.bind(instance, an_id()).status_code == 201
    platform.gone(instance)


def test_a_bind_that_is_cancelled_answers_the_request_that_waits_and_leaves_no_login(
    alice, platform, external
):
    instance = platform.ready()
    binding = an_id()
    external.hold(binding, "bind")
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(platform.bind, instance, binding)
        wait_until(lambda: alice.all("/operations", binding_id=binding))

        alice.deed(f"/operations/{alice.running(instance)['id']}/cancel")
        answer = waits.result()
    external.release(binding)

    assert answer.status_code == 500
    assert "cancelled" in answer.json()["description"]
    assert external.logins_of(binding) == []


def test_what_cannot_be_cancelled_is_refused_with_the_reason(alice, platform, external):
    ready = platform.ready()
    (succeeded,) = alice.all("/operations", instance_id=ready)
    deleted = held(platform, external, "delete")
    deletion = alice.running(deleted)
    undone = held(platform, external)
    external.hold(undone, "delete")
    undoing = alice.running(undone)
    alice.deed(f"/operations/{undoing['id']}/cancel")
    wait_until(lambda: alice.running(undone)["stage"] == "undoing")

    answers = [alice.deed(f"/operations/{one['id']}/cancel") for one in (succeeded, deletion, undoing)]
    external.release(deleted)
    external.release(undone)

    assert [one.status_code for one in answers] == [422] * 3
    for answer, word in zip(answers, ("succeeded", "abandon", "undone"), strict=True):
        assert word in answer.json()["description"]


def test_a_fresh_try_that_waits_for_a_clean_up_is_cancelled_without_it(alice, platform, external):
    instance = an_id()
    external.hold(instance, "create", "delete")
    platform.provision(instance)
    operation = alice.running(instance)["id"]
    alice.deed(f"/operations/{operation}/cancel")
    wait_until(lambda: alice.running(instance)["stage"] == "undoing")
    platform.provision(instance)

    alice.deed(f"/operations/{operation}/cancel")
    external.release(instance)

    assert platform.settle(instance).json()["state"] == "failed"
    assert external.living(instance) == []


def test_what_is_ordered_again_after_a_cancellation_is_made(alice, platform, external):
    instance = an_id()
    external.hold(instance, "create", "delete")
    platform.provision(instance)
    alice.deed(f"/operations/{alice.running(instance)['id']}/cancel")
    wait_until(lambda: alice.running(instance)["stage"] == "undoing")

    platform.provision(instance)
    external.release(instance)

    assert platform.settle(instance).json()["state"] == "succeeded"
    assert len(external.living(instance)) == 1


def test_of_two_who_cancel_at_once_one_does_and_the_other_is_told(alice, bob, platform, external):
    instance = held(platform, external)
    external.hold(instance, "delete")
    operation = alice.running(instance)["id"]

    answers = at_once(4, lambda i: (alice, bob)[i % 2].deed(f"/operations/{operation}/cancel").status_code)
    external.release(instance)

    assert sorted(answers) == [200, 422, 422, 422]
    assert len([row for row in alice.audited(operation) if row["action"] == "cancel"]) == 1


@pytest.mark.parametrize("deed", ["retry", "cancel"])
def test_a_dry_run_of_stepping_in_changes_nothing(alice, platform, external, deed):
    instance = held(platform, external)
    wait_until(lambda: alice.running(instance).get("owner") is None)
    operation = alice.running(instance)["id"]

    told = alice.deed(f"/operations/{operation}/{deed}", dry_run=True)
    events = alice.get(f"/operations/{operation}").json()["events"]
    external.release(instance)

    if told.status_code == 200:  # a look at what is held may be under way at any moment
        assert told.json()["dry_run"] is True
    assert deed not in [event["what"] for event in events]
    assert alice.audited(operation) == []
    assert platform.settle(instance).json()["state"] == "succeeded"


def test_what_waits_for_its_parent_can_be_cancelled(alice, platform, external):
    from tests.lifecycle.conftest import PARENT, PARENTS

    parent, child = an_id(), an_id()
    external.hold(parent, "create")
    platform.provision(parent, order(PARENT, service_id=PARENTS, maintenance_info=...))
    platform.provision(child, order(CHILD, service_id=CHILDREN, parameters={"parentAlias": parent}))
    wait_until(lambda: "Waiting for parent" in platform.poll(child).json()["description"])

    alice.deed(f"/operations/{alice.running(child)['id']}/cancel")

    assert platform.settle(child).json()["state"] == "failed"
    external.release(parent)
    assert platform.settle(parent).json()["state"] == "succeeded"


CANARY = "canary-" + an_id()


def test_nothing_that_operators_are_shown_holds_a_secret(reader, alice, platform, external):
    instance = platform.ready(order(parameters={"secret": CANARY, "size": 3}))
    binding, bound = platform.bound(instance, ask(parameters={"note": CANARY}))
    password = bound["credentials"]["password"]

    def everything():
        paths = ["/instances", f"/instances/{instance}", "/bindings", "/operations", "/audit", "/history"]
        paths += [f"/instances/{instance}/bindings/{binding}", f"/history/{instance}"]
        paths += [f"/operations/{one['id']}" for one in reader.all("/operations", instance_id=instance)]
        return "".join(reader.get(path).text for path in paths)

    living = everything()
    shown = reader.get(f"/instances/{instance}").json()
    alice.deed(f"/instances/{instance}/abandon", in_azure="keep")
    past = everything()

    assert shown["parameters"] == {"size": 3}
    assert shown["hidden"] == ["secret"]
    for text in (living, past):
        assert instance in text
        assert CANARY not in text
        assert password not in text


def test_bindings_are_listed_with_their_instance(reader, platform):
    instance = platform.ready()
    bound = [platform.bound(instance)[0] for _ in range(3)]

    listed = reader.all("/bindings", instance_id=instance, limit=2)
    none = reader.all("/bindings", instance_id=instance, failed="true")

    assert [one["binding_id"] for one in listed] == bound[::-1]
    assert {one["state"] for one in listed} == {"bound"}
    assert none == []
    assert reader.get(f"/instances/{instance}").json()["instance"]["bindings"] == 3


def test_the_audit_and_the_history_tell_what_platforms_and_operators_did(reader, platform):
    instance = platform.ready()
    platform.gone(instance)
    platform.ready(instance_id=instance)
    platform.gone(instance)

    rows = reader.audited(instance)
    lives = reader.get(f"/history/{instance}").json()["items"]
    listed = reader.all("/history", instance_id=instance, kind="instance", limit=1)

    assert [row["action"] for row in rows] == ["provision", "deprovision"] * 2
    assert {row["actor"] for row in rows} == {"kubernetes"}
    assert [life["generation"] for life in lives] == [1, 0]
    assert [life["key"] for life in lives] == [one["key"] for one in listed]
    assert all(life["document"]["service_offering_id"] == SERVICE for life in lives)
    assert [one["operation"]["kind"] for one in lives[0]["operations"]] == ["deprovision", "provision"]
    assert json.dumps(lives)
    assert reader.get(f"/history/{an_id()}").status_code == 404
    assert reader.get("/history", kind="other").status_code == 400
    assert platform.deprovision(instance, SMALL).status_code == 410
