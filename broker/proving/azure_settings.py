"""The settings about Azure, read without those of the broker that will run with them."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from broker.settings import PREFIX, Settings, read_settings

_ALSO = frozenset({"data_plane_ca_file", "egress_addresses", "catalog_folder"})
"""Settings that a broker needs for Azure besides those that begin with `azure_`."""


@dataclass(frozen=True)
class AzureEnvironment:
    """Variables that make another broker use the same Azure; `secrets` are to be written into files first."""

    variables: dict[str, str]
    secrets: dict[str, str]


def read_azure_settings(*, broker_id: str = "trial") -> Settings:
    """
    Read the settings; what is only a running broker's own (database, keys, platforms) may be missing.

    Raises:
        SettingsError: One line per fault.
    """
    return read_settings(
        database_url="sqlite:///trial.sqlite3",
        listen_database_url=None,
        broker_id=broker_id,
        sealing_keys=f"trial:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        platforms={},
    )


def handed_on(settings: Settings) -> AzureEnvironment:
    """Return *settings* about Azure as the variables of another broker's environment."""
    variables, hidden = {}, {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value in (None, (), {}) or not (name.startswith("azure_") or name in _ALSO):
            continue
        if isinstance(value, SecretStr):
            hidden[f"{PREFIX}{name.upper()}_FILE"] = value.get_secret_value()
        else:
            variables[PREFIX + name.upper()] = _written(value)
    return AzureEnvironment(variables, hidden)


def _written(value: Any) -> str:
    if isinstance(value, timedelta):
        return f"{round(value.total_seconds() * 1000)}ms"
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in value.items())
    return str(value)
