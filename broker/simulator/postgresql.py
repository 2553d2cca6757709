"""How Microsoft.DBforPostgreSQL behaves; a real PostgreSQL stands behind each flexible server."""

from __future__ import annotations

import re
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

SERVERS = "Microsoft.DBforPostgreSQL/flexibleServers"

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
STORAGE_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4095, 4096, 8192, 16384, 32767)


def kinds(state: State, durations: Durations, databases: DatabaseServers) -> list[Kind]:
    """The resource types of this provider."""
    every = (FlexibleServers, Databases, FirewallRules, Configurations, Administrators)
    return [kind(state, durations, databases) for kind in every]


class FlexibleServers(flexible_servers.Servers):
    type = SERVERS
    reserved_logins = frozenset(
        {"azure_superuser", "azure_pg_admin", "admin", "administrator", "root", "guest", "public"}
    )
    default_version = "17"
    default_sku = {"name": "Standard_D2ds_v5", "tier": "GeneralPurpose"}  # noqa: RUF012
    added = {"replicationRole": "Primary", "replicaCapacity": 5}  # noqa: RUF012

    def check_size(self, size: int) -> None:
        if size not in STORAGE_SIZES:
            listed = ", ".join(str(each) for each in STORAGE_SIZES)
            raise invalid("InvalidStorageSize", f"Storage size {size} GB is not one of {listed}.")

    def is_reserved(self, login: str) -> bool:
        return super().is_reserved(login) or login.startswith("pg_")

    def defaults(self) -> dict[str, dict[str, Any]]:
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


class Databases(flexible_servers.Databases):
    type = f"{SERVERS}/databases"
    name_pattern = re.compile(r"[A-Za-z_][A-Za-z0-9_$-]{0,62}")
    system = frozenset({"postgres", "azure_sys", "azure_maintenance", "template0", "template1"})
    defaults = {"charset": "UTF8", "collation": "en_US.utf8"}  # noqa: RUF012


class FirewallRules(flexible_servers.FirewallRules):
    type = f"{SERVERS}/firewallRules"


class Configurations(flexible_servers.Configurations):
    type = f"{SERVERS}/configurations"
    settings = {  # noqa: RUF012
        "azure.extensions": ("Set", "", True),
        "require_secure_transport": ("Boolean", "on", True),
        "max_connections": ("Integer", "50", False),
        "log_min_duration_statement": ("Integer", "-1", True),
        "work_mem": ("Integer", "4096", True),
    }


class Administrators(FamilyKind):
    """An administrator of Microsoft Entra, by its object id. Nobody can sign in here by a token."""

    type = f"{SERVERS}/administrators"

    def duration(self, what: str) -> timedelta:
        del what
        return self.durations.configuration

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        del existing
        if not _GUID.fullmatch(identity.name):
            raise invalid("InvalidParameterValue", f"'{identity.name}' is not the object id of a principal.")
        properties = body.get("properties") or {}
        missing = [name for name in ("principalName", "principalType") if not properties.get(name)]
        if missing:
            raise invalid("InvalidParameterValue", f"An administrator needs {', '.join(missing)}.")

    async def apply(self, resource: Resource, sent: Mapping[str, Any], *, created: bool) -> None:
        del sent, created
        server = self.state.resources.get(server_id(resource.id).key)
        ways = (server.body["properties"].get("authConfig") if server else None) or {}
        if ways.get("activeDirectoryAuth") != "Enabled":
            raise ArmError(
                400,
                "AadAuthOperationCannotBePerformedWhenAadAuthIsNotEnabled",
                "Microsoft Entra authentication is not enabled on the server.",
            )
