"""What is in Azure against what is on record. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

ORPHANS = "(orphans)"
"""Stands for a platform with what is deleted since it is of no service instance; no platform is called so."""


class StrayKind(StrEnum):
    """Why a resource with the broker's tags belongs to no living service instance."""

    ORPHAN = "orphan"
    """Nothing on record knows it: it was made by a state of the store that is lost."""
    ABANDONED = "abandoned"
    """An operator let the broker forget its service instance and keep it in Azure."""


@dataclass(frozen=True)
class Tagged:
    """A resource or resource group in Azure that carries this broker's tags, as a list shows it."""

    resource_id: str
    type: str
    tags: Mapping[str, str]
    """The four tags that mark what is ours, under their own names."""
    platform: str
    instance_id: str
    generation: str
    location: str = ""


@dataclass(frozen=True)
class Stray:
    """A resource of ours without a living service instance; platform and instance are what its tags say."""

    resource_id: str
    type: str
    kind: StrayKind
    platform: str
    instance_id: str
    generation: str
    api_version: str
    tags: Mapping[str, str]
    first_seen_at: datetime
    location: str = ""

    @classmethod
    def of(cls, tagged: Tagged, kind: StrayKind, *, api_version: str, first_seen_at: datetime) -> Stray:
        """Return what was found as a stray."""
        return cls(
            resource_id=tagged.resource_id,
            type=tagged.type,
            kind=kind,
            platform=tagged.platform,
            instance_id=tagged.instance_id,
            generation=tagged.generation,
            api_version=api_version,
            tags=tagged.tags,
            first_seen_at=first_seen_at,
            location=tagged.location,
        )


@dataclass(frozen=True)
class Holding:
    """The main resource of a service instance that is ready and that nobody works on."""

    key: UUID
    platform: str
    instance_id: str
    resource_id: str
    api_version: str
    missing_since: datetime | None = None


@dataclass(frozen=True)
class MissingInstance:
    """A service instance that was looked for in Azure in vain."""

    platform: str
    instance_id: str
    resource_id: str
    missing_since: datetime


@dataclass(frozen=True)
class Inventory:
    """
    What the last look at everything has found.

    `due_at` is when the next one begins (None: when somebody asks for it), `running_since` is set while one is under
    way. `trouble` says why the last one did not see everything; of that, what was found before still stands.
    """

    due_at: datetime | None = None
    running_since: datetime | None = None
    finished_at: datetime | None = None
    trouble: str | None = None
    subscriptions: Sequence[str] = ()
    looked_at: int = 0
    strays: Sequence[Stray] = ()
    missing: Sequence[MissingInstance] = ()


def unrecorded(found: Iterable[Tagged], recorded: Mapping[str, bool]) -> list[tuple[Tagged, StrayKind]]:
    """
    Return what no living service instance has on record.

    *recorded* tells of each id on record, in lower case, whether its service instance lives. Read it after Azure was
    asked: whatever is made is on record before it is made, so a creation under way is never taken for an orphan.
    """
    strays = []
    for resource in found:
        lives = recorded.get(resource.resource_id.lower())
        if lives is None:
            strays.append((resource, StrayKind.ORPHAN))
        elif not lives:
            strays.append((resource, StrayKind.ABANDONED))
    return strays


def unseen(holdings: Iterable[Holding], found: Collection[str]) -> list[Holding]:
    """Return those whose resource no list has shown (*found*: ids in lower case): to be asked for singly."""
    return [holding for holding in holdings if holding.resource_id.lower() not in found]
