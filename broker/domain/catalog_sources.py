"""What a catalog is merged from: sets of files, in their order, and what was withdrawn. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from broker.domain.catalog import Catalog
from broker.domain.json_values import JsonObject


class SourceKind(StrEnum):
    """Where files come from, in the order in which they are laid over one another."""

    BUILT_IN = "built-in"
    OVERLAY = "overlay"
    REGISTERED = "registered"


@dataclass(frozen=True)
class CatalogSet:
    """One named set of files; `digest` tells its content. A registered one knows who registered it, and why."""

    name: str
    kind: SourceKind
    digest: str
    files: int
    size: int
    """Bytes of all files together."""
    author: str | None = None
    reason: str | None = None
    since: datetime | None = None

    @property
    def content(self) -> tuple[str, SourceKind, str]:
        """What comes of it, whoever has registered it."""
        return self.name, self.kind, self.digest


@dataclass(frozen=True)
class Withdrawal:
    """An offering, or one plan of it, that is not offered any more."""

    service_offering_id: str
    service_plan_id: str | None
    author: str
    reason: str
    since: datetime

    @property
    def what(self) -> tuple[str, str | None]:
        """The ids."""
        return self.service_offering_id, self.service_plan_id


@dataclass(frozen=True)
class Composition:
    """
    What one revision is merged from.

    `file_set` tells which built-in offerings and overlay folders a start or a watch has proposed; those sets are the
    first of `sets`, registered ones follow in the order in which they were first registered.
    """

    file_set: str = ""
    sets: tuple[CatalogSet, ...] = ()
    withdrawn: tuple[Withdrawal, ...] = ()

    @property
    def registered(self) -> tuple[CatalogSet, ...]:
        """What operators have registered."""
        return tuple(one for one in self.sets if one.kind is SourceKind.REGISTERED)

    @property
    def of_files(self) -> tuple[CatalogSet, ...]:
        """What starts and watches have proposed."""
        return tuple(one for one in self.sets if one.kind is not SourceKind.REGISTERED)

    def with_files(self, file_set: str, sets: Sequence[CatalogSet]) -> Composition:
        """Take other built-in offerings and overlays."""
        return replace(self, file_set=file_set, sets=(*sets, *self.registered))

    def with_registered(self, new: CatalogSet) -> Composition:
        """Register a set; one of the same name is replaced, at its place."""
        if any(one.name == new.name for one in self.registered):
            return replace(
                self,
                sets=tuple(
                    new if one.name == new.name and one.kind is SourceKind.REGISTERED else one
                    for one in self.sets
                ),
            )
        return replace(self, sets=(*self.sets, new))

    def without_registered(self, name: str) -> Composition:
        """Take a registered set out."""
        kept = (one for one in self.sets if one.kind is not SourceKind.REGISTERED or one.name != name)
        return replace(self, sets=tuple(kept))

    def with_withdrawn(self, new: Withdrawal) -> Composition:
        """Withdraw something; what is withdrawn already keeps its reason."""
        if any(one.what == new.what for one in self.withdrawn):
            return self
        return replace(self, withdrawn=(*self.withdrawn, new))

    def without_withdrawn(self, what: tuple[str, str | None]) -> Composition:
        """Offer something again."""
        return replace(self, withdrawn=tuple(one for one in self.withdrawn if one.what != what))

    def same_as(self, other: Composition) -> bool:
        """Tell whether the same comes of it, whoever has asked for it."""
        return (
            self.file_set == other.file_set
            and [one.content for one in self.sets] == [one.content for one in other.sets]
            and {one.what for one in self.withdrawn} == {one.what for one in other.withdrawn}
        )


def withdraw(catalog: Catalog, withdrawn: Iterable[Withdrawal]) -> Catalog:
    """Return the catalog in which what was withdrawn is marked so; what is not there (any more) is passed over."""
    ids = {one.what for one in withdrawn}
    if not ids:
        return catalog
    return replace(
        catalog,
        offerings=tuple(
            replace(
                offering,
                withdrawn=offering.withdrawn or (offering.id, None) in ids,
                plans=tuple(
                    replace(plan, withdrawn=plan.withdrawn or (offering.id, plan.id) in ids)
                    for plan in offering.plans
                ),
            )
            for offering in catalog.offerings
        ),
    )


def to_document(composition: Composition) -> JsonObject:
    """Write a composition as it is kept."""
    return {
        "file_set": composition.file_set,
        "sets": [_written(one) for one in composition.sets],
        "withdrawn": [_written(one) for one in composition.withdrawn],
    }


def from_document(document: JsonObject) -> Composition:
    """Read a composition; what a newer version wrote and this one does not know is left out."""
    return Composition(
        file_set=document["file_set"],
        sets=tuple(_set(one) for one in document["sets"]),
        withdrawn=tuple(_withdrawal(one) for one in document["withdrawn"]),
    )


def _written(one: CatalogSet | Withdrawal) -> JsonObject:
    since = one.since.isoformat() if one.since is not None else None
    return {name: value for name, value in (vars(one) | {"since": since}).items() if value is not None}


def _set(said: Mapping[str, Any]) -> CatalogSet:
    since = said.get("since")
    return CatalogSet(
        name=said["name"],
        kind=SourceKind(said["kind"]),
        digest=said["digest"],
        files=said["files"],
        size=said["size"],
        author=said.get("author"),
        reason=said.get("reason"),
        since=datetime.fromisoformat(since) if since else None,
    )


def _withdrawal(said: Mapping[str, Any]) -> Withdrawal:
    return Withdrawal(
        service_offering_id=said["service_offering_id"],
        service_plan_id=said.get("service_plan_id"),
        author=said["author"],
        reason=said["reason"],
        since=datetime.fromisoformat(said["since"]),
    )
