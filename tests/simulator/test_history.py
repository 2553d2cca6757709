"""The history of deployments: pruned from 775 to 750, or a wall at 800."""

from tests.simulator.test_nested_deployments import deployed, ended, path_of, put, template

EMPTY = template([])


def fill(simulator, group, count, **options):
    reply = simulator.client.post("/_simulator/history", json={"group": group, "count": count, **options})
    assert reply.status_code == 200, reply.text
    return reply.json()["deployments"]


def names_in(simulator, group):
    reply = simulator.call("GET", f"/resourceGroups/{group}/providers/Microsoft.Resources/deployments")
    return [each["name"] for each in reply.json()["value"]]


def test_above_775_the_oldest_go_until_750_are_left(simulator):
    group = simulator.a_group()
    fill(simulator, group, 775)

    deployed(simulator, group, EMPTY, "775th-and-one")
    before = names_in(simulator, group)
    deployed(simulator, group, EMPTY, "newest")
    after = names_in(simulator, group)

    assert len(before) == 776
    assert len(after) == 751
    assert (after[0], after[-2:]) == ("filled-0026", ["775th-and-one", "newest"])


def test_a_validation_prunes_too(simulator):
    group = simulator.a_group()
    fill(simulator, group, 776)

    body = {"properties": {"mode": "Incremental", "template": EMPTY}}
    validated = simulator.call("POST", path_of(group, "v") + "/validate", body)

    assert validated.status_code == 200
    assert len(names_in(simulator, group)) == 750


def test_what_is_running_is_not_pruned(simulator):
    group = simulator.a_group()
    fault = simulator.fault("stuck", method="PUT", path=f"{group}/.*/deployments/running")
    put(simulator, group, EMPTY, "running")
    fill(simulator, group, 776)

    deployed(simulator, group, EMPTY, "newest")

    names = names_in(simulator, group)
    assert (names[0], names[1], len(names)) == ("running", "filled-0027", 751)
    simulator.lift(fault)
    assert ended(simulator, group, "running")["provisioningState"] == "Succeeded"


def test_without_pruning_the_800th_is_the_last(simulator):
    group = simulator.a_group()
    fill(simulator, group, 800, pruning=False)

    refused = put(simulator, group, EMPTY, "801st")
    again = put(simulator, group, EMPTY, "filled-0799")
    simulator.call("DELETE", path_of(group, "filled-0000"))
    room = put(simulator, group, EMPTY, "801st")

    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "DeploymentQuotaExceeded")
    assert again.status_code == 200
    assert room.status_code == 201


def test_the_history_of_one_group_is_not_that_of_another(simulator):
    full, other = simulator.a_group(), simulator.a_group()
    fill(simulator, full, 800, pruning=False)

    assert deployed(simulator, other, EMPTY)["provisioningState"] == "Succeeded"
    assert names_in(simulator, other) == ["main"]


def test_a_history_that_makes_no_sense_is_refused(simulator):
    group = simulator.a_group()

    for asked in ({"group": group, "count": 801}, {"group": group, "count": "many"}, []):
        reply = simulator.client.post("/_simulator/history", json=asked)
        assert reply.json()["error"]["code"] == "InvalidControlRequest"
    assert simulator.client.post("/_simulator/history", json={"group": "nowhere"}).status_code == 404
