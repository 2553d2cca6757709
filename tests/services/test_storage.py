"""Storage accounts by the platform's API: what can be ordered, what can become what, what is refused and how."""

import pytest

VERSION = "2026-09-01"
ACCOUNT_AND_BLOB = pytest.mark.parametrize("offering", ["azure-storage-account", "azure-storage-blob"])


@pytest.mark.proves("azure-storage-account", "plan change")
@pytest.mark.proves("azure-storage-blob", "plan change")
@pytest.mark.proves("azure-storage-blob", "update")
@pytest.mark.proves("azure-storage-account", "bind key")
@pytest.mark.proves("azure-storage-account", "revoke key (cannot be)")
@ACCOUNT_AND_BLOB
def test_an_account_is_ordered_changed_moved_and_deleted(shop, offering):
    instance = shop.order(f"{offering}/standard-lrs", accessTier="Cool", minimumTlsVersion="TLS1_3")
    account = instance.bind().credentials["resourceId"].partition("/blobServices/")[0]

    instance.update("standard-grs", accessTier="Cold", publicNetworkAccess="Disabled")

    there = shop.read(account, VERSION).json()
    assert there["sku"]["name"] == "Standard_GRS"
    assert there["properties"]["accessTier"] == "Cold"
    assert there["properties"]["minimumTlsVersion"] == "TLS1_3"
    assert there["properties"]["publicNetworkAccess"] == "Disabled"
    status, sentence = instance.update_refusal("standard-zrs")
    assert status == 422
    assert "it can move to 'standard-lrs'" in sentence
    instance.delete()
    assert shop.living() == []


REFUSED = {
    "accountType": ("Standard_LRS", "Give a plan in place of 'accountType'"),
    "enableNonHttpsTraffic": ("enabled", "HTTPS only"),
    "containerName": ("mine", "containerName"),
    "resourceGroup": ("mine", "Leave 'resourceGroup' out"),
    "accessTier": ("Archive", "'accessTier' must be one of"),
    "allowedAddresses": (["192.0.2.1/31"], "'allowedAddresses[0]' must match"),
    "minimumTlsVersion": ("TLS1_0", "'minimumTlsVersion' must be one of"),
}


@ACCOUNT_AND_BLOB
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_given_is_refused_with_what_can(shop, offering, name):
    value, told = REFUSED[name]

    status, sentence = shop.refusal(f"{offering}/standard-lrs", **{name: value})

    assert status == 400
    assert told in sentence
