"""What the flexible servers of PostgreSQL and MySQL have in common; a real database server stands behind each."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import AddressValueError, IPv4Address
from typing import Any, ClassVar

from broker.simulator.arm_errors import ArmError
from broker.simulator.database_servers import DatabaseServers
from broker.simulator.durations import Durations
from broker.simulator.kinds import Kind
from broker.simulator.resource_ids import ResourceId
from broker.simulator.state import Resource, State, location_name

SERVER_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9]")
CHILD_NAME = re.compile(r"[A-Za-z0-9_-]{1,128}")
SETTING_NAME = re.compile(r"[a-z][a-z0-9_.]{0,127}")
TIER_OF_SKU = {"standard_b": "Burstable", "standard_d": "GeneralPurpose", "standard_e": "MemoryOptimized"}
LOGIN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
PASSWORD_CLASSES = (r"[a-z]", r"[A-Z]", r"[0-9]", r"[^A-Za-z0-9]")


def invalid(code: str, message: str, target: str | None = None) -> ArmError:
    return ArmError(400, code, message, target=target)


class FamilyKind(Kind):
    """A type of the family; what differs from product to product stands in each one's classes."""

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
        server = self.state.resources.get(server_id(resource.id).key)
        return not resource.foreign and (server is None or not server.foreign)

    async def open_gate(self, server: ResourceId, rules_type: str, *, without: Resource | None) -> None:
        """Let in the ranges of a server's rules; nobody, where it has no public network access."""
        known = self.state.resources.get(server.key)
        network = (known.body["properties"].get("network") if known else None) or {}
        ranges = [
            (rule.body["properties"]["startIpAddress"], rule.body["properties"]["endIpAddress"])
            for rule in self.state.below(server)
            if rule.id.type.lower() == rules_type.lower() and rule is not without
        ]
        closed = network.get("publicNetworkAccess") == "Disabled"
        await self.databases.set_firewall(server.name, [] if closed else ranges)


