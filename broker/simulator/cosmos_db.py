"""How Microsoft.DocumentDB behaves towards Resource Manager; accounts with keys, and no data behind them."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from broker.simulator.arm_errors import ArmError
from broker.simulator.durations import Durations
from broker.simulator.kinds import Kind
from broker.simulator.resource_ids import ResourceId
from broker.simulator.state import Resource, State, location_name

ACCOUNTS = "Microsoft.DocumentDB/databaseAccounts"
ACCOUNT_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,42})[a-z0-9]")
SUFFIXES: Mapping[str, str] = {
    "public": "documents.azure.com",
    "china": "documents.azure.cn",
    "usgov": "documents.azure.us",
}
KEYS: Mapping[str, str] = {
    "primary": "primaryMasterKey",
    "secondary": "secondaryMasterKey",
    "primaryreadonly": "primaryReadonlyMasterKey",
    "secondaryreadonly": "secondaryReadonlyMasterKey",
}


def kinds(state: State, durations: Durations) -> list[Kind]:
    """The resource types of this provider."""
    return [DatabaseAccounts(state, durations)]


class DatabaseAccounts(Kind):
    type = ACCOUNTS
    begun: ClassVar[Mapping[str, int]] = {"create": 200, "update": 200, "delete": 202}
    long_actions = frozenset({"regeneratekey"})

    def duration(self, what: str) -> timedelta:
        long = {"create": self.durations.cosmos_account, "delete": self.durations.cosmos_account / 2}
        return long.get(what, self.durations.cosmos_key if what == "action" else super().duration(what))

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        del existing
        if not ACCOUNT_NAME.fullmatch(identity.name):
            raise ArmError(
                400,
                "BadRequest",
                f"Invalid account name '{identity.name}': 3 to 44 lower-case letters, digits and hyphens.",
            )
        for location in [body.get("location"), *_locations(body)]:
            if isinstance(location, str) and location_name(location) not in self.state.cloud.locations:
                raise ArmError(
                    400,
                    "LocationNotAvailableForResourceType",
                    f"The provided location '{location}' is not available for resource type '{ACCOUNTS}'.",
                )

    def check_place(self, identity: ResourceId, existing: Resource | None) -> None:
        if existing is None and self.state.is_taken(ACCOUNTS, identity.name):
            raise ArmError(
                409, "DatabaseAccountAlreadyExists", f"The database account '{identity.name}' exists already."
            )

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        settled = super().settled(identity, body, existing)
        suffix = SUFFIXES.get(self.state.cloud.name, "documents.simulated.invalid")
        endpoint = f"https://{identity.name}.{suffix}:443/"
        settled["properties"] = {**settled["properties"], "documentEndpoint": endpoint}
        settled.setdefault("kind", "GlobalDocumentDB")
        return settled

    async def apply(self, resource: Resource, sent: Mapping[str, Any], *, created: bool) -> None:
        del sent
        if created:
            self.state.access_keys[resource.id.key] = _keys()

    async def remove(self, resource: Resource) -> None:
        self.state.access_keys.pop(resource.id.key, None)

    def check_action(self, resource: Resource, name: str, body: Mapping[str, Any] | None) -> None:
        del resource
        if name == "regeneratekey" and _kind_of_key(body) is None:
            raise ArmError(
                400, "BadRequest", "keyKind must be primary, secondary, primaryReadonly or secondaryReadonly."
            )

    def action(self, resource: Resource, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        keys = self.state.access_keys.setdefault(resource.id.key, _keys())
        which = _kind_of_key(body)
        if name == "listkeys":
            return dict(keys)
        if name == "readonlykeys":
            return {key: value for key, value in keys.items() if "Readonly" in key}
        if name == "listconnectionstrings":
            endpoint = resource.body["properties"]["documentEndpoint"]
            return {
                "connectionStrings": [
                    {
                        "connectionString": f"AccountEndpoint={endpoint};AccountKey={value};",
                        "description": key,
                    }
                    for key, value in keys.items()
                ]
            }
        if name == "regeneratekey" and which is not None:
            keys[which] = _new_key()
            return {}
        return super().action(resource, name, body)


def _locations(body: Mapping[str, Any]) -> list[Any]:
    listed = (body.get("properties") or {}).get("locations")
    each = listed if isinstance(listed, list) else []
    return [location.get("locationName") for location in each if isinstance(location, Mapping)]


def _kind_of_key(body: Mapping[str, Any] | None) -> str | None:
    return KEYS.get(str((body or {}).get("keyKind", "")).lower())


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()


def _keys() -> dict[str, str]:
    return {name: _new_key() for name in KEYS.values()}
