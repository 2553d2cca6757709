"""The clouds that the simulator can play: their addresses, audiences, DNS suffixes and locations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_GLOBAL_LOCATIONS = {
    "westeurope": "West Europe",
    "northeurope": "North Europe",
    "germanywestcentral": "Germany West Central",
    "francecentral": "France Central",
    "swedencentral": "Sweden Central",
    "switzerlandnorth": "Switzerland North",
    "uksouth": "UK South",
    "eastus": "East US",
    "eastus2": "East US 2",
    "centralus": "Central US",
    "westus2": "West US 2",
    "westus3": "West US 3",
    "canadacentral": "Canada Central",
    "brazilsouth": "Brazil South",
    "southeastasia": "Southeast Asia",
    "japaneast": "Japan East",
    "australiaeast": "Australia East",
    "centralindia": "Central India",
}


@dataclass(frozen=True, slots=True)
class PlayedCloud:
    """
    One Azure as its clients know it.

    *management* and *login* are host names; empty in a custom cloud, whose addresses are the simulator's own.
    *audiences* are what tokens may be asked for, without a slash at the end. *suffixes* have the names of ARM's
    metadata. Sources: Azure's published cloud metadata, azure-core's and Azure CLI's lists of clouds.
    """

    name: str
    environment: str
    management: str
    login: str
    audiences: tuple[str, ...]
    portal: str
    suffixes: Mapping[str, str]
    locations: Mapping[str, str] = field(default_factory=lambda: dict(_GLOBAL_LOCATIONS), repr=False)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names under which this cloud's clients look for it."""
        return tuple(host for host in (self.management, self.login) if host)

    def described(self, own: str) -> dict[str, Any]:
        """
        Describe the cloud to a client that found it at *own*, an origin, as ARM's metadata do.

        A client that came by another way than the cloud's own names is sent back to *own* alone: what it was told
        would otherwise lead it, and its token, to the real Azure.
        """
        known = own.partition("://")[2].lower() in self.hosts
        management = f"https://{self.management}" if known else own
        return {
            "name": self.environment,
            "portal": self.portal or own,
            "resourceManager": f"{management}/",
            "authentication": {
                "loginEndpoint": f"https://{self.login}" if known else own,
                "audiences": [f"{audience}/" for audience in self.audiences] or [f"{own}/"],
                "tenant": "common",
                "identityProvider": "AAD",
            },
            "suffixes": dict(self.suffixes),
        }

    def environment_in_templates(self, own: str) -> dict[str, Any]:
        """
        What `environment()` gives in a template: the cloud's own addresses, whatever way the template came.

        Some suffixes are spelt otherwise than in the metadata, and begin with a dot.
        """
        described = self.described(f"https://{self.management}" if self.management else own)
        dotted = {"acrLoginServer": "acrLoginServer", "keyVaultDns": "keyvaultDns"}
        dotted["sqlServerHostname"] = "sqlServerHostname"
        suffixes = {there: f".{self.suffixes[here]}" for here, there in dotted.items()}
        return {**described, "suffixes": {**suffixes, "storage": self.suffixes["storage"]}}

    def accepts(self, scope: str, own: str) -> bool:
        """Tell whether *scope*, such as "https://management.azure.com/.default", asks for a token for ARM here."""
        wanted, default, rest = scope.partition("/.default")
        audiences = self.audiences or (own,)
        return bool(default) and not rest and wanted.rstrip("/").lower() in audiences


def _suffixes(storage: str, vault: str, sql: str, registry: str, databases: str) -> dict[str, str]:
    return {
        "storage": storage,
        "keyVaultDns": vault,
        "sqlServerHostname": sql,
        "acrLoginServer": registry,
        "postgresqlServerEndpoint": f"postgres.{databases}",
        "mysqlServerEndpoint": f"mysql.{databases}",
    }


PUBLIC = PlayedCloud(
    "public",
    "AzureCloud",
    "management.azure.com",
    "login.microsoftonline.com",
    ("https://management.azure.com", "https://management.core.windows.net"),
    "https://portal.azure.com",
    _suffixes(
        "core.windows.net", "vault.azure.net", "database.windows.net", "azurecr.io", "database.azure.com"
    ),
)
CHINA = PlayedCloud(
    "china",
    "AzureChinaCloud",
    "management.chinacloudapi.cn",
    "login.chinacloudapi.cn",
    ("https://management.chinacloudapi.cn", "https://management.core.chinacloudapi.cn"),
    "https://portal.azure.cn",
    _suffixes(
        "core.chinacloudapi.cn",
        "vault.azure.cn",
        "database.chinacloudapi.cn",
        "azurecr.cn",
        "database.chinacloudapi.cn",
    ),
    {
        "chinaeast2": "China East 2",
        "chinaeast3": "China East 3",
        "chinanorth2": "China North 2",
        "chinanorth3": "China North 3",
    },
)
US_GOVERNMENT = PlayedCloud(
    "usgov",
    "AzureUSGovernment",
    "management.usgovcloudapi.net",
    "login.microsoftonline.us",
    # Not the endpoint's own host: whoever derives the scope from the endpoint gets no token.
    ("https://management.core.usgovcloudapi.net",),
    "https://portal.azure.us",
    _suffixes(
        "core.usgovcloudapi.net",
        "vault.usgovcloudapi.net",
        "database.usgovcloudapi.net",
        "azurecr.us",
        "database.usgovcloudapi.net",
    ),
    {
        "usgovvirginia": "USGov Virginia",
        "usgovarizona": "USGov Arizona",
        "usgovtexas": "USGov Texas",
    },
)
CUSTOM = PlayedCloud(
    "custom",
    "Custom",
    "",
    "",
    (),
    "",
    _suffixes(
        "storage.simulated.invalid",
        "vault.simulated.invalid",
        "sql.simulated.invalid",
        "registry.simulated.invalid",
        "simulated.invalid",
    ),
)
CLOUDS = {cloud.name: cloud for cloud in (PUBLIC, CHINA, US_GOVERNMENT, CUSTOM)}
