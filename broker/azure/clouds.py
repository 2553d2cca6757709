"""The clouds: where Azure Resource Manager and its token issuer answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit


def _scopes_below(suffix: str) -> dict[str, str]:
    open_source = f"https://ossrdbms-aad.database.{suffix}/.default"
    return {
        "postgresql": open_source,
        "mysql": open_source,
        "sqlserver": f"https://database.{suffix}/.default",
    }


@dataclass(frozen=True)
class Cloud:
    """
    One Azure: the endpoint of its Resource Manager, the scope of tokens for it, and who issues them.

    `scope` cannot be derived from `endpoint` (in the US Government cloud their hosts differ). `portal` is
    None where no portal is known. `token_scopes` are those of database servers, by the kind of database. Everything
    is https; there is no switch for less.

    Raises:
        ValueError: An address is not https, or is no bare origin.
    """

    name: str
    endpoint: str
    scope: str
    authority: str
    portal: str | None = None
    token_scopes: Mapping[str, str] = field(default_factory=lambda: _scopes_below("windows.net"), hash=False)

    def __post_init__(self) -> None:
        for name in ("endpoint", "authority"):
            parts = urlsplit(getattr(self, name))
            if parts.scheme != "https" or not parts.hostname:
                raise ValueError(f"The {name} of an Azure cloud must be an https address.")
            if parts.username is not None or parts.query or parts.fragment:
                raise ValueError(
                    f"The {name} of an Azure cloud must be an address without user, query or fragment."
                )


PUBLIC = Cloud(
    "public",
    "https://management.azure.com",
    "https://management.azure.com/.default",
    "https://login.microsoftonline.com",
    "https://portal.azure.com",
)
CHINA = Cloud(
    "china",
    "https://management.chinacloudapi.cn",
    "https://management.chinacloudapi.cn/.default",
    "https://login.chinacloudapi.cn",
    "https://portal.azure.cn",
    _scopes_below("chinacloudapi.cn"),
)
US_GOVERNMENT = Cloud(
    "usgov",
    "https://management.usgovcloudapi.net",
    "https://management.core.usgovcloudapi.net/.default",
    "https://login.microsoftonline.us",
    "https://portal.azure.us",
    _scopes_below("usgovcloudapi.net"),
)
CLOUDS = {cloud.name: cloud for cloud in (PUBLIC, CHINA, US_GOVERNMENT)}


def custom(
    endpoint: str, *, scope: str | None = None, authority: str | None = None, portal: str | None = None
) -> Cloud:
    """
    Return a cloud with an endpoint of its own, such as Azure Stack or a simulator.

    *scope* defaults to the endpoint's own, *authority* to the public cloud's.

    Raises:
        ValueError: An address is not https.
    """
    endpoint = endpoint.rstrip("/")
    return Cloud(
        "custom",
        endpoint,
        scope or f"{endpoint}/.default",
        (authority or PUBLIC.authority).rstrip("/"),
        portal,
    )
