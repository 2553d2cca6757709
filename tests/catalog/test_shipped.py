"""The shipped catalog: what it offers and that all of it holds."""

import json
import shutil

import jsonschema
import pytest

from broker.catalog.reader import check, read_catalog
from broker.catalog.revisions import digest_of, from_text, to_text
from broker.domain.catalog import Catalog
from broker.errors import InvalidParameters
from broker.provisioners.recipe import Recipe
from broker.shipped import shipped

CATALOG = read_catalog(shipped("catalog"))
PLANS = [(offering, plan) for offering in CATALOG.offerings for plan in offering.plans]
EACH_PLAN = pytest.mark.parametrize(
    ("offering", "plan"), PLANS, ids=[f"{offering.name}-{plan.name}" for offering, plan in PLANS]
)


def offering(name):
    return next(offering for offering in CATALOG.offerings if offering.name == name)


def test_the_shipped_catalog_has_no_fault():
    assert check(shipped("catalog")) == []


def test_postgresql_comes_as_a_server_a_database_on_it_and_all_in_one():
    server, database = offering("azure-postgresql-server"), offering("azure-postgresql-database")
    whole = offering("azure-postgresql")

    assert (server.bindable, database.bindable, whole.bindable) == (False, True, True)
    assert (server.plan_updateable, database.plan_updateable, whole.plan_updateable) == (True, False, True)
    assert {plan.name for plan in server.plans} == {"burstable", "general-purpose", "memory-optimized"}
    assert {plan.name for plan in server.plans} == {plan.name for plan in whole.plans}
    assert all(plan.parent == server.id for plan in database.plans)
    assert all(plan.takes_alias for plan in server.plans)


@EACH_PLAN
def test_a_plan_has_schemas_that_platforms_can_read(offering, plan):
    for schema in (plan.create_schema, plan.update_schema, plan.bind_schema):
        if schema is not None:
            jsonschema.Draft4Validator.check_schema(schema)
            assert schema["$schema"] == "http://json-schema.org/draft-04/schema#"
            assert schema["additionalProperties"] is False
            assert len(json.dumps(schema)) < 64 * 1024
            assert "$ref" not in json.dumps(schema)


@EACH_PLAN
def test_a_plan_says_how_long_it_takes_what_it_costs_and_which_version_it_is(offering, plan):
    assert plan.maximum_polling_duration.total_seconds() == (
        7200 if "readRegions" in plan.create_schema["properties"] else 3600
    )
    free = {"azure-app-configuration/free", "azure-sql-server/server", "azure-sql-server-registered/server"}
    assert plan.free is (f"{offering.name}/{plan.name}" in free)
    assert plan.maintenance_version in {"1.0.0", "1.1.0"}
    assert plan.metadata["bullets"]


@EACH_PLAN
def test_an_empty_order_is_enough_but_for_the_parent(offering, plan):
    parameters = {"parentAlias": "main"} if plan.parent else {}
    if offering.name == "azure-sql-server-registered":
        parameters = {
            "resourceId": "/subscriptions/s",
            "administratorLogin": "a",
            "administratorLoginPassword": "b" * 8,
        }

    plan.create_parameters.check(parameters)

    if plan.parent:
        with pytest.raises(InvalidParameters, match="parentAlias"):
            plan.create_parameters.check({})


@pytest.mark.parametrize(
    "parameters",
    [
        {"version": "14"},
        {"version": 17},
        {"storageGB": 16},
        {"storageGB": 33},
        {"backupRetentionDays": 6},
        {"backupRetentionDays": 36},
        {"skuName": "Standard_D2ds_v5"},
        {"extensions": ["pg_trgm; DROP"]},
        {"extensions": ["pg_trgm", "pg_trgm"]},
        {"firewallRules": [{"name": "a", "startIPAddress": "10.0.0.256", "endIPAddress": "10.0.0.1"}]},
        {"firewallRules": [{"name": "a", "startIPAddress": "10.0.0.1"}]},
        {"firewallRules": [{"name": "osb-broker-0", "startIPAddress": "1.2.3.4", "endIPAddress": "1.2.3.4"}]},
        {"location": "West Europe"},
        {"tags": {"a": 1}},
        {"highAvailability": {"mode": "ZoneRedundant"}},
        {"geoRedundantBackup": True},
        {"administratorLoginPassword": "mine"},
        {"serverName": "mine"},
        {"skuTier": "GeneralPurpose"},
    ],
)
def test_a_burstable_server_refuses(parameters):
    plan = offering("azure-postgresql").plans[0]

    with pytest.raises(InvalidParameters):
        plan.create_parameters.check(parameters)


def test_what_cannot_change_is_not_in_the_update_schema():
    schema = offering("azure-postgresql").plans[0].update_schema

    assert not {"version", "location"} & set(schema["properties"])
    assert "required" not in schema
    assert not any("default" in said for said in schema["properties"].values())


def test_storage_only_grows():
    assert all(plan.grows_only == ("storageGB",) for plan in offering("azure-postgresql").plans)


def test_no_recipe_and_no_internal_parameter_is_in_a_schema():
    for offering, plan in PLANS:
        if offering.name == "azure-sql-server-registered":
            continue  # Whose administrator is somebody else's.
        names = set(plan.create_schema["properties"])
        assert not names & {"serverName", "databaseName", "administratorLogin", "administratorLoginPassword"}


def test_a_catalog_comes_back_from_its_document_as_it_was():
    text = to_text(CATALOG)

    again = from_text(text, revision=7, digest="d")
    of_an_older_release = from_text(json.dumps(json.loads(text)), revision=7, digest="d")

    assert again.offerings == of_an_older_release.offerings == CATALOG.offerings
    assert (again.revision, again.digest) == (7, "d")
    assert digest_of(text) == digest_of(to_text(CATALOG))
    assert digest_of(to_text(Catalog(CATALOG.offerings[:1]))) != digest_of(text)
    assert from_text(to_text(Catalog(())), revision=1, digest="").offerings == ()


def test_what_a_newer_release_wrote_into_a_document_is_left_out():
    document = json.loads(to_text(CATALOG))
    document["offerings"][0]["from_the_future"] = True
    document["offerings"][0]["plans"][0]["from_the_future"] = {"a": 1}

    assert from_text(json.dumps(document), revision=1, digest="").offerings == CATALOG.offerings


def test_what_older_releases_would_compose_wrongly_has_a_format_that_they_refuse():
    assert {plan.recipe["format"] for plan in offering("azure-managed-redis").plans} == {4}


def test_a_kind_of_database_that_older_releases_do_not_know_has_a_format_that_they_refuse(tmp_path):
    folder = tmp_path / "mysql"
    shutil.copytree(shipped("catalog") / "postgresql", folder)
    for name in ("azure-postgresql-database.yaml", "azure-postgresql-server.yaml"):
        (folder / name).unlink()
    offering = folder / "azure-postgresql.yaml"
    text = offering.read_text(encoding="utf-8").replace("kind: postgresql", "kind: mysql")
    text = text.replace("- database_user:\n", "- database_user: {}\n")
    dropped = (
        "  owner_role:",
        "  extensions:",
        " " * 12 + "entra:",
        " " * 14 + "principal",
        " " * 14 + "client: ",
    )
    kept = [line for line in text.splitlines() if not line.startswith(dropped)]
    offering.write_text("\n".join(kept), encoding="utf-8")

    (made,) = read_catalog(tmp_path).offerings

    assert {plan.recipe["format"] for plan in made.plans} == {3}
    assert made.plans[0].recipe["database"]["port"] == 3306
    assert Recipe.read(made.plans[0].recipe).database["kind"] == "mysql"
