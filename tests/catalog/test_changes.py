"""Which changes may follow a published catalog, and which only with a warning."""

from dataclasses import replace

import pytest

from broker.catalog.faults import refused
from broker.catalog.guard import refusals
from broker.catalog.reader import FOLDER, read_catalog, read_sources
from broker.catalog.sources import Source
from broker.domain.catalog import Catalog
from broker.domain.catalog_use import UNKNOWN_USE, CatalogUse, PublishedId, Violation
from broker.domain.semantic_versions import order, raised
from broker.shipped import shipped
from tests.catalog.offered import a_plan, an_offering
from tests.catalog.refusing import REFUSED

MESSAGES = REFUSED / "a-create-only-property" / "old"
YAML = (MESSAGES / "messaging" / "messages.yaml").read_text()
TEMPLATE = (MESSAGES / "messaging" / "namespace.json").read_text()
PUBLISHED = read_catalog(MESSAGES)
(OFFERING,) = PUBLISHED.offerings
(PLAN,) = OFFERING.plans
IN_USE = CatalogUse(instances={(OFFERING.id, PLAN.id): 3}, offerings={OFFERING.id: 3})
NOBODY = CatalogUse()


def proposed(*changes: tuple[str, str], template: tuple[str, str] = ("", "")) -> Catalog:
    text = YAML
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    files = {
        "messaging/messages.yaml": text.encode(),
        "messaging/namespace.json": TEMPLATE.replace(*template).encode()
        if template[0]
        else TEMPLATE.encode(),
    }
    catalog, faults = read_sources([Source(FOLDER, files)])
    assert refused(faults) == []
    return catalog


LARGE = YAML.partition("plans:\n")[2].replace("7e02", "7e05").replace("name: standard", "name: large")
RAISED = ("{version: 1.0.0}", "{version: 1.1.0}")
ALLOWED = {
    "other texts": (("A namespace for messages.", "A better one."), ("For most teams.", "For teams.")),
    "a longer time": (("maximum_polling_duration: 3600", "maximum_polling_duration: 7200"),),
    "other credentials": (("namespace: {pick", "host: {pick"),),
    "a wider choice": (("allowed: [1, 2, 4]", "allowed: [1, 2, 4, 8]"),),
    "another default": (("default: 1,", "default: 2,"),),
    "a name that nothing uses yet": (("max_length: 40}", "max_length: 40}\n  twin: {prefix: tw-, max_length: 40}"),),
    "a new version": (RAISED,),
    "another price": (("free: false", "free: true"),),
    "a new plan": (("plans:\n", "plans:\n" + LARGE),),
}  # fmt: skip


@pytest.mark.parametrize("change", ALLOWED)
def test_what_harms_nobody_may_follow(change):
    newer = proposed(*ALLOWED[change])

    assert newer.offerings != PUBLISHED.offerings
    assert refusals(PUBLISHED, newer, IN_USE) == []


@pytest.mark.parametrize("use", [UNKNOWN_USE, NOBODY, IN_USE], ids=["unknown", "nobody", "in use"])
@pytest.mark.parametrize("catalog", [PUBLISHED, read_catalog(shipped("catalog"))], ids=["one", "shipped"])
def test_a_catalog_may_follow_itself(catalog, use):
    assert refusals(catalog, catalog, use) == []


@pytest.mark.parametrize(
    "change",
    [
        ("zoneRedundant: false", "zoneRedundant: true"),
        ("prefix: sb-", "prefix: bus-"),
        ("names:\n", "placement: {group: own}\nnames:\n"),
        ("plan_updateable: true", "plan_updateable: false"),
    ],
)
def test_what_nobody_uses_may_change(change):
    newer = proposed(change)

    assert refused(refusals(PUBLISHED, newer, IN_USE))
    assert refusals(PUBLISHED, newer, NOBODY) == []


