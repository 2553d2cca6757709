"""Operators delete and abandon: by the state, with a reason, and against everybody else who wants something."""

import time

import pytest

from tests.lifecycle.conftest import CHILD, CHILDREN, PARENT, PARENTS
from tests.osb.offerings import SMALL
from tests.osb.platform import an_id, at_once, order


def family(platform, children=2):
    """A parent with children; their ids."""
    parent = platform.ready(
        order(PARENT, service_id=PARENTS, parameters={"alias": an_id()}, maintenance_info=...),
    )
    return parent, [
        platform.ready(order(CHILD, service_id=CHILDREN, parameters={"parentAlias": parent}))
        for _ in range(children)
    ]


def gone(platform, instance_id, service=None, plan=SMALL):
    answer = platform.deprovision(instance_id, plan, *([service] if service else []))
    return answer.status_code == 410


def test_an_operator_deletes_as_a_platform_would_and_a_second_one_joins(alice, bob, platform, external):
    instance = platform.ready()
    platform.bound(instance)
    external.hold(instance, "delete")

    first = alice.deed(f"/instances/{instance}/delete", "Nobody needs it.").json()
    second = bob.deed(f"/instances/{instance}/delete", "Nor do I.").json()
    external.release(instance)

    assert first["operations"] == second["operations"]
    assert "removed first: 1" in first["effects"][0]
    assert "joins" in second["effects"][0]
    assert platform.settle(instance).status_code == 410
    assert external.living(instance) == []
    assert [(row["actor"], row["action"], row["reason"]) for row in alice.audited(instance)[-2:]] == [
        ("operator alice", "delete", "Nobody needs it."),
        ("operator bob", "delete", "Nor do I."),
    ]


def test_a_creation_that_is_running_ends_for_an_operators_deletion(alice, platform, external):
    instance = an_id()
    external.hold(instance, "create")
    platform.provision(instance)

    done = alice.deed(f"/instances/{instance}/delete").json()
    external.release(instance)

    assert "The running provision ends." in done["effects"][0]
    assert platform.settle(instance).status_code == 410
    assert external.living(instance) == []


def test_a_parent_goes_after_its_children_and_only_if_that_was_said(alice, platform, external):
    parent, children = family(platform)
    external.hold(children[0], "delete")

    refused = alice.deed(f"/instances/{parent}/delete")
    done = alice.deed(f"/instances/{parent}/delete", with_children=True)
    waits = alice.get("/operations", instance_id=parent, status="in progress")
    still_there = external.living(parent)
    external.release(children[0])
    began = time.monotonic()
    settled = platform.settle(parent)

    assert (refused.status_code, refused.json()["error"]) == (422, "HasChildren")
    assert all(child in refused.json()["description"] for child in children)
    assert len(done.json()["operations"]) == 3
    assert waits.json()["items"][0]["kind"] == "deprovision"
    assert len(still_there) == 1
    assert settled.status_code == 410
    assert [external.living(one) for one in (parent, *children)] == [[], [], []]
    # The end of the last child wakes its parent: the fallback alone would take five seconds.
    assert time.monotonic() - began < 4


def test_a_parent_whose_child_cannot_be_deleted_says_which_and_can_be_deleted_again(
    alice, platform, external
):
    parent, (child,) = family(platform, 1)
    external.fail(child, "delete", "A lock is on it.")

    alice.deed(f"/instances/{parent}/delete", with_children=True)
    failed = platform.settle(parent).json()
    external.mend(child)
    alice.deed(f"/instances/{parent}/delete", with_children=True)

    assert failed["state"] == "failed"
    assert child in failed["description"]
    assert "A lock is on it." in failed["description"]
    assert platform.settle(parent).status_code == 410


def test_what_is_abandoned_and_kept_is_forgotten_at_once_and_stays_as_it_is(alice, platform, external):
    instance = platform.ready()
    binding, bound = platform.bound(instance)

    done = alice.deed(f"/instances/{instance}/abandon", "Moved by hand.", in_azure="keep").json()

    assert external.living(instance)
    assert bound["credentials"]["password"] in external.passwords()
    assert any("/things/" in effect for effect in done["effects"])
    assert alice.get(f"/instances/{instance}").status_code == 404
    assert platform.deprovision(instance).status_code == 410
    assert platform.unbind(instance, binding).status_code == 410
    (past,) = alice.get(f"/history/{instance}").json()["items"]
    assert past["reason"] == "Abandoned by operator alice: Moved by hand."
    assert [one.get("gone_at") for one in past["resources"]] == [None]
    assert past["document"]["service_plan_id"] == SMALL
    assert alice.get(f"/history/{instance}/bindings/{binding}").json()["items"][0]["kind"] == "binding"
    (row,) = alice.all("/audit", object=instance, action="abandon, keep in Azure")
    assert (row["actor"], row["reason"]) == ("operator alice", "Moved by hand.")


