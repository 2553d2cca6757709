"""What `osb azure check` and the smoke test's last look make of Azure's answers, against a scripted Azure."""

import base64
import json
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from broker.catalog.reader import read_catalog
from broker.catalog.rights import rights_of
from broker.cli.azure import app
from broker.proving import role_definition
from broker.proving.azure_settings import handed_on, read_azure_settings
from broker.proving.findings import catalog_of, look_around
from broker.proving.leftovers import Leftovers, delete_command
from broker.shipped import shipped
from tests.azure.stand_in import StandIn, arm_over

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
ROOT = f"/subscriptions/{SUBSCRIPTION}"
GROUP = f"{ROOT}/resourceGroups/services"
POSTGRES = "Microsoft.DBforPostgreSQL"
SERVER = f"{GROUP}/providers/{POSTGRES}/flexibleServers/pg-one"
SHORT = timedelta(milliseconds=50)

pytestmark = pytest.mark.anyio
NAMESPACES = {
    resource["type"].partition("/")[0]
    for offering in read_catalog(shipped("catalog")).offerings
    for plan in offering.plans
    for resource in plan.recipe["resources"]
}


ROLES = rights_of(
    plan for offering in read_catalog(shipped("catalog")).offerings for plan in offering.plans
).roles


ASSIGNMENTS = f"{GROUP}/providers/Microsoft.Authorization/roleAssignments"
ROLE = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
ROLE_ADMINISTRATOR = (
    f"{ROOT}/providers/Microsoft.Authorization/roleDefinitions/f58310d9-a9f6-439a-9e8d-f62e7b41a168"
)


def token_of(principal):
    claims = base64.urlsafe_b64encode(json.dumps({"oid": principal}).encode()).decode().rstrip("=")
    return f"e30.{claims}."


def condition_of(roles):
    return {"roleDefinitionId": ROLE_ADMINISTRATOR, "condition": role_definition.condition(roles)}


@pytest.fixture
def azure():
    """An Azure in which nothing is missing."""
    scripted = StandIn()
    scripted.will_answer("GET", f"{ROOT}/locations", 200, {"value": [{"name": "westeurope"}]})
    scripted.will_answer(
        "GET",
        f"{ROOT}/providers/{POSTGRES}",
        200,
        {
            "registrationState": "Registered",
            "resourceTypes": [{"resourceType": "flexibleServers", "apiVersions": ["2026-10-01"]}],
        },
    )
    for namespace in NAMESPACES - {POSTGRES.partition("/")[0]}:
        scripted.will_answer(
            "GET",
            f"{ROOT}/providers/{namespace}",
            200,
            {"registrationState": "Registered", "resourceTypes": []},
        )
    scripted.will_answer("GET", GROUP, 200, {"name": "services"})
    scripted.will_answer(
        "GET",
        f"{GROUP}/providers/Microsoft.Authorization/permissions",
        200,
        {"value": [{"actions": ["*"], "notActions": []}]},
    )
    scripted.will_answer(
        "GET",
        f"{ROOT}/providers/Microsoft.Authorization/permissions",
        200,
        {"value": [{"actions": ["*"], "notActions": []}]},
    )
    scripted.will_answer("GET", ASSIGNMENTS, 200, {"value": [{"properties": condition_of(ROLES)}]})
    return scripted


@pytest.fixture
async def arm(anyio_backend, azure, tmp_path):
    async with arm_over(azure, tmp_path / "token") as opened:
        (tmp_path / "token").write_text(token_of("the-broker"))
        yield opened


@pytest.fixture
def settings(monkeypatch, tmp_path):
    for name, value in {
        "AZURE_AUTHENTICATION": "client-secret",
        "AZURE_TENANT_ID": "a-tenant",
        "AZURE_CLIENT_ID": "an-application",
        "AZURE_CLIENT_SECRET": "made up here",
        "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
        "AZURE_RESOURCE_GROUP": "services",
        "AZURE_LOCATION": "westeurope",
        "EGRESS_ADDRESSES": "192.0.2.1,192.0.2.2",
    }.items():
        monkeypatch.setenv(f"BROKER_{name}", value)
    return read_azure_settings


async def found(arm, settings):
    return await look_around(arm, settings(), read_catalog(shipped("catalog")))


async def test_nothing_is_missing_where_nothing_is(arm, settings):
    states = {str(finding) for finding in await found(arm, settings) if finding.state != "ok"}

    assert states == set()


