"""The kinds of databases that a plan may have, and what can be asked of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class DatabaseKind:
    """
    What a plan may ask of one kind.

    `connection_strings` names those that its drivers read. `owned`: a database has an owner role, and extensions.
    `expires`: a login can end at a time, as a plan's `binding_lifetime` asks for. `roles`: a login may have roles of
    the database's own, as users choose. `entra`: a login can be an Entra principal's, without a password.
    `contained`: a login is a part of its database, and goes with it.
    """

    port: int
    connection_strings: frozenset[str]
    owned: bool
    expires: bool
    roles: bool = False
    entra: bool = False
    contained: bool = False


DATABASE_KINDS: Mapping[str, DatabaseKind] = {
    "postgresql": DatabaseKind(
        5432, frozenset({"uri", "jdbc", "libpq", "ado_net"}), owned=True, expires=True, entra=True
    ),
    "mysql": DatabaseKind(
        3306, frozenset({"uri", "jdbc", "ado_net"}), owned=False, expires=False, entra=True
    ),
    "sqlserver": DatabaseKind(
        1433,
        frozenset({"uri", "jdbc", "ado_net"}),
        owned=False,
        expires=False,
        roles=True,
        contained=True,
        entra=True,
    ),
}
