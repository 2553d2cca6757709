"""
What is written down of an instance in Azure: deletion, unbinding and updates read this, no plan.

A record is a JSON object without secrets:

    generation, subscription, group, location, names   where and under which names it was made
    tags              the four tags that mark what is tagged as ours
    main              id, api_version and tagged of the first resource, whose absence means that all is gone
    above             for a child: the parent's main resource and tags
    deployments       names of the deployments that were started, the last one last
    outputs           what the last successful deployment told: ids and host names
    purge             what is purged after its deletion: id (among the deleted), of (what it was), api_version
    database          kind, host, port, database, owner_role, server (own or parent)
    adopted           bind-only or manage, where the main resource was there before; delete_policy: retain or delete
    kept              of an adopted resource: what it has of what users do not give
"""

from __future__ import annotations

from typing import Any

from broker.azure.resource_ids import group_id, parse
from broker.domain.adoption import DELETE, RECORDED_POLICY, AdoptionMode, adopted_as
from broker.domain.instances import ServiceInstance
from broker.domain.json_values import JsonObject
from broker.domain.operations import ExternalResource
from broker.provisioners.base import Work

GROUP_API_VERSION = "2025-04-01"
KEPT = "kept"


def secrets_of(instance: ServiceInstance) -> dict[str, Any]:
    """Return the secrets generated for an instance, whether they are applied or only asked for so far."""
    found: dict[str, Any] = {}
    for configuration in (instance.applied, instance.asked):
        found.update(configuration.secrets if configuration else {})
    return found


def living(work: Work) -> list[ExternalResource]:
    """List the instance's own resources that were written down and not yet seen to be gone, oldest first."""
    own = (r for r in work.resources if r.gone_at is None and r.binding_key is None and _is_own(work, r))
    return sorted(own, key=lambda resource: resource.position)


def _is_own(work: Work, resource: ExternalResource) -> bool:
    """Tell whether the broker made a resource, or was told to delete what it has adopted."""
    return resource.made_by_us or (
        goes_with_its_instance(work.instance) and resource.resource_id == work.instance.record["main"]["id"]
    )


def goes_with_its_instance(instance: ServiceInstance) -> bool:
    """Tell whether an adopted resource is deleted with its instance: never before the adoption has succeeded."""
    return (
        adopted_as(instance.record) is AdoptionMode.MANAGE
        and instance.record.get(RECORDED_POLICY) == DELETE
        and instance.applied is not None
    )


def above_of(parent: ServiceInstance | None) -> JsonObject | None:
    """Return what a child has to know of its parent's resources."""
    if parent is None or "main" not in parent.record:
        return None
    return {**parent.record["main"], "tags": parent.record["tags"]}


def shown(resource_id: str) -> str:
    """Name a resource for people: its type and name."""
    try:
        parsed = parse(resource_id)
    except ValueError:
        return f"resource group '{resource_id.rsplit('/', 1)[-1]}'"
    return f"{parsed.types[-1]} '{parsed.name}'"


def is_group(resource_id: str) -> bool:
    return "/providers/" not in resource_id.lower()


def is_below(resource_id: str, other: str) -> bool:
    """Tell whether a resource is a part of *other* and goes with it."""
    return resource_id.lower().startswith(other.lower() + "/")


def is_top_level(resource_id: str) -> bool:
    return is_group(resource_id) or parse(resource_id).parent is None


def group_resource(work: Work, subscription: str, group: str) -> ExternalResource:
    """Write down a group that is this instance's alone; it goes last."""
    return ExternalResource(
        instance_key=work.instance.key,
        resource_id=group_id(subscription, group),
        api_version=GROUP_API_VERSION,
        position=0,
    )
