"""What a revision may do to tables that the release before it works on at the same time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, MetaData, Table, UniqueConstraint, inspect

_ALEMBICS_OWN = "alembic_version"


@dataclass(frozen=True)
class Allowed:
    """What a revision's module says of itself, for what the rules would refuse."""

    contract: Mapping[str, str] = field(default_factory=dict)
    """What goes (`table`, `table.column`), and the first release that does not use it any more."""
    locks: Mapping[str, str] = field(default_factory=dict)
    """An index made on a table that is in use, and why writers can wait for it."""

    @classmethod
    def by(cls, module: Any) -> Allowed:
        return cls(getattr(module, "contract", {}), getattr(module, "locks", {}))


def reflected(connection: Connection) -> MetaData:
    """Read all tables of the broker from a database."""
    metadata = MetaData()
    metadata.reflect(connection, only=lambda name, _: name != _ALEMBICS_OWN)
    for table in metadata.tables.values():
        table.info["checks"] = {
            check["sqltext"] for check in inspect(connection).get_check_constraints(table.name)
        }
    return metadata


def refusals(
    before: MetaData, after: MetaData, allowed: Allowed = Allowed(), released: tuple[str, ...] = ()
) -> list[str]:
    """
    Tell what the release before cannot bear, a sentence each.

    *released* are the releases that are out, without the one being made: only what none of the releases that may
    still run uses may go.
    """
    found = []
    for name, old in before.tables.items():
        if name not in after.tables:
            found.append((name, f"table {name} is dropped or renamed"))
        else:
            found += list(_of_table(old, after.tables[name], allowed))
    return [said for what, said in found if not _may_go(allowed.contract.get(what), released)]


def _may_go(since: str | None, released: tuple[str, ...]) -> bool:
    """Whether at least one release that is out does without it: the one before this one may still run."""
    return since is not None and since in released


def _of_table(old: Table, new: Table, allowed: Allowed) -> Iterator[tuple[str, str]]:
    for column in old.columns:
        where = f"{old.name}.{column.name}"
        if column.name not in new.columns:
            yield where, f"column {where} is dropped or renamed"
            continue
        later = new.columns[column.name]
        if str(later.type) != str(column.type):
            yield where, f"column {where} changes its type from {column.type} to {later.type}"
        if column.nullable and not later.nullable:
            yield where, f"column {where} takes no NULL any more"
        if column.server_default is not None and later.server_default is None and not later.nullable:
            yield where, f"column {where} loses its default"
    for column in new.columns:
        where = f"{old.name}.{column.name}"
        if column.name not in old.columns and not column.nullable and column.server_default is None:
            yield where, f"column {where} is new, takes no NULL and has no default"
    for what in _duties(new) - _duties(old):
        yield old.name, f"table {old.name} has a new duty: {what}"
    for index in {str(index.name) for index in new.indexes} - {str(index.name) for index in old.indexes}:
        if index not in allowed.locks:
            yield old.name, f"index {index} is made on {old.name}, whose writers wait meanwhile"


def _duties(table: Table) -> set[str]:
    """What a row has to fulfil besides its columns' own types."""
    unique = {
        f"unique {[each.name for each in constraint.columns]}"
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
    } | {f"unique {[each.name for each in index.columns]}" for index in table.indexes if index.unique}
    foreign = {f"{key.parent.name} references {key.target_fullname}" for key in table.foreign_keys}
    checks = {f"check {text}" for text in table.info.get("checks", ())}
    return unique | foreign | checks
