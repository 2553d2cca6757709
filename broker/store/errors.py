"""What the store tells its callers apart; all but these are `StoreUnavailable` or faults of the program."""

from __future__ import annotations

from collections.abc import Mapping

FULL = "has no room left"
READ_ONLY = "takes no writes: it is read-only"
LOCKED = "is locked by somebody else for too long"
CROWDED = "has no connection free"
SLOW = "took too long"
"""What may be wrong with a database, as sentences about it go on."""


class StoreError(Exception):
    """Something that the store found and its caller has to decide about."""


class Duplicate(StoreError):
    """
    A row with this identity exists already: a concurrent request was faster.

    The transaction is of no more use; decide again in a new one.
    """


class ClaimLost(StoreError):
    """The claim is not this runner's any more; nothing was written and nothing may be."""


class SchemaOutdated(StoreError):
    """The database's tables are not those of this release."""

    def __init__(self, found: str | None, wanted: str) -> None:
        state = f"is at revision {found}" if found else "holds no tables of this broker"
        super().__init__(f"The database {state}, this release needs {wanted}: run `osb migrate`.")


class TablesInUse(StoreError):
    """A table could not be changed because somebody else's transaction holds it; nothing was changed."""

    def __init__(self) -> None:
        super().__init__(
            "The tables could not be brought to this release: a transaction that has been open for long holds one "
            "of them. Nothing was changed. End that transaction (pg_stat_activity names it) and migrate again."
        )


class DatabaseInUse(StoreError):
    """Another process works on this SQLite file."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"Another broker process uses the database {path}. SQLite serves one process; "
            "stop the other one or use PostgreSQL."
        )


class UnsupportedDatabase(StoreError):
    """The database's URL names something that the broker cannot work on."""


class SealBroken(StoreError):
    """
    A sealed value cannot be opened: its key is not in the key ring, or it was moved or changed.

    `key` names the key that it says it was sealed with.
    """

    def __init__(self, reason: str, *, key: str = "?") -> None:
        super().__init__(reason)
        self.key = key


class SealingKeysMissing(StoreError):
    """Stored values need keys that the key ring lacks, and nobody has said that these are lost."""

    def __init__(self, missing: Mapping[str, int]) -> None:
        named = ", ".join(f"'{name}' ({count} values)" for name, count in sorted(missing.items()))
        super().__init__(
            f"The database holds values sealed with keys that BROKER_SEALING_KEYS lacks: {named}. Put them back. "
            "What a key sealed that is lost for good can only be deleted: to start all the same, name it in "
            "BROKER_LOST_SEALING_KEYS."
        )
