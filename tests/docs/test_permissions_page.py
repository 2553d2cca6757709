"""The rights that the documents ask for are those that the catalog needs."""

import json
import shutil
from pathlib import Path

from typer.testing import CliRunner

from broker.azure.permissions import missing_actions
from broker.catalog.reader import read_catalog
from broker.catalog.rights import rights_of, verbs_of
from broker.cli.azure import app
from broker.cli.permissions_page import permissions_page
from broker.proving.role_definition import condition
from broker.shipped import shipped

PAGE = Path(__file__).parent.parent.parent / "docs" / "azure-permissions.md"
CATALOG = read_catalog(shipped("catalog"))
PLANS = [plan for offering in CATALOG.offerings for plan in offering.plans]
SCOPE = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/services"


def printed(*words):
    ended = CliRunner().invoke(app, ["role", *words])
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def test_the_page_is_what_the_catalog_makes():
    assert PAGE.read_text() == permissions_page(CATALOG), (
        "osb azure permissions --write docs/azure-permissions.md"
    )


def test_every_role_that_the_catalog_assigns_has_its_name_on_the_page():
    nameless = [role for role in rights_of(PLANS).roles if f"<br>`{role}`" in PAGE.read_text()]

    assert nameless == []
    assert all(f" `{role}`" in PAGE.read_text() for role in rights_of(PLANS).roles)


def test_the_role_allows_all_that_templates_and_bindings_do_and_no_wildcard_else():
    role = json.loads(printed("--scope", SCOPE))

    made = {body["type"] for plan in PLANS for body in plan.recipe["template"]["resources"]}
    below = {verb["child"]["type"] for plan in PLANS for verb in verbs_of(plan.recipe) if "child" in verb}
    needed = [f"{kind}/{verb}" for kind in made | below for verb in ("read", "write")]
    assert missing_actions([{"actions": role["Actions"]}], needed) == ()
    assert [action for action in role["Actions"] if "*" in action] == []
    assert (role["AssignableScopes"], role["DataActions"], role["IsCustom"]) == ([SCOPE], [], True)


def test_the_second_role_changes_nothing_in_the_subscription_but_purges():
    role = json.loads(printed("--subscription", "--scope", SCOPE))

    changing = [action for action in role["Actions"] if action.rpartition("/")[2] not in {"read", "*"}]
    assert changing == ["Microsoft.KeyVault/locations/deletedVaults/purge/action"]
    assert all("heckNameAvailability/*" in action for action in role["Actions"] if action.endswith("*"))


def test_the_condition_names_each_role_for_giving_and_for_taking():
    said = printed("--condition").strip()

    assert said == condition(rights_of(PLANS).roles)
    assert {said.count(role) for role in rights_of(PLANS).roles} == {2}


def test_a_catalog_of_a_teams_own_has_a_role_of_its_own(tmp_path):
    shutil.copytree(shipped("catalog") / "storage", tmp_path / "storage")

    role = json.loads(printed(str(tmp_path), "--scope", SCOPE))

    assert {action.partition("/")[0] for action in role["Actions"]} == {
        "Microsoft.Authorization",
        "Microsoft.Resources",
        "Microsoft.Storage",
    }


def test_a_role_without_a_scope_is_refused_in_a_sentence():
    ended = CliRunner().invoke(app, ["role"])

    assert ended.exit_code == 2
    assert "--scope" in ended.output