class Servers(FamilyKind):
    """A server; its real one is created when the work ends, so that it cannot be reached earlier."""

    reserved_logins: ClassVar[frozenset[str]] = frozenset()
    longest_login: ClassVar[int] = 63
    backup_days: ClassVar[tuple[int, int]] = (7, 35)
    default_version: ClassVar[str]
    default_sku: ClassVar[Mapping[str, str]]
    # What a server has of its own, besides what was asked for.
    added: ClassVar[Mapping[str, Any]] = {}

    def check_size(self, size: int) -> None:
        """
        Refuse a size of the disk, in GB, that there is not.

        Raises:
            ArmError: 400, which sizes there are.
        """

    def is_reserved(self, login: str) -> bool:
        """Whether Azure keeps a login, in lower case, to itself."""
        return login in self.reserved_logins

    def defaults(self) -> dict[str, dict[str, Any]]:
        """What Azure fills in, by property."""
        return {}

    def duration(self, what: str) -> timedelta:
        durations = self.durations
        return {
            "create": durations.server_create,
            "update": durations.server_update,
            "delete": durations.server_delete,
        }[what]

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        if not SERVER_NAME.fullmatch(identity.name):
            raise invalid(
                "InvalidServerName",
                f"Specified server name '{identity.name}' is invalid: 3 to 63 lower-case letters, digits and "
                "hyphens, with no hyphen at either end.",
            )
        properties = body.get("properties") or {}
        self._check_location(body, existing)
        self._check_sku(body.get("sku"))
        self._check_high_availability(body)
        self._check_storage(properties.get("storage"), existing)
        self._check_administrator(properties, existing)
        days = (properties.get("backup") or {}).get("backupRetentionDays")
        least, most = self.backup_days
        if isinstance(days, int) and not least <= days <= most:
            raise invalid(
                "InvalidParameterValue",
                f"Invalid value given for parameter backupRetentionDays: {least} to {most}.",
            )

    def _check_location(self, body: Mapping[str, Any], existing: Resource | None) -> None:
        location = body.get("location")
        if not isinstance(location, str):
            return
        if location_name(location) not in self.state.cloud.locations:
            listed = ", ".join(self.state.cloud.locations)
            raise invalid(
                "LocationNotAvailableForResourceType",
                f"The provided location '{location}' is not available for resource type '{self.type}'. "
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
            raise invalid("InvalidSku", f"The sku '{name}' does not belong to the tier '{tier}'.", "sku")

    def _check_high_availability(self, body: Mapping[str, Any]) -> None:
        mode = ((body.get("properties") or {}).get("highAvailability") or {}).get("mode")
        tier = (body.get("sku") or {}).get("tier")
        if tier == "Burstable" and isinstance(mode, str) and mode != "Disabled":
            raise invalid("HighAvailabilityNotSupported", "The Burstable tier has no high availability.")

    def _check_storage(self, storage: Any, existing: Resource | None) -> None:
        size = storage.get("storageSizeGB") if isinstance(storage, Mapping) else None
        if not isinstance(size, int):
            return
        self.check_size(size)
        present = existing.body["properties"].get("storage", {}).get("storageSizeGB", 0) if existing else 0
        if size < present:
            raise invalid(
                "StorageSizeReductionNotSupported",
                f"The storage of a server cannot shrink: it has {present} GB, {size} GB were asked for.",
            )

    def _check_administrator(self, properties: Mapping[str, Any], existing: Resource | None) -> None:
        login = properties.get("administratorLogin")
        password = properties.get("administratorLoginPassword")
        if existing is None and not (login and password):
            raise invalid(
                "InvalidParameterValue",
                "administratorLogin and administratorLoginPassword are needed to create a server.",
            )
        present = existing.body["properties"].get("administratorLogin") if existing else None
        if isinstance(login, str):
            fits = LOGIN.fullmatch(login) and len(login) <= self.longest_login
            if not fits or self.is_reserved(login.lower()):
                raise invalid("InvalidParameterValue", f"administratorLogin '{login}' is not allowed.")
            if present is not None and login != present:
                raise invalid("PropertyChangeNotAllowed", "administratorLogin cannot be changed.")
        if isinstance(password, str):
            classes = sum(bool(re.search(each, password)) for each in PASSWORD_CLASSES)
            name = login if isinstance(login, str) else present
            if not 8 <= len(password) <= 128 or classes < 3 or (name and name.lower() in password.lower()):
                raise invalid(
                    "PasswordNotComplex",
                    "The administrator's password must have 8 to 128 characters of at least three of the "
                    "four classes (lower case, upper case, digits, others) and must not hold the login.",
                )

    def check_place(self, identity: ResourceId, existing: Resource | None) -> None:
        if existing is None and self.state.is_taken(self.type, identity.name):
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
        properties.setdefault("version", self.default_version)
        for name, default in self.defaults().items():
            given = properties.get(name) or {}
            properties[name] = {**default, **before.get(name, {}), **given}
        for name in ("state", "fullyQualifiedDomainName", "minorVersion"):
            if name in before:
                properties[name] = before[name]
        properties.update(self.added)
        if existing and "sku" not in settled and "sku" in existing.body:
            settled["sku"] = existing.body["sku"]
        settled.setdefault("sku", dict(self.default_sku))
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
        if not created:
            await self.open_gate(resource.id, f"{self.type}/firewallRules", without=None)

    async def remove(self, resource: Resource) -> None:
        if self.is_real(resource):
            await self.databases.delete(resource.id.name)


class Databases(FamilyKind):
    """A database of a server; it belongs to the administrator."""

    name_pattern: ClassVar[re.Pattern[str]]
    system: ClassVar[frozenset[str]]
    defaults: ClassVar[Mapping[str, str]]

    def duration(self, what: str) -> timedelta:
        del what
        return self.durations.database

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        if not self.name_pattern.fullmatch(identity.name):
            raise invalid("InvalidDatabaseName", f"The database name '{identity.name}' is not valid.")
        if identity.name.lower() in self.system:
            raise invalid("InvalidDatabaseName", f"The database name '{identity.name}' is reserved.")
        if existing is not None:
            wanted = body.get("properties") or {}
            present = existing.body["properties"]
            changed = [name for name, value in wanted.items() if value != present.get(name)]
            if changed:
                raise invalid("PropertyChangeNotAllowed", f"{changed[0]} of a database cannot be changed.")

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        settled = super().settled(identity, body, existing)
        given = settled.get("properties") or {}
        settled["properties"] = {**self.defaults, **given}
        return settled

    async def apply(self, resource: Resource, sent: Mapping[str, Any], *, created: bool) -> None:
        del sent
        if created and self.is_real(resource):
            properties = resource.body["properties"]
            await self.databases.create_database(
                server_id(resource.id).name, resource.id.name, properties["charset"], properties["collation"]
            )

    async def remove(self, resource: Resource) -> None:
        if self.is_real(resource):
            await self.databases.drop_database(server_id(resource.id).name, resource.id.name)


class FirewallRules(FamilyKind):
    """A rule opens a range; the ranges of all rules of a server are in force together."""

    def duration(self, what: str) -> timedelta:
        del what
        return self.durations.firewall_rule

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        del existing
        if not CHILD_NAME.fullmatch(identity.name):
            raise invalid("InvalidFirewallRuleName", f"The rule name '{identity.name}' is not valid.")
        properties = body.get("properties") or {}
        ends = [properties.get("startIpAddress"), properties.get("endIpAddress")]
        if not all(isinstance(end, str) for end in ends):
            return
        try:
            start, end = (IPv4Address(each) for each in ends)
        except AddressValueError as error:
            raise invalid(
                "InvalidParameterValue", "A firewall rule's addresses must be IPv4 addresses."
            ) from error
        if start > end:
            raise invalid("InvalidParameterValue", "startIpAddress must not be above endIpAddress.")

    async def apply(self, resource: Resource, sent: Mapping[str, Any], *, created: bool) -> None:
        del sent, created
        if self.is_real(resource):
            await self.open_gate(server_id(resource.id), self.type, without=None)

    async def remove(self, resource: Resource) -> None:
        if self.is_real(resource):
            await self.open_gate(server_id(resource.id), self.type, without=resource)


class Configurations(FamilyKind):
    """Server parameters: each is there from the start, none can be deleted."""

    deletable = False
    # By name: type, value, and whether it is in force without a restart.
    settings: ClassVar[Mapping[str, tuple[str, str, bool]]]

    def flag(self, value: bool) -> Any:  # noqa: FBT001 - what the provider's own property holds
        """A yes or no as the provider shows it."""
        return value

    def duration(self, what: str) -> timedelta:
        del what
        return self.durations.configuration

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        del body, existing
        if not SETTING_NAME.fullmatch(identity.name):
            raise invalid("ConfigurationNotExists", f"The configuration '{identity.name}' does not exist.")

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        settled = super().settled(identity, body, existing)
        kind, default, dynamic = self.settings.get(identity.name.lower(), ("String", "", True))
        given = settled.get("properties") or {}
        settled["properties"] = {
            "value": default,
            "source": "user-override",
            **given,
            "defaultValue": default,
            "dataType": kind,
            **{
                name: self.flag(value)
                for name, value in (
                    ("isDynamicConfig", dynamic),
                    ("isReadOnly", False),
                    ("isConfigPendingRestart", False),
                )
            },
        }
        return settled

    def absent(self, identity: ResourceId) -> dict[str, Any] | None:
        server = self.state.resources.get(server_id(identity).key)
        if server is None or identity.name.lower() not in self.settings:
            return None
        return self.settled(identity, {"properties": {"source": "system-default"}}, None)

    async def apply(self, resource: Resource, sent: Mapping[str, Any], *, created: bool) -> None:
        del sent, created
        if self.is_real(resource):
            await self.databases.set_configuration(
                server_id(resource.id).name, resource.id.name, str(resource.body["properties"]["value"])
            )


def server_id(identity: ResourceId) -> ResourceId:
    return ResourceId(
        identity.subscription, identity.group, identity.namespace, identity.types[:1], identity.names[:1]
    )
