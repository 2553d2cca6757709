"""Database servers that are names alone: for those who want Resource Manager and no data planes."""

from __future__ import annotations


class BareNames:
    """Gives each server the name that it would have in the cloud; nothing is behind it."""

    def __init__(self, suffix: str) -> None:
        self._suffix = suffix

    async def create(self, name: str, *, administrator: str, password: str, version: str) -> str:
        del administrator, password, version
        return f"{name}.{self._suffix}"

    async def set_password(self, name: str, password: str) -> None:
        """Nothing to do."""

    async def create_database(self, name: str, database: str, charset: str, collation: str) -> None:
        """Nothing to do."""

    async def drop_database(self, name: str, database: str) -> None:
        """Nothing to do."""

    async def set_firewall(self, name: str, ranges: list[tuple[str, str]]) -> None:
        """Nothing to do."""

    async def set_configuration(self, name: str, setting: str, value: str) -> None:
        """Nothing to do."""

    async def delete(self, name: str) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""
