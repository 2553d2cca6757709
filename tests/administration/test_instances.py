"""What operators see of service instances."""

import pytest

from tests.osb.offerings import LARGE, SMALL
from tests.osb.platform import an_id, order


def ids(items):
    return [item["instance_id"] for item in items]


def context(namespace):
    return {"platform": "kubernetes", "clusterid": "c1", "namespace": namespace}


def test_instances_of_all_platforms_are_listed_with_plan_place_and_operation(
    reader, platform, other_platform, external
):
    namespace = an_id()
    ready = platform.ready(order(context=context(namespace)))
    held = an_id()
    external.hold(held, "create")
    other_platform.provision(held, order(LARGE))

    mine = reader.get("/instances", search=namespace).json()["items"]
    running = reader.get("/instances", platform="cloudfoundry", search=held).json()["items"]
    external.release(held)

    assert ids(mine) == [ready]
    assert (mine[0]["platform"], mine[0]["state"]) == ("kubernetes", "ready")
    assert (mine[0]["offering"], mine[0]["plan"]) == ("kept-things", "small")
    assert mine[0]["namespace"] == namespace
    assert "operation" not in mine[0]
    assert running[0]["operation"]["kind"] == "provision"
    assert running[0]["operation"]["status"] == "in progress"
    assert "stuck" not in running[0]["operation"]


def test_pages_hold_each_instance_once_and_the_newest_first(reader, platform):
    namespace = an_id()
    ordered = [platform.ready(order(context=context(namespace))) for _ in range(5)]

    paged = reader.all("/instances", search=namespace, limit=2)
    first = reader.get("/instances", search=namespace, limit=2).json()

    assert ids(paged) == ordered[::-1]
    assert len(first["items"]) == 2
    assert first["next"]


def test_filters_are_held_all_at_once(reader, platform, external):
    namespace = an_id()
    small = platform.ready(order(SMALL, context=context(namespace)))
    large = platform.ready(order(LARGE, context=context(namespace)))
    broken = an_id()
    external.fail(broken, "create")
    platform.provision(broken, order(SMALL, context=context(namespace)))
    platform.settle(broken)

    def found(**query):
        return set(ids(reader.all("/instances", search=namespace, **query)))

    assert found(plan="kept-things/large") == {large}
    assert found(plan="kept-things") == {small, large, broken}
    assert found(plan=SMALL) == {small, broken}
    assert found(failed="true") == {broken}
    assert found(state=["ready", "create failed"]) == {small, large, broken}
    assert found(state="ready", plan=SMALL) == {small}
    assert found(newer_than="1h") == {small, large, broken}
    assert found(older_than="1h") == set()
    assert found(platform="cloudfoundry") == set()
    assert found(stuck="true") == set()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"colour": "red"}, "'colour'"),
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"cursor": "AAAA"}, "cursor"),
        ({"cursor": "WzEsMl0"}, "cursor"),
        ({"cursor": "WyJ4IiwgInkiXQ"}, "cursor"),
        ({"cursor": "W" * 499}, "cursor"),
        ({"older_than": "yesterday"}, "older_than"),
        ({"stuck": "maybe"}, "stuck"),
        ({"state": "happy"}, "state"),
        ({"plan": "kept-things/huge"}, "kept-things/huge"),
        ({"platform": ["a", "b"]}, "platform"),
        ({"search": "a\0b"}, "search"),
    ],
)
def test_a_query_that_cannot_be_meant_is_refused_and_named(reader, query, says):
    answer = reader.get("/instances", **query)

    assert answer.status_code == 400
    assert says in answer.json()["description"]


def test_a_search_takes_percent_and_underscore_as_they_are(reader, platform):
    namespace = f"{an_id()}_%"
    found = platform.ready(order(context=context(namespace)))
    platform.ready(order(context=context(namespace.replace("_", "x"))))
    platform.ready(order(context=context(namespace.replace("%", "xyz"))))

    assert ids(reader.all("/instances", search=namespace.upper())) == [found]
