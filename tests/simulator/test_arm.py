import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.simulated import POSTGRES, wait_until
from tests.simulator.templates import SERVERS, a_password, a_server_template, deployment_body


def a_name() -> str:
    return f"srv-{uuid.uuid4().hex[:12]}"


def server_path(group, name, *below):
    return "/".join([f"/resourceGroups/{group}/providers/{SERVERS}/{name}", *below])


def deployment_path(group, name="first"):
    return f"/resourceGroups/{group}/providers/Microsoft.Resources/deployments/{name}"


def a_body(**properties):
    return {
        "location": "westeurope",
        "sku": {"name": "Standard_B1ms", "tier": "Burstable"},
        "properties": {
            "administratorLogin": "osbadmin",
            "administratorLoginPassword": a_password(),
            "version": "17",
            "storage": {"storageSizeGB": 64},
            **properties,
        },
    }


def get(simulator, path):
    return simulator.call("GET", path, version=POSTGRES)


def ready(simulator, path):
    wait_until(lambda: get(simulator, path).json()["properties"]["state"] == "Ready")


def a_server(simulator, group=None):
    group, name = group or simulator.a_group(), a_name()
    reply = simulator.call("PUT", server_path(group, name), a_body(), version=POSTGRES)
    assert reply.status_code == 202, reply.text
    ready(simulator, server_path(group, name))
    return group, name


def refusal(reply):
    return reply.status_code, reply.json()["error"]["code"]


def put_and_wait(simulator, path, body, method="PUT"):
    reply = simulator.call(method, path, body, version=POSTGRES)
    assert reply.status_code == 202, reply.text
    status = reply.headers["Azure-AsyncOperation"]

    def look():
        seen = simulator.client.get(status).json()
        return seen if seen["status"] != "InProgress" else None

    return wait_until(look)


# What every call passes.


def test_a_call_without_the_token_is_refused_and_told_where_to_get_one(simulator):
    url = f"{simulator.subscription}/resourceGroups/x?api-version=2025-04-01"

    for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
        with httpx.Client(verify=simulator.client._transport._pool._ssl_context, trust_env=False) as stranger:
            reply = stranger.get(simulator.endpoint + url, headers=header)
        assert reply.status_code == 401
        assert reply.headers["WWW-Authenticate"].startswith("Bearer authorization_uri=")


def test_a_stranger_does_not_trust_the_simulators_certificate(simulator):
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(simulator.endpoint, trust_env=False)


@pytest.mark.parametrize(
    ("path", "version", "code"),
    [
        ("/resourceGroups/x", "", "MissingApiVersionParameter"),
        ("/resourceGroups/x", "1999-01-01", "InvalidApiVersionParameter"),
        (server_path("x", "y"), "2025-04-01", "NoRegisteredProviderFound"),
        ("/resourceGroups/x/providers/Microsoft.Unheard/accounts/y", POSTGRES, "InvalidResourceNamespace"),
        ("/resourceGroups/x/providers/Microsoft.DBforPostgreSQL/y/z", POSTGRES, "InvalidResourceType"),
        (f"/subscriptions/{uuid.UUID(int=7)}/resourceGroups/x", "2025-04-01", "SubscriptionNotFound"),
        ("/resourceGroups/x", "2025-04-01", "ResourceGroupNotFound"),
        ("/nothing", "2025-04-01", "InvalidResourceType"),
    ],
)
def test_what_is_not_there_is_refused_by_its_code(simulator, path, version, code):
    reply = simulator.call("GET", path, version=version)

    assert reply.json()["error"]["code"] == code


def test_replies_carry_ids_and_what_is_left_of_the_limits(simulator):
    correlation, client = str(uuid.uuid4()), str(uuid.uuid4())
    headers = {
        "x-ms-correlation-request-id": correlation,
        "x-ms-client-request-id": client,
        "x-ms-return-client-request-id": "true",
    }

    reply = simulator.call("GET", "/resources", headers=headers)

    assert reply.headers["x-ms-correlation-request-id"] == correlation
    assert reply.headers["x-ms-client-request-id"] == client
    assert reply.headers["x-ms-request-id"]
    assert correlation in {call["correlation_id"] for call in simulator.ledger()}
    assert int(reply.headers["x-ms-ratelimit-remaining-subscription-reads"]) < 250
    assert int(reply.headers["x-ms-ratelimit-remaining-subscription-global-reads"]) < 3750


