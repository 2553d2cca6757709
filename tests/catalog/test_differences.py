"""What a diff tells: what changes for users, what for living instances, and which version was forgotten."""

from dataclasses import replace

import pytest

from broker.catalog.differences import differences
from broker.domain.catalog import Catalog
from tests.catalog.test_changes import LARGE, OFFERING, PLAN, PUBLISHED, RAISED, proposed

STANDARD = "messages/standard"
ZONES = ("zoneRedundant: false", "zoneRedundant: true")
WHERE = ("location: {type: string,", "location: {type: string, required: true,")
CASES = [
    (("plans:\n", "plans:\n" + LARGE), ("messages/large", "", "added")),
    (("For most teams.", "For teams."), (STANDARD, "description", "changed")),
    (("A namespace for messages.", "Messages."), ("messages", "description", "changed")),
    (("free: false", "free: true"), (STANDARD, "free", "changed")),
    (("free: false", "free: false\n    metadata: {costs: []}"), (STANDARD, "metadata.costs", "changed")),
    (("[1, 2, 4]", "[1, 2]"), (STANDARD, "parameters.capacity", "narrowed")),
    (("[1, 2, 4]", "[1, 2, 4, 8]"), (STANDARD, "parameters.capacity", "widened")),
    (WHERE, (STANDARD, "parameters.location", "required")),
    (("capacity: {default", "capacity: {immutable: true, default"), (STANDARD, "parameters.capacity", "narrowed")),
    (("namespace: {pick", "host: {pick"), (STANDARD, "credentials.host", "added")),
    (("namespace: {pick", "host: {pick"), (STANDARD, "credentials.namespace", "removed")),
    (ZONES, (STANDARD, "template.Microsoft.ServiceBus/namespaces", "changed")),
    (ZONES, (STANDARD, "maintenance_info.version", "missing")),
    (("names:\n", "metadata: {displayName: Bus}\nnames:\n"), ("messages", "metadata.displayName", "changed")),
    (("names:\n", "takes_alias: true\nnames:\n"), (STANDARD, "takes_alias", "changed")),
    (RAISED, (STANDARD, "maintenance_info.version", "changed")),
]  # fmt: skip


@pytest.mark.parametrize(("change", "told"), CASES)
def test_a_change_is_told(change, told):
    found = [(one.thing, one.field, one.change) for one in differences(PUBLISHED, proposed(change))]

    assert told in found
    assert len(found) <= 2


def test_equal_catalogs_differ_in_nothing():
    assert differences(PUBLISHED, proposed()) == []


def test_what_comes_and_goes_is_told_once():
    (gone,) = differences(PUBLISHED, Catalog(()))
    (new,) = differences(Catalog(()), PUBLISHED)

    assert (gone.thing, gone.change) == ("messages", "removed")
    assert (new.thing, new.change, new.text) == ("messages", "added", "a new service offering, with standard")


def test_a_removed_plan_is_told():
    two = Catalog((replace(OFFERING, plans=(PLAN, replace(PLAN, id="another", name="large"))),))

    (gone,) = differences(two, PUBLISHED)

    assert (gone.thing, gone.change) == ("messages/large", "removed")


def test_withdrawing_is_told_and_offering_again_too():
    withdrawn = Catalog((replace(OFFERING, plans=(replace(PLAN, withdrawn=True),)),))

    (there,) = differences(PUBLISHED, withdrawn)
    (back,) = differences(withdrawn, PUBLISHED)

    assert (there.thing, there.change, back.change) == (STANDARD, "withdrawn", "offered")


def test_a_raised_version_beside_a_changed_template_lacks_nothing():
    found = differences(PUBLISHED, proposed(ZONES, RAISED))

    assert "missing" not in {one.change for one in found}
