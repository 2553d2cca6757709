"""Ids of resources in a resource group, compared without regard to case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

DEPLOYMENTS = "Microsoft.Resources/deployments"


def is_deployment(kind: str) -> bool:
    return kind.lower() == DEPLOYMENTS.lower()


@dataclass(frozen=True, slots=True)
class ResourceId:
    """`types` and `names` go in pairs, the parent's first."""

    subscription: str
    group: str
    namespace: str
    types: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> ResourceId:
        """
        Read `/subscriptions/S/resourceGroups/RG/providers/NS/TYPE/NAME[/TYPE/NAME...]`.

        Raises:
            ValueError: It is not of this form.
        """
        parts = text.strip("/").split("/")
        rest = parts[6:]
        fixed = [part.lower() for part in parts[0:5:2]]
        if fixed != ["subscriptions", "resourcegroups", "providers"] or not rest or len(rest) % 2:
            raise ValueError(f"'{text}' is not the id of a resource in a resource group")
        if not all(parts):
            raise ValueError(f"'{text}' has an empty segment")
        return cls(parts[1], parts[3], parts[5], tuple(rest[0::2]), tuple(rest[1::2]))

    @property
    def type(self) -> str:
        return "/".join((self.namespace, *self.types))

    @property
    def name(self) -> str:
        return self.names[-1]

    @property
    def full_name(self) -> str:
        """As templates and lists name it: parent/child."""
        return "/".join(self.names)

    @property
    def parent(self) -> ResourceId | None:
        if len(self.names) == 1:
            return None
        return ResourceId(self.subscription, self.group, self.namespace, self.types[:-1], self.names[:-1])

    @property
    def key(self) -> str:
        """The same for every spelling."""
        return str(self).lower()

    def ancestors(self) -> Iterator[ResourceId]:
        above = self.parent
        while above is not None:
            yield above
            above = above.parent

    def __str__(self) -> str:
        pairs = "/".join(f"{kind}/{name}" for kind, name in zip(self.types, self.names, strict=True))
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
            f"/providers/{self.namespace}/{pairs}"
        )