def test_an_empty_bucket_answers_429_until_time_has_filled_it_again(simulator):
    simulator.clock(speed=0)
    simulator.client.post("/_simulator/limits", json={"deletes": {"size": 2, "per_second": 1}})

    replies = [simulator.call("DELETE", "/resourceGroups/none") for _ in range(3)]
    reads = simulator.call("GET", "/resources")
    simulator.clock(advance=1.5)
    again = simulator.call("DELETE", "/resourceGroups/none")

    assert [reply.status_code for reply in replies] == [404, 404, 429]
    assert int(replies[2].headers["Retry-After"]) >= 1
    assert replies[2].headers["x-ms-ratelimit-remaining-subscription-deletes"] == "0"
    assert reads.status_code == 200
    assert again.status_code == 404


def test_paths_are_read_in_any_case_and_ids_echoed_in_their_own(simulator):
    group, name = a_server(simulator)

    reply = simulator.call(
        "GET", f"/RESOURCEGROUPS/{group.upper()}/PROVIDERS/{SERVERS.upper()}/{name.upper()}", version=POSTGRES
    )

    assert reply.json()["id"] == simulator.subscription + server_path(group, name)
    assert reply.json()["type"] == SERVERS


def test_the_ledger_names_the_deployment_and_holds_no_secret(simulator):
    group, body = simulator.a_group(), deployment_body(a_name())
    password = body["properties"]["parameters"]["password"]["value"]
    simulator.call("PUT", deployment_path(group), body)

    calls = [call for call in simulator.ledger() if call["deployment"] == "first" and group in call["path"]]
    shown = simulator.call("GET", deployment_path(group)).text

    assert [(call["method"], call["status"]) for call in calls] == [("PUT", 201)]
    assert password not in str(simulator.ledger()) + str(simulator.state()) + shown


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b"\xff"])
def test_a_body_that_is_no_json_is_refused(simulator, content):
    group = simulator.a_group()

    reply = simulator.client.put(
        f"{simulator.subscription}{deployment_path(group)}?api-version=2025-04-01", content=content
    )

    assert refusal(reply) == (400, "InvalidRequestContent")


# Groups.


def test_a_group_is_made_read_changed_and_gone_with_all_it_holds(simulator):
    group, name = a_server(simulator)
    path = f"/resourceGroups/{group}"
    assert simulator.call("HEAD", path).status_code == 204
    assert simulator.call("PUT", path, {"location": "westeurope", "tags": {"a": "b"}}).status_code == 200
    assert simulator.call("GET", path).json()["tags"] == {"a": "b"}
    assert refusal(simulator.call("PUT", path, {"location": "eastus"}))[0] == 409

    reply = simulator.call("DELETE", path)

    assert reply.status_code == 202
    wait_until(lambda: simulator.client.get(reply.headers["Location"]).status_code == 200)
    assert simulator.call("HEAD", path).status_code == 404
    assert name not in simulator.databases.servers


def test_a_group_waits_for_what_is_busy_in_it_before_it_goes(simulator):
    group, name = simulator.a_group(), a_name()
    simulator.clock(speed=0)
    simulator.call("PUT", deployment_path(group), deployment_body(name))
    simulator.clock(advance=3)
    wait_until(lambda: get(simulator, server_path(group, name)).status_code == 200)

    simulator.call("DELETE", f"/resourceGroups/{group}")
    refused = simulator.call("PUT", server_path(group, a_name()), a_body(), version=POSTGRES)
    simulator.reset()

    assert refusal(refused) == (409, "ResourceGroupBeingDeleted")
    wait_until(lambda: simulator.call("HEAD", f"/resourceGroups/{group}").status_code == 404)
    assert name not in simulator.databases.servers


# Deployments.


