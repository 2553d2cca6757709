"""What the simulated resource provider asks of the real database servers behind it."""

from __future__ import annotations

from typing import Protocol


class DatabaseServers(Protocol):
    """
    Real database servers, one per simulated server resource.

    Every call may raise; the simulator then reports the resource as failed with the exception's text.
    """

    async def create(self, name: str, *, administrator: str, password: str, version: str) -> str:
        """Make a server and give its host name or loopback address."""

    async def set_password(self, name: str, password: str) -> None:
        """Change the administrator's password."""

    async def create_database(self, name: str, database: str, charset: str, collation: str) -> None:
        """Make a database; one that exists is no error."""

    async def drop_database(self, name: str, database: str) -> None:
        """Drop a database; one that is gone is no error."""

    async def set_firewall(self, name: str, ranges: list[tuple[str, str]]) -> None:
        """Let in clients of these address ranges (first, last) and no others."""

    async def set_configuration(self, name: str, setting: str, value: str) -> None:
        """Set a server parameter."""

    async def delete(self, name: str) -> None:
        """Stop the server and remove its data; one that is gone is no error."""

    async def close(self) -> None:
        """Stop every server and remove all data."""
