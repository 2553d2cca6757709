"""What files may say of adopting what exists, and what users see of it."""

import pytest

from broker.catalog.guard.plan_changes import changed_plans
from broker.catalog.revisions import from_text, to_text
from broker.domain.adoption import WORDS
from broker.domain.catalog_use import CatalogUse
from broker.errors import InvalidParameters
from tests.catalog.test_overlays import PLAIN, offering_of, overlaid, plan_of

SERVERS = "azure-postgresql-server"
SERVER = "Microsoft.DBforPostgreSQL/flexibleServers"
ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.DBforPostgreSQL/flexibleServers/a"


def plans_of(catalog, name):
    return {plan.name: plan for plan in offering_of(catalog, name).plans}


def test_no_shipped_plan_adopts_anything_but_what_is_for_nothing_else():
    for offering in PLAIN.offerings:
        for plan in offering.plans:
            said = plan.recipe.get("adopt") or {"modes": [], "only": False}
            assert said["only"] or not said["modes"], f"{offering.name}/{plan.name}"
            if not said["modes"]:
                assert not WORDS & plan.create_schema["properties"].keys()


def test_an_overlay_lets_one_plan_adopt_and_none_that_extends_it():
    catalog, faults = overlaid(
        f"overlay: {SERVERS}\nplans: {{burstable: {{set: {{adopt: [bind-only, manage], deletes_adopted: true}}}}}}"
    )

    plans = plans_of(catalog, SERVERS)
    assert not faults
    properties = plans["burstable"].create_schema["properties"]
    assert WORDS | {"administratorLogin", "administratorLoginPassword"} <= properties.keys()
    assert "administratorLoginPassword" in plans["burstable"].sensitive
    assert plans["burstable"].recipe["format"] == 4
    assert not WORDS & plans["general-purpose"].create_schema["properties"].keys()


def test_a_plan_that_allows_one_mode_without_deletion_asks_for_neither():
    catalog, _ = overlaid(f"overlay: {SERVERS}\nplans: {{burstable: {{set: {{adopt: [bind-only]}}}}}}")

    plan = plans_of(catalog, SERVERS)["burstable"]

    assert plan.create_schema["properties"].keys() & WORDS == {"resourceId"}
    with pytest.raises(InvalidParameters):
        plan.create_parameters.check({"resourceId": ID, "adopt": "manage"})


def test_what_is_only_adopted_asks_for_nothing_that_a_template_would_make():
    catalog, faults = overlaid(
        f"overlay: {SERVERS}\nset: {{adopt: {{only: true}}}}\nplans:\n"
        + "".join(
            f"  {name}: {{set: {{adopt: [bind-only]}}}}\n"
            for name in ("burstable", "general-purpose", "memory-optimized")
        )
    )

    schema = plans_of(catalog, SERVERS)["burstable"].create_schema
    assert not faults
    assert schema["properties"].keys() == {
        "resourceId", "administratorLogin", "administratorLoginPassword", "alias",
    }  # fmt: skip
    assert set(schema["required"]) == {"resourceId", "administratorLogin", "administratorLoginPassword"}


