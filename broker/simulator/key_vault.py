"""How Microsoft.KeyVault behaves towards Resource Manager: vaults, and what is left of them when they are deleted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from broker.simulator.arm_errors import ArmError
from broker.simulator.clock import Clock
from broker.simulator.durations import Durations
from broker.simulator.kinds import Kind
from broker.simulator.lists import page
from broker.simulator.resource_ids import ResourceId
from broker.simulator.routes import Asked, Reply, Routes
from broker.simulator.state import Resource, State, location_name

VAULTS = "Microsoft.KeyVault/vaults"
VAULT_NAME = re.compile(r"(?!.*--)[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]")
SUFFIXES: Mapping[str, str] = {
    "public": "vault.azure.net",
    "china": "vault.azure.cn",
    "usgov": "vault.usgovcloudapi.net",
}
MOST_RETENTION = 90
SUBSCRIPTION = "/subscriptions/{subscription}/providers/Microsoft.KeyVault"


def kinds(state: State, durations: Durations) -> list[Kind]:
    """The resource types of this provider."""
    return [Vaults(state, durations)]


@dataclass
class DeletedVault:
    """A vault that was deleted and holds its name until it is purged."""

    id: ResourceId
    location: str
    tags: Mapping[str, str]
    protected: bool
    deleted: datetime
    purged: datetime
    purging: bool = False


class Vaults(Kind):
    type = VAULTS

    def check_body(self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None) -> None:
        if not VAULT_NAME.fullmatch(identity.name):
            raise ArmError(
                400,
                "VaultNameNotValid",
                f"The vault name '{identity.name}' is invalid: 3 to 24 letters, digits and hyphens, a letter first, "
                "no two hyphens in a row.",
            )
        location = body.get("location")
        if isinstance(location, str) and location_name(location) not in self.state.cloud.locations:
            raise ArmError(
                400,
                "LocationNotAvailableForResourceType",
                f"The provided location '{location}' is not available for resource type '{VAULTS}'.",
            )
        properties = body.get("properties") or {}
        if properties.get("enablePurgeProtection") is False:
            raise ArmError(
                400,
                "BadRequest",
                'The property "enablePurgeProtection" cannot be set to false. Enabling the purge protection for a '
                "vault is an irreversible action.",
            )
        if properties.get("enableSoftDelete") is False:
            raise ArmError(
                400, "BadRequest", 'The property "enableSoftDelete" can be set to false only for old vaults.'
            )
        days, before = (
            properties.get("softDeleteRetentionInDays"),
            existing.body["properties"] if existing else {},
        )
        if isinstance(days, int) and not 7 <= days <= MOST_RETENTION:
            raise ArmError(400, "BadRequest", "softDeleteRetentionInDays is 7 to 90.")
        if before and isinstance(days, int) and days != before.get("softDeleteRetentionInDays", days):
            raise ArmError(
                400,
                "BadRequest",
                'The property "softDeleteRetentionInDays" has been set already and it can\'t be modified.',
            )

    def check_place(self, identity: ResourceId, existing: Resource | None) -> None:
        if existing is not None:
            return
        if identity.name.lower() in self.state.deleted_vaults:
            raise ArmError(
                409,
                "ConflictError",
                f"A vault with the same name already exists in deleted state. You need to either recover or purge "
                f"existing key vault '{identity.name}'.",
            )
        if self.state.is_taken(VAULTS, identity.name):
            raise ArmError(409, "VaultAlreadyExists", f"The vault name '{identity.name}' is already in use.")

    def settled(
        self, identity: ResourceId, body: Mapping[str, Any], existing: Resource | None
    ) -> dict[str, Any]:
        settled = super().settled(identity, body, existing)
        suffix = SUFFIXES.get(self.state.cloud.name, "vault.simulated.invalid")
        defaults = {
            "enableSoftDelete": True,
            "softDeleteRetentionInDays": MOST_RETENTION,
            "enableRbacAuthorization": True,
            "publicNetworkAccess": "Enabled",
        }
        before = existing.body["properties"] if existing else {}
        if before.get("enablePurgeProtection"):
            defaults["enablePurgeProtection"] = True
        settled["properties"] = {
            **defaults,
            **(settled.get("properties") or {}),
            "vaultUri": f"https://{identity.name.lower()}.{suffix}/",
        }
        return settled

    async def remove(self, resource: Resource) -> None:
        properties, now = resource.body.get("properties", {}), Clock.now()
        self.state.deleted_vaults[resource.id.name.lower()] = DeletedVault(
            id=resource.id,
            location=location_name(str(resource.body.get("location", ""))),
            tags=dict(resource.body.get("tags") or {}),
            protected=bool(properties.get("enablePurgeProtection")),
            deleted=now,
            purged=now + timedelta(days=int(properties.get("softDeleteRetentionInDays", MOST_RETENTION))),
        )


class DeletedVaultRoutes:
    """Vaults that were deleted: they are listed and shown until they are purged."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    def add_to(self, routes: Routes) -> None:
        one = SUBSCRIPTION + "/locations/{location}/deletedVaults/{name}"
        routes.add("GET", SUBSCRIPTION + "/deletedVaults", self.listed)
        routes.add("GET", one, self.get)
        routes.add("POST", one + "/purge", self.purge)

    async def listed(self, asked: Asked) -> Reply:
        self._state.types.model(VAULTS, asked.api_version)
        return page(asked, [self._shown(vault) for vault in self._state.deleted_vaults.values()])

    async def get(self, asked: Asked) -> Reply:
        return Reply(200, self._shown(self._find(asked)))

    async def purge(self, asked: Asked) -> Reply:
        vault = self._find(asked)
        if vault.protected:
            raise ArmError(
                409,
                "DeletedVaultPurgeNotAllowed",
                f"Operation 'DeletedVaultPurge' is not allowed: vault '{vault.id.name}' has purge protection.",
            )
        if not vault.purging:
            vault.purging = True
            self._state.keep(asyncio.create_task(self._purged(vault)))
        return Reply(202)

    async def _purged(self, vault: DeletedVault) -> None:
        await self._clock.sleep(timedelta(seconds=10))
        self._state.deleted_vaults.pop(vault.id.name.lower(), None)

    def _find(self, asked: Asked) -> DeletedVault:
        self._state.types.model(VAULTS, asked.api_version)
        found: DeletedVault | None = self._state.deleted_vaults.get(asked.names["name"].lower())
        if found is None or found.location != location_name(asked.names["location"]):
            raise ArmError(
                404, "DeletedVaultNotFound", f"The deleted vault '{asked.names['name']}' does not exist."
            )
        return found

    def _shown(self, vault: DeletedVault) -> dict[str, Any]:
        root = f"/subscriptions/{self._state.subscription}/providers/Microsoft.KeyVault"
        return {
            "id": f"{root}/locations/{vault.location}/deletedVaults/{vault.id.name}",
            "name": vault.id.name,
            "type": "Microsoft.KeyVault/deletedVaults",
            "properties": {
                "vaultId": str(vault.id),
                "location": vault.location,
                "tags": dict(vault.tags),
                "deletionDate": vault.deleted.isoformat(),
                "scheduledPurgeDate": vault.purged.isoformat(),
                **({"purgeProtectionEnabled": True} if vault.protected else {}),
            },
        }
