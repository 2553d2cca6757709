"""
How Microsoft.ServiceBus and Microsoft.EventHub behave towards Resource Manager.

No messages, but keys for each authorization rule, and Azure's limits of rules and consumer groups:
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas and
https://learn.microsoft.com/azure/event-hubs/event-hubs-quotas.
"""

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

SERVICE_BUS = "Microsoft.ServiceBus/namespaces"
EVENT_HUBS = "Microsoft.EventHub/namespaces"
QUEUES, TOPICS = f"{SERVICE_BUS}/queues", f"{SERVICE_BUS}/topics"
HUBS = f"{EVENT_HUBS}/eventhubs"
NAMESPACE_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9-]{4,48})[A-Za-z0-9]")
# Each namespace has it from the start.
ROOT_RULE = "RootManageSharedAccessKey"
RIGHTS = frozenset({"Manage", "Send", "Listen"})
MOST_RULES = 12
MOST_CONSUMER_GROUPS: Mapping[str, int] = {"Basic": 1, "Standard": 20, "Premium": 100}
# Each hub has it from the start.
DEFAULT_GROUP = "$Default"
# Each namespace has this set of network rules from the start.
RULE_SET = "default"
SUFFIXES: Mapping[str, str] = {
    "public": "servicebus.windows.net",
    "china": "servicebus.chinacloudapi.cn",
    "usgov": "servicebus.usgovcloudapi.net",
}
KEY_TYPES: Mapping[str, str] = {"primarykey": "primaryKey", "secondarykey": "secondaryKey"}


def kinds(state: State, durations: Durations) -> list[Kind]:
    """The resource types of both providers."""
    return [
        *(Namespaces(state, durations, name=name) for name in (SERVICE_BUS, EVENT_HUBS)),
        *(NetworkRuleSets(state, durations, of=name) for name in (SERVICE_BUS, EVENT_HUBS)),
        *(
            Entities(state, durations, name=name)
            for name in (QUEUES, TOPICS, f"{TOPICS}/subscriptions", HUBS)
        ),
        ConsumerGroups(state, durations, name=f"{HUBS}/consumergroups"),
        *(
            AuthorizationRules(state, durations, name=f"{of}/authorizationRules")
            for of in (SERVICE_BUS, QUEUES, TOPICS, EVENT_HUBS, HUBS)
        ),
    ]


class Namespaces(Kind):
    """Both products have their names in one zone of the DNS."""

    def __init__(self, state: State, durations: Durations, *, name: str) -> None:
        super().__init__(state, durations)
        self.type = name

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
                f"The provided location '{location}' is not available for resource type '{self.type}'.",
            )

    def check_place(self, identity: ResourceId, existing: Resource | None) -> None:
        if existing is None and any(
            self.state.is_taken(kind, identity.name) for kind in (SERVICE_BUS, EVENT_HUBS)
        ):
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


class Entities(Kind):
    """What is made and gone at once."""

    begun: ClassVar[Mapping[str, int]] = {"create": 200, "update": 200, "delete": 200}
    at_once = frozenset({"create", "update", "delete"})

    def __init__(self, state: State, durations: Durations, *, name: str) -> None:
        super().__init__(state, durations)
        self.type = name

    def check_place(self, identity: ResourceId, existing: Resource | None) -> None:
        del existing
        if self.type == TOPICS and _sku(self.state, identity) == "Basic":
            raise ArmError(400, "BadRequest", "Topics need a namespace of the Standard or Premium tier.")


class NetworkRuleSets(Entities):
    """Who may connect to a namespace: one set, there from the start, open to all."""

    deletable = False

    def __init__(self, state: State, durations: Durations, *, of: str) -> None:
        super().__init__(state, durations, name=f"{of}/networkRuleSets")

    def always(self, parent: ResourceId) -> tuple[str, ...]:
        del parent
        return (RULE_SET,)

    def absent(self, identity: ResourceId) -> dict[str, Any] | None:
        if identity.name != RULE_SET or not _is_there(self.state, identity.parent):
            return None
        nobody: dict[str, Any] = {"ipRules": [], "virtualNetworkRules": []}
        return {"properties": {"publicNetworkAccess": "Enabled", "defaultAction": "Allow", **nobody}}


class ConsumerGroups(Entities):
    def always(self, parent: ResourceId) -> tuple[str, ...]:
        del parent
        return (DEFAULT_GROUP,)

    def absent(self, identity: ResourceId) -> dict[str, Any] | None:
        known = identity.name.lower() == DEFAULT_GROUP.lower() and _is_there(self.state, identity.parent)
        return {"properties": {}} if known else None

    def check_place(self, identity: ResourceId, existing: Resource | None) -> None:
        if existing is None:
            most = MOST_CONSUMER_GROUPS.get(_sku(self.state, identity))
            self.check_number(identity, most, "consumer groups")


class AuthorizationRules(Entities):
    """A rule has two keys; they stand in no body, only `listKeys` tells them."""

    def check_place(self, identity: ResourceId, existing: Resource | None) -> None:
        if existing is None:
            self.check_number(identity, MOST_RULES, "authorization rules")

    def always(self, parent: ResourceId) -> tuple[str, ...]:
        return (ROOT_RULE,) if len(parent.names) == 1 else ()

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
        if parent is None or not _is_there(self.state, parent) or identity.name not in self.always(parent):
            return None
        return {"properties": {"rights": sorted(RIGHTS)}}

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


def _is_there(state: State, identity: ResourceId | None) -> bool:
    return identity is not None and identity.key in state.resources


def _sku(state: State, identity: ResourceId) -> str:
    """The tier of the namespace that something is in."""
    top = [identity, *identity.ancestors()][-1]
    namespace = state.resources.get(top.key)
    return str((namespace.body.get("sku") or {}).get("name")) if namespace else ""


def _host(state: State, namespace: str) -> str:
    return f"{namespace.lower()}.{SUFFIXES.get(state.cloud.name, 'servicebus.simulated.invalid')}"


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _keys() -> dict[str, str]:
    return {name: _new_key() for name in KEY_TYPES.values()}