def test_a_deployment_passes_from_accepted_to_running_to_succeeded(simulator):
    group, name = simulator.a_group(), a_name()
    simulator.clock(speed=0)

    accepted = simulator.call("PUT", deployment_path(group), deployment_body(name))
    simulator.clock(advance=3)
    wait_until(lambda: get(simulator, server_path(group, name)).status_code == 200)
    running = simulator.call("GET", deployment_path(group)).json()["properties"]
    server = get(simulator, server_path(group, name)).json()["properties"]
    status = simulator.client.get(accepted.headers["Azure-AsyncOperation"]).json()
    simulator.reset()

    assert accepted.json()["properties"]["provisioningState"] == "Accepted"
    assert running["provisioningState"] == status["status"] == "Running"
    assert server["state"] == "Provisioning"
    assert "fullyQualifiedDomainName" not in server
    path = deployment_path(group)
    wait_until(lambda: simulator.call("GET", path).json()["properties"]["provisioningState"] == "Succeeded")
    assert get(simulator, server_path(group, name)).json()["properties"]["state"] == "Ready"
    assert simulator.databases.servers[name]["databases"] == {"app": ("UTF8", "en_US.utf8")}


def test_a_second_put_of_a_name_is_refused_while_the_first_is_active_and_runs_again_after(simulator):
    group, body = simulator.a_group(), deployment_body(a_name())
    simulator.clock(speed=0)
    simulator.call("PUT", deployment_path(group), body)

    active = simulator.call("PUT", deployment_path(group), body)
    undeletable = simulator.call("DELETE", deployment_path(group))
    simulator.reset()
    path = deployment_path(group)
    wait_until(lambda: simulator.call("GET", path).json()["properties"]["provisioningState"] == "Succeeded")
    again = simulator.call("PUT", deployment_path(group), body)

    assert refusal(active) == (409, "DeploymentActive")
    assert undeletable.status_code == 409
    assert again.status_code == 200


def test_a_cancelled_deployment_starts_nothing_more_but_what_was_begun_goes_on(simulator):
    group, name = simulator.a_group(), a_name()
    simulator.clock(speed=0)
    simulator.call("PUT", deployment_path(group), deployment_body(name))
    simulator.clock(advance=3)
    wait_until(lambda: get(simulator, server_path(group, name)).status_code == 200)

    cancelled = simulator.call("POST", deployment_path(group) + "/cancel")
    again = simulator.call("POST", deployment_path(group) + "/cancel")
    state = simulator.call("GET", deployment_path(group)).json()["properties"]["provisioningState"]
    simulator.reset()
    ready(simulator, server_path(group, name))

    assert cancelled.status_code == 204
    assert refusal(again) == (409, "DeploymentCannotBeCancelled")
    assert state == "Canceled"
    assert get(simulator, server_path(group, name, "databases", "app")).status_code == 404


def test_a_finished_deployment_can_be_forgotten_and_its_resources_stay(simulator):
    group, name = simulator.a_group(), a_name()
    path = deployment_path(group)
    simulator.call("PUT", path, deployment_body(name))
    wait_until(lambda: simulator.call("GET", path).json()["properties"]["provisioningState"] == "Succeeded")
    assert simulator.call("HEAD", path).status_code == 204

    reply = simulator.call("DELETE", path)

    assert reply.status_code == 202
    assert simulator.client.get(reply.headers["Location"]).status_code == 200
    assert simulator.call("HEAD", path).status_code == 404
    assert get(simulator, server_path(group, name)).status_code == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda t: t["resources"][0].update(apiVersion="2020-01-01"), "InvalidTemplateDeployment"),
        (lambda t: t["resources"][1].update(type="Microsoft.Nothing/a/b"), "InvalidTemplateDeployment"),
        (lambda t: t["resources"][0]["properties"].update(colour="red"), "InvalidTemplateDeployment"),
        (lambda t: t["resources"][0]["properties"].update(state="Ready"), "InvalidTemplateDeployment"),
        (lambda t: t["resources"][0].pop("location"), "InvalidTemplateDeployment"),
        (lambda t: t["resources"][0].update(location="atlantis"), "InvalidTemplateDeployment"),
        (
            lambda t: t["resources"][0].update(sku={"name": "X", "tier": "Burstable"}),
            "InvalidTemplateDeployment",
        ),
        (lambda t: t["outputs"]["host"].update(value="[newGuid()]"), "InvalidTemplate"),
        (lambda t: t.pop("contentVersion"), "InvalidTemplate"),
    ],
)
def test_what_the_models_do_not_hold_is_refused_before_anything_is_made(simulator, change, code):
    group, template = simulator.a_group(), a_server_template()
    change(template)
    body = deployment_body(a_name(), template)

    put = simulator.call("PUT", deployment_path(group), body)
    validated = simulator.call("POST", deployment_path(group) + "/validate", body)

    assert refusal(put) == refusal(validated) == (400, code)
    assert simulator.call("HEAD", deployment_path(group)).status_code == 404


