"""The clouds: where Azure Resource Manager and its token issuer answer."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Cloud:
    """
    One Azure: the endpoint of its Resource Manager, the scope of tokens for it, and who issues them.

    `scope` cannot be derived from `endpoint` (in the US Government cloud their hosts differ). `portal` is
    None where no portal is known. Everything is https; there is no switch for less.

    Raises:
        ValueError: An address is not https, or is no bare origin.
    """

    name: str
    endpoint: str
    scope: str
    authority: str
    portal: str | None = None

    def __post_init__(self) -> None:
        for field in ("endpoint", "authority"):
            parts = urlsplit(getattr(self, field))
            if parts.scheme != "https" or not parts.hostname:
                raise ValueError(f"The {field} of an Azure cloud must be an https address.")
            if parts.username is not None or parts.query or parts.fragment:
                raise ValueError(
                    f"The {field} of an Azure cloud must be an address without user, query or fragment."
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
)
US_GOVERNMENT = Cloud(
    "usgov",
    "https://management.usgovcloudapi.net",
    "https://management.core.usgovcloudapi.net/.default",
    "https://login.microsoftonline.us",
    "https://portal.azure.us",
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
