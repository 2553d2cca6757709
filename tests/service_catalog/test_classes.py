"""What the controller takes in of a catalog, and what becomes of classes and plans that leave it."""

import pytest

from tests.service_catalog.classes import Classes, NotSynced, Unresolved


def service(name="blob", plans=("small", "large"), **changes):
    return {
        "id": f"id-of-{name}",
        "name": name,
        "description": "Storage.",
        "plans": [{"id": f"{name}-{plan}", "name": plan, "description": "A size."} for plan in plans],
        **changes,
    }


@pytest.fixture
def classes():
    made = Classes()
    made.sync({"services": [service(), service("queue")]})
    return made


def test_classes_and_plans_are_found_by_name(classes):
    kind, plan = classes.resolve("blob", "large")

    assert (kind.id, plan.id) == ("id-of-blob", "blob-large")
    with pytest.raises(Unresolved, match="not in the catalog"):
        classes.resolve("blob", "huge")


@pytest.mark.parametrize("left", [[service(plans=["small"]), service("queue")], [service("queue")]])
def test_what_has_left_the_catalog_is_kept_and_cannot_be_ordered_until_it_is_back(classes, left):
    classes.sync({"services": left})
    with pytest.raises(Unresolved, match="has left the catalog"):
        classes.resolve("blob", "large")

    classes.sync({"services": [service(), service("queue")]})

    assert classes.resolve("blob", "large")[1].id == "blob-large"


@pytest.mark.parametrize(
    "bad",
    [
        service("new", plans=[]),
        service("new", description=""),
        service("new", id="x" * 64),
        service("n" * 64),
        service(""),
    ],
)
def test_one_bad_service_stops_the_whole_catalog(classes, bad):
    with pytest.raises(NotSynced):
        classes.sync({"services": [service("queue"), service("fresh"), bad]})

    with pytest.raises(Unresolved):
        classes.resolve("fresh", "small")
    assert classes.resolve("blob", "large")
