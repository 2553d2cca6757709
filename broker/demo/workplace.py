"""The work folder: where processes keep data and logs, and the secrets that were drawn for it."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PLATFORM = "demo"
BROKER_ID = "demo"
LOCATION = "westeurope"
RESOURCE_GROUP = "osb-demo"


@dataclass(frozen=True)
class Workplace:
    """A folder that belongs to one broker and one simulated Azure."""

    folder: Path

    def prepare(self) -> None:
        """Make the folder and draw the secrets that are not there yet; a second call changes nothing."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _draw(self.sealing_keys_file, f"k1:{base64.b64encode(secrets.token_bytes(32)).decode()}")
        _draw(self.password_file, secrets.token_urlsafe(32))
        platforms = {PLATFORM: {"username": PLATFORM, "passwords": [self.password]}}
        _draw(self.platforms_file, json.dumps(platforms))

    @property
    def sealing_keys_file(self) -> Path:
        return self.folder / "sealing-keys"

    @property
    def password_file(self) -> Path:
        return self.folder / "platform-password"

    @property
    def platforms_file(self) -> Path:
        return self.folder / "platforms.json"

    @property
    def database_file(self) -> Path:
        return self.folder / "broker.sqlite3"

    @property
    def azure(self) -> Path:
        """The simulated Azure's own folder."""
        return self.folder / "azure"

    @property
    def password(self) -> str:
        """The demo platform's password."""
        return self.password_file.read_text(encoding="utf-8").strip()

    @property
    def azure_ready_file(self) -> Path:
        return self.azure / "simulator.json"

    def simulated_azure(self) -> dict[str, Any]:
        """Read where the simulated Azure is reached."""
        read: dict[str, Any] = json.loads(self.azure_ready_file.read_text(encoding="utf-8"))
        return read

    def azure_environment(self) -> dict[str, str]:
        """Return the settings that make a broker use the simulated Azure; there are no others."""
        azure = self.simulated_azure()
        return {
            "BROKER_AZURE_CLOUD": "custom",
            "BROKER_AZURE_ENDPOINT": azure["endpoint"],
            "BROKER_AZURE_SCOPE": f"{azure['endpoint']}/.default",
            "BROKER_AZURE_AUTHORITY": azure["endpoint"],
            "BROKER_AZURE_CA_FILE": azure["ca_file"],
            "BROKER_AZURE_AUTHENTICATION": "simulator",
            "BROKER_AZURE_TOKEN_FILE": azure["token_file"],
            "BROKER_AZURE_TENANT_ID": azure["tenant_id"],
            "BROKER_AZURE_SUBSCRIPTION_ID": azure["subscription_id"],
            "BROKER_DATA_PLANE_CA_FILE": azure["ca_file"],
            "BROKER_EGRESS_ADDRESSES": "127.0.0.1",
        }

    def broker_environment(self, inherited: Mapping[str, str], **more: str) -> dict[str, str]:
        """Return the whole environment of a broker in this folder: nothing of another broker's settings remains."""
        return {
            **{name: value for name, value in inherited.items() if not name.startswith("BROKER_")},
            **self.azure_environment(),
            "BROKER_DATABASE_URL": f"sqlite:///{self.database_file.resolve()}",
            "BROKER_BROKER_ID": BROKER_ID,
            "BROKER_SEALING_KEYS_FILE": str(self.sealing_keys_file.resolve()),
            "BROKER_PLATFORMS_FILE": str(self.platforms_file.resolve()),
            "BROKER_AZURE_LOCATION": LOCATION,
            "BROKER_AZURE_RESOURCE_GROUP": RESOURCE_GROUP,
            **more,
        }


def _draw(path: Path, content: str) -> None:
    """Write a secret that only this user can read, unless the file is there."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content + "\n")