def test_an_abandoned_id_is_used_again_under_other_names(alice, platform, external):
    instance = platform.ready()
    alice.deed(f"/instances/{instance}/abandon", in_azure="keep")

    platform.ready(instance_id=instance)

    assert sorted(thing.generation for thing in external.living(instance)) == [0, 1]
    platform.gone(instance)
    assert [thing.generation for thing in external.living(instance)] == [0]


@pytest.mark.parametrize("verb", ["create", "delete", "update"])
def test_what_runs_ends_when_its_instance_is_abandoned(alice, platform, external, verb):
    instance = an_id()
    if verb != "create":
        platform.ready(instance_id=instance)
    external.hold(instance, verb)
    if verb == "create":
        platform.provision(instance)
    elif verb == "delete":
        platform.deprovision(instance)
    else:
        platform.update(instance, {"service_id": order()["service_id"], "parameters": {"size": 5}})
    running = alice.running(instance)

    done = alice.deed(f"/instances/{instance}/abandon", in_azure="keep")
    external.release(instance)

    assert "1 running operations end." in done.json()["effects"][0]
    ended = alice.get(f"/operations/{running['id']}").json()["operation"]
    assert ended["status"] == "failed"
    assert "abandoned" in ended["description"]
    polled = platform.poll(instance).json()
    assert (polled["state"], "abandoned" in polled["description"]) == ("failed", True)
    assert gone(platform, instance)


def test_what_is_abandoned_and_deleted_goes_in_azure_too_if_it_can(alice, platform, external):
    instance = platform.ready()
    platform.bound(instance)

    done = alice.deed(f"/instances/{instance}/abandon", in_azure="delete").json()

    assert "even if that fails" in done["effects"][0]
    assert platform.settle(instance).status_code == 410
    assert external.living(instance) == []
    assert alice.get(f"/history/{instance}").json()["items"][0]["reason"] == "Deprovisioned."


@pytest.mark.parametrize("verb", ["delete", "unbind"])
def test_what_is_abandoned_goes_even_if_its_deletion_fails(alice, platform, external, verb):
    instance = platform.ready()
    binding, _ = platform.bound(instance)
    external.fail({"delete": instance, "unbind": binding}[verb], verb, "The server is on fire.")

    done = alice.deed(f"/instances/{instance}/abandon", "It burns.", in_azure="delete").json()
    settled = platform.settle(instance)

    assert alice.get(f"/instances/{instance}").status_code == 404
    assert gone(platform, instance)
    (past,) = alice.get(f"/history/{instance}").json()["items"]
    if verb == "delete":
        assert settled.json()["state"] == "failed"
        assert past["reason"] == "Abandoned by operator alice: It burns. The server is on fire."
        assert [one.get("gone_at") for one in past["resources"]] == [None]
        events = [event["what"] for event in past["operations"][0]["events"]]
        assert events[-1] == "failed"
    else:
        # The rest is deleted although one login could not be taken away.
        assert settled.status_code == 410
        assert external.living(instance) == []
        (past_binding,) = alice.get(f"/history/{instance}/bindings/{binding}").json()["items"]
        assert "The server is on fire." in past_binding["reason"]
    assert past["operations"][0]["operation"]["id"] == done["operations"][0]


def test_abandoning_ends_a_deletion_that_goes_on_for_ever(alice, platform, external):
    instance = platform.ready()
    external.throttle(instance, "delete")
    platform.deprovision(instance)

    ordered = alice.deed(f"/instances/{instance}/abandon", in_azure="delete").json()
    joined = alice.deed(f"/instances/{instance}/abandon", in_azure="delete").json()
    done = alice.deed(f"/instances/{instance}/abandon", in_azure="keep")

    assert ordered["operations"] == joined["operations"]
    assert done.status_code == 200
    assert gone(platform, instance)
    external.mend(instance)


