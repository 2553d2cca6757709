"""How Microsoft.ServiceBus behaves towards Resource Manager; no messages, but keys for each authorization rule."""

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

NAMESPACES = "Microsoft.ServiceBus/namespaces"
QUEUES = f"{NAMESPACES}/queues"
NAMESPACE_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9-]{4,48})[A-Za-z0-9]")
# Each namespace has it from the start.
ROOT_RULE = "RootManageSharedAccessKey"
RIGHTS = frozenset({"Manage", "Send", "Listen"})
SUFFIXES: Mapping[str, str] = {
    "public": "servicebus.windows.net",
    "china": "servicebus.chinacloudapi.cn",
    "usgov": "servicebus.usgovcloudapi.net",
}
KEY_TYPES: Mapping[str, str] = {"primarykey": "primaryKey", "secondarykey": "secondaryKey"}


def kinds(state: State, durations: Durations) -> list[Kind]:
    """The resource types of this provider."""
    return [
        Namespaces(state, durations),
        Queues(state, durations),
        AuthorizationRules(state, durations, of=NAMESPACES),
        AuthorizationRules(state, durations, of=QUEUES),
    ]


class Namespaces(Kind):
    type = NAMESPACES

    def duration(self, what: str) -> timedelta:
        return self.durations.service_bus_namespace if what != "update" else super().duration(what)

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        del existing
        if not NAMESPACE_NAME.fullmatch(identity.name):
            raise ArmError(
                400, "BadRequest", f"The specified service namespace '{identity.name}' is invalid."
            )
        location = body.get("location")
        if isinstance(location, str) and location_name(location) not in self.state.cloud.locations:
            raise ArmError(
                400,
                "LocationNotAvailableForResourceType",
                f"The provided location '{location}' is not available for resource type '{NAMESPACES}'.",
            )

    def check_place(self, identity: ResourceId, existing: Resource | None) -> None:
        if existing is None and self.state.is_taken(NAMESPACES, identity.name):
            raise ArmError(
                409, "NamespaceUnavailable", f"The namespace name '{identity.name}' is not available."
            )

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        settled = super().settled(identity, body, existing)
        given = settled.get("properties") or {}
        endpoint = f"https://{_host(self.state, identity.name)}:443/"
        defaults = {"minimumTlsVersion": "1.2", "disableLocalAuth": False, "zoneRedundant": False}
        settled["properties"] = {**defaults, **given, "serviceBusEndpoint": endpoint, "status": "Active"}
        settled.setdefault("sku", {"name": "Standard", "tier": "Standard"})
        return settled


class Queues(Kind):
    type = QUEUES
    begun: ClassVar[Mapping[str, int]] = {"create": 200, "update": 200, "delete": 200}
    at_once = frozenset({"create", "update", "delete"})


class AuthorizationRules(Kind):
    """A rule has two keys; they stand in no body, only `listKeys` tells them."""

    begun: ClassVar[Mapping[str, int]] = {"create": 200, "update": 200, "delete": 200}
    at_once = frozenset({"create", "update", "delete"})

    def __init__(self, state: State, durations: Durations, *, of: str) -> None:
        super().__init__(state, durations)
        self.type = f"{of}/authorizationRules"

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        del identity, existing
        rights = (body.get("properties") or {}).get("rights")
        if not isinstance(rights, list):
            raise ArmError(400, "BadRequest", "An authorization rule needs rights.")
        wanted = {right for right in rights if isinstance(right, str)}
        if not wanted or wanted - RIGHTS or ("Manage" in wanted and wanted != RIGHTS):
            raise ArmError(400, "BadRequest", "Rights are Send, Listen, or Manage with both of them.")

    def absent(self, identity: ResourceId) -> dict[str, Any] | None:
        parent = identity.parent
        if parent is None or parent.key not in self.state.resources or identity.name != ROOT_RULE:
            return None
        return {"properties": {"rights": sorted(RIGHTS)}} if len(identity.names) == 2 else None

    async def apply(self, resource: Resource, sent: Mapping[str, Any], *, created: bool) -> None:
        del sent
        if created:
            self.state.access_keys[resource.id.key] = _keys()

    async def remove(self, resource: Resource) -> None:
        self.state.access_keys.pop(resource.id.key, None)

    def action(self, resource: Resource, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        keys = self.state.access_keys.setdefault(resource.id.key, _keys())
        if name == "regeneratekeys":
            which = KEY_TYPES.get(str((body or {}).get("keyType", "")).lower())
            if which is None:
                raise ArmError(400, "BadRequest", "keyType must be PrimaryKey or SecondaryKey.")
            keys[which] = str((body or {}).get("key") or _new_key())
        elif name != "listkeys":
            return super().action(resource, name, body)
        host, rule = _host(self.state, resource.id.names[0]), resource.id.name
        path = f";EntityPath={resource.id.names[1]}" if len(resource.id.names) > 2 else ""
        start = f"Endpoint=sb://{host}/;SharedAccessKeyName={rule};SharedAccessKey="
        return {
            "primaryConnectionString": f"{start}{keys['primaryKey']}{path}",
            "secondaryConnectionString": f"{start}{keys['secondaryKey']}{path}",
            **keys,
            "keyName": rule,
        }


def _host(state: State, namespace: str) -> str:
    return f"{namespace.lower()}.{SUFFIXES.get(state.cloud.name, 'servicebus.simulated.invalid')}"


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _keys() -> dict[str, str]:
    return {name: _new_key() for name in KEY_TYPES.values()}
