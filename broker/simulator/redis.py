"""How Microsoft.Cache/redisEnterprise behaves; a real Redis server may stand behind each cache."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Protocol

from broker.simulator.arm_errors import ArmError
from broker.simulator.durations import Durations
from broker.simulator.kinds import Kind
from broker.simulator.resource_ids import ResourceId
from broker.simulator.state import Resource, State, location_name

CLUSTERS = "Microsoft.Cache/redisEnterprise"
DATABASES = f"{CLUSTERS}/databases"
ASSIGNMENTS = f"{DATABASES}/accessPolicyAssignments"
PORT = 10000
CLUSTER_NAME = re.compile(r"(?=.{1,60}\Z)[A-Za-z0-9]+(-[A-Za-z0-9]+)*")
ASSIGNMENT_NAME = re.compile(r"[A-Za-z0-9]{1,60}")
OBJECT_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
SKU = re.compile(r"(Balanced_B|MemoryOptimized_M|ComputeOptimized_X|FlashOptimized_A)([0-9]+)")
KEYS: Mapping[str, str] = {"primary": "primaryKey", "secondary": "secondaryKey"}
FOR_GOOD = ("port", "modules")


class Caches(Protocol):
    """Real Redis servers, one for each simulated cache."""

    async def create(self, name: str) -> str:
        """Start one that lets in nobody, and give its loopback address."""

    async def open_to(self, name: str, keys: Sequence[str]) -> None:
        """Let in whoever has one of *keys*; without any, end all connections."""

    async def listen(self, name: str, port: int | None) -> None:
        """Take connections on *port* of its address, or, with None, none at all."""

    async def delete(self, name: str) -> None:
        """Stop it and remove its data; one that is gone is no error."""

    async def close(self) -> None:
        """Stop all of them."""


def kinds(state: State, durations: Durations, caches: Caches | None) -> list[Kind]:
    """The resource types of this provider; without *caches* host names are as in the cloud and no more."""
    return [kind(state, durations, caches) for kind in (Clusters, Databases, Assignments)]


def _invalid(message: str) -> ArmError:
    return ArmError(400, "BadRequest", message)


class _RedisKind(Kind):
    holds_family = True
    begun: ClassVar[Mapping[str, int]] = {"create": 201, "update": 200, "delete": 202}

    def __init__(self, state: State, durations: Durations, caches: Caches | None) -> None:
        super().__init__(state, durations)
        self.caches = caches

    async def enter(self, cluster: ResourceId) -> None:
        """Make the real server's door what the resources say now."""
        found = self.state.resources.get(cluster.key)
        if self.caches is None or found is None or found.foreign:
            return
        database = next((one for one in self.state.below(cluster) if one.id.type == DATABASES), None)
        said = database.body["properties"] if database else {}
        keys = self.state.access_keys.get(database.id.key, {}) if database else {}
        allowed = said.get("accessKeysAuthentication") == "Enabled"
        await self.caches.open_to(cluster.name, list(keys.values()) if allowed else [])
        public = found.body["properties"]["publicNetworkAccess"] == "Enabled"
        await self.caches.listen(cluster.name, said.get("port", PORT) if public else None)


