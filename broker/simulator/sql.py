"""How Microsoft.Sql behaves towards Resource Manager; servers and databases by name, and nothing to sign in to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from broker.simulator.arm_errors import ArmError
from broker.simulator.durations import Durations
from broker.simulator.kinds import Kind
from broker.simulator.resource_ids import ResourceId
from broker.simulator.state import Resource, State, location_name

SERVERS = "Microsoft.Sql/servers"
DATABASES = f"{SERVERS}/databases"
SERVER_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
DATABASE_NAME = re.compile(r"[^<>*%&:\\/?\x00-\x1f]{0,127}[^<>*%&:\\/?\x00-\x1f. ]")
# Nobody can sign in here: no SQL Server can be had that would stand behind it.
SUFFIX = "database.simulated.invalid"
GB = 1024**3
# Objectives counted in transaction units, each with the most that Azure keeps for it, in GB.
UNITS: Mapping[str, int] = {
    "Basic": 2,
    **dict.fromkeys(("S0", "S1", "S2"), 250),
    **dict.fromkeys(("S3", "S4", "S6", "S7", "S9", "S12", "P1", "P2", "P4", "P6"), 1024),
    **dict.fromkeys(("P11", "P15"), 4096),
}
TIERS: Mapping[str, str] = {
    "GP": "GeneralPurpose",
    "GP_S": "GeneralPurpose",
    "BC": "BusinessCritical",
    "HS": "Hyperscale",
}
# What Azure shows as the capacity of those.
CAPACITIES: Mapping[str, int] = {
    "Basic": 5,
    **dict(zip(("S0", "S1", "S2", "S3", "S4"), (10, 20, 50, 100, 200), strict=True)),
    **dict(zip(("S6", "S7", "S9", "S12"), (400, 800, 1600, 3000), strict=True)),
    **dict(zip(("P1", "P2", "P4", "P6", "P11", "P15"), (125, 250, 500, 1000, 1750, 4000), strict=True)),
}
BY_CORES = re.compile(r"(?P<edition>GP_S|GP|BC|HS)_Gen5_(?P<cores>\d{1,3})")
CORES = frozenset({1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 24, 32, 40, 80})
# The fewest cores that a serverless database keeps are an eighth of the most, and at least half a core.
FEWEST = 0.5
SHORTEST_PAUSE = 15


def kinds(state: State, durations: Durations) -> list[Kind]:
    """The resource types of this provider that do more than to be stored."""
    return [Servers(state, durations), Databases(state, durations), ShortTermRetention(state, durations)]


class Servers(Kind):
    type = SERVERS
    begun: ClassVar[Mapping[str, int]] = {"create": 202, "update": 202, "delete": 202}

    def duration(self, what: str) -> timedelta:
        return self.durations.sql_server if what != "update" else super().duration(what)

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        if not SERVER_NAME.fullmatch(identity.name):
            raise ArmError(
                400,
                "InvalidServerName",
                f"Specified server name '{identity.name}' is invalid: at most 63 lower-case letters, digits and "
                "hyphens, with no hyphen at either end.",
            )
        _check_location(self.state, identity, body)
        properties = body.get("properties") or {}
        if existing is None and not properties.get("administratorLoginPassword"):
            raise ArmError(400, "InvalidParameterValue", "A new server needs administratorLoginPassword.")

    def check_place(self, identity: ResourceId, existing: Resource | None) -> None:
        if existing is None and self.state.is_taken(SERVERS, identity.name):
            raise ArmError(409, "NameAlreadyExists", f"The name '{identity.name}' already exists.")

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        settled = super().settled(identity, body, existing)
        settled["kind"] = "v12.0"
        settled["properties"] = {
            "version": "12.0",
            "minimalTlsVersion": "1.2",
            "publicNetworkAccess": "Enabled",
            **(settled.get("properties") or {}),
            "state": "Ready",
            "fullyQualifiedDomainName": f"{identity.name}.{SUFFIX}",
        }
        return settled

    def shown(self, resource: Resource) -> dict[str, Any]:
        return dict(resource.body)


class Databases(Kind):
    type = DATABASES
    begun: ClassVar[Mapping[str, int]] = {"create": 202, "update": 202, "delete": 202}

    def duration(self, what: str) -> timedelta:
        return self.durations.sql_database if what != "delete" else super().duration(what)

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        if not DATABASE_NAME.fullmatch(identity.name):
            raise ArmError(400, "InvalidDatabaseName", f"The database name '{identity.name}' is invalid.")
        _check_location(self.state, identity, body)
        name = (body.get("sku") or {}).get("name")
        if isinstance(name, str):
            _check_objective(name, body.get("properties") or {}, existing)

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        settled = super().settled(identity, body, existing)
        given = settled.get("properties") or {}
        name = str((settled.get("sku") or {}).get("name") or "GP_Gen5_2")
        settled["sku"] = _shown_objective(name)
        defaults = {
            "collation": "SQL_Latin1_General_CP1_CI_AS",
            "maxSizeBytes": 32 * GB,
            "zoneRedundant": False,
        }
        settled["properties"] = {
            **defaults,
            **{key: value for key, value in given.items() if value is not None},
            "status": "Online",
            "currentServiceObjectiveName": name,
        }
        return settled

    def shown(self, resource: Resource) -> dict[str, Any]:
        return dict(resource.body)


class ShortTermRetention(Kind):
    type = f"{DATABASES}/backupShortTermRetentionPolicies"

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        del existing
        days = (body.get("properties") or {}).get("retentionDays")
        database = self.state.resources.get(identity.parent.key) if identity.parent else None
        basic = database is not None and database.body["sku"]["name"] == "Basic"
        most = 7 if basic else 35
        if isinstance(days, int) and not 1 <= days <= most:
            raise ArmError(
                400, "InvalidBackupRetentionPeriod", f"A retention of {days} days is not 1 to {most}."
            )


def _check_location(state: State, identity: ResourceId, body: Mapping[str, Any]) -> None:
    location = body.get("location")
    if isinstance(location, str) and location_name(location) not in state.cloud.locations:
        raise ArmError(
            400,
            "LocationNotAvailableForResourceType",
            f"The provided location '{location}' is not available for resource type '{identity.type}'.",
        )


def _check_objective(name: str, properties: Mapping[str, Any], existing: Resource | None) -> None:
    by_cores = BY_CORES.fullmatch(name)
    if name not in UNITS and (by_cores is None or int(by_cores["cores"]) not in CORES):
        raise ArmError(400, "InvalidSkuName", f"The service objective '{name}' is not supported.")
    before = str(existing.body["sku"]["tier"]) if existing else ""
    if before == "Hyperscale" and not name.startswith("HS_"):
        raise ArmError(
            400,
            "UpdateNotSupported",
            f"A database of the tier Hyperscale cannot be changed to the service objective '{name}'.",
        )
    size = properties.get("maxSizeBytes")
    if isinstance(size, int):
        edition = by_cores["edition"] if by_cores else ""
        most = UNITS.get(
            name, 4096 if edition != "GP" or int(by_cores["cores"] if by_cores else 0) > 2 else 1024
        )
        if size > most * GB or edition == "HS":
            raise ArmError(
                400,
                "InvalidMaxSizeTierCombination",
                f"The max size {size // GB} GB is not supported by the service objective '{name}'.",
            )
    if properties.get("zoneRedundant") is True and name.startswith(("Basic", "S")):
        raise ArmError(400, "ZoneRedundancyNotSupported", f"'{name}' cannot be zone redundant.")
    if by_cores and by_cores["edition"] == "GP_S":
        _check_pausing(int(by_cores["cores"]), properties)


def _check_pausing(cores: int, properties: Mapping[str, Any]) -> None:
    fewest, delay = properties.get("minCapacity"), properties.get("autoPauseDelay")
    if isinstance(fewest, int | float) and not max(FEWEST, cores / 8) <= fewest <= cores:
        raise ArmError(
            400,
            "InvalidMinCapacity",
            f"The minimum capacity {fewest} is not from {max(FEWEST, cores / 8)} to {cores}.",
        )
    if isinstance(delay, int) and delay != -1 and delay < SHORTEST_PAUSE:
        raise ArmError(400, "InvalidAutoPauseDelay", f"The auto-pause delay {delay} is less than 15 minutes.")


def _shown_objective(name: str) -> dict[str, Any]:
    """As Azure shows it: cores stand beside the name, not in it."""
    by_cores = BY_CORES.fullmatch(name)
    if by_cores is None:
        tier = {"B": "Basic", "S": "Standard", "P": "Premium"}[name[0]]
        return {"name": tier if name != "Basic" else name, "tier": tier, "capacity": CAPACITIES[name]}
    edition = by_cores["edition"]
    return {
        "name": f"{edition}_Gen5",
        "tier": TIERS[edition],
        "family": "Gen5",
        "capacity": int(by_cores["cores"]),
    }