async def test_what_a_binding_posts_to_a_resource_is_a_permission_that_is_looked_for(arm, azure, settings):
    path = f"{GROUP}/providers/Microsoft.Authorization/permissions"
    azure._replies.pop(("GET", path.lower()))
    azure.will_answer(
        "GET",
        path,
        200,
        {"value": [{"actions": ["*"], "notActions": ["Microsoft.Storage/*/listKeys/action"]}]},
    )

    [missing] = [finding for finding in await found(arm, settings) if finding.state == "missing"]

    assert missing.subject == "permission Microsoft.Storage/storageAccounts/listKeys/action"


def test_a_role_is_printed_for_a_catalog_with_older_offerings_that_nothing_succeeds(tmp_path):
    overlay = tmp_path / "older"
    (overlay / "legacy").mkdir(parents=True)
    (overlay / "legacy" / "mode.yaml").write_text("legacy_catalog: hidden\n")
    (overlay / "legacy" / "others.yaml").write_bytes(
        (shipped("catalog") / "legacy" / "others.yaml").read_bytes()
    )

    printed = CliRunner().invoke(app, ["role", "--scope", ROOT, "--overlay", str(overlay)])

    assert printed.exit_code == 0
    assert json.loads(printed.stdout)["AssignableScopes"] == [ROOT]


async def test_what_an_overlay_lets_be_adopted_is_among_what_is_looked_for(
    arm, azure, settings, monkeypatch, tmp_path
):
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "servers.yaml").write_text(
        "overlay: azure-postgresql-server\nplans: {burstable: {set: {adopt: [manage]}}}\n"
    )
    monkeypatch.setenv("BROKER_CATALOG_OVERLAYS", str(tmp_path / "ours"))
    path = f"{GROUP}/providers/Microsoft.Authorization/permissions"
    azure._replies.pop(("GET", path.lower()))
    azure.will_answer(
        "GET", path, 200, {"value": [{"actions": ["*"], "notActions": ["Microsoft.Resources/tags/write"]}]}
    )

    read = settings()
    told = await look_around(arm, read, catalog_of(read))

    [missing] = [finding for finding in told if finding.state == "missing"]
    assert missing.subject == "permission Microsoft.Resources/tags/write"


async def test_an_api_version_that_this_azure_does_not_have_is_missing(arm, azure, settings):
    azure._replies.pop(("GET", f"{ROOT}/providers/{POSTGRES}".lower()))
    azure.will_answer(
        "GET",
        f"{ROOT}/providers/{POSTGRES}",
        200,
        {
            "registrationState": "Registered",
            "resourceTypes": [{"resourceType": "flexibleServers", "apiVersions": ["2022-12-01"]}],
        },
    )

    [missing] = [finding for finding in await found(arm, settings) if finding.state == "missing"]

    assert missing.subject == f"type {POSTGRES}/flexibleServers"
    assert "2022-12-01" in missing.advice


async def test_what_the_identity_may_not_read_is_unsure_and_not_missing(arm, azure, settings):
    refused = {"error": {"code": "AuthorizationFailed", "message": "No."}}
    for path in (f"{ROOT}/locations", f"{ROOT}/providers/{POSTGRES}"):
        azure._replies.pop(("GET", path.lower()))
        azure.will_answer("GET", path, 403, refused)

    states = [finding.state for finding in await found(arm, settings)]

    assert states.count("unsure") == 2
    assert "missing" not in states


async def test_a_firewall_that_lets_nobody_in_is_told(arm, settings, monkeypatch):
    monkeypatch.delenv("BROKER_EGRESS_ADDRESSES")

    [unsure] = [finding for finding in await found(arm, settings) if finding.state == "unsure"]

    assert "BROKER_EGRESS_ADDRESSES" in unsure.advice


async def test_another_broker_gets_the_settings_about_azure_and_its_secret_only_as_a_file(settings):
    environment = handed_on(settings())

    assert environment.secrets == {"BROKER_AZURE_CLIENT_SECRET_FILE": "made up here"}
    assert environment.variables["BROKER_EGRESS_ADDRESSES"] == "192.0.2.1,192.0.2.2"
    assert environment.variables["BROKER_AZURE_POLL_INTERVAL"] == "5000ms"
    assert "made up here" not in str(environment.variables)
    assert {name.split("_")[1] for name in environment.variables} <= {"AZURE", "EGRESS"}


