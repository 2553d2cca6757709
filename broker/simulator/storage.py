"""How Microsoft.Storage behaves: accounts with keys, and containers, whose data plane is `blobs`."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from typing import Any, ClassVar

from broker.simulator.arm_errors import ArmError
from broker.simulator.durations import Durations
from broker.simulator.kinds import Kind
from broker.simulator.resource_ids import ResourceId
from broker.simulator.state import Resource, State, location_name

ACCOUNTS = "Microsoft.Storage/storageAccounts"
SERVICES = f"{ACCOUNTS}/blobServices"
CONTAINERS = f"{SERVICES}/containers"
ACCOUNT_NAME = re.compile(r"[a-z0-9]{3,24}")
CONTAINER_NAME = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(-[a-z0-9]+)*")
SKUS_OF_KIND: Mapping[str, frozenset[str]] = {
    "storagev2": frozenset(
        {"standard_lrs", "standard_zrs", "standard_grs", "standard_ragrs", "standard_gzrs", "standard_ragzrs"}
    ),
    "blockblobstorage": frozenset({"premium_lrs", "premium_zrs"}),
}
SERVICES_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "storagev2": ("blob", "file", "queue", "table"),
    "blockblobstorage": ("blob",),
}
KEYS = ("key1", "key2")


def kinds(state: State, durations: Durations) -> list[Kind]:
    """The resource types of this provider."""
    return [kind(state, durations) for kind in (StorageAccounts, BlobServices, Containers)]


def _invalid(code: str, message: str) -> ArmError:
    return ArmError(400, code, message)


class StorageAccounts(Kind):
    """An account; its keys stand in no body, only `listKeys` tells them."""

    type = ACCOUNTS
    # The typed SDK takes these and no others.
    begun: ClassVar[Mapping[str, int]] = {"create": 202, "update": 200, "delete": 200}
    at_once = frozenset({"update", "delete"})

    def duration(self, what: str) -> timedelta:
        return self.durations.storage_account if what == "create" else super().duration(what)

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        if not ACCOUNT_NAME.fullmatch(identity.name):
            raise _invalid(
                "AccountNameInvalid",
                f"{identity.name} is not a valid storage account name: 3 to 24 lower-case letters and digits.",
            )
        location = body.get("location")
        if isinstance(location, str) and location_name(location) not in self.state.cloud.locations:
            raise _invalid(
                "LocationNotAvailableForResourceType",
                f"The provided location '{location}' is not available for resource type '{ACCOUNTS}'.",
            )
        kind, sku = body.get("kind"), (body.get("sku") or {}).get("name")
        if isinstance(kind, str) and kind.lower() not in SKUS_OF_KIND:
            raise _invalid(
                "InvalidRequestPropertyValue", f"Accounts of kind '{kind}' cannot be created any more."
            )
        if isinstance(kind, str) and isinstance(sku, str) and sku.lower() not in SKUS_OF_KIND[kind.lower()]:
            raise _invalid(
                "InvalidRequestPropertyValue", f"The sku '{sku}' does not belong to the kind '{kind}'."
            )
        if existing is not None and isinstance(kind, str) and kind.lower() != existing.body["kind"].lower():
            raise ArmError(
                409, "StorageAccountTypeConversionNotAllowed", "The kind cannot be changed like this."
            )
        self._check_properties(body.get("properties") or {}, kind)

    def _check_properties(self, properties: Mapping[str, Any], kind: Any) -> None:
        tier = properties.get("accessTier")
        if isinstance(tier, str) and isinstance(kind, str):
            premium = kind.lower() == "blockblobstorage"
            if (tier.lower() == "premium") != premium:
                raise _invalid(
                    "AccessTierNotSupported", f"The access tier '{tier}' is not for the kind '{kind}'."
                )
        acls = properties.get("networkAcls")
        for rule in (acls.get("ipRules") or ()) if isinstance(acls, Mapping) else ():
            value = rule.get("value") if isinstance(rule, Mapping) else None
            try:
                network = IPv4Network(str(value)) if isinstance(value, str) else None
            except (AddressValueError, NetmaskValueError, ValueError) as error:
                raise _invalid("InvalidValuesForRequestParameters", f"'{value}' is no IPv4 range.") from error
            if network is not None and "/" in str(value) and network.prefixlen > 30:
                raise _invalid(
                    "InvalidValuesForRequestParameters", f"'{value}': name single addresses without /32."
                )

    def check_place(self, identity: ResourceId, existing: Resource | None) -> None:
        if existing is None and self.state.is_taken(ACCOUNTS, identity.name):
            raise ArmError(
                409,
                "StorageAccountAlreadyTaken",
                f"The storage account named {identity.name} is already taken.",
            )

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        settled = super().settled(identity, body, existing)
        settled["location"] = location_name(settled["location"])
        before = existing.body["properties"] if existing else {}
        services = SERVICES_OF_KIND[settled["kind"].lower()]
        endpoints = {each: self.state.storage_endpoint(identity.name, each) for each in services}
        settled["sku"] = {**settled["sku"], "tier": settled["sku"]["name"].partition("_")[0]}
        settled["properties"] = {
            "allowSharedKeyAccess": True,
            "allowBlobPublicAccess": False,
            "minimumTlsVersion": "TLS1_0",
            "supportsHttpsTrafficOnly": True,
            "publicNetworkAccess": "Enabled",
            "networkAcls": {"bypass": "AzureServices", "defaultAction": "Allow", "ipRules": []},
            **before,
            **(settled.get("properties") or {}),
            "primaryEndpoints": endpoints,
            "primaryLocation": settled["location"],
            "statusOfPrimary": "available",
        }
        return settled

    async def apply(self, resource: Resource, sent: Mapping[str, Any], *, created: bool) -> None:
        del sent
        if created:
            self.state.account_keys[resource.id.name] = {name: _new_key() for name in KEYS}

    async def remove(self, resource: Resource) -> None:
        self.state.account_keys.pop(resource.id.name, None)

    def action(self, resource: Resource, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        keys = self.state.account_keys.setdefault(resource.id.name, {each: _new_key() for each in KEYS})
        if name == "regeneratekey":
            wanted = (body or {}).get("keyName")
            if wanted not in keys:
                raise _invalid("InvalidValuesForRequestParameters", "keyName must be key1 or key2.")
            keys[wanted] = _new_key()
        elif name != "listkeys":
            return super().action(resource, name, body)
        return {
            "keys": [{"keyName": each, "value": value, "permissions": "FULL"} for each, value in keys.items()]
        }


class BlobServices(Kind):
    """The blob service of an account: always there, and always called `default`."""

    type = SERVICES
    deletable = False

    def absent(self, identity: ResourceId) -> dict[str, Any] | None:
        account = identity.parent
        if account is None or identity.name != "default" or account.key not in self.state.resources:
            return None
        return {"properties": {}}


class Containers(Kind):
    """A blob container; put again it stays as it is."""

    type = CONTAINERS
    begun: ClassVar[Mapping[str, int]] = {"create": 201, "update": 200, "delete": 200}
    at_once = frozenset({"create", "update", "delete"})

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        del existing
        if not CONTAINER_NAME.fullmatch(identity.name):
            raise _invalid("ContainerNameInvalid", f"'{identity.name}' is no valid container name.")
        account = self.state.resources.get(identity.key.partition("/blobservices/")[0])
        public = (body.get("properties") or {}).get("publicAccess", "None")
        allowed = account is not None and account.body["properties"].get("allowBlobPublicAccess", False)
        if public in {"Blob", "Container"} and not allowed:
            raise ArmError(
                409, "PublicAccessNotPermitted", "Public access is not permitted on this storage account."
            )

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        settled = super().settled(identity, body, existing)
        settled["properties"] = {"publicAccess": "None", **(settled.get("properties") or {})}
        return settled


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()
