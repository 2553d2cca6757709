"""A service instance: what was ordered, what was made, and for whom."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from broker.domain.json_values import JsonObject


class InstanceState(StrEnum):
    """Where a service instance is in its life; an update in progress leaves it `ready`."""

    CREATING = "creating"
    READY = "ready"
    CREATE_FAILED = "create failed"
    DELETING = "deleting"
    DELETE_FAILED = "delete failed"


_PLACES = ("clusterid", "namespace", "organization_guid", "space_guid")


@dataclass(frozen=True)
class Context:
    """The platform's word on where an instance lives (spec, "Context Object"), as columns and whole."""

    platform_kind: str | None = None
    """`kubernetes`, `cloudfoundry` or another platform's own word."""
    cluster: str | None = None
    namespace: str | None = None
    organization: str | None = None
    space: str | None = None
    instance_name: str | None = None
    whole: JsonObject = field(default_factory=dict)

    @property
    def scope(self) -> str:
        """
        Where an alias is unique: cluster and namespace, else organization and space, else the platform ("").

        Only the context counts, not the deprecated `organization_guid` and `space_guid` beside it: clients
        that send no context send made-up ones there.
        """
        whole = self.whole
        for names in (_PLACES[:2], _PLACES[2:]):
            place = [whole.get(name) for name in names]
            place = [value if isinstance(value, str) else "" for value in place]
            if any(place):
                return json.dumps([*names, *place], ensure_ascii=False)
        return ""

    def same_place(self, other: Context) -> bool:
        """Tell whether nothing that both name differs; what one of them leaves out does not count."""
        pairs = (
            (self.cluster, other.cluster),
            (self.namespace, other.namespace),
            (self.organization, other.organization),
            (self.space, other.space),
        )
        return all(one == two for one, two in pairs if one is not None and two is not None)

    def updated(self, newer: Context) -> Context:
        """Take *newer* over; a place that it leaves out stays, and with it the scope."""
        kept = {
            name: self.whole[name] for name in _PLACES if name in self.whole and not newer.whole.get(name)
        }
        return replace(
            newer,
            platform_kind=newer.platform_kind or self.platform_kind,
            cluster=newer.cluster or self.cluster,
            namespace=newer.namespace or self.namespace,
            organization=newer.organization or self.organization,
            space=newer.space or self.space,
            instance_name=newer.instance_name or self.instance_name,
            whole={**newer.whole, **kept},
        )


@dataclass(frozen=True)
class Configuration:
    """
    A plan with its parameters and the secrets generated for it; sealed in the store as one value.

    `unopened` names the key without which parameters and secrets are not known; what is stored of them stays as it
    is. Only deletions are handed such a one.
    """

    service_plan_id: str
    parameters: JsonObject = field(default_factory=dict)
    secrets: JsonObject = field(default_factory=dict)
    maintenance_version: str | None = None
    unopened: str | None = None


@dataclass(frozen=True)
class ServiceInstance:
    """
    One service instance of one platform.

    `key` is the broker's own name for it: an OSB id may be used again after a deprovision, a key never is.
    `applied` is what Azure was last seen to run, `asked` what a running (or failed first) operation wants;
    success moves `asked` to `applied`, a failed update clears `asked`. `record` holds, without secrets,
    what was made: deprovision and unbind read it and nothing else. `scope` is where an alias is unique:
    within it and the platform.
    """

    key: UUID
    platform: str
    instance_id: str
    generation: int
    state: InstanceState
    service_offering_id: str
    created_at: datetime
    provisioner: str = "arm_template"
    applied: Configuration | None = None
    asked: Configuration | None = None
    context: Context = field(default_factory=Context)
    scope: str = ""
    alias: str | None = None
    parent_key: UUID | None = None
    subscription: str | None = None
    region: str | None = None
    resource_group: str | None = None
    record: JsonObject = field(default_factory=dict)
    dashboard_url: str | None = None
    catalog_revision: int = 0
    terms: JsonObject = field(default_factory=dict)
    """What tenant rules gave it, and which; see `tenant_terms`. Rules that change later change nothing of it."""
    adopts: str | None = None
    """Id in lower case of what it takes over; no two living instances have the same."""
    missing_since: datetime | None = None
    """Since when its main resource is not there in Azure; found out by the inventory, which alone writes it."""

    @property
    def configuration(self) -> Configuration | None:
        """What is applied, or, before that, what was first asked for."""
        return self.applied or self.asked

    @property
    def unopened(self) -> str | None:
        """The key without which something of it is not known."""
        held = (self.applied, self.asked)
        return next((one.unopened for one in held if one is not None and one.unopened), None)
