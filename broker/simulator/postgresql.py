"""How Microsoft.DBforPostgreSQL behaves; a real database server stands behind each flexible server."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import AddressValueError, IPv4Address
from typing import Any, ClassVar

from broker.simulator.arm_errors import ArmError
from broker.simulator.database_servers import DatabaseServers
from broker.simulator.durations import Durations
from broker.simulator.kinds import Kind
from broker.simulator.resource_ids import ResourceId
from broker.simulator.state import Resource, State, location_name

SERVERS = "Microsoft.DBforPostgreSQL/flexibleServers"

SERVER_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9]")
CHILD_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
DATABASE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$-]{0,62}")
SETTING_NAME = re.compile(r"[a-z][a-z0-9_.]{0,127}")
LOGIN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
RESERVED_LOGINS = frozenset(
    {"azure_superuser", "azure_pg_admin", "admin", "administrator", "root", "guest", "public"}
)
SYSTEM_DATABASES = frozenset({"postgres", "azure_sys", "azure_maintenance", "template0", "template1"})
STORAGE_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4095, 4096, 8192, 16384, 32767)
TIER_OF_SKU = {"standard_b": "Burstable", "standard_d": "GeneralPurpose", "standard_e": "MemoryOptimized"}
DEFAULT_VERSION = "17"
PASSWORD_CLASSES = (r"[a-z]", r"[A-Z]", r"[0-9]", r"[^A-Za-z0-9]")
SETTINGS = {
    "azure.extensions": ("Set", "", True),
    "require_secure_transport": ("Boolean", "on", True),
    "max_connections": ("Integer", "50", False),
    "log_min_duration_statement": ("Integer", "-1", True),
    "work_mem": ("Integer", "4096", True),
}


def kinds(state: State, durations: Durations, databases: DatabaseServers) -> list[Kind]:
    """The resource types of this provider."""
    every = (FlexibleServers, Databases, FirewallRules, Configurations)
    return [kind(state, durations, databases) for kind in every]


def _invalid(code: str, message: str, target: str | None = None) -> ArmError:
    return ArmError(400, code, message, target=target)


class _PostgresKind(Kind):
    holds_family = True
    begun: ClassVar[Mapping[str, int]] = {"create": 202, "update": 202, "delete": 202}
    working: ClassVar[Mapping[str, str]] = {
        "create": "Provisioning",
        "update": "Updating",
        "delete": "Dropping",
        "done": "Ready",
    }

    def __init__(self, state: State, durations: Durations, databases: DatabaseServers) -> None:
        super().__init__(state, durations)
        self.databases = databases

    def shown(self, resource: Resource) -> dict[str, Any]:
        return copy.deepcopy(resource.body)

    def is_real(self, resource: Resource) -> bool:
        server = self.state.resources.get(_server_id(resource.id).key)
        return not resource.foreign and (server is None or not server.foreign)


class FlexibleServers(_PostgresKind):
    """A server; its real one is created when the work ends, so that it cannot be reached earlier."""

    type = SERVERS

    def duration(self, what: str) -> timedelta:
        durations = self.durations
        return {
            "create": durations.server_create,
            "update": durations.server_update,
            "delete": durations.server_delete,
        }[what]

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        if not SERVER_NAME.fullmatch(identity.name):
            raise _invalid(
                "InvalidServerName",
                f"Specified server name '{identity.name}' is invalid: 3 to 63 lower-case letters, digits and "
                "hyphens, with no hyphen at either end.",
            )
        properties = body.get("properties") or {}
        self._check_location(body, existing)
        self._check_sku(body.get("sku"))
        self._check_storage(properties.get("storage"), existing)
        self._check_administrator(properties, existing)
        days = (properties.get("backup") or {}).get("backupRetentionDays")
        if isinstance(days, int) and not 7 <= days <= 35:
            raise _invalid(
                "InvalidParameterValue", "Invalid value given for parameter backupRetentionDays: 7 to 35."
            )

    def _check_location(self, body: Mapping[str, Any], existing: Resource | None) -> None:
        location = body.get("location")
        if not isinstance(location, str):
            return
        if location_name(location) not in self.state.cloud.locations:
            listed = ", ".join(self.state.cloud.locations)
            raise _invalid(
                "LocationNotAvailableForResourceType",
                f"The provided location '{location}' is not available for resource type '{SERVERS}'. "
                f"List of available regions for the resource type is '{listed}'.",
            )
        if existing is not None and location_name(existing.body["location"]) != location_name(location):
            raise ArmError(
                409,
                "InvalidResourceLocation",
                f"The resource '{existing.id.name}' already exists in location '{existing.body['location']}'. "
                f"A resource with the same name cannot be created in location '{location}'.",
            )

    def _check_sku(self, sku: Any) -> None:
        if not isinstance(sku, Mapping):
            return
        name, tier = sku.get("name"), sku.get("tier")
        if not isinstance(name, str) or not isinstance(tier, str):
            return
        wanted = next((t for prefix, t in TIER_OF_SKU.items() if name.lower().startswith(prefix)), None)
        if wanted is None or wanted.lower() != tier.lower():
            raise _invalid("InvalidSku", f"The sku '{name}' does not belong to the tier '{tier}'.", "sku")

    def _check_storage(self, storage: Any, existing: Resource | None) -> None:
        size = storage.get("storageSizeGB") if isinstance(storage, Mapping) else None
        if not isinstance(size, int):
            return
        if size not in STORAGE_SIZES:
            listed = ", ".join(str(each) for each in STORAGE_SIZES)
            raise _invalid("InvalidStorageSize", f"Storage size {size} GB is not one of {listed}.")
        present = existing.body["properties"].get("storage", {}).get("storageSizeGB", 0) if existing else 0
        if size < present:
            raise _invalid(
                "StorageSizeReductionNotSupported",
                f"The storage of a server cannot shrink: it has {present} GB, {size} GB were asked for.",
            )

    def _check_administrator(self, properties: Mapping[str, Any], existing: Resource | None) -> None:
        login = properties.get("administratorLogin")
        password = properties.get("administratorLoginPassword")
        if existing is None and not (login and password):
            raise _invalid(
                "InvalidParameterValue",
                "administratorLogin and administratorLoginPassword are needed to create a server.",
            )
        present = existing.body["properties"].get("administratorLogin") if existing else None
        if isinstance(login, str):
            if not LOGIN.fullmatch(login) or login.lower() in RESERVED_LOGINS or login.startswith("pg_"):
                raise _invalid("InvalidParameterValue", f"administratorLogin '{login}' is not allowed.")
            if present is not None and login != present:
                raise _invalid("PropertyChangeNotAllowed", "administratorLogin cannot be changed.")
        if isinstance(password, str):
            classes = sum(bool(re.search(each, password)) for each in PASSWORD_CLASSES)
            name = login if isinstance(login, str) else present
            if not 8 <= len(password) <= 128 or classes < 3 or (name and name.lower() in password.lower()):
                raise _invalid(
                    "PasswordNotComplex",
                    "The administrator's password must have 8 to 128 characters of at least three of the "
                    "four classes (lower case, upper case, digits, others) and must not hold the login.",
                )

    def check_place(self, identity: ResourceId, existing: Resource | None) -> None:
        if existing is None and self.state.is_taken(SERVERS, identity.name):
            raise ArmError(
                409, "ServerNameAlreadyExists", f"Specified server name '{identity.name}' is already used."
            )

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        settled = super().settled(identity, body, existing)
        settled["location"] = self.state.cloud.locations[location_name(settled["location"])]
        properties = settled.setdefault("properties", {})
        before = existing.body["properties"] if existing else {}
        for name in ("administratorLogin", "version", "availabilityZone", "createMode"):
            if name in before and name not in properties:
                properties[name] = before[name]
        properties.pop("createMode", None)
        properties.setdefault("version", DEFAULT_VERSION)
        for name, default in _defaults().items():
            given = properties.get(name) or {}
            properties[name] = {**default, **before.get(name, {}), **given}
        for name in ("state", "fullyQualifiedDomainName", "minorVersion"):
            if name in before:
                properties[name] = before[name]
        properties["replicationRole"] = "Primary"
        properties["replicaCapacity"] = 5
        if existing and "sku" not in settled and "sku" in existing.body:
            settled["sku"] = existing.body["sku"]
        settled.setdefault("sku", {"name": "Standard_D2ds_v5", "tier": "GeneralPurpose"})
        return settled

    def shown(self, resource: Resource) -> dict[str, Any]:
        body = super().shown(resource)
        body["properties"] = {**body.get("properties", {}), "state": resource.state}
        return body

    async def apply(self, resource: Resource, sent: Mapping[str, Any], *, created: bool) -> None:
        properties = sent.get("properties", {})
        if not self.is_real(resource):
            return
        if created:
            address = await self.databases.create(
                resource.id.name,
                administrator=properties["administratorLogin"],
                password=properties["administratorLoginPassword"],
                version=resource.body["properties"]["version"],
            )
            resource.body["properties"]["fullyQualifiedDomainName"] = address
        elif properties.get("administratorLoginPassword"):
            await self.databases.set_password(resource.id.name, properties["administratorLoginPassword"])

    async def remove(self, resource: Resource) -> None:
        if self.is_real(resource):
            await self.databases.delete(resource.id.name)


class Databases(_PostgresKind):
    type = f"{SERVERS}/databases"

    def duration(self, what: str) -> timedelta:
        del what
        return self.durations.database

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        if not DATABASE_NAME.fullmatch(identity.name):
            raise _invalid("InvalidDatabaseName", f"The database name '{identity.name}' is not valid.")
        if identity.name.lower() in SYSTEM_DATABASES:
            raise _invalid("InvalidDatabaseName", f"The database name '{identity.name}' is reserved.")
        if existing is not None:
            wanted = body.get("properties") or {}
            present = existing.body["properties"]
            changed = [name for name, value in wanted.items() if value != present.get(name)]
            if changed:
                raise _invalid("PropertyChangeNotAllowed", f"{changed[0]} of a database cannot be changed.")

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        settled = super().settled(identity, body, existing)
        given = settled.get("properties") or {}
        settled["properties"] = {"charset": "UTF8", "collation": "en_US.utf8", **given}
        return settled

    async def apply(self, resource: Resource, sent: Mapping[str, Any], *, created: bool) -> None:
        del sent
        if created and self.is_real(resource):
            properties = resource.body["properties"]
            await self.databases.create_database(
                _server_id(resource.id).name, resource.id.name, properties["charset"], properties["collation"]
            )

    async def remove(self, resource: Resource) -> None:
        if self.is_real(resource):
            await self.databases.drop_database(_server_id(resource.id).name, resource.id.name)


class FirewallRules(_PostgresKind):
    """A rule opens a range; the ranges of all rules of a server are in force together."""

    type = f"{SERVERS}/firewallRules"

    def duration(self, what: str) -> timedelta:
        del what
        return self.durations.firewall_rule

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        del existing
        if not CHILD_NAME.fullmatch(identity.name):
            raise _invalid("InvalidFirewallRuleName", f"The rule name '{identity.name}' is not valid.")
        properties = body.get("properties") or {}
        ends = [properties.get("startIpAddress"), properties.get("endIpAddress")]
        if not all(isinstance(end, str) for end in ends):
            return
        try:
            start, end = (IPv4Address(each) for each in ends)
        except AddressValueError as error:
            raise _invalid(
                "InvalidParameterValue", "A firewall rule's addresses must be IPv4 addresses."
            ) from error
        if start > end:
            raise _invalid("InvalidParameterValue", "startIpAddress must not be above endIpAddress.")

    async def apply(self, resource: Resource, sent: Mapping[str, Any], *, created: bool) -> None:
        del sent, created
        if self.is_real(resource):
            await self._open(resource, without=None)

    async def remove(self, resource: Resource) -> None:
        if self.is_real(resource):
            await self._open(resource, without=resource)

    async def _open(self, resource: Resource, without: Resource | None) -> None:
        server = _server_id(resource.id)
        rules = [
            rule
            for rule in self.state.below(server)
            if rule.id.type.lower() == self.type.lower() and rule is not without
        ]
        ranges = [
            (rule.body["properties"]["startIpAddress"], rule.body["properties"]["endIpAddress"])
            for rule in rules
        ]
        await self.databases.set_firewall(server.name, ranges)


class Configurations(_PostgresKind):
    """Server parameters: each is there from the start, none can be deleted."""

    type = f"{SERVERS}/configurations"
    deletable = False

    def duration(self, what: str) -> timedelta:
        del what
        return self.durations.configuration

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        del body, existing
        if not SETTING_NAME.fullmatch(identity.name):
            raise _invalid("ConfigurationNotExists", f"The configuration '{identity.name}' does not exist.")

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        settled = super().settled(identity, body, existing)
        kind, default, dynamic = SETTINGS.get(identity.name.lower(), ("String", "", True))
        given = settled.get("properties") or {}
        settled["properties"] = {
            "value": default,
            "source": "user-override",
            **given,
            "defaultValue": default,
            "dataType": kind,
            "isDynamicConfig": dynamic,
            "isReadOnly": False,
            "isConfigPendingRestart": False,
        }
        return settled

    def absent(self, identity: ResourceId) -> dict[str, Any] | None:
        server = self.state.resources.get(_server_id(identity).key)
        if server is None or identity.name.lower() not in SETTINGS:
            return None
        return self.settled(identity, {"properties": {"source": "system-default"}}, None)

    async def apply(self, resource: Resource, sent: Mapping[str, Any], *, created: bool) -> None:
        del sent, created
        if self.is_real(resource):
            await self.databases.set_configuration(
                _server_id(resource.id).name, resource.id.name, str(resource.body["properties"]["value"])
            )


def _server_id(identity: ResourceId) -> ResourceId:
    return ResourceId(
        identity.subscription, identity.group, identity.namespace, identity.types[:1], identity.names[:1]
    )


def _defaults() -> dict[str, dict[str, Any]]:
    earliest = datetime.now(UTC) + timedelta(minutes=10)
    return {
        "storage": {"storageSizeGB": 32, "autoGrow": "Disabled", "tier": "P4", "iops": 120},
        "backup": {
            "backupRetentionDays": 7,
            "geoRedundantBackup": "Disabled",
            "earliestRestoreDate": earliest.isoformat(),
        },
        "network": {"publicNetworkAccess": "Enabled"},
        "highAvailability": {"mode": "Disabled", "state": "NotEnabled"},
        "authConfig": {"activeDirectoryAuth": "Disabled", "passwordAuth": "Enabled"},
    }
