"""How Microsoft.DBforMySQL behaves; a real MySQL stands behind each flexible server where its program is at hand."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from broker.simulator import flexible_servers
from broker.simulator.arm_errors import ArmError
from broker.simulator.database_servers import DatabaseServers
from broker.simulator.durations import Durations
from broker.simulator.flexible_servers import FamilyKind, invalid, server_id
from broker.simulator.kinds import Kind
from broker.simulator.resource_ids import ResourceId
from broker.simulator.state import Resource, State

SERVERS = "Microsoft.DBforMySQL/flexibleServers"

# GB; the least and the most of a server (Azure, "Service tiers in Azure Database for MySQL").
STORAGE_SIZES = (20, 16384)
ONLY_ADMINISTRATOR = "activedirectory"


def kinds(state: State, durations: Durations, databases: DatabaseServers) -> list[Kind]:
    """The resource types of this provider."""
    every = (FlexibleServers, Databases, FirewallRules, Configurations, Administrators)
    return [kind(state, durations, databases) for kind in every]


class FlexibleServers(flexible_servers.Servers):
    type = SERVERS
    reserved_logins = frozenset(
        {"azure_superuser", "admin", "administrator", "root", "guest", "sa", "public"}
    )
    longest_login = 32
    backup_days = (1, 35)
    default_version = "8.0.21"
    default_sku = {"name": "Standard_D2ds_v4", "tier": "GeneralPurpose"}  # noqa: RUF012
    added = {"replicationRole": "None", "replicaCapacity": 10}  # noqa: RUF012

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        super().check_body(identity, body, existing)
        properties = body.get("properties") or {}
        mode = (properties.get("highAvailability") or {}).get("mode")
        auto_grow = (properties.get("storage") or {}).get("autoGrow")
        if mode in {"ZoneRedundant", "SameZone"} and auto_grow == "Disabled":
            raise invalid(
                "InvalidParameterValue", "Storage auto grow cannot be disabled for a server with standby."
            )

    def check_size(self, size: int) -> None:
        least, most = STORAGE_SIZES
        if not least <= size <= most:
            raise invalid("InvalidStorageSize", f"Storage size {size} GB is not between {least} and {most}.")

    def defaults(self) -> dict[str, dict[str, Any]]:
        earliest = datetime.now(UTC) + timedelta(minutes=10)
        return {
            "storage": {
                "storageSizeGB": 20,
                "iops": 360,
                "autoGrow": "Enabled",
                "autoIoScaling": "Disabled",
                "logOnDisk": "Disabled",
                "storageSku": "Premium_LRS",
            },
            "backup": {
                "backupRetentionDays": 7,
                "geoRedundantBackup": "Disabled",
                "earliestRestoreDate": earliest.isoformat(),
            },
            "network": {"publicNetworkAccess": "Enabled"},
            "highAvailability": {"mode": "Disabled", "state": "NotEnabled"},
        }

    def shown(self, resource: Resource) -> dict[str, Any]:
        shown = super().shown(resource)
        identities = (shown.get("identity") or {}).get("userAssignedIdentities")
        if identities:
            shown["identity"]["userAssignedIdentities"] = {
                one: {"principalId": _drawn(one, "principal"), "clientId": _drawn(one, "client")}
                for one in identities
            }
        return shown


class Databases(flexible_servers.Databases):
    type = f"{SERVERS}/databases"
    name_pattern = re.compile(r"[A-Za-z0-9_$-]{1,64}")
    system = frozenset({"mysql", "information_schema", "performance_schema", "sys"})
    defaults = {"charset": "utf8mb4", "collation": "utf8mb4_0900_ai_ci"}  # noqa: RUF012


class FirewallRules(flexible_servers.FirewallRules):
    type = f"{SERVERS}/firewallRules"


class Configurations(flexible_servers.Configurations):
    type = f"{SERVERS}/configurations"
    settings = {  # noqa: RUF012
        "require_secure_transport": ("Enumeration", "ON", True),
        "max_connections": ("Integer", "151", True),
        "wait_timeout": ("Integer", "28800", True),
        "time_zone": ("String", "SYSTEM", True),
        "aad_auth_only": ("Enumeration", "OFF", True),
    }

    def flag(self, value: bool) -> Any:  # noqa: FBT001 - as the base has it
        return str(value)


class Administrators(FamilyKind):
    """The one administrator of Microsoft Entra: whoever may make logins for identities of Entra."""

    type = f"{SERVERS}/administrators"

    def duration(self, what: str) -> timedelta:
        del what
        return self.durations.configuration

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        del existing
        if identity.name.lower() != ONLY_ADMINISTRATOR:
            raise invalid("InvalidParameterValue", "The administrator's name has to be 'ActiveDirectory'.")
        properties = body.get("properties") or {}
        missing = [
            name for name in ("login", "sid", "tenantId", "identityResourceId") if not properties.get(name)
        ]
        if missing:
            raise invalid("InvalidParameterValue", f"An administrator needs {', '.join(missing)}.")

    async def apply(self, resource: Resource, sent: Mapping[str, Any], *, created: bool) -> None:
        del sent, created
        server = self.state.resources.get(server_id(resource.id).key)
        identity = str(resource.body["properties"]["identityResourceId"])
        has = ((server.body.get("identity") if server else None) or {}).get("userAssignedIdentities") or {}
        if identity.lower() not in {str(one).lower() for one in has}:
            raise ArmError(
                400,
                "AadIdentityNotAssigned",
                f"The identity '{identity}' is not among the user-assigned identities of the server.",
            )


def _drawn(resource_id: str, what: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{resource_id.lower()}#{what}"))
