"""Which operations a build of the broker can carry on, so that two builds can run side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.domain.operations import OperationKind


@dataclass(frozen=True)
class Handlers:
    """
    The versions of a build's handlers, by provisioner and kind of operation.

    An operation is accepted in the newest version that the accepting build knows, and carried on only by builds
    that know this version. So a later build may change phases, inputs or state under a new version: while both run,
    each takes what it understands, and what the older one has begun is ended by either.
    """

    versions: Mapping[tuple[str, OperationKind], frozenset[int]] = field(default_factory=dict)

    def newest(self, provisioner: str, kind: OperationKind) -> int:
        """Return the version in which to accept an operation; 1 where nobody has said anything."""
        return max(self.versions.get((provisioner, kind)) or {1})

    def known(self) -> list[tuple[str, str, int]]:
        """Return provisioner, kind and version of all that this build can carry on."""
        return sorted(
            (provisioner, kind.value, version)
            for (provisioner, kind), versions in self.versions.items()
            for version in versions
        )