def test_a_family_is_abandoned_whole_or_not_at_all(alice, platform, external):
    parent, children = family(platform)

    refused = alice.deed(f"/instances/{parent}/abandon", in_azure="keep")
    done = alice.deed(f"/instances/{parent}/abandon", in_azure="keep", with_children=True)

    assert refused.json()["error"] == "HasChildren"
    assert done.status_code == 200
    assert all(gone(platform, child, CHILDREN, CHILD) for child in children)
    assert gone(platform, parent, PARENTS, PARENT)
    assert all(external.living(one) for one in (parent, *children))


def test_a_family_whose_child_cannot_be_deleted_is_abandoned_all_the_same(alice, platform, external):
    parent, (child,) = family(platform, 1)
    external.fail(child, "delete", "A lock is on it.")

    alice.deed(f"/instances/{parent}/abandon", in_azure="delete", with_children=True)

    assert platform.settle(parent).status_code == 410
    assert external.living(parent) == []
    assert gone(platform, child, CHILDREN, CHILD)
    assert "A lock is on it." in alice.get(f"/history/{child}").json()["items"][0]["reason"]


def test_a_binding_is_abandoned_with_its_login_or_without(alice, platform, external):
    instance = platform.ready()
    kept, kept_body = platform.bound(instance)
    burning, _ = platform.bound(instance)
    external.fail(burning, "unbind", "The server is on fire.")

    keep = alice.deed(f"/instances/{instance}/bindings/{kept}/abandon", in_azure="keep")
    delete = alice.deed(f"/instances/{instance}/bindings/{burning}/abandon", in_azure="delete")
    failed = platform.settle(instance, burning).json()

    assert "go on working" in keep.json()["effects"][0]
    assert kept_body["credentials"]["password"] in external.passwords()
    assert delete.json()["operations"]
    assert failed["state"] == "failed"
    for binding in (kept, burning):
        assert platform.unbind(instance, binding).status_code == 410
        assert alice.get(f"/instances/{instance}/bindings/{binding}").status_code == 404
    assert alice.get(f"/instances/{instance}").json()["instance"]["bindings"] == 0
    platform.gone(instance)


def test_abandoning_a_binding_lets_the_deletion_of_its_instance_go_on(alice, platform, external):
    instance = platform.ready()
    binding, _ = platform.bound(instance)
    external.hold(binding, "unbind")
    platform.deprovision(instance)

    refused = alice.deed(f"/instances/{instance}/bindings/{binding}/abandon", in_azure="delete")
    done = alice.deed(f"/instances/{instance}/bindings/{binding}/abandon", in_azure="keep")

    assert (refused.status_code, refused.json()["error"]) == (422, "WrongState")
    assert done.status_code == 200
    began = time.monotonic()
    assert platform.settle(instance).status_code == 410
    # Without being woken the deprovision would look again after five seconds.
    assert time.monotonic() - began < 4
    external.release(binding)


def test_of_many_who_abandon_at_once_one_does_and_the_others_are_told(alice, bob, platform):
    instance = platform.ready()

    answers = at_once(
        6, lambda i: (alice, bob)[i % 2].deed(f"/instances/{instance}/abandon", in_azure="keep").status_code
    )

    assert sorted(answers) == [200] + [404] * 5
    assert len(alice.get(f"/history/{instance}").json()["items"]) == 1


def test_an_operator_and_a_platform_at_once_come_to_one_end(alice, platform, external):
    for _ in range(4):
        instance = platform.ready()

        def either(i, instance=instance):
            if i % 2:
                return platform.deprovision(instance).status_code
            return alice.deed(f"/instances/{instance}/abandon", in_azure="keep").status_code

        answers = at_once(4, either)

        assert set(answers) <= {200, 202, 404, 410}
        assert 200 in answers
        assert platform.settle(instance).status_code in {200, 410}
        assert gone(platform, instance)


def test_an_id_of_two_platforms_needs_the_platform(alice, platform, other_platform):
    instance = platform.ready()
    other_platform.ready(instance_id=instance)

    answers = [
        alice.get(f"/instances/{instance}"),
        alice.deed(f"/instances/{instance}/delete"),
        alice.deed(f"/instances/{instance}/abandon", in_azure="keep"),
    ]
    done = alice.deed(f"/instances/{instance}/abandon", platform="cloudfoundry", in_azure="keep")

    assert {(one.status_code, one.json()["error"]) for one in answers} == {(409, "Ambiguous")}
    assert all("cloudfoundry, kubernetes" in one.json()["description"] for one in answers)
    assert done.status_code == 200
    assert platform.fetch(instance).status_code == 200
    assert gone(other_platform, instance)