async def test_a_resource_with_the_brokers_tag_is_left_until_azure_says_that_it_is_gone(arm, azure):
    listed = {"id": SERVER, "tags": {"osb-broker-id": "smoke-1"}}
    azure.will_answer("GET", f"{ROOT}/resources", 200, {"value": [listed]})
    azure.will_answer("GET", SERVER, 200, {"id": SERVER})
    leftovers = Leftovers(
        arm, [SUBSCRIPTION], "smoke-1", {f"{POSTGRES}/flexibleServers".lower(): "2026-10-01"}
    )

    before = await leftovers.vanished(within=SHORT)
    azure._replies.pop(("GET", SERVER.lower()))
    after = await leftovers.vanished(within=SHORT)

    assert before == [SERVER]
    assert after == [], "the list lags behind, the resource itself is asked"
    assert azure.asked[0].query["$filter"] == "tagName eq 'osb-broker-id' and tagValue eq 'smoke-1'"


async def test_a_resource_group_of_the_brokers_own_is_found_though_no_list_holds_it(arm, azure):
    azure.will_answer("GET", f"{ROOT}/resources", 200, {"value": []})
    leftovers = Leftovers(
        arm, [SUBSCRIPTION], "smoke-1", {}, groups=[(SUBSCRIPTION, "services"), (SUBSCRIPTION, "gone")]
    )

    [group] = await leftovers.found()

    assert group == GROUP
    assert delete_command(group) == f"az group delete --subscription {SUBSCRIPTION} --name services"
    assert delete_command(SERVER) == f"az resource delete --ids {SERVER}"


async def condition_found(arm, azure, settings, *assignments):
    azure._replies.pop(("GET", ASSIGNMENTS.lower()))
    azure.will_answer("GET", ASSIGNMENTS, 200, {"value": [{"properties": each} for each in assignments]})
    [told] = [one for one in await found(arm, settings) if one.subject == "roles on resource group services"]
    [asked] = [each for each in azure.asked if each.path.lower() == ASSIGNMENTS.lower()]
    assert asked.query["$filter"] == "atScope() and assignedTo('the-broker')"
    return told


async def test_a_condition_that_names_all_roles_of_the_catalog_is_all_that_is_needed(arm, azure, settings):
    told = await condition_found(arm, azure, settings, condition_of(ROLES))

    assert (told.state, told.text) == ("ok", f"the condition lets assign all {len(ROLES)} of the catalog's.")


async def test_a_role_that_the_condition_leaves_out_is_missing(arm, azure, settings):
    told = await condition_found(arm, azure, settings, condition_of(ROLES - {ROLE}))

    assert (told.state, told.text) == ("missing", f"the condition does not let assign {ROLE}.")


async def test_a_role_that_can_be_given_but_not_taken_back_is_missing(arm, azure, settings):
    given = condition_of(ROLES)
    write, delete = given["condition"].split(" AND ")
    given["condition"] = f"{write} AND {delete.replace(f', {ROLE}', '')}"

    told = await condition_found(arm, azure, settings, given)

    assert (told.state, told.text) == ("missing", f"the condition does not let assign {ROLE}.")


async def test_a_right_to_assign_roles_without_a_condition_is_told_as_the_danger_it_is(arm, azure, settings):
    told = await condition_found(
        arm, azure, settings, {"roleDefinitionId": ROLE_ADMINISTRATOR}, condition_of(())
    )

    assert told.state == "ok"
    assert "also to itself" in told.text


async def test_a_condition_on_what_cannot_be_seen_is_unsure(arm, azure, settings):
    reader = f"{ROOT}/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"

    told = await condition_found(arm, azure, settings, {"roleDefinitionId": reader})

    assert told.state == "unsure"


async def test_assigning_roles_is_a_permission_that_is_looked_for(arm, azure, settings):
    path = f"{GROUP}/providers/Microsoft.Authorization/permissions"
    azure._replies.pop(("GET", path.lower()))
    contributor = {"actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write"]}
    azure.will_answer("GET", path, 200, {"value": [contributor]})

    [missing] = [finding for finding in await found(arm, settings) if finding.state == "missing"]

    assert missing.subject == "permission Microsoft.Authorization/roleAssignments/write"


async def test_a_token_that_does_not_say_whose_it_is_leaves_the_condition_unseen(arm, settings, tmp_path):
    (tmp_path / "token").write_text("opaque")

    [unsure] = [finding for finding in await found(arm, settings) if finding.state == "unsure"]

    assert unsure.subject == "roles on resource group services"


async def test_what_can_be_deleted_but_not_purged_is_told(arm, azure, settings):
    path = f"{ROOT}/providers/Microsoft.Authorization/permissions"
    azure._replies.pop(("GET", path.lower()))
    azure.will_answer("GET", path, 200, {"value": [{"actions": ["*/read"], "notActions": []}]})

    [unsure] = [finding for finding in await found(arm, settings) if finding.state == "unsure"]

    assert unsure.subject == "purging"
    assert "Microsoft.KeyVault/locations/deletedVaults/purge/action" in unsure.text
