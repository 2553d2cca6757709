"""Where tokens come from; each way is chosen explicitly, none is guessed."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential

from broker.azure.clouds import Cloud
from broker.azure.transport import HttpxTransport


class AuthMode(StrEnum):
    """How the broker proves who it is. `default` tries many ways and is for a developer's machine only."""

    WORKLOAD_IDENTITY = "workload-identity"
    MANAGED_IDENTITY = "managed-identity"
    CLIENT_SECRET = "client-secret"  # noqa: S105 - a mode's name
    DEFAULT = "default"
    SIMULATOR = "simulator"


class AzureSettingsError(ValueError):
    """A setting that the chosen way of authentication needs is missing or wrong; `setting` names it."""

    def __init__(self, setting: str, reason: str) -> None:
        super().__init__(f"{setting}: {reason}")
        self.setting = setting


class FileToken(AsyncTokenCredential):
    """
    A bearer token read from a file at each use, so that replacing the file replaces the token.

    An unchanged file (time and size) is not read again.

    Raises:
        OSError: From `get_token`: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._token = ""

    async def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        """Return the token; it counts as due for renewal, so nobody keeps it."""
        del scopes, kwargs
        stat = self._path.stat()
        if (seen := (stat.st_mtime_ns, stat.st_size, stat.st_ino)) != self._seen:
            self._token = self._path.read_text("ascii").strip()
            self._seen = seen
        return AccessToken(self._token, int(time.time()))

    async def close(self) -> None:
        """Do nothing: no file stays open."""

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Do nothing, likewise."""


def credential_for(
    mode: AuthMode | str,
    *,
    cloud: Cloud,
    client: httpx.AsyncClient,
    tenant_id: str | None = None,
    client_id: str | None = None,
    client_secret: str | None = None,
    token_file: Path | None = None,
) -> AsyncTokenCredential:
    """
    Return the credential for *mode*, over *client*. No token is fetched and no network is touched.

    `workload-identity` takes what is not given from where the cluster's webhook puts it. A token request is
    tried at most twice with the client's own time-outs.

    Raises:
        AzureSettingsError: *mode* is unknown, or a setting that it needs is missing or malformed.
    """
    try:
        mode = AuthMode(mode)
    except ValueError:
        raise AzureSettingsError("azure_authentication", f"must be one of {', '.join(AuthMode)}.") from None
    if mode is AuthMode.SIMULATOR:
        return FileToken(Path(_needed("azure_token_file", token_file, mode)))

    # Half of this package's time to import is azure-identity; a simulator's broker never needs it.
    from azure.identity import aio as identity  # noqa: PLC0415

    options: dict[str, Any] = {"transport": HttpxTransport(client), "retry_total": 1}
    authority = cloud.authority.removeprefix("https://")
    try:
        if mode is AuthMode.CLIENT_SECRET:
            return identity.ClientSecretCredential(
                str(_needed("azure_tenant_id", tenant_id, mode)),
                str(_needed("azure_client_id", client_id, mode)),
                str(_needed("azure_client_secret", client_secret, mode)),
                authority=authority,
                **options,
            )
        if mode is AuthMode.WORKLOAD_IDENTITY:
            return identity.WorkloadIdentityCredential(
                tenant_id=tenant_id,
                client_id=client_id,
                token_file_path=str(token_file) if token_file else None,
                authority=authority,
                **options,
            )
        if mode is AuthMode.MANAGED_IDENTITY:
            return identity.ManagedIdentityCredential(client_id=client_id, **options)
        return identity.DefaultAzureCredential(
            authority=authority,
            managed_identity_client_id=client_id,
            exclude_interactive_browser_credential=True,
            **options,
        )
    except AzureSettingsError:
        raise
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        raise AzureSettingsError(_blamed(mode, tenant_id, client_id), reason) from error


def _needed(setting: str, value: str | Path | None, mode: AuthMode) -> str | Path:
    if not value:
        raise AzureSettingsError(setting, f"is needed for azure_authentication={mode}.")
    return value


def _blamed(mode: AuthMode, tenant_id: str | None, client_id: str | None) -> str:
    """Name the setting that a refusal of *mode* is most likely about."""
    if mode is AuthMode.MANAGED_IDENTITY:
        return "azure_client_id"
    if mode is AuthMode.WORKLOAD_IDENTITY:
        if not tenant_id:
            return "azure_tenant_id"
        return "azure_client_id" if not client_id else "azure_federated_token_file"
    return "azure_tenant_id" if mode is AuthMode.CLIENT_SECRET else "azure_authentication"