DEEDS = [
    ("/instances/{instance}/delete", {}),
    ("/instances/{instance}/delete", {"with_children": True}),
    ("/instances/{instance}/abandon", {"in_azure": "keep"}),
    ("/instances/{instance}/abandon", {"in_azure": "delete"}),
    ("/instances/{instance}/bindings/{binding}/abandon", {"in_azure": "keep"}),
    ("/instances/{instance}/bindings/{binding}/abandon", {"in_azure": "delete"}),
]


@pytest.mark.parametrize(("path", "body"), DEEDS)
def test_a_dry_run_tells_what_would_be_and_changes_nothing(alice, platform, external, capsys, path, body):
    instance = platform.ready()
    binding, bound = platform.bound(instance)
    before = alice.get(f"/instances/{instance}").json()
    audited = alice.audited(instance)
    capsys.readouterr()

    told = alice.deed(path.format(instance=instance, binding=binding), dry_run=True, **body).json()

    assert "An operation was accepted" not in capsys.readouterr().out
    assert told["dry_run"] is True
    assert told["operations"] == []
    assert told["effects"]
    assert alice.get(f"/instances/{instance}").json() == before
    assert alice.audited(instance) == audited
    assert external.living(instance)
    assert bound["credentials"]["password"] in external.passwords()
    platform.gone(instance)


@pytest.mark.parametrize(("path", "body"), DEEDS)
def test_what_was_foretold_is_done_and_nothing_else(alice, platform, external, path, body):
    instance = platform.ready()
    binding, _ = platform.bound(instance)
    url = path.format(instance=instance, binding=binding)
    foretold = alice.deed(url, dry_run=True, **body).json()["foretold"]

    other = alice.deed(url, only_if="0" * 32, **body)
    assert other.status_code == 422
    assert "Nothing was done" in other.json()["description"]
    assert external.living(instance)

    assert alice.deed(url, only_if=foretold, **body).json()["effects"]
    platform.gone(instance)


def test_a_child_that_was_ordered_after_the_question_is_not_deleted_with_its_parent(alice, platform):
    parent, _ = family(platform, children=1)
    foretold = alice.deed(f"/instances/{parent}/delete", with_children=True, dry_run=True).json()["foretold"]
    late = platform.ready(order(CHILD, service_id=CHILDREN, parameters={"parentAlias": parent}))

    refused = alice.deed(f"/instances/{parent}/delete", with_children=True, only_if=foretold)

    assert refused.status_code == 422
    assert refused.json()["error"] == "WrongState"
    assert alice.get(f"/instances/{late}").json()["instance"]["state"] == "ready"


def test_the_audit_tells_apart_instances_of_one_id(alice, platform, other_platform):
    instance = platform.ready()
    other_platform.ready(instance_id=instance)

    alice.deed(f"/instances/{instance}/delete", platform="kubernetes")

    deleted = [row["object"] for row in alice.audited(instance) if row["action"] == "delete"]
    assert deleted == [f"service instance {instance} of kubernetes"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "reason"),
        ({"reason": "  "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": 5}, "reason"),
        ({"reason": "x"}, "in_azure"),
        ({"reason": "x", "in_azure": "burn"}, "in_azure"),
        ({"reason": "x", "in_azure": ["keep"]}, "in_azure"),
        ({"reason": "x", "in_azure": "keep", "dry_run": "yes"}, "dry_run"),
        ({"reason": "x", "in_azure": "keep", "dryrun": True}, "dryrun"),
    ],
)
def test_a_deed_that_is_not_said_plainly_is_refused(alice, platform, body, says):
    instance = platform.ready()

    answer = alice.post(f"/instances/{instance}/abandon", body)

    assert answer.status_code == 400
    assert says in answer.json()["description"]
    assert alice.get(f"/instances/{instance}").status_code == 200


def test_a_body_is_read_as_strictly_as_a_platforms(alice):
    for content, status in ((b"{", 400), (b'{"reason":"a","reason":"b"}', 400), (b"[" * 2_000_000, 413)):
        answer = alice.request("POST", "/instances/x/delete", content=content)
        assert answer.status_code == status