SPOILT = {
    "a plan of an offering that says nothing": (
        "overlay: azure-postgresql\nplans: {burstable: {set: {adopt: [manage]}}}",
        "does not say what can be adopted",
    ),
    "a mode twice": (
        f"overlay: {SERVERS}\nplans: {{burstable: {{set: {{adopt: [manage, manage]}}}}}}",
        "says a mode twice",
    ),
    "deletion of what is only bound": (
        f"overlay: {SERVERS}\nplans: {{burstable: {{set: {{adopt: [bind-only], deletes_adopted: true}}}}}}",
        "is for plans that adopt by `manage`",
    ),
    "only adopted, and no plan that does": (
        f"overlay: {SERVERS}\nset: {{adopt: {{only: true}}}}",
        "instances of this offering can only be adopted",
    ),
    "an output too few": (
        f"overlay: {SERVERS}\nset: {{adopt: {{outputs: {{host: null}}}}}}",
        "'host' is missing: the template has such an output",
    ),
    "an output too many": (
        f"overlay: {SERVERS}\nset: {{adopt: {{outputs: {{colour: resource.id}}}}}}",
        "the template has no such output",
    ),
    "a name of nothing": (
        f"overlay: {SERVERS}\nset: {{adopt: {{names: {{account: resource.name}}}}}}",
        "there is no 'account' among the names",
    ),
    "an expression on nothing": (
        f"overlay: {SERVERS}\nset: {{adopt: {{outputs: {{host: server.name}}}}}}",
        "there is no 'server' to pick from",
    ),
    "an id that is picked beside one that is given": (
        f"overlay: {SERVERS}\nset: {{adopt: {{resource: parameters.name}}}}",
        "is for offerings that `only` adopt",
    ),
    "a parameter of the template's": (
        f"overlay: {SERVERS}\nset: {{adopt: {{parameters: {{storageGB: {{type: integer}}}}}}}}",
        "is declared twice",
    ),
    "a mode that the offering rules out": (
        "overlay: azure-managed-redis\nplans: {balanced: {set: {adopt: [manage]}}}",
        "cannot be adopted by `manage` under this offering",
    ),
    "what is kept of no parameter": (
        f"overlay: {SERVERS}\nset: {{adopt: {{kept: {{colour: resource.name}}}}}}",
        "there is no such parameter",
    ),
    "what is kept of a secret": (
        f"overlay: {SERVERS}\nset: {{adopt: {{kept: {{version: parameters.administratorLoginPassword}}}}}}",
        "is sensitive",
    ),
    "something below that stands elsewhere": (
        f"overlay: {SERVERS}\nset: {{adopt: {{below: {{rules: {{type: A.B/cs/ds, name: resource.name}}}}}}}}",
        "is not below a 'Microsoft.DBforPostgreSQL/flexibleServers'",
    ),
    "something below that the template does not make": (
        f"overlay: {SERVERS}\nset: {{adopt: {{below: {{keys: {{type: {SERVER}/keys, name: resource.name}}}}}}}}",
        "the template makes none of this type",
    ),
    "a parameter of no type": (
        f"overlay: {SERVERS}\nset: {{adopt: {{parameters: {{zone: {{}}}}}}}}",
        "is needed, since no template says it",
    ),
    "a password among the outputs, which are kept in clear": (
        f"overlay: {SERVERS}\nset: {{adopt: {{outputs: {{host: parameters.administratorLoginPassword}}}}}}",
        "is sensitive, and what is picked here is kept in clear",
    ),
    "a password among the names, with all else that was given": (
        f"overlay: {SERVERS}\nset: {{adopt: {{names: {{server: to_string(parameters)}}}}}}",
        "is sensitive, and what is picked here is kept in clear",
    ),
    "a database with an owner": (
        "overlay: azure-postgresql-database\nset: {adopt: {outputs: {databaseId: names.a, host: parent.outputs.host}}}",
        "adopt its server",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILT)
def test_a_file_that_could_not_be_carried_out_is_refused_with_its_place(case):
    text, sentence = SPOILT[case]

    _, faults = overlaid(text)

    assert any(sentence in str(fault) for fault in faults), list(map(str, faults))
    assert all(fault.file for fault in faults)


def test_plan_of_the_storage_account_is_as_it_was():
    assert plan_of(PLAIN).recipe["format"] != 4


DATABASES = "azure-sql-database"


def test_a_database_is_ordered_on_a_server_that_was_made_or_registered():
    made, registered = (offering_of(PLAIN, f"azure-sql-server{end}") for end in ("", "-registered"))

    for name in (DATABASES, f"{DATABASES}-from-existing"):
        assert {plan.parents for plan in plans_of(PLAIN, name).values()} == {(made.id, registered.id)}


def test_parents_come_back_from_a_document_and_from_that_of_an_older_release():
    text = to_text(PLAIN)
    older = text.replace('"other_parents"', '"what_is_not_known"')

    again = from_text(text, revision=1, digest="")
    before = from_text(older, revision=1, digest="")

    plan, then = plans_of(again, DATABASES)["basic"], plans_of(before, DATABASES)["basic"]
    assert plan.parents == plans_of(PLAIN, DATABASES)["basic"].parents
    assert then.parents == (plan.parent,)


@pytest.mark.parametrize(
    ("parent", "refused"),
    [
        ("[azure-sql-server]", True),
        ("azure-sql-server-registered", True),
        ("[azure-sql-server-registered, azure-sql-server]", False),
        ("[azure-sql-server, azure-sql-server-registered, azure-mysql-server]", False),
    ],
)
def test_another_parent_may_come_beside_those_of_living_instances_and_none_may_go(parent, refused):
    proposed, faults = overlaid(f"overlay: {DATABASES}\nset: {{parent: {parent}}}")
    assert not faults

    found = [fault.message for fault in changed_plans(PLAIN, proposed, CatalogUse(known=False))]

    assert any("another parent" in message for message in found) is refused


def test_a_parent_is_named_once_and_there():
    _, faults = overlaid(
        f"overlay: {DATABASES}\nset: {{parent: [azure-sql-server, azure-teapot, azure-sql-server]}}"
    )

    told = [fault.message for fault in faults]
    assert any("there is no offering 'azure-teapot'" in message for message in told)
    assert any("says an offering twice" in message for message in told)
