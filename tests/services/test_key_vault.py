"""
Vaults of Azure Key Vault: ordered, changed, bound by roles, deleted, and purged where the order says so.

What unbinding takes back is a role assignment, which is seen to be gone from Azure Resource Manager. No vault answers
here.
"""

import uuid

import pytest

from tests.services.shop import Failed

VERSION = "2026-05-15"
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
ROLES = {
    "secrets-officer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    "crypto-user": "12338af0-0e69-4776-bea7-57ae8d297424",
    "crypto-officer": "14b46e9e-c2b7-41b4-b07b-48a6ebf60603",
    "certificate-user": "db79e9a7-68ee-4b58-9aeb-b90e7c24fcba",
    "certificates-officer": "a4417e6f-fecd-4de8-b567-7b0420556985",
}
KEYS = {
    "type",
    "provider",
    "auth",
    "role",
    "host",
    "hostname",
    "port",
    "uri",
    "endpoint",
    "tls",
    "vaultUri",
} | {
    "tenantId",
    "scope",
    "resourceId",
}


@pytest.fixture(scope="module")
def settings():
    return {"azure_tenant_id": str(uuid.uuid4())}


@pytest.fixture(scope="module")
def vault(shop):
    ordered = shop.order("azure-keyvault/standard")
    yield ordered
    ordered.delete()


def properties(shop, resource_id):
    return shop.read(resource_id, VERSION).json()["properties"]


def kept(shop, resource_id):
    """What Azure keeps of a deleted vault; None for nothing."""
    path = (
        f"/providers/Microsoft.KeyVault/locations/westeurope/deletedVaults/{resource_id.rpartition('/')[2]}"
    )
    answer = shop.azure.call("GET", path, version=VERSION)
    return None if answer.status_code == 404 else answer.json()["properties"]


def where(instance):
    """The id of an ordered vault."""
    binding = instance.bind(principalId=str(uuid.uuid4()))
    binding.unbind()
    return binding.credentials["resourceId"]


@pytest.mark.proves("azure-keyvault", "provision")
@pytest.mark.proves("azure-keyvault", "bind entra")
@pytest.mark.proves("azure-keyvault", "entra")
@pytest.mark.proves("azure-keyvault", "revoke entra (not provable here)")
def test_a_binding_is_a_role_on_the_vault_until_it_is_unbound(shop, vault):
    principal = str(uuid.uuid4())

    binding = vault.bind(principalId=principal)
    here = binding.credentials["resourceId"]

    [role] = shop.roles_at(here)
    assert (role["principalId"], role["roleDefinitionId"][-36:]) == (principal, SECRETS_USER)
    assert set(binding.credentials) == KEYS
    assert binding.credentials["vaultUri"] == properties(shop, here)["vaultUri"]
    assert binding.credentials["host"] in binding.credentials["vaultUri"]
    binding.unbind()
    assert shop.roles_at(here) == []


@pytest.mark.parametrize(("role", "definition"), ROLES.items())
def test_each_role_is_azures_own_of_that_name(shop, vault, role, definition):
    binding = vault.bind(principalId=str(uuid.uuid4()), role=role)

    assert [each["roleDefinitionId"][-36:] for each in shop.roles_at(binding.credentials["resourceId"])] == [
        definition
    ]
    binding.unbind()


def test_what_the_principals_owner_gives_is_handed_on_and_kept_sealed(shop, vault):
    client, secret = str(uuid.uuid4()), uuid.uuid4().hex

    binding = vault.bind(principalId=str(uuid.uuid4()), clientId=client, clientSecret=secret)

    assert binding.credentials["clientId"] == client
    assert binding.credentials["clientSecret"] == secret
    assert binding.fetched() == binding.credentials
    assert secret.encode() not in shop.world.folder.joinpath("broker.db").read_bytes()
    assert secret not in shop.world.log.read_text()
    binding.unbind()


@pytest.mark.proves("azure-keyvault", "update")
@pytest.mark.proves("azure-keyvault", "plan change")
def test_the_firewall_is_closed_until_it_is_opened_and_a_standard_vault_can_become_premium(shop):
    vault = shop.order("azure-keyvault/standard", purgeOnDelete=True)
    here = where(vault)
    closed = properties(shop, here)

    vault.update(allowedAddresses=["203.0.113.7"])
    vault.update(plan="premium")
    opened = properties(shop, here)
    back = vault.update_refusal(plan="standard")

    assert closed["networkAcls"] == {
        "bypass": "None",
        "defaultAction": "Deny",
        "ipRules": [],
        "virtualNetworkRules": [],
    }
    assert closed["enableRbacAuthorization"] is True
    assert opened["networkAcls"]["ipRules"] == [{"value": "203.0.113.7"}]
    assert opened["sku"] == {"family": "A", "name": "premium"}
    assert back[0] == 422
    vault.delete()


