"""What is done inside database servers, by the words that plans and records have for their kinds."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Protocol, cast

from broker.data_planes import connection_strings
from broker.data_planes.base import EntraPrincipal, Server
from broker.data_planes.connection_strings import DatabaseAccess


class Engine(Protocol):
    """
    What is done inside the servers of one kind.

    Each call may be repeated at any time, and be under way several times at once. *owner_role* is empty where a kind
    knows none. See `broker.data_planes.base` for what they raise.
    """

    LONGEST_USERNAME: int

    async def check_administrator(self, server: Server) -> None:
        """Sign in as the administrator, and change nothing."""

    async def prepare_database(
        self, server: Server, database: str, *, owner_role: str, extensions: Iterable[str] = ()
    ) -> None:
        """Make a database ready for logins."""

    async def create_login(
        self,
        server: Server,
        database: str,
        *,
        owner_role: str,
        username: str,
        password: str,
        valid_until: datetime | None = None,
        roles: Iterable[str] = ...,
    ) -> None:
        """Make a login for one binding; one that is there gets this password. Some kinds know *roles*."""

    async def create_entra_login(
        self,
        server: Server,
        database: str,
        *,
        owner_role: str,
        username: str,
        principal: EntraPrincipal,
        administrator: Server,
        roles: Iterable[str] = ...,
    ) -> None:
        """Make a login without a password for an Entra principal; *administrator*: the same server, by token."""

    async def sign_in(self, server: Server, database: str) -> None:
        """Sign in as the administrator and do nothing; only kinds that are `contained` have it."""

    async def drop_login(
        self, server: Server, database: str | None, *, username: str, owner_role: str
    ) -> None:
        """End a login and its sessions; what it made stays."""

    async def drop_database_roles(self, server: Server, database: str, *, owner_role: str) -> None:
        """Remove what stays on the server of a database that was deleted."""


STRINGS: Mapping[str, Mapping[str, Callable[[DatabaseAccess], str]]] = {
    "postgresql": connection_strings.POSTGRESQL,
    "mysql": connection_strings.MYSQL,
    "sqlserver": connection_strings.SQLSERVER,
}
"""The connection strings of each kind, by name; `broker.domain.databases` tells plans the same."""

_MODULES = {
    "postgresql": "broker.data_planes.postgresql",
    "mysql": "broker.data_planes.mysql",
    "sqlserver": "broker.data_planes.sqlserver",
}


def engine(kind: str) -> Engine:
    """Return the engine of a kind; its driver is imported with the first call."""
    return cast("Engine", importlib.import_module(_MODULES[kind]))
