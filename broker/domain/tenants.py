"""Whose order it is: what a platform has told of the place that it comes from, and conditions on that. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from broker.domain.globs import Pattern
from broker.domain.instances import Context
from broker.domain.json_values import JsonObject

PLACES = ("cluster", "namespace", "organization", "space")
NAMES = ("organization_name", "space_name")
ANNOTATIONS = ("namespace_annotations", "organization_annotations", "space_annotations")
"""Not those of the instance: whoever orders writes these, and could make a tenant of his choice of himself."""

_OF_KUBERNETES = frozenset({"cluster", "namespace", "namespace_annotations"})
_OF_CLOUD_FOUNDRY = frozenset(
    {
        "organization",
        "space",
        "organization_name",
        "space_name",
        "organization_annotations",
        "space_annotations",
    }
)

PLATFORM_KINDS: Mapping[str, frozenset[str]] = {
    "service-catalog": frozenset({"cluster", "namespace"}),
    "kubernetes": _OF_KUBERNETES,
    "cloudfoundry": _OF_CLOUD_FOUNDRY,
    "korifi": frozenset({"organization", "space"}),
}
"""What each kind of platform tells beside its credentials, by the words of rules."""


@dataclass(frozen=True)
class Tenant:
    """
    Where an order comes from.

    `platform` is proven by credentials, `view` is the one under whose address the platform is registered; all else is
    the platform's word, None where it says nothing.
    """

    platform: str
    view: str = ""
    cluster: str | None = None
    namespace: str | None = None
    organization: str | None = None
    space: str | None = None
    organization_name: str | None = None
    space_name: str | None = None
    annotations: Mapping[str, JsonObject] = field(default_factory=dict)

    @classmethod
    def of(cls, platform: str, context: Context, view: str = "") -> Tenant:
        """
        Read a context, that of a request or the stored one.

        Who tells a cluster or a namespace is Kubernetes: the organization and space that Service Catalog sends beside
        it are made up (the cluster's id, and the namespace's uid) and count for nothing.
        """
        if context.cluster is not None or context.namespace is not None:
            kinds: tuple[str, ...] = ANNOTATIONS[:1]
            said: dict[str, str | None] = {"cluster": context.cluster, "namespace": context.namespace}
        else:
            kinds = ANNOTATIONS[1:]
            said = {"organization": context.organization, "space": context.space}
            for name in NAMES:
                value = context.whole.get(name)
                said[name] = value if isinstance(value, str) and value else None
        found = {kind: context.whole.get(kind) for kind in kinds}
        annotations = {kind: one for kind, one in found.items() if isinstance(one, Mapping)}
        return cls(platform, view, annotations=annotations, **said)

    def told(self, key: str) -> str | None:
        """Return what is known under the word *key* of a rule, `namespace` or `namespace_annotations.team`."""
        kind, _, name = key.partition(".")
        value = self.annotations.get(kind, {}).get(name) if name else getattr(self, kind)
        return value if isinstance(value, str) and value else None


@dataclass(frozen=True)
class When:
    """
    Which tenants a rule is for: by key, the patterns of which one has to match; all keys have to.

    What a platform has not told matches nothing, not even `*`.
    """

    keys: Mapping[str, tuple[Pattern, ...]] = field(default_factory=dict)

    def matches(self, tenant: Tenant) -> bool:
        """Tell whether *tenant* is meant."""
        return all(_one_matches(patterns, tenant.told(key)) for key, patterns in self.keys.items())

    def may_match(self, platform: str, view: str) -> bool:
        """Tell whether some tenant of this platform and view may be meant."""
        known = {"platform": platform, "view": view or None}
        return all(_one_matches(self.keys[key], known[key]) for key in known.keys() & self.keys.keys())

    @cached_property
    def asks_for_place(self) -> bool:
        """Whether it takes more to tell than platform and view."""
        return bool(self.keys.keys() - {"platform", "view"})

    @cached_property
    def reads_context(self) -> bool:
        """Whether it takes more to tell than platform, cluster, namespace, organization and space."""
        return bool(self.keys.keys() - {"platform", *PLACES})

    def covers(self, other: When) -> bool:
        """Tell whether it is certain that whoever *other* is for is meant by this one, too."""
        return all(
            key in other.keys and all(any(a.covers(b) for a in patterns) for b in other.keys[key])
            for key, patterns in self.keys.items()
        )

    def contradiction(self) -> tuple[str, str] | None:
        """Return two keys that no platform tells together, if it asks for such."""
        asked = [{key for key in self.keys if _kind(key) in of} for of in (_OF_KUBERNETES, _OF_CLOUD_FOUNDRY)]
        return (min(asked[0]), min(asked[1])) if all(asked) else None


def _kind(key: str) -> str:
    return key.partition(".")[0]


def _one_matches(patterns: tuple[Pattern, ...], value: str | None) -> bool:
    return value is not None and any(pattern.matches(value) for pattern in patterns)