def test_a_database_server_that_cannot_start_fails_the_deployment_without_telling_the_password(simulator):
    group, body = simulator.a_group(), deployment_body(a_name())
    password = body["properties"]["parameters"]["password"]["value"]
    simulator.databases.fail_with = RuntimeError(f"no memory for {password}")

    try:
        simulator.call("PUT", deployment_path(group), body)
        path = deployment_path(group)
        wait_until(lambda: simulator.call("GET", path).json()["properties"]["provisioningState"] == "Failed")
    finally:
        simulator.databases.fail_with = None

    cause = simulator.call("GET", path).json()["properties"]["error"]["details"][0]
    assert cause["code"] == "ResourceDeploymentFailure"
    assert cause["details"][0]["message"] == "RuntimeError: no memory for ***"
    assert simulator.call("GET", f"/resourceGroups/{group}/resources").json()["value"] == []


def test_children_deployed_side_by_side_find_their_server_busy(simulator):
    group, name = a_server(simulator)
    template = a_server_template()
    database = template["resources"][1] | {"dependsOn": []}
    other = database | {"name": "[format('{0}/other', parameters('name'))]"}
    template = {**template, "resources": [database, other], "outputs": {}}

    simulator.call("PUT", deployment_path(group), deployment_body(name, template))
    path = deployment_path(group)
    wait_until(lambda: simulator.call("GET", path).json()["properties"]["provisioningState"] == "Failed")

    assert "ServerIsBusy" in simulator.call("GET", path).text


def test_an_unregistered_provider_is_refused_until_it_is_registered(simulator):
    group = simulator.a_group()
    simulator.client.post(
        "/_simulator/providers", json={"namespace": "Microsoft.DBforPostgreSQL", "registered": False}
    )
    refused = simulator.call("PUT", deployment_path(group), deployment_body(a_name()))
    seen = simulator.call("GET", "/providers/microsoft.dbforpostgresql").json()

    simulator.clock(speed=0)
    registering = simulator.call("POST", "/providers/Microsoft.DBforPostgreSQL/register").json()
    still_refused = simulator.call("PUT", deployment_path(group), deployment_body(a_name()))
    simulator.clock(advance=60)
    registered = simulator.call("GET", "/providers/Microsoft.DBforPostgreSQL").json()

    assert refusal(refused) == refusal(still_refused) == (409, "MissingSubscriptionRegistration")
    states = [each["registrationState"] for each in (seen, registering, registered)]
    assert states == ["NotRegistered", "Registering", "Registered"]
    assert simulator.call("PUT", deployment_path(group), deployment_body(a_name())).status_code == 201


# PostgreSQL servers.


def test_a_server_lives_through_put_patch_and_delete(simulator):
    group, name = a_server(simulator)
    path = server_path(group, name)
    body = get(simulator, path).json()
    assert "administratorLoginPassword" not in body["properties"]
    assert body["properties"]["fullyQualifiedDomainName"].startswith("127.")
    password = a_password()

    patched = put_and_wait(
        simulator,
        path,
        {"properties": {"storage": {"storageSizeGB": 128}, "administratorLoginPassword": password}},
        "PATCH",
    )
    deleted = simulator.call("DELETE", path, version=POSTGRES)

    assert patched["status"] == "Succeeded"
    assert simulator.databases.servers[name]["password"] == password
    assert deleted.status_code == 202
    wait_until(lambda: simulator.client.get(deleted.headers["Location"]).status_code == 204)
    assert get(simulator, path).json()["error"]["code"] == "ResourceNotFound"
    assert simulator.call("DELETE", path, version=POSTGRES).status_code == 204
    assert name not in simulator.databases.servers


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"administratorLogin": "azure_superuser"}, "InvalidParameterValue"),
        ({"administratorLogin": "pg_me"}, "InvalidParameterValue"),
        ({"administratorLoginPassword": "allsmall"}, "PasswordNotComplex"),
        ({"administratorLoginPassword": "Osbadmin-1"}, "PasswordNotComplex"),
        ({"administratorLogin": None}, "InvalidParameterValue"),
        ({"storage": {"storageSizeGB": 33}}, "InvalidStorageSize"),
        ({"backup": {"backupRetentionDays": 5}}, "InvalidParameterValue"),
        ({"storage": {"storageSizeGB": "64"}}, "InvalidRequestContent"),
    ],
)
def test_a_server_that_azure_would_refuse_is_refused(simulator, properties, code):
    path = server_path(simulator.a_group(), a_name())

    reply = simulator.call("PUT", path, a_body(**properties), version=POSTGRES)

    assert refusal(reply) == (400, code)
    assert get(simulator, path).status_code == 404


