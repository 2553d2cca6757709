"""Names that older brokers took: refused with the sentence that tells what replaces them."""

from tests.osb.offerings import USE_ROLE, USE_TIER
from tests.osb.platform import an_id, ask, change, order, refused


def test_an_order_that_gives_a_name_of_before_is_told_what_replaces_it(platform, external):
    instance_id = an_id()

    answer = platform.provision(instance_id, order(parameters={"size": 1, "colour": "cool"}))

    assert refused(answer, 400, "InvalidParameters") == USE_TIER
    assert external.living(instance_id) == []
    assert platform.fetch(instance_id).status_code == 404


def test_each_name_of_before_is_answered_ahead_of_what_else_is_wrong(platform):
    both = order(parameters={"shape": None, "colour": 5, "size": "large", "hue": 1})

    description = refused(platform.provision(an_id(), both), 400, "InvalidParameters")

    assert description == f"{USE_TIER} Things have no shape any more; leave 'shape' out."


def test_an_update_is_told_so_too_and_changes_nothing(platform, external):
    instance_id = platform.ready(order(parameters={"size": 1}))

    answer = platform.update(instance_id, change(parameters={"size": 2, "colour": "hot"}))

    assert refused(answer, 400, "InvalidParameters") == USE_TIER
    assert external.updates[instance_id] == 0
    assert platform.fetch(instance_id).json()["parameters"] == {"size": 1}


def test_an_update_that_takes_such_a_name_away_from_where_it_never_was_is_nothing(platform, external):
    instance_id = platform.ready(order(parameters={"size": 1}))

    answer = platform.update(instance_id, change(parameters={"size": 1, "colour": None}))

    assert answer.status_code == 200
    assert external.updates[instance_id] == 0


def test_a_bind_that_gives_a_name_of_before_is_told_what_replaces_it(platform):
    instance_id = platform.ready()

    answer = platform.bind(instance_id, an_id(), ask(parameters={"permissions": "READ"}))

    assert refused(answer, 400, "InvalidParameters") == USE_ROLE


def test_no_schema_shows_such_names(platform):
    text = platform.catalog().text

    assert "colour" not in text
    assert "permissions" not in text
