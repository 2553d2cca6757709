"""A broker of its own for one run: on loopback, with SQLite, keys and a password drawn for it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from broker.demo.processes import Child
from broker.demo.workplace import Workplace
from broker.proving.azure_settings import AzureEnvironment
from broker.settings import PREFIX

_READY_WITHIN = timedelta(seconds=60)


class TrialBroker:
    """
    `osb serve` as a child process in a folder; nothing of another broker's settings reaches it but those of Azure.

    It may be started again after it died: everything that it knows is in the folder.
    """

    def __init__(
        self, folder: Path, azure: AzureEnvironment, environment: Mapping[str, str], *, broker_id: str
    ) -> None:
        self.workplace = Workplace(folder)
        self.workplace.prepare()
        files = {}
        for variable, secret in azure.secrets.items():
            path = folder / variable.lower()
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
                file.write(secret)
            files[variable] = str(path)
        self.child = Child(
            name="The broker",
            arguments=["serve", "--ready-file", str(folder / "broker.json")],
            log=folder / "broker.log",
            ready_file=folder / "broker.json",
            environment={
                **{name: value for name, value in environment.items() if not name.startswith(PREFIX)},
                **azure.variables,
                **files,
                "BROKER_BROKER_ID": broker_id,
                "BROKER_DATABASE_URL": self._database_url,
                "BROKER_SEALING_KEYS_FILE": str(self.workplace.sealing_keys_file),
                "BROKER_PLATFORMS_FILE": str(self.workplace.platforms_file),
                "BROKER_PORT": "0",
                "BROKER_HEALTH_PORT": "0",
            },
        )

    async def answering(self) -> str | None:
        """
        Have it run; return its address if it was (re)started, None if it runs already.

        Raises:
            ProcessFailed: It did not start; the message ends with its log.
        """
        if self.child.pid is not None:
            return None
        await asyncio.to_thread(self._migrate)
        return str((await self.child.start(within=_READY_WITHIN))["url"])

    async def stop(self) -> None:
        """Let it end in good order."""
        await self.child.stop()

    @property
    def _database_url(self) -> str:
        return f"sqlite:///{self.workplace.database_file}"

    def _migrate(self) -> None:
        from broker.store import migrations  # noqa: PLC0415 - alembic is not needed to read a plan's name

        migrations.upgrade(self._database_url)