def test_storage_never_shrinks_and_the_administrator_never_changes(simulator):
    group, name = a_server(simulator)
    path = server_path(group, name)

    shrunk = simulator.call("PUT", path, a_body(storage={"storageSizeGB": 32}), version=POSTGRES)
    renamed = simulator.call("PUT", path, a_body(administratorLogin="other"), version=POSTGRES)

    assert refusal(shrunk) == (400, "StorageSizeReductionNotSupported")
    assert refusal(renamed) == (400, "PropertyChangeNotAllowed")


def test_the_name_of_a_server_is_unique_in_the_whole_cloud(simulator):
    _, name = a_server(simulator)
    elsewhere, planted = a_name(), a_name()
    simulator.plant(type=SERVERS, name=elsewhere)
    group = simulator.a_group()
    simulator.plant(
        id=simulator.subscription + server_path(group, planted),
        tags={"owner": "somebody"},
        location="West Europe",
    )

    other_group = simulator.a_group()
    for taken in (name, elsewhere, planted):
        reply = simulator.call("PUT", server_path(other_group, taken), a_body(), version=POSTGRES)
        check = simulator.call(
            "POST",
            "/providers/Microsoft.DBforPostgreSQL/locations/westeurope/checkNameAvailability",
            {"name": taken, "type": SERVERS},
            version=POSTGRES,
        )
        assert refusal(reply) == (409, "ServerNameAlreadyExists")
        assert check.json()["nameAvailable"] is False
    assert get(simulator, server_path(group, planted)).json()["tags"] == {"owner": "somebody"}


def test_a_busy_server_refuses_everything_but_looking(simulator):
    group, name = a_server(simulator)
    path = server_path(group, name)
    simulator.clock(speed=0)
    rule = {"properties": {"startIpAddress": "10.0.0.1", "endIpAddress": "10.0.0.2"}}
    begun = simulator.call("PUT", path + "/firewallRules/one", rule, version=POSTGRES)

    replies = [
        simulator.call("PUT", path, a_body(), version=POSTGRES),
        simulator.call("PUT", path + "/databases/two", {"properties": {}}, version=POSTGRES),
        simulator.call("DELETE", path + "/firewallRules/one", version=POSTGRES),
        simulator.call("DELETE", path, version=POSTGRES),
    ]
    state = get(simulator, path).json()["properties"]["state"]

    assert begun.status_code == 202
    assert [refusal(reply) for reply in replies] == [(409, "ServerIsBusy")] * 4
    assert state == "Updating"


def test_children_need_their_server_and_go_with_it(simulator):
    group, name = a_server(simulator)
    path = server_path(group, name)
    put_and_wait(simulator, path + "/databases/two", {"properties": {"charset": "UTF8"}})

    orphan = simulator.call(
        "PUT", server_path(group, a_name(), "databases", "x"), {"properties": {}}, POSTGRES
    )
    listed = get(simulator, path + "/databases").json()["value"]
    simulator.call("DELETE", path, version=POSTGRES)
    wait_until(lambda: get(simulator, path).status_code == 404)

    assert refusal(orphan) == (404, "ParentResourceNotFound")
    assert [each["name"] for each in listed] == ["two"]
    assert get(simulator, path + "/databases/two").status_code == 404