def test_a_deleted_vault_is_kept_with_its_name_and_the_next_life_of_its_id_gets_another(shop):
    vault = shop.order("azure-keyvault/standard", softDeleteRetentionInDays=7)
    first = where(vault)

    vault.delete()
    answer = shop.platform.provision(vault.id, vault.ordered.order())
    assert answer.status_code == 202, answer.text
    vault.settled()

    assert kept(shop, first)["vaultId"].lower() == first.lower()
    assert where(vault) != first
    vault.delete()


def test_a_vault_is_purged_where_the_order_or_a_later_update_says_so(shop):
    at_once, later = (
        shop.order("azure-keyvault/standard", purgeOnDelete=True),
        shop.order("azure-keyvault/standard"),
    )
    first, second = where(at_once), where(later)
    later.update(purgeOnDelete=True)

    at_once.delete()
    later.delete()

    assert [kept(shop, each) for each in (first, second)] == [None, None]


def test_a_purge_that_is_not_allowed_fails_the_deletion_and_the_next_one_goes_on_with_it(shop):
    vault = shop.order("azure-keyvault/standard", purgeOnDelete=True)
    here = where(vault)
    shop.azure.fault(
        "error", method="POST", path="/purge", count=None, status=403, code="AuthorizationFailed"
    )

    first = shop.platform.deprovision(vault.id, vault.ordered.plan_id, vault.ordered.service_id)
    assert first.status_code == 202, first.text
    with pytest.raises(Failed) as failed:
        vault.settled()
    left = kept(shop, here)
    shop.azure.lift()
    vault.delete()

    assert "purge" in str(failed.value)
    assert left is not None
    assert kept(shop, here) is None


def test_a_vault_that_somebody_has_protected_is_deleted_and_stays_among_the_deleted(shop):
    vault = shop.order("azure-keyvault/standard", purgeOnDelete=True)
    here = where(vault)
    body = shop.read(here, VERSION).json()
    told = {key: body[key] for key in ("location", "tags")} | {
        "properties": {
            "tenantId": body["properties"]["tenantId"],
            "sku": body["properties"]["sku"],
            "enablePurgeProtection": True,
        }
    }
    assert shop.azure.call("PUT", here, told, version=VERSION).status_code in {200, 201, 202}

    vault.delete()

    assert kept(shop, here)["purgeProtectionEnabled"] is True


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"purgeOnDelete": True, "enablePurgeProtection": True}, "lets nobody purge"),
        ({"allowAllNetworks": True, "allowedAddresses": ["203.0.113.7"]}, "lets every network in"),
        ({"softDeleteRetentionInDays": 5}, "softDeleteRetentionInDays"),
        ({"objectId": str(uuid.uuid4())}, "give principalId when binding"),
        ({"clientSecret": "x"}, "give clientSecret when binding"),
        ({"virtualNetworkSubnetIds": ["/subscriptions/../x"]}, "virtualNetworkSubnetIds"),
    ],
)
def test_orders_that_cannot_be_are_refused_with_the_reason(shop, parameters, said):
    status, sentence = shop.refusal("azure-keyvault/standard", **parameters)

    assert status == 400
    assert said in sentence


def test_protection_that_was_switched_on_stays_on(shop):
    vault = shop.order("azure-keyvault/standard")
    vault.update(enablePurgeProtection=True)

    off = vault.update_refusal(enablePurgeProtection=False)
    purged = vault.update_refusal(purgeOnDelete=True)
    days = vault.update_refusal(softDeleteRetentionInDays=8)

    assert "cannot be switched off again" in off[1]
    assert "lets nobody purge" in purged[1]
    assert "softDeleteRetentionInDays" in days[1]
    vault.delete()


def test_a_binding_without_a_principal_or_with_an_older_brokers_word_is_refused(shop, vault):
    nobody = vault.bind_refusal()
    older = vault.bind_refusal(objectId=str(uuid.uuid4()))

    assert (nobody[0], "principalId" in nobody[1]) == (400, True)
    assert (older[0], "Give principalId" in older[1]) == (400, True)


def test_a_principal_has_a_role_on_a_vault_once(shop, vault):
    principal = str(uuid.uuid4())
    binding = vault.bind(principalId=principal)

    told = vault.bind_refused(422, "RoleAssignmentExists", principalId=principal)

    assert "has this role here already" in told
    assert [one["principalId"] for one in shop.roles_at(binding.credentials["resourceId"])] == [principal]
    binding.unbind()
