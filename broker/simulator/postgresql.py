"""How Microsoft.DBforPostgreSQL behaves; a real PostgreSQL stands behind each flexible server."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from broker.simulator import flexible_servers
from broker.simulator.database_servers import DatabaseServers
from broker.simulator.durations import Durations
from broker.simulator.flexible_servers import invalid
from broker.simulator.kinds import Kind
from broker.simulator.state import State

SERVERS = "Microsoft.DBforPostgreSQL/flexibleServers"

STORAGE_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4095, 4096, 8192, 16384, 32767)


def kinds(state: State, durations: Durations, databases: DatabaseServers) -> list[Kind]:
    """The resource types of this provider."""
    every = (FlexibleServers, Databases, FirewallRules, Configurations)
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