def test_firewall_rules_open_ranges_until_they_are_deleted(simulator):
    group, name = a_server(simulator)
    path = server_path(group, name, "firewallRules")
    for rule, start, end in (("a", "10.0.0.1", "10.0.0.9"), ("b", "10.1.0.1", "10.1.0.1")):
        put_and_wait(
            simulator, f"{path}/{rule}", {"properties": {"startIpAddress": start, "endIpAddress": end}}
        )
    both = list(simulator.databases.servers[name]["firewall"])

    simulator.call("DELETE", f"{path}/a", version=POSTGRES)
    wait_until(lambda: get(simulator, f"{path}/a").status_code == 404)
    backwards = {"properties": {"startIpAddress": "10.0.0.9", "endIpAddress": "10.0.0.1"}}

    assert both == [("10.0.0.1", "10.0.0.9"), ("10.1.0.1", "10.1.0.1")]
    assert simulator.databases.servers[name]["firewall"] == [("10.1.0.1", "10.1.0.1")]
    assert simulator.call("PUT", f"{path}/c", backwards, version=POSTGRES).status_code == 400


def test_configurations_are_there_from_the_start_and_cannot_be_deleted(simulator):
    group, name = a_server(simulator)
    path = server_path(group, name, "configurations", "azure.extensions")
    before = get(simulator, path).json()["properties"]

    put_and_wait(simulator, path, {"properties": {"value": "HSTORE", "source": "user-override"}})

    assert (before["value"], before["source"]) == ("", "system-default")
    assert get(simulator, path).json()["properties"]["value"] == "HSTORE"
    assert simulator.databases.servers[name]["configurations"] == {"azure.extensions": "HSTORE"}
    assert simulator.call("DELETE", path, version=POSTGRES).status_code == 405


# Lists.


def test_resources_are_found_by_tag_and_paged(simulator):
    group, mark = simulator.a_group(), uuid.uuid4().hex
    names = sorted(a_name() for _ in range(3))
    for name in names:
        identity = simulator.subscription + server_path(group, name)
        simulator.plant(id=identity, tags={"Mark": mark, "own": name}, location="West Europe")

    def names_of(**query):
        reply = simulator.client.get(
            f"{simulator.subscription}/resources", params={"api-version": "2025-04-01", **query}
        )
        found, link = reply.json()["value"], reply.json().get("nextLink")
        while link:
            page = simulator.client.get(link).json()
            found, link = found + page["value"], page.get("nextLink")
        return sorted(each["name"] for each in found)

    assert names_of(**{"$filter": f"tagName eq 'mark' and tagValue eq '{mark}'"}) == names
    assert names_of(**{"$filter": f"tagName eq 'mark' and tagValue eq '{mark}'", "$top": "2"}) == names
    assert names_of(**{"$filter": f"tagName eq 'own' and tagValue eq '{names[0]}'"}) == names[:1]
    assert names_of(**{"$filter": f"tagName eq 'own' and tagValue eq '{mark}'"}) == []
    refused = simulator.client.get(
        f"{simulator.subscription}/resources",
        params={"api-version": "2025-04-01", "$filter": "colour eq 'red'"},
    )
    assert refusal(refused) == (400, "InvalidFilterInQueryString")


def test_permissions_locations_and_providers_are_listed(simulator):
    group = simulator.a_group()
    simulator.client.post("/_simulator/permissions", json={"actions": ["*/read"]})

    path = f"/resourceGroups/{group}/providers/Microsoft.Authorization/permissions"
    permissions = simulator.call("GET", path, version="2022-04-01").json()["value"]

    assert permissions[0]["actions"] == ["*/read"]
    assert "westeurope" in {each["name"] for each in simulator.call("GET", "/locations").json()["value"]}
    types = simulator.call("GET", "/providers/Microsoft.DBforPostgreSQL").json()["resourceTypes"]
    assert types[0]["apiVersions"] == [POSTGRES]


def test_many_calls_at_once_are_all_in_the_ledger_once(simulator):
    group = simulator.a_group()
    before = simulator.ledger()[-1]["sequence"]

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: simulator.call("GET", f"/resourceGroups/{group}"), range(64)))

    calls = simulator.ledger(before)
    assert {reply.status_code for reply in replies} == {200}
    assert [call["sequence"] for call in calls] == list(range(before + 1, before + 65))