def test_a_raised_maintenance_version_turns_the_loss_of_a_resource_into_a_warning():
    silent = proposed(("zoneRedundant: false", "zoneRedundant: true"))
    told = proposed(("zoneRedundant: false", "zoneRedundant: true"), RAISED)

    (refusal,) = refusals(PUBLISHED, silent, IN_USE)
    (warning,) = refusals(PUBLISHED, told, IN_USE)

    assert (refusal.severity, warning.severity) == ("refused", "warning")
    assert "raise maintenance_info.version" in refusal.message
    assert "3 living instances get this with the update to 1.1.0" in warning.message


def test_a_version_that_falls_is_a_warning():
    (warning,) = refusals(proposed(RAISED), PUBLISHED, IN_USE)

    assert warning.severity == "warning"
    assert "falls from 1.1.0 to 1.0.0" in warning.message


def test_the_name_of_a_parameter_alone_deletes_nothing():
    renamed = proposed(
        ("names: [namespaceName]", "names: [busName]"),
        ("    namespaceName: {name", "    busName: {name"),
        template=("namespaceName", "busName"),
    )

    assert refused(refusals(PUBLISHED, renamed, IN_USE)) == []


def test_an_id_may_come_back_as_what_it_was():
    use = CatalogUse(
        published={
            OFFERING.id: PublishedId("messages", OFFERING.id),
            PLAN.id: PublishedId("standard", OFFERING.id),
        }
    )

    assert refusals(Catalog(()), PUBLISHED, use) == []


def test_what_was_withdrawn_may_be_removed_where_nobody_knows_of_its_use_with_a_warning():
    withdrawn = Catalog((replace(OFFERING, withdrawn=True),))

    (warning,) = refusals(withdrawn, Catalog(()), UNKNOWN_USE)

    assert warning.severity == "warning"
    assert refused(refusals(withdrawn, Catalog(()), IN_USE))


def test_what_nobody_uses_may_be_removed():
    assert refusals(PUBLISHED, Catalog(()), NOBODY) == []


def test_parameters_that_cannot_be_opened_are_a_warning():
    unread = replace(IN_USE, unread={(OFFERING.id, PLAN.id): 2})

    (warning,) = refusals(PUBLISHED, proposed(("[1, 2, 4]", "[1, 2]")), unread)

    assert warning.severity == "warning"
    assert "2 living instances cannot be opened" in warning.message


def test_a_narrowed_schema_that_everybody_fits_may_follow():
    narrower = proposed(("[1, 2, 4]", "[1, 2]"))

    (warning,) = refusals(PUBLISHED, narrower, UNKNOWN_USE)

    assert warning.severity == "warning"
    assert refusals(PUBLISHED, narrower, IN_USE) == []


def test_a_violation_of_another_plan_does_not_count():
    other = replace(IN_USE, violations=(Violation(OFFERING.id, "another", "capacity", 1),))

    assert refusals(PUBLISHED, proposed(("[1, 2, 4]", "[1, 2]")), other) == []


def test_a_fault_of_what_was_not_read_from_files_is_told_by_name():
    old = Catalog((an_offering("a", a_plan("b", plan_updateable=True)),))
    new = Catalog((an_offering("a", a_plan("b")),))

    (fault,) = refusals(old, new, UNKNOWN_USE)

    assert (fault.file, fault.line, fault.path) == ("a/b", 0, "plan_updateable")


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        ("1.9.0", "1.10.0"),
        ("1.0.0-rc.2", "1.0.0-rc.10"),
        ("1.0.0-rc.1", "1.0.0"),
        ("1.0.0-1", "1.0.0-alpha"),
        ("1.0.0-a", "1.0.0-a.1"),
    ],
)
def test_versions_are_ordered_as_semver_says(lower, higher):
    assert raised(lower, higher)
    assert not raised(higher, lower)
    assert order(f"{lower}+build.1") == order(lower)


def test_a_first_version_is_higher_than_none():
    assert raised(None, "0.0.1")
    assert not raised("0.0.1", None)
