"""A store of settings, ordered, changed, bound both ways and deleted."""

import uuid

import pytest

STORES = "2024-06-01"
DATA_READER = "516239f1-63e1-4d78-a4de-a74fb236a071"


@pytest.mark.proves("azure-app-configuration", "provision")
@pytest.mark.proves("azure-app-configuration", "update")
@pytest.mark.proves("azure-app-configuration", "bind key")
@pytest.mark.proves("azure-app-configuration", "bind entra")
@pytest.mark.proves("azure-app-configuration", "revoke key (cannot be)")
@pytest.mark.proves("azure-app-configuration", "revoke entra (not provable here)")
def test_a_store_is_ordered_changed_bound_both_ways_and_deleted(shop):
    store = shop.order("azure-app-configuration/standard")
    by_key, principal = store.bind(), str(uuid.uuid4())
    by_role = store.bind(auth="entra", principalId=principal)
    there = by_key.credentials["resourceId"]

    assert by_key.fetched() == by_key.credentials
    assert by_key.credentials["connectionString"].startswith("Endpoint=https://")
    assert [(one["principalId"], one["roleDefinitionId"][-36:]) for one in shop.roles_at(there)] == [
        (principal, DATA_READER)
    ]
    store.update(publicNetworkAccess="Disabled")
    assert shop.read(there, STORES).json()["properties"]["publicNetworkAccess"] == "Disabled"

    by_role.unbind()
    assert shop.roles_at(there) == []
    store.delete()
    assert shop.living() == []


def test_an_order_that_contradicts_itself_is_told_so(shop):
    status, sentence = shop.refusal("azure-app-configuration/free", publicNetworkAccess="Sometimes")

    assert status == 400
    assert "publicNetworkAccess" in sentence