class Clusters(_RedisKind):
    type = CLUSTERS

    def duration(self, what: str) -> timedelta:
        whole = self.durations.redis_cluster
        return whole if what == "create" else whole / 2

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        if not CLUSTER_NAME.fullmatch(identity.name):
            raise _invalid(
                f"The name '{identity.name}' is invalid: 1 to 60 letters, digits and single hyphens."
            )
        location = body.get("location")
        if isinstance(location, str):
            if location_name(location) not in self.state.cloud.locations:
                raise ArmError(
                    400,
                    "LocationNotAvailableForResourceType",
                    f"The provided location '{location}' is not available for resource type '{CLUSTERS}'.",
                )
            if existing is not None and location_name(existing.body["location"]) != location_name(location):
                raise ArmError(
                    409,
                    "InvalidResourceLocation",
                    f"The resource '{identity.name}' already exists in location '{existing.body['location']}'.",
                )
        sku = body.get("sku")
        name = sku.get("name") if isinstance(sku, Mapping) else None
        if isinstance(name, str) and SKU.fullmatch(name) and sku and sku.get("capacity") is not None:
            raise _invalid(f"The SKU '{name}' takes no capacity.")
        if (body.get("properties") or {}).get("minimumTlsVersion") in {"1.0", "1.1"}:
            raise _invalid("TLS 1.0 and 1.1 are obsolete.")

    def check_place(self, identity: ResourceId, existing: Resource | None) -> None:
        if existing is None and self.state.is_taken(CLUSTERS, identity.name):
            raise ArmError(409, "NameNotAvailable", f"The name '{identity.name}' is not available.")

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        settled = super().settled(identity, body, existing)
        before = existing.body["properties"] if existing else {}
        region = location_name(settled["location"])
        suffix = "redis.azure.net" if self.state.cloud.name == "public" else "redis.simulated.invalid"
        settled["properties"] = {
            "highAvailability": "Enabled",
            "minimumTlsVersion": "1.2",
            "publicNetworkAccess": "Disabled",
            "hostName": f"{identity.name}.{region}.{suffix}",
            "redundancyMode": "LR",
            **before,
            **(settled.get("properties") or {}),
            "resourceState": "Running",
        }
        settled["kind"] = "v2"
        return settled

    async def apply(self, resource: Resource, sent: Mapping[str, Any], *, created: bool) -> None:
        del sent
        if created and self.caches is not None and not resource.foreign:
            resource.body["properties"]["hostName"] = await self.caches.create(resource.id.name)
        await self.enter(resource.id)

    async def remove(self, resource: Resource) -> None:
        if self.caches is not None and not resource.foreign:
            await self.caches.delete(resource.id.name)

    def action(self, resource: Resource, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        if name != "listskusforscaling":
            return super().action(resource, name, body)
        model = self.state.types.find(CLUSTERS, resource.api_version)
        known = model.models["Sku"].properties["name"].values if model else ()
        sizes = {sku: found for sku in known if (found := SKU.fullmatch(str(sku)))}
        return {"skus": [{"name": sku, "sizeInGB": float(found[2]) or 0.5} for sku, found in sizes.items()]}


class Databases(_RedisKind):
    """The one database of a cluster; its keys stand in no body, only `listKeys` tells them."""

    type = DATABASES
    long_actions = frozenset({"regeneratekey"})

    def duration(self, what: str) -> timedelta:
        del what
        return self.durations.redis_database

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        if identity.name != "default":
            raise _invalid(f"The database name '{identity.name}' is invalid: it has to be 'default'.")
        properties = body.get("properties") or {}
        before = existing.body["properties"] if existing else {}
        for name in FOR_GOOD:
            if name in properties and name in before and properties[name] != before[name]:
                raise _invalid(f"{name} of a database cannot be changed.")
        policy, former = properties.get("clusteringPolicy"), before.get("clusteringPolicy")
        if isinstance(policy, str) and former not in {None, "NoCluster", policy}:
            raise _invalid(f"clusteringPolicy cannot be changed from '{former}'.")
        self._check_modules({**before, **properties})
        kept = properties.get("persistence")
        if isinstance(kept, Mapping) and kept.get("aofEnabled") is True and kept.get("rdbEnabled") is True:
            raise _invalid("Only one kind of persistence can be enabled.")

    def _check_modules(self, properties: Mapping[str, Any]) -> None:
        modules = properties.get("modules")
        given = modules if isinstance(modules, list) else []
        if "RediSearch" not in [one.get("name") for one in given if isinstance(one, Mapping)]:
            return
        for name, needed in (("clusteringPolicy", "EnterpriseCluster"), ("evictionPolicy", "NoEviction")):
            if isinstance(properties.get(name), str) and properties[name] != needed:
                raise _invalid(f"The module RediSearch needs {name} '{needed}', not '{properties[name]}'.")

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        settled = super().settled(identity, body, existing)
        settled["properties"] = {
            "clientProtocol": "Encrypted",
            "port": PORT,
            "clusteringPolicy": "OSSCluster",
            "evictionPolicy": "VolatileLRU",
            "modules": [],
            # Off unless it is asked for, at this api-version.
            "accessKeysAuthentication": "Disabled",
            "redisVersion": "7.4",
            **(existing.body["properties"] if existing else {}),
            **(settled.get("properties") or {}),
            "resourceState": "Running",
        }
        return settled

    async def apply(self, resource: Resource, sent: Mapping[str, Any], *, created: bool) -> None:
        del sent
        if created:
            self.state.access_keys[resource.id.key] = _keys()
        await self.enter(_cluster_of(resource.id))

    async def remove(self, resource: Resource) -> None:
        self.state.access_keys.pop(resource.id.key, None)
        await self.enter(_cluster_of(resource.id))

    def check_action(self, resource: Resource, name: str, body: Mapping[str, Any] | None) -> None:
        del resource
        if name == "regeneratekey" and _which(body) is None:
            raise _invalid("keyType must be Primary or Secondary.")

    def action(self, resource: Resource, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        keys = self.state.access_keys.setdefault(resource.id.key, _keys())
        which = _which(body)
        if name == "regeneratekey" and which is not None:
            keys[which] = _new_key()
        elif name != "listkeys":
            return super().action(resource, name, body)
        return dict(keys)

    async def acted(self, resource: Resource, name: str) -> None:
        del name
        await self.enter(_cluster_of(resource.id))


class Assignments(_RedisKind):
    """Access of one principal; that tokens are let in is not played."""

    type = ASSIGNMENTS

    def duration(self, what: str) -> timedelta:
        del what
        return self.durations.redis_database / 2

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        del existing
        if not ASSIGNMENT_NAME.fullmatch(identity.name):
            raise _invalid(f"The name '{identity.name}' is invalid: 1 to 60 letters and digits.")
        properties = body.get("properties") or {}
        if properties.get("accessPolicyName") != "default":
            raise _invalid("The only access policy is 'default'.")
        if not OBJECT_ID.fullmatch(str((properties.get("user") or {}).get("objectId"))):
            raise _invalid("user.objectId must be the object id of a principal.")


def _cluster_of(identity: ResourceId) -> ResourceId:
    while identity.parent is not None:
        identity = identity.parent
    return identity


def _which(body: Mapping[str, Any] | None) -> str | None:
    return KEYS.get(str((body or {}).get("keyType", "")).lower())


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _keys() -> dict[str, str]:
    return {name: _new_key() for name in KEYS.values()}
