"""Azure's resource ids, taken apart and put together. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from broker.azure.clouds import Cloud

_LEGAL = re.compile(r"(?:/[^/?#\s\\%]+)+")


@dataclass(frozen=True)
class ResourceId:
    """
    A resource id in parts: the scope it stands in, the provider's namespace, types and names in pairs.

    For "/subscriptions/S/resourceGroups/G/providers/Microsoft.X/servers/a/databases/b" the types are
    `("servers", "databases")` and the names `("a", "b")`. A resource group itself has no namespace.
    """

    scope: str
    namespace: str
    types: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def subscription(self) -> str | None:
        return self._after("subscriptions")

    @property
    def group(self) -> str | None:
        return self._after("resourcegroups")

    @property
    def type(self) -> str:
        """The full type, such as "Microsoft.X/servers/databases"."""
        return "/".join((self.namespace, *self.types))

    @property
    def name(self) -> str:
        """The last name."""
        return self.names[-1]

    @property
    def parent(self) -> ResourceId | None:
        """What this one is a sub-resource of, if of any."""
        if len(self.types) < 2:
            return None
        return ResourceId(self.scope, self.namespace, self.types[:-1], self.names[:-1])

    @property
    def key(self) -> str:
        """A form to compare by: Azure echoes ids in any case."""
        return str(self).lower()

    def child(self, type_: str, name: str) -> ResourceId:
        """Return the sub-resource *name* of this one."""
        return ResourceId(self.scope, self.namespace, (*self.types, type_), (*self.names, name))

    def __str__(self) -> str:
        pairs = "".join(f"/{type_}/{name}" for type_, name in zip(self.types, self.names, strict=True))
        return f"{self.scope}/providers/{self.namespace}{pairs}"

    def _after(self, word: str) -> str | None:
        segments = self.scope.split("/")
        for at, segment in enumerate(segments[:-1]):
            if segment.lower() == word:
                return segments[at + 1]
        return None


def parse(resource_id: str) -> ResourceId:
    """
    Take *resource_id* apart. The last `providers` counts: an extension stands in the scope of what it extends.

    Raises:
        ValueError: It is no id of a resource.
    """
    checked(resource_id)
    segments = resource_id.split("/")
    lowered = [segment.lower() for segment in segments]
    if "providers" not in lowered:
        raise ValueError("A resource id names a provider.")
    at = len(lowered) - 1 - lowered[::-1].index("providers")
    pairs = segments[at + 2 :]
    if not pairs or len(pairs) % 2:
        raise ValueError("A resource id ends with pairs of type and name.")
    return ResourceId("/".join(segments[:at]), segments[at + 1], tuple(pairs[0::2]), tuple(pairs[1::2]))


def checked(path: str) -> str:
    """
    Return *path* if it may be sent as a path as it is.

    Raises:
        ValueError: It has a query, an escape, a blank, an empty or a dotted segment: another path than it seems.
    """
    if not _LEGAL.fullmatch(path) or any(segment in {".", ".."} for segment in path.split("/")):
        raise ValueError("This is no path of Azure Resource Manager.")
    return path


def group_id(subscription: str, group: str) -> str:
    """Return the id of a resource group."""
    return f"/subscriptions/{subscription}/resourceGroups/{group}"


def resource_id(subscription: str, group: str, type_: str, *names: str) -> str:
    """
    Return the id of a resource in a group, from its full type and one name per type.

    Raises:
        ValueError: Types and names do not pair.
    """
    namespace, *types = type_.split("/")
    return str(ResourceId(group_id(subscription, group), namespace, tuple(types), names))


def portal_url(cloud: Cloud, resource_id: str, tenant_id: str | None = None) -> str | None:
    """Return the page of a resource in the cloud's portal, or None where no portal is known."""
    if cloud.portal is None:
        return None
    return f"{cloud.portal}/#{f'@{tenant_id}/' if tenant_id else ''}resource{resource_id}"


def pattern_of(path: str) -> str:
    """Return *path* with every name replaced by `{}`: few enough values to count calls by."""
    segments = path.split("?", maxsplit=1)[0].split("/")
    lowered = [segment.lower() for segment in segments]
    last = len(lowered) - 1 - lowered[::-1].index("providers") if "providers" in lowered else None
    shown = []
    for at, segment in enumerate(segments):
        after = lowered[at - 1] if at else ""
        in_pair = last is not None and at > last + 1 and (at - last) % 2 == 1
        shown.append(
            "{}" if in_pair or after in {"subscriptions", "resourcegroups", "deployments"} else segment
        )
    return "/".join(shown)
